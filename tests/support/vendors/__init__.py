"""Services of these tests: real servers that answer as their vendors document, errors included."""

from tests.support.vendors import (
    algolia,
    arxiv,
    brave,
    browserbase,
    cloudinary,
    google_sheets,
    llama_parse,
    mailgun,
    spider,
    unstructured,
    weather,
    wikipedia,
)
from tests.support.vendors.vendor import Vendor

NAMES = (
    "brave",
    "weather",
    "wikipedia",
    "browserbase",
    "spider",
    "mailgun",
    "arxiv",
    "algolia",
    "unstructured",
    "llama_parse",
    "cloudinary",
    "google_sheets",
)


def named(name: str) -> Vendor:
    """A service over HTTP."""
    known = {
        "algolia": algolia.VENDOR,
        "arxiv": arxiv.VENDOR,
        "brave": brave.VENDOR,
        "browserbase": browserbase.VENDOR,
        "cloudinary": cloudinary.VENDOR,
        "llama_parse": llama_parse.VENDOR,
        "mailgun": mailgun.VENDOR,
        "spider": spider.VENDOR,
        "unstructured": unstructured.VENDOR,
        "weather": weather.VENDOR,
        "wikipedia": wikipedia.VENDOR,
    }
    return google_sheets.vendor() if name == "google_sheets" else known[name]
