"""OpenWeatherMap."""

from tests.support.vendors.vendor import Vendor, path_of, query_of, told
from tests.support.wild_server import Seen

KEY = "owm-key-0123456789abcdef"
TEXT = """In Oslo, the current weather is as follows:
Detailed status: light rain
Wind speed: 4.1 m/s, direction: 80°
Humidity: 81%
Temperature:
  - Current: 6.5°C
  - High: 8°C
  - Low: 5.25°C
  - Feels like: 3.9°C
Rain: 0.3 mm in the last hour
Heat index: unknown
Cloud cover: 75%"""


def says(seen: Seen) -> bytes:
    asked = query_of(seen)
    assert path_of(seen) == "/weather/weather"
    assert asked["units"] == "metric"
    if asked["appid"] != KEY:
        return told({"cod": 401, "message": f"Invalid API key {asked['appid']}. Please see https://openweathermap.org/faq#error401"}, 401)
    if asked["q"] != "Oslo":
        return told({"cod": "404", "message": "city not found"}, 404)
    return told(
        {
            "weather": [{"id": 500, "main": "Rain", "description": "light rain"}],
            "main": {"temp": 6.5, "feels_like": 3.9, "temp_min": 5.25, "temp_max": 8, "pressure": 1015, "humidity": 81},
            "wind": {"speed": 4.1, "deg": 80},
            "rain": {"1h": 0.3},
            "clouds": {"all": 75},
            "name": "Oslo",
            "cod": 200,
        }
    )


VENDOR = Vendor(
    provider="weather",
    method="get",
    setup={"openweathermap_api_key": KEY},
    arguments={"location": "Oslo"},
    says=says,
    good={"result": TEXT},
    wrong={"openweathermap_api_key": "owm-wrong-0123456789"},
    named="openweathermap_api_key",
)
