"""Tools as a model sees them: a function under the tool's own name, which asks for all that the tool does not fix."""

from copy import deepcopy
from typing import Any

import pytest

from mentha.tools.offer import function_of, presets
from mentha.wire.integrations import PROVIDERS
from mentha.wire.system_calls import CALLS
from mentha.wire.tools import CreateToolRequest, plain

AGENT = "00000000-0000-0000-0000-000000000001"


def tool(kind: str, spec: Any, description: str | None = None) -> dict[str, Any]:
    return plain(CreateToolRequest.model_validate({"name": "t", "type": kind, "description": description, kind: spec}))


def offered(kind: str, spec: Any) -> Any:
    return function_of(tool(kind, spec))["parameters"]


def asked(kind: str, spec: Any) -> tuple[list[str], list[str]]:
    """The arguments that are asked for, and those of them that must be there."""
    parameters = offered(kind, spec)
    assert parameters["type"] == "object"
    return sorted(parameters["properties"]), sorted(parameters.get("required", []))


def system(name: str, **more: Any) -> Any:
    resource, *middle, operation = name.split(".")
    return {"resource": resource, "operation": operation, **({"subresource": middle[0]} if middle else {}), **more}


def api_call(url: str = "https://h/", method: str = "GET", **more: Any) -> Any:
    return {"method": method, "url": url, **more}


ONE_OF_EACH = [
    ("function", {"parameters": {"type": "object", "properties": {}}}),
    ("computer_20241022", {}),
    ("text_editor_20241022", {}),
    ("bash_20241022", {}),
    ("api_call", api_call()),
    *(("system", system(name)) for name in CALLS),
    *(("integration", {"provider": name, "method": method}) for name, each in PROVIDERS.items() for method in each.methods),
]


@pytest.mark.parametrize(("kind", "spec"), ONE_OF_EACH)
def test_tool_of_any_type_is_a_function_under_its_own_name(kind: str, spec: Any) -> None:
    given = tool(kind, spec)
    before = deepcopy(given)
    function = function_of(given)
    assert function["name"] == "t"
    assert function["parameters"]["type"] == "object"
    assert isinstance(function["parameters"]["properties"], dict)
    assert set(function["parameters"].get("required", ())) <= set(function["parameters"]["properties"])
    assert function.get("description") or kind == "function"
    assert function_of(tool(kind, spec, "mine"))["description"] == "mine"
    assert (given, function_of(given)) == (before, function)


def test_function_is_offered_with_its_parameters_as_they_are() -> None:
    parameters = {"type": "object", "properties": {"a": {"$ref": "#/x"}}, "x": 1}
    assert offered("function", {"parameters": parameters}) == parameters
    assert offered("function", {}) == {"type": "object", "properties": {}}


def test_integration_asks_for_what_its_arguments_do_not_fix() -> None:
    assert asked("integration", {"provider": "wikipedia"}) == (["load_max_docs", "query"], ["query"])
    assert asked("integration", {"provider": "wikipedia", "arguments": {"load_max_docs": 5}}) == (["query"], ["query"])
    fixed = {"provider": "wikipedia", "arguments": {"query": "mint", "load_max_docs": 5}}
    assert asked("integration", fixed) == ([], [])
    assert presets(tool("integration", fixed)) == fixed["arguments"]
    assert asked("integration", {"provider": "mcp", "method": "call_tool"})[1] == ["tool_name"]


def test_system_call_asks_for_what_neither_its_id_nor_its_arguments_fix() -> None:
    assert asked("system", system("agent.doc.delete")) == (["agent_id", "doc_id"], ["agent_id", "doc_id"])
    assert asked("system", system("agent.doc.delete", resource_id=AGENT)) == (["doc_id"], ["doc_id"])
    nested = system("agent.doc.create", resource_id=AGENT, arguments={"data": {"metadata": {"a": 1}}})
    assert asked("system", nested) == (["content", "title"], ["content", "title"])
    assert presets(tool("system", nested)) == {"agent_id": AGENT, "metadata": {"a": 1}}


PARAMETERS = {"type": "object", "properties": {"q": {"type": "string"}, "key": {"type": "string"}}, "required": ["q", "key"]}


@pytest.mark.parametrize(
    ("spec", "names", "required"),
    [
        (api_call(params_schema=PARAMETERS), ["key", "q"], ["key", "q"]),
        (api_call(params_schema=PARAMETERS, params={"key": "k"}), ["q"], ["q"]),
        (api_call(params_schema=PARAMETERS, json={"key": "k"}), ["q"], ["q"]),
        (api_call(schema=PARAMETERS), ["key", "q"], ["key", "q"]),
        (api_call(), ["params"], []),
        (api_call(method="POST"), ["json", "params"], []),
        (api_call(method="POST", data={"a": 1}), ["data", "params"], []),
        (api_call(method="POST", content="YQ=="), ["params"], []),
        (api_call(params="q=1"), [], []),
        (api_call(params={"key": "k"}), ["params"], []),
        (api_call("https://h/{a}/{{ b }}/{a}"), ["a", "b", "params"], ["a", "b"]),
        (api_call("https://h/{q}/{id}", params_schema=PARAMETERS), ["id", "key", "q"], ["id", "key", "q"]),
        (api_call("https://h/{id}", params_schema=PARAMETERS, params={"id": 1}), ["key", "q"], ["key", "q"]),
        # What is no schema of an object says nothing.
        (api_call(schema={"type": "array"}), ["params"], []),
        (api_call(schema={"properties": 5}), ["params"], []),
        (api_call(schema={"properties": {}, "required": 5}), ["params"], []),
    ],
)
def test_api_call_asks_for_what_its_schema_and_its_address_leave_open(spec: Any, names: list[str], required: list[str]) -> None:
    assert asked("api_call", spec) == (names, required)


def test_description_that_is_made_of_an_api_call_tells_no_secret() -> None:
    function = function_of(tool("api_call", api_call("https://user:pass@h:8/a?key=k", headers={"Authorization": "t0p"})))
    assert function["description"] == "GET https://h:8/a"
    assert "t0p" not in str(function)


def test_screen_is_described_with_its_size() -> None:
    assert "800 by 600" in function_of(tool("computer_20241022", {"display_width_px": 800, "display_height_px": 600}))["description"]
    assert asked("bash_20241022", {}) == (["command", "restart"], [])
    assert asked("text_editor_20241022", {})[1] == ["command", "path"]


@pytest.mark.parametrize("kind", ["function", "computer_20241022", "text_editor_20241022", "bash_20241022"])
def test_tool_of_the_client_fixes_nothing(kind: str) -> None:
    assert presets(tool(kind, {})) == {}
