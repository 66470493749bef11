"""Spider: pages of the web, read for a model.

Source: Spider's API reference. The answer is of the type that `content_type` names: JSON, lines of JSON, or a text.
"""

from mentha.core.json import JsonInvalid, JsonObject, JsonValue, loads_hostile
from mentha.tools.integrations import answers
from mentha.tools.integrations.service import Question, Service, refuses_key
from mentha.tools.outbound import OutboundResponse

BASE_URL = "https://api.spider.cloud"
# What each page is told by.
_FIELDS = ("content", "error", "status", "costs", "url")


async def crawl(service: Service) -> JsonValue:
    """`result`: the pages of a site."""
    return await _read(service, "crawl", "url")


async def links(service: Service) -> JsonValue:
    """`result`: the links of a page."""
    return await _read(service, "links", "url")


async def screenshot(service: Service) -> JsonValue:
    """`result`: pictures of a page, in base64."""
    return await _read(service, "screenshot", "url")


async def search(service: Service) -> JsonValue:
    """`result`: what a search of the web finds. What is searched for stands in `url`, as in the original."""
    return await _read(service, "search", "search")


async def _read(service: Service, path: str, name: str) -> JsonValue:
    kind = service.text("content_type")
    question = Question(
        method="POST",
        url=f"{service.base(BASE_URL)}/{path}",
        headers={"authorization": f"Bearer {service.text('spider_api_key')}", "content-type": kind, "accept": kind},
        json={**(service.arguments.get("params") or {}), name: service.text("url")},
        is_key_refused=lambda response: response.status == 402 or refuses_key(response),
    )
    return {"result": _pages(await service.ask(question), kind)}


def _pages(response: OutboundResponse, kind: str) -> list[JsonValue]:
    if kind == "application/json":
        found = answers.json_of(response, "spider")
        listed = found if isinstance(found, list) else [found]
    elif kind == "application/jsonl":
        try:
            listed = [loads_hostile(line) for line in response.body.splitlines() if line.strip()]
        except JsonInvalid:
            raise answers.odd("spider") from None
    else:
        listed = [{"content": response.body.decode("utf-8", "replace"), "status": response.status}]
    if not all(isinstance(each, dict) for each in listed):
        raise answers.odd("spider")
    return [_page(each) for each in answers.objects(listed)]


def _page(page: JsonObject) -> JsonObject:
    # `links` gives its own field beside those; what else there is may be what `params` have asked for.
    return {**dict.fromkeys(_FIELDS), **page}


METHODS = {"crawl": crawl, "links": links, "screenshot": screenshot, "search": search}
