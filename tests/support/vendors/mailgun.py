"""Mailgun."""

import base64

from tests.support.vendors.vendor import Vendor, form_of, path_of, told
from tests.support.wild_server import Seen, answer

KEY = "key-0123456789abcdef0123"
DOMAINS = {"example.com", "email.old.example", "mg.example.org"}


def says(seen: Seen) -> bytes:
    if seen.headers.get("authorization") != "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode():
        return answer("401 Unauthorized", b"Forbidden", content_type="text/plain")
    domain = path_of(seen).removeprefix("/mailgun/v3/").removesuffix("/messages")
    if domain not in DOMAINS:
        return told({"message": f"Domain not found: {domain}"}, 404)
    form = form_of(seen)
    if "@" not in form["to"]:
        return told({"message": "'to' parameter is not a valid address. please check documentation"}, 400)
    return told({"id": f"<1@{domain}>", "message": "Queued. Thank you."})


VENDOR = Vendor(
    provider="mailgun",
    method="send_email",
    setup={"api_key": KEY},
    arguments={"to": "bo@example.org", "from": "Ann <ann@example.com>", "subject": "Hi", "body": "Tea?"},
    says=says,
    good={"success": True, "error": None},
    wrong={"api_key": "key-wrong-9876543210"},
    named="api_key",
)
