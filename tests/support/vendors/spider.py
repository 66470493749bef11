"""Spider."""

import json

from tests.support.vendors.vendor import Vendor, json_of, path_of, told
from tests.support.wild_server import Seen, answer

KEY = "sk-spider-0123456789abcdef"
PAGE = {"content": "# Tea", "costs": {"total_cost": 0.0001}, "error": None, "status": 200, "url": "https://example.com"}


def says(seen: Seen) -> bytes:
    if seen.headers.get("authorization") != f"Bearer {KEY}":
        return told({"error": f"Unauthorized: {seen.headers.get('authorization')}"}, 401)
    body = json_of(seen)
    if body.get("url") == "https://example.com/unpaid":
        return told({"error": "Credits or a valid subscription required to use the API"}, 402)
    if path_of(seen) == "/spider/search":
        return told([{**PAGE, "content": body["search"]}])
    if path_of(seen) == "/spider/links":
        return told([{"url": "https://example.com/a", "status": 200, "error": None, "links": ["https://example.com/b"]}])
    kind = seen.headers["content-type"]
    if kind == "application/jsonl":
        return answer(body=f"{json.dumps(PAGE)}\n{json.dumps(PAGE)}\n".encode(), content_type=kind)
    if kind == "text/csv":
        return answer(body=b"url,content\nhttps://example.com,# Tea\n", content_type=kind)
    return told([{**PAGE, "asked": body}])


VENDOR = Vendor(
    provider="spider",
    method="crawl",
    setup={"spider_api_key": KEY},
    arguments={"url": "https://example.com", "params": {"limit": 3, "return_format": "markdown"}},
    says=says,
    good={"result": [{**PAGE, "asked": {"limit": 3, "return_format": "markdown", "url": "https://example.com"}}]},
    wrong={"spider_api_key": "sk-spider-wrong-98765"},
    named="spider_api_key",
)
