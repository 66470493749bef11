"""arXiv: a feed, and PDFs beside it."""

import base64

from tests.support.vendors.vendor import Vendor, path_of, query_of
from tests.support.wild_server import Seen, answer

PDF = b"%PDF-1.4 not much"
ENTRY = """<entry><id>http://arxiv.org/abs/2310.06825v1</id><updated>2023-10-10T17:54:58Z</updated><published>2023-10-10T17:54:58Z</published>
<title>Mistral
  7B</title><summary>  We introduce &lt;Mistral&gt; 7B.
</summary><author><name>Albert Q. Jiang</name></author><author><name>Alexandre Sablayrolles</name></author>
<arxiv:comment xmlns:arxiv="http://arxiv.org/schemas/atom">Models and code</arxiv:comment>
<link href="http://arxiv.org/abs/2310.06825v1" rel="alternate" type="text/html"/>
<link title="pdf" href="http://arxiv.org/pdf/2310.06825v1" rel="related" type="application/pdf"/>
<arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="cs.CL" scheme="http://arxiv.org/schemas/atom"/>
<category term="cs.CL" scheme="http://arxiv.org/schemas/atom"/><category term="cs.AI" scheme="http://arxiv.org/schemas/atom"/></entry>"""
ERROR = """<entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_1234</id><title>Error</title>
<summary>incorrect id format for 1234</summary></entry>"""


def feed(entries: str, status: str = "200 OK") -> bytes:
    whole = f'<?xml version="1.0" encoding="UTF-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><title>ArXiv Query</title>{entries}</feed>'
    return answer(status, whole.encode(), content_type="application/atom+xml; charset=UTF-8")


def says(seen: Seen) -> bytes:
    asked = query_of(seen)
    if path_of(seen) == "/arxiv/pdf/2310.06825v1":
        return answer(body=PDF, content_type="application/pdf")
    assert path_of(seen) == "/arxiv/api/query"
    assert (asked["sortBy"], asked["sortOrder"]) == ("relevance", "descending")
    if asked.get("id_list") == "1234":
        return feed(ERROR, "400 Bad Request")
    return feed(ENTRY if asked["search_query"] == "all:mistral" and asked.get("id_list", "2310.06825") == "2310.06825" else "")


VENDOR = Vendor(
    provider="arxiv",
    method="search",
    setup={},
    arguments={"query": "all:mistral", "id_list": ["2310.06825"], "download_pdf": True},
    says=says,
    good={
        "result": [
            {
                "entry_id": "http://arxiv.org/abs/2310.06825v1",
                "title": "Mistral 7B",
                "updated": "2023-10-10T17:54:58Z",
                "published": "2023-10-10T17:54:58Z",
                "authors": ["Albert Q. Jiang", "Alexandre Sablayrolles"],
                "summary": "We introduce <Mistral> 7B.",
                "comment": "Models and code",
                "journal_ref": None,
                "doi": None,
                "primary_category": "cs.CL",
                "categories": ["cs.CL", "cs.AI"],
                "links": ["http://arxiv.org/abs/2310.06825v1", "http://arxiv.org/pdf/2310.06825v1"],
                "pdf_url": "http://arxiv.org/pdf/2310.06825v1",
                "pdf_downloaded": {"base64": base64.b64encode(PDF).decode(), "mime_type": "application/pdf", "title": "Mistral 7B"},
            }
        ]
    },
)
