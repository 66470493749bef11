"""The published description of the API: the framework's own, brought to the form of the original's page.

Source of title, version, contact, server and security scheme: the published page of `POST /sessions`, which clients are generated from.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from mentha.wire.errors import HTTPValidationError, ValidationError

HEAD: dict[str, Any] = {
    "title": "Julep Agents API",
    "version": "0.4.0",
    "description": "API for Julep Agents",
    "terms_of_service": "https://www.julep.ai/terms",
    "contact": {"name": "Julep", "url": "https://www.julep.ai/", "email": "developers@julep.ai"},
    "servers": [{"url": "/api"}],
}


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document, made once."""
    made = app.openapi_schema
    if made is None:
        document = get_openapi(routes=app.routes, separate_input_output_schemas=False, **HEAD)
        document["security"] = []
        schemas = document["components"]["schemas"]
        own = HTTPValidationError.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas["ValidationError"] = own.pop("$defs")["ValidationError"]
        schemas["HTTPValidationError"] = own
        for model in (HTTPValidationError, ValidationError):
            schemas[model.__name__].pop("description", None)
        made = app.openapi_schema = _published_form(document)
    return made


def _published_form(node: Any) -> Any:
    """The same document as the original's framework wrote it: `anyOf`, no `additionalProperties` of true, whole bounds as integers."""
    if isinstance(node, list):
        return [_published_form(item) for item in node]
    if isinstance(node, float) and node.is_integer():
        return int(node)
    if not isinstance(node, dict):
        return node
    shown = {key: _published_form(value) for key, value in node.items()}
    if shown.get("additionalProperties") is True:
        del shown["additionalProperties"]
    if "oneOf" in shown and "discriminator" not in shown:
        shown["anyOf"] = _flat(shown.pop("oneOf"))
    if "anyOf" in shown:
        shown["anyOf"] = _flat(shown["anyOf"])
    return shown


def _flat(branches: list[Any]) -> list[Any]:
    """A union inside a union as one."""
    flat: list[Any] = []
    for branch in branches:
        flat += branch["anyOf"] if isinstance(branch, dict) and set(branch) == {"anyOf"} else [branch]
    return flat
