"""Wikipedia: articles that a search finds, as documents.

One question finds the articles and their summaries; the text of each takes one more, since the API gives whole texts one by one. They are
asked in turn, as Wikimedia's etiquette wants it.

Source: MediaWiki's Action API (`generator=search`, `prop=extracts|info`). It tells errors with the status 200.
"""

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers
from mentha.tools.integrations.service import Question, Service

BASE_URL = "https://en.wikipedia.org/w/api.php"
# Source: the original gives the first 4,000 characters of an article.
CONTENT_CHARS_MAX = 4_000
BUSY = frozenset({"ratelimited", "maxlag", "readonly"})
_COMMON = {"action": "query", "format": "json", "formatversion": 2, "explaintext": 1}


async def search(service: Service) -> JsonValue:
    """`documents`: `page_content`, and `metadata` with `title`, `summary` and `source`."""
    found = await _pages(
        service,
        {
            "generator": "search",
            "gsrsearch": service.text("query"),
            "gsrlimit": service.arguments["load_max_docs"],
            "prop": "extracts|info",
            "exintro": 1,
            "exlimit": "max",
            "inprop": "url",
        },
    )
    return {"documents": [await _document(service, page) for page in sorted(found, key=_rank)]}


async def _document(service: Service, page: JsonObject) -> JsonObject:
    whole = await _pages(service, {"pageids": page.get("pageid"), "prop": "extracts"})
    summary = answers.words(page.get("extract"))
    content = answers.words(whole[0].get("extract")) if whole else ""
    return {
        "id": None,
        "metadata": {
            "title": answers.words(page.get("title")),
            "summary": summary,
            "source": answers.words(page.get("canonicalurl") or page.get("fullurl")),
        },
        "page_content": (content or summary)[:CONTENT_CHARS_MAX],
        "type": "Document",
    }


async def _pages(service: Service, asked: JsonObject) -> list[JsonObject]:
    answer = answers.object_of(await service.ask(Question(url=service.base(BASE_URL), query={**_COMMON, **asked})), "wikipedia")
    if error := answers.member(answer, "error"):
        is_busy = answers.words(error.get("code")) in BUSY
        message = "`wikipedia` is busy" if is_busy else "`wikipedia` refused the call"
        raise service.failed(message, retry=is_busy, said=answers.words(error.get("info")))
    # Nothing found is an answer without `query`.
    return answers.objects(answers.member(answer, "query").get("pages"))


def _rank(page: JsonObject) -> int:
    index = page.get("index")
    return index if isinstance(index, int) else 0


METHODS = {"search": search}
