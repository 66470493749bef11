"""arXiv: papers that a search finds.

Source: arXiv's "API User's Manual"; errors are entries of the feed there. PDFs come from the same host, which arXiv keeps for programs, at
the pace that its page "Bulk data access" asks for: four in a row, then a second of rest.
"""

import asyncio
import base64
import re
from xml.etree.ElementTree import Element

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import answers, safe_xml
from mentha.tools.integrations.service import Question, Service
from mentha.tools.outbound import OutboundResponse

BASE_URL = "https://export.arxiv.org"
# arXiv gives no more at once.
RESULTS_MAX = 2_000
PDFS_MAX = 10
PDF_BYTES_TOTAL_MAX = 30_000_000
IN_A_ROW, REST_S = 4, 1.0
_ATOM, _ARXIV = "{http://www.w3.org/2005/Atom}", "{http://arxiv.org/schemas/atom}"
_ID = re.compile(r"[\w.-]+(?:/\d+)?(?:v\d+)?", re.ASCII)
_ERRORS = "/api/errors"


async def search(service: Service) -> JsonValue:
    """`result`: the papers, with `pdf_downloaded` where they were to be fetched."""
    asked = service.arguments
    ids = asked.get("id_list") or []
    if not all(_ID.fullmatch(each) for each in ids):
        raise service.failed("the argument `id_list` must have ids of papers, like 2310.06825v1 or hep-th/9901001")
    question = Question(
        url=f"{service.base(BASE_URL)}/api/query",
        query={
            "search_query": asked["query"],
            "id_list": ",".join(ids) or None,
            "start": 0,
            "max_results": min(asked["max_results"], RESULTS_MAX),
            "sortBy": asked["sort_by"],
            "sortOrder": asked["sort_order"],
        },
        # What is wrong with the call stands in the feed.
        passes=(400,),
    )
    papers = await _papers(service, await service.ask(question))
    if asked["download_pdf"]:
        await _download(service, papers)
    return {"result": [*papers]}


async def _papers(service: Service, response: OutboundResponse) -> list[JsonObject]:
    try:
        feed = await asyncio.to_thread(safe_xml.parse, response.body)
    except safe_xml.XmlInvalid:
        raise _refused(service) if response.status == 400 else answers.odd("arxiv") from None
    if feed.tag != f"{_ATOM}feed":
        raise answers.odd("arxiv")
    entries = feed.findall(f"{_ATOM}entry")
    for entry in entries:
        if _ERRORS in _text(entry, "id"):
            raise _refused(service, _text(entry, "summary"))
    if response.status == 400:
        raise _refused(service)
    return [_paper(entry) for entry in entries]


def _refused(service: Service, said: str = "") -> ToolFailed:
    return service.failed("`arxiv` refused the call", said=said)


def _paper(entry: Element) -> JsonObject:
    links = entry.findall(f"{_ATOM}link")
    primary = entry.find(f"{_ARXIV}primary_category")
    return {
        "entry_id": _text(entry, "id"),
        "title": _text(entry, "title"),
        "updated": _text(entry, "updated"),
        "published": _text(entry, "published"),
        "authors": [_text(author, "name") for author in entry.findall(f"{_ATOM}author")],
        "summary": _text(entry, "summary"),
        "comment": _text(entry, "comment", _ARXIV) or None,
        "journal_ref": _text(entry, "journal_ref", _ARXIV) or None,
        "doi": _text(entry, "doi", _ARXIV) or None,
        "primary_category": primary.get("term") if primary is not None else None,
        "categories": [each.get("term", "") for each in entry.findall(f"{_ATOM}category")],
        "links": [each.get("href", "") for each in links],
        "pdf_url": next((each.get("href") for each in links if each.get("title") == "pdf"), None),
        "pdf_downloaded": None,
    }


def _text(element: Element, name: str, space: str = _ATOM) -> str:
    return " ".join((element.findtext(f"{space}{name}") or "").split())


async def _download(service: Service, papers: list[JsonObject]) -> None:
    """Fetch the PDFs in turn, as arXiv wants it."""
    left = PDF_BYTES_TOTAL_MAX
    if len(papers) > PDFS_MAX:
        raise service.failed(f"at most {PDFS_MAX} PDFs can be fetched at once: lower `max_results`, or set `download_pdf` to false")
    # The search was one, too.
    for place, paper in enumerate(papers, start=1):
        if place % IN_A_ROW == 0:
            await service.means.wait(REST_S)
        number = paper["entry_id"].partition("/abs/")[2]
        if not _ID.fullmatch(number):
            continue
        question = Question(url=f"{service.base(BASE_URL)}/pdf/{number}", follow_redirects=True)
        data = (await service.ask(question)).body
        left -= len(data)
        if left < 0:
            raise service.failed(f"the PDFs have more than {PDF_BYTES_TOTAL_MAX:,} bytes: lower `max_results`")
        paper["pdf_downloaded"] = {
            "base64": base64.b64encode(data).decode(),
            "mime_type": "application/pdf",
            "title": paper["title"],
        }


METHODS = {"search": search}
