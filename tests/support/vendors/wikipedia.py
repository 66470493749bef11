"""Wikipedia, as MediaWiki's Action API answers."""

from tests.support.vendors.vendor import Vendor, query_of, told
from tests.support.wild_server import Seen

PAGES = {
    7: ("Tea", "Tea is a drink.", "Tea is a drink. " + "It is made of leaves. " * 300),
    9: ("Cup", "A cup is round.", "A cup is round. Most are."),
}


def says(seen: Seen) -> bytes:
    asked = query_of(seen)
    assert (asked["action"], asked["formatversion"], asked["explaintext"]) == ("query", "2", "1")
    if asked.get("gsrsearch") == "limited":
        return told({"error": {"code": "ratelimited", "info": "You've exceeded your rate limit."}})
    if "pageids" in asked:
        page = int(asked["pageids"])
        return told({"batchcomplete": True, "query": {"pages": [{"pageid": page, "title": PAGES[page][0], "extract": PAGES[page][2]}]}})
    if asked["gsrsearch"] == "nothing":
        return told({"batchcomplete": True})
    # The pages come in the order of their ids, with their rank beside them.
    found = [
        {
            "pageid": page,
            "index": 1 if page == 9 else 2,
            "title": PAGES[page][0],
            "extract": PAGES[page][1],
            "canonicalurl": f"https://en.wikipedia.org/wiki/{PAGES[page][0]}",
        }
        for page in list(PAGES)[: int(asked["gsrlimit"])]
    ]
    return told({"batchcomplete": True, "query": {"pages": found}})


def document(page: int) -> object:
    title, summary, whole = PAGES[page]
    metadata = {"title": title, "summary": summary, "source": f"https://en.wikipedia.org/wiki/{title}"}
    return {"id": None, "metadata": metadata, "page_content": whole[:4_000], "type": "Document"}


VENDOR = Vendor(
    provider="wikipedia",
    method="search",
    setup={},
    arguments={"query": "tea"},
    says=says,
    good={"documents": [document(9), document(7)]},
)
