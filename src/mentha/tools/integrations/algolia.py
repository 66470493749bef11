"""Algolia: hits of an index.

Source: Algolia's REST API, `POST /1/indexes/{index}/query`. The host is named after the application.
"""

import re
from urllib.parse import quote

from mentha.core.json import JsonValue
from mentha.tools.integrations import answers
from mentha.tools.integrations.service import Question, Service

_APPLICATION = re.compile(r"[A-Za-z0-9]{1,40}", re.ASCII)


async def search(service: Service) -> JsonValue:
    """`hits`, and `metadata` with the counts."""
    application = service.text("algolia_application_id")
    if not _APPLICATION.fullmatch(application):
        raise service.failed("the field `algolia_application_id` of the tool's `setup` must be letters and digits")
    attributes = service.arguments.get("attributes_to_retrieve")
    question = Question(
        method="POST",
        url=f"{service.base(f'https://{application}-dsn.algolia.net')}/1/indexes/{quote(service.text('index_name'), safe='')}/query",
        headers={"x-algolia-application-id": application, "x-algolia-api-key": service.text("algolia_api_key")},
        json={
            "query": service.text("query"),
            "hitsPerPage": service.arguments["hits_per_page"],
            **({"attributesToRetrieve": attributes} if attributes else {}),
        },
        # It only reads.
        again=True,
    )
    found = answers.object_of(await service.ask(question), "algolia")
    if not isinstance(found.get("hits"), list):
        raise answers.odd("algolia")
    counts = {name: found.get(name) for name in ("query", "nbHits", "page", "nbPages", "processingTimeMS")}
    return {"hits": found["hits"], "metadata": counts}


METHODS = {"search": search}
