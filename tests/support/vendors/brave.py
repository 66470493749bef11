"""Brave Search."""

from tests.support.vendors.vendor import Vendor, path_of, query_of, told
from tests.support.wild_server import Seen

KEY = "BSA-brave-key-0123456789"


def says(seen: Seen) -> bytes:
    assert path_of(seen) == "/brave/web/search"
    if seen.headers.get("x-subscription-token") != KEY:
        token = seen.headers.get("x-subscription-token")
        error = {"id": "1", "status": 422, "code": "SUBSCRIPTION_TOKEN_INVALID", "detail": f"The provided token {token} is invalid."}
        return told({"type": "ErrorResponse", "error": error, "time": 1}, 422)
    asked = query_of(seen)
    found = [
        {"title": f"{asked['q']} &amp; {n}", "url": f"https://example.com/{n}", "description": "It&#x27;s here"}
        for n in range(int(asked["count"]))
    ]
    return told({"type": "search", "query": {"original": asked["q"]}, "web": {"type": "search", "results": found}})


VENDOR = Vendor(
    provider="brave",
    method="search",
    setup={"brave_api_key": KEY},
    arguments={"query": "tea", "count": 2},
    says=says,
    good={"result": [{"title": f"tea & {n}", "link": f"https://example.com/{n}", "snippet": "It's here"} for n in range(2)]},
    wrong={"brave_api_key": "BSA-wrong-key-987654321"},
    named="brave_api_key",
)
