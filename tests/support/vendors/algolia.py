"""Algolia."""

from tests.support.vendors.vendor import Vendor, json_of, path_of, told
from tests.support.wild_server import Seen

KEY = "algolia-key-0123456789"


def says(seen: Seen) -> bytes:
    if seen.headers.get("x-algolia-application-id") != "APP1" or seen.headers.get("x-algolia-api-key") != KEY:
        return told({"message": "Invalid Application-ID or API key", "status": 403}, 403)
    if path_of(seen) != "/algolia/1/indexes/goods%2F1/query":
        return told({"message": "Index nothing does not exist", "status": 404}, 404)
    body = json_of(seen)
    hits = [{"objectID": "1", "name": "tea", "asked": body}]
    return told({"hits": hits, "query": body["query"], "nbHits": 1, "page": 0, "nbPages": 1, "processingTimeMS": 2, "params": "query=tea"})


VENDOR = Vendor(
    provider="algolia",
    method="search",
    setup={"algolia_application_id": "APP1", "algolia_api_key": KEY},
    arguments={"index_name": "goods/1", "query": "tea", "attributes_to_retrieve": ["name"]},
    says=says,
    good={
        "hits": [{"objectID": "1", "name": "tea", "asked": {"query": "tea", "hitsPerPage": 10, "attributesToRetrieve": ["name"]}}],
        "metadata": {"query": "tea", "nbHits": 1, "page": 0, "nbPages": 1, "processingTimeMS": 2},
    },
    wrong={"algolia_api_key": "algolia-wrong-98765"},
    named="algolia_api_key",
)
