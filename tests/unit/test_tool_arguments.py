"""What a model gives for a call, checked by the tool's own schema."""

from typing import Any

import pytest

from mentha.tools import arguments
from mentha.tools.calls import ToolFailed
from mentha.wire import integrations

SCHEMA = {
    "type": "object",
    "properties": {"q": {"type": "string"}, "deep": {"type": "array", "items": {"type": "integer"}}, "key": {"type": "string"}},
    "required": ["q", "key"],
    "additionalProperties": False,
}


def tool(schema: Any = SCHEMA, *, url: str = "http://x/", **spec: Any) -> Any:
    return {"name": "t", "type": "api_call", "api_call": {"method": "GET", "url": url, "params_schema": schema, **spec}}


def refused(tool_: Any, given: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        arguments.check(tool_, given)
    return caught.value


def test_arguments_that_do_not_fit_are_told_with_their_paths_and_without_their_values() -> None:
    error = refused(tool(), {"q": 4711, "key": "k", "deep": [1, "4712"]})
    assert sorted(fault["path"] for fault in error.more["faults"]) == ["/deep/1", "/q"]
    assert "`deep.1`: " in error.message
    assert error.retry is False
    assert "471" not in error.message + str(error.more)
    assert "required" in refused(tool(), {"key": "k"}).message


def test_what_the_tool_fixes_is_neither_missing_nor_too_much() -> None:
    fixed = tool(params={"key": "fixed"})
    arguments.check(fixed, {"q": "x"})
    arguments.check(fixed, {"q": "x", "key": 1})
    assert refused(fixed, {"q": "x", "other": 1})


def test_places_in_the_address_are_arguments_too() -> None:
    placed = tool(url="http://x/{id}")
    arguments.check(placed, {"q": "x", "key": "k", "id": "a"})
    assert "id" in refused(placed, {"q": "x", "key": "k"}).message


@pytest.mark.parametrize(
    "schema", [{"type": "object", "properties": {"q": {"$ref": "http://x/"}}}, {"type": "object", "properties": {"q": {"type": 5}}}]
)
def test_schema_that_does_not_compile_checks_nothing(schema: Any) -> None:
    arguments.check(tool(schema), {"q": 1})


def test_tool_without_a_schema_takes_anything() -> None:
    arguments.check({"name": "t", "type": "api_call", "api_call": {"method": "GET", "url": "http://x/"}}, {"anything": 1})


def test_integration_takes_null_for_nothing_and_refuses_what_is_wrong() -> None:
    name = next(iter(integrations.PROVIDERS["wikipedia"].methods))
    wiki = {"name": "w", "type": "integration", "integration": {"provider": "wikipedia", "method": name}}
    arguments.check(wiki, {"query": "tea", "load_max_docs": None})
    assert refused(wiki, {"query": 5}).more["faults"][0]["path"] == "/query"


def test_compiled_schemas_are_kept_within_a_limit() -> None:
    for number in range(arguments.SCHEMAS_MAX + 5):
        arguments.check(tool({"type": "object", "properties": {f"p{number}": {}}}), {})
    assert len(arguments.known_schemas) == arguments.SCHEMAS_MAX
