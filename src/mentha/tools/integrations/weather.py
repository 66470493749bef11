"""OpenWeatherMap: the weather of a place now, as a text for a model.

Source: OpenWeatherMap's "Current weather data"; the lines are those of the original.
"""

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers
from mentha.tools.integrations.service import Question, Service

BASE_URL = "https://api.openweathermap.org/data/2.5"


async def get(service: Service) -> JsonValue:
    """`result`: the weather in words, in metric units."""
    place = service.text("location")
    question = Question(
        url=f"{service.base(BASE_URL)}/weather",
        query={"q": place, "units": "metric", "appid": service.text("openweathermap_api_key")},
    )
    return {"result": _told(place, answers.object_of(await service.ask(question), "weather"))}


def _told(place: str, now: JsonObject) -> str:
    air, wind = answers.member(now, "main"), answers.member(now, "wind")
    states = [answers.words(each.get("description")) for each in answers.objects(now.get("weather"))]
    if not air or not states:
        raise answers.odd("weather")
    rain = answers.member(now, "rain").get("1h")
    return "\n".join(
        (
            f"In {place}, the current weather is as follows:",
            f"Detailed status: {', '.join(states)}",
            f"Wind speed: {_number(wind.get('speed'))} m/s, direction: {_number(wind.get('deg'))}°",
            f"Humidity: {_number(air.get('humidity'))}%",
            "Temperature:",
            f"  - Current: {_number(air.get('temp'))}°C",
            f"  - High: {_number(air.get('temp_max'))}°C",
            f"  - Low: {_number(air.get('temp_min'))}°C",
            f"  - Feels like: {_number(air.get('feels_like'))}°C",
            f"Rain: {'none' if rain is None else f'{_number(rain)} mm in the last hour'}",
            f"Heat index: {_number(air.get('heat_index'))}",
            f"Cloud cover: {_number(answers.member(now, 'clouds').get('all'))}%",
        )
    )


def _number(value: JsonValue) -> str:
    return str(value) if isinstance(value, int | float) else "unknown"


METHODS = {"get": get}
