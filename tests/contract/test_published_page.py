"""`POST /sessions` matches the published page to the letter; the page itself is not part of this project."""

from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from mentha.api import openapi
from mentha.server.app import ROUTERS
from tests.support import shared

SCHEMAS = (
    "CreateSessionRequest",
    "Session",
    "HTTPValidationError",
    "ValidationError",
    "VectorDocSearch",
    "TextOnlyDocSearch",
    "HybridDocSearch",
)


@pytest.fixture(scope="module")
def page() -> Any:
    text = shared.path("contract/create-session.md").read_text(encoding="utf-8")
    return yaml.safe_load(text.split("````yaml", 1)[1].split("\n", 1)[1].rsplit("````", 1)[0])


@pytest.fixture(scope="module")
def ours() -> Any:
    app = FastAPI(separate_input_output_schemas=False)
    for module in ROUTERS:
        app.include_router(module.router)
    return openapi.describe(app)


def without_additions(schema: Any) -> Any:
    """A schema without the fields that are marked as ours."""
    fields = {name: field for name, field in schema.get("properties", {}).items() if not field.get("x-mentha")}
    return {**schema, "properties": fields}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_of_the_page_is_served_to_the_letter(page: Any, ours: Any, name: str) -> None:
    assert without_additions(ours["components"]["schemas"][name]) == page["components"]["schemas"][name]


def test_operation_of_the_page_is_served_to_the_letter(page: Any, ours: Any) -> None:
    published, served = page["paths"]["/sessions"]["post"], ours["paths"]["/sessions"]["post"]
    for key in ("tags", "summary", "operationId", "requestBody", "security"):
        assert served[key] == published[key], key
    for status, response in published["responses"].items():
        assert served["responses"][status] == response, status


def test_head_of_the_page_is_served_to_the_letter(page: Any, ours: Any) -> None:
    for key in ("openapi", "info", "servers", "security"):
        assert ours[key] == page[key], key
    assert ours["components"]["securitySchemes"] == page["components"]["securitySchemes"]
