"""Unstructured: a document, split into its parts.

Source: Unstructured's reference of the Partition endpoint. `retry_config` of the setup is taken and not used: this server has its own way
to ask again.
"""

import re
from urllib.parse import quote

from mentha.core.json import JsonValue
from mentha.tools.integrations import answers, files
from mentha.tools.integrations.service import Question, Service, pairs
from mentha.tools.multipart import form

SERVERS = {"saas-api": "https://api.unstructuredapp.io", "platform-api": "https://api.unstructuredapp.io"}
PATH = "/general/v0/general"
_PLACE = re.compile(r"\{(\w+)\}")


async def parse(service: Service) -> JsonValue:
    """`content`: the elements; `csv_elements` where `partition_params` ask for `text/csv`."""
    name = files.filename(service.arguments.get("filename"), "document")
    given = {key: value for key, value in (service.arguments.get("partition_params") or {}).items() if key != "files"}
    parts = {"files": (name, files.decoded(service.arguments.get("file")), "application/octet-stream")}
    body, kind = form(pairs(given), parts)
    timeout_ms = service.setup.get("timeout_ms")
    question = Question(
        method="POST",
        url=_address(service),
        headers={
            "unstructured-api-key": service.text("unstructured_api_key"),
            "content-type": kind,
            # Without it nothing but JSON can be asked for by `output_format`.
            "accept": "*/*",
        },
        body=body,
        # It changes nothing there.
        again=True,
        timeout_s=timeout_ms / 1_000 if timeout_ms else None,
    )
    response = await service.ask(question)
    told = (response.header("content-type") or "").partition(";")[0].strip()
    result = {"content_type": told, "status_code": response.status, "csv_elements": None, "content": None}
    if told == "text/csv":
        return {**result, "csv_elements": response.body.decode("utf-8", "replace")}
    found = answers.json_of(response, "unstructured")
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise answers.odd("unstructured")
    return {**result, "content": found}


def _address(service: Service) -> str:
    named = service.text("server")
    if named and named not in SERVERS:
        raise service.failed("the field `server` of the tool's `setup` must be one of " + ", ".join(f"`{each}`" for each in SERVERS))
    given = service.text("server_url")
    if not given:
        return service.base(SERVERS[named or "saas-api"]) + PATH
    values = service.setup.get("url_params") or {}
    url = _PLACE.sub(lambda place: quote(str(values.get(place[1], place[0])), safe=""), given).rstrip("/")
    return url if url.endswith("/general") else url + PATH


METHODS = {"parse": parse}
