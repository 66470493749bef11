"""LlamaParse: a job is pending when it is asked for first."""

import base64
from collections import Counter

from tests.support.vendors.vendor import Vendor, parts_of, path_of, told
from tests.support.wild_server import Seen

KEY = "llx-0123456789abcdefghij"
asked: Counter[str] = Counter()


def says(seen: Seen) -> bytes:
    if seen.headers.get("authorization") != f"Bearer {KEY}":
        return told({"detail": "Invalid API Key"}, 401)
    path = path_of(seen).removeprefix("/llama_parse/api/v1/parsing")
    if path == "/upload":
        parts = parts_of(seen)
        whole = parts.get("file", parts.get("input_url", b""))
        job = {b"Tea": "j/1", b"https://example.com/a.pdf": "j/2", b"never": "j/never", b"broken": "j/broken"}[whole]
        asked[job] = 0
        return told({"id": job, "status": "PENDING"})
    job = path.removeprefix("/job/").removesuffix("/result/json").replace("%2F", "/")
    if path.endswith("/result/json"):
        page = {"page": 1, "text": job, "md": f"# {job}", "items": []}
        return told({"pages": [page, {"page": 2, "text": "plain", "md": ""}], "job_metadata": {"job_pages": 2}})
    if job == "j/broken":
        return told({"id": job, "status": "ERROR", "error_code": "PDF_IS_BROKEN", "error_message": "The PDF is broken"})
    asked[job] += 1
    return told({"id": job, "status": "SUCCESS" if asked[job] > 1 and job != "j/never" else "PENDING"})


def document(job: str, page: int, content: str) -> object:
    return {"id": None, "metadata": {"job_id": job, "page": page}, "page_content": content, "type": "Document"}


VENDOR = Vendor(
    provider="llama_parse",
    method="parse",
    setup={"llamaparse_api_key": KEY, "params": {"language": "en"}},
    arguments={"file": [base64.b64encode(b"Tea").decode(), "https://example.com/a.pdf"], "filename": "tea.pdf"},
    says=says,
    good={
        "documents": [document(job, page, text) for job in ("j/1", "j/2") for page, text in ((1, f"# {job}"), (2, "plain"))],
    },
    wrong={"llamaparse_api_key": "llx-wrong-98765432"},
    named="llamaparse_api_key",
)
