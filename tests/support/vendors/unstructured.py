"""Unstructured."""

import base64

from tests.support.vendors.vendor import Vendor, parts_of, path_of, told
from tests.support.wild_server import Seen, answer

KEY = "unstructured-key-0123456789"
ELEMENT = {"type": "Title", "element_id": "e1", "text": "Tea", "metadata": {"filename": "tea.txt", "filetype": "text/plain"}}


def says(seen: Seen) -> bytes:
    assert path_of(seen) in ("/unstructured/general/v0/general", "/own/eu/general/v0/general")
    if seen.headers.get("unstructured-api-key") != KEY:
        return told({"detail": f"API key is invalid: {seen.headers.get('unstructured-api-key')}"}, 401)
    parts = parts_of(seen)
    if parts["files"] != b"Tea":
        return told({"detail": "File type application/octet-stream is not supported."}, 422)
    if parts.get("output_format") == b"text/csv":
        return answer(body=b"type,text\nTitle,Tea\n", content_type="text/csv; charset=utf-8")
    return told([ELEMENT | {"strategy": parts["strategy"].decode()}])


VENDOR = Vendor(
    provider="unstructured",
    method="parse",
    setup={"unstructured_api_key": KEY},
    arguments={"file": base64.b64encode(b"Tea").decode(), "filename": "tea.txt", "partition_params": {"strategy": "fast"}},
    says=says,
    good={"content_type": "application/json", "status_code": 200, "csv_elements": None, "content": [ELEMENT | {"strategy": "fast"}]},
    wrong={"unstructured_api_key": "unstructured-wrong-98765"},
    named="unstructured_api_key",
)
