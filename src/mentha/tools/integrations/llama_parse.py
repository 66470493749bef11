"""LlamaParse: the text of documents, page by page.

    upload → (ask how far it is, and wait) → result

Source: LlamaCloud's reference of `/api/v1/parsing`. A file is base64 or an address, which LlamaParse fetches itself; a path
is of no machine that is known here.
"""

import time
from urllib.parse import quote

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers, files
from mentha.tools.integrations.service import Question, Service, pairs
from mentha.tools.multipart import form

BASE_URL = "https://api.cloud.llamaindex.ai"
POLL_FIRST_S = 1.0
POLL_S_MAX = 5.0
POLLS_MAX = 200
# Left of the time of a call for the result itself.
RESULT_S = 5.0
_DONE = frozenset({"SUCCESS", "PARTIAL_SUCCESS"})
_FAILED = frozenset({"ERROR", "CANCELED", "CANCELLED"})


async def parse(service: Service) -> JsonValue:
    """`documents`: one a page, in the order of the files."""
    given = files.several(service.arguments.get("file"))
    name = files.filename(service.arguments.get("filename"), "document.pdf")
    until_s = time.monotonic() + service.means.settings.tool_timeout_s - RESULT_S
    jobs = [await _upload(service, each, name) for each in given]
    # They are read at the same time there; here one after the other is waited for.
    return {"documents": [page for job in jobs for page in await _pages(service, job, until_s)]}


async def _upload(service: Service, file: str, name: str) -> str:
    fields: JsonObject = {**(service.setup.get("params") or {}), **(service.arguments.get("params") or {})}
    parts: dict[str, tuple[str, bytes, str]] = {}
    if files.is_url(file) and not service.arguments["base64"]:
        fields["input_url"] = file
    else:
        parts["file"] = (name, files.decoded(file), "application/octet-stream")
    body, kind = form(pairs(fields), parts)
    headers = {**_headers(service), "content-type": kind}
    question = Question(method="POST", url=f"{_base(service)}/upload", headers=headers, body=body)
    job = answers.words(answers.object_of(await service.ask(question), "llama_parse").get("id"))
    if not job:
        raise answers.odd("llama_parse")
    # To have a document read once more costs, and changes nothing.
    service.has_acted = False
    return job


async def _pages(service: Service, job: str, until_s: float) -> list[JsonObject]:
    url = f"{_base(service)}/job/{quote(job, safe='')}"
    pause_s = POLL_FIRST_S
    for _ in range(POLLS_MAX):
        state = answers.object_of(await service.ask(Question(url=url, headers=_headers(service))), "llama_parse")
        status = answers.words(state.get("status"))
        if status in _DONE:
            break
        if status in _FAILED:
            said = answers.words(state.get("error_message") or state.get("error_code"))
            raise service.failed("`llama_parse` could not read the document", said=said)
        if time.monotonic() + pause_s > until_s:
            raise _unfinished(service)
        await service.means.wait(pause_s)
        pause_s = min(pause_s * 1.5, POLL_S_MAX)
    else:
        raise _unfinished(service)
    found = answers.object_of(await service.ask(Question(url=f"{url}/result/json", headers=_headers(service))), "llama_parse")
    if not isinstance(found.get("pages"), list):
        raise answers.odd("llama_parse")
    return [_document(job, page) for page in answers.objects(found["pages"])]


def _document(job: str, page: JsonObject) -> JsonObject:
    return {
        "id": None,
        "metadata": {"job_id": job, "page": page.get("page")},
        "page_content": answers.words(page.get("md")) or answers.words(page.get("text")),
        "type": "Document",
    }


def _unfinished(service: Service) -> Exception:
    return service.failed("`llama_parse` has not finished in time; the operator can raise MENTHA_TOOL_TIMEOUT_S", retry=True)


def _base(service: Service) -> str:
    return f"{service.base(BASE_URL)}/api/v1/parsing"


def _headers(service: Service) -> dict[str, str]:
    return {"authorization": f"Bearer {service.text('llamaparse_api_key')}", "accept": "application/json"}


METHODS = {"parse": parse}
