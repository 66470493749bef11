"""What a tool of each type takes, what it refuses and where it says that the fault is, and what a PATCH makes of one."""

from typing import Any

import pytest
from pydantic import ValidationError

from mentha.core.errors import FieldInvalid
from mentha.wire.integrations import PROVIDERS, ProviderName
from mentha.wire.masks import MARKER
from mentha.wire.schemas import faults
from mentha.wire.system_calls import CALLS, FIELDS, presets_of, schema_of
from mentha.wire.tools import TOOL_TYPES, CreateToolRequest, PatchToolRequest, UpdateToolRequest, changed_spec, patched, spec_of

GET: dict[str, Any] = {"method": "GET", "url": "https://example.com/items"}


def tool(kind: str, spec: Any, **more: Any) -> CreateToolRequest:
    return CreateToolRequest.model_validate({"name": "t", "type": kind, kind: spec, **more})


def spec(kind: str, given: Any) -> Any:
    return spec_of(tool(kind, given))


def refusal(kind: str, given: Any, **more: Any) -> tuple[tuple[Any, ...], str, str]:
    """Path, kind and text of the one fault."""
    with pytest.raises(ValidationError) as raised:
        tool(kind, given, **more)
    (fault,) = raised.value.errors()
    return fault["loc"], fault["type"], fault["msg"]


def patch(stored: tuple[str, Any], **fields: Any) -> UpdateToolRequest:
    kind, given = stored
    row = {"name": "t", "type": kind, "description": "d", "spec": spec(kind, given)}
    return patched(row, PatchToolRequest.model_validate(fields))


# --- the types


@pytest.mark.parametrize("kind", TOOL_TYPES)
def test_tool_without_the_member_that_is_named_like_its_type_is_refused(kind: str) -> None:
    loc, what, message = refusal(kind, None)
    assert (loc, what) == ((), "missing_member")
    assert f"'{kind}'" in message


def test_members_of_other_types_are_ignored_however_wrong_they_are() -> None:
    made = tool("function", {}, integration={"provider": "nobody"}, api_call=7, system=None)
    assert (made.integration, made.api_call) == (None, None)


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (
            "computer_20241022",
            {"type": "computer_20241022", "name": "computer", "display_width_px": 1024, "display_height_px": 768, "display_number": 1},
        ),
        ("text_editor_20241022", {"type": "text_editor_20241022", "name": "str_replace_editor"}),
        ("bash_20241022", {"type": "bash_20241022", "name": "bash"}),
    ],
)
def test_tool_of_anthropic_has_its_defaults(kind: str, stored: Any) -> None:
    assert spec(kind, {}) == stored


@pytest.mark.parametrize(
    ("field", "value"),
    [("display_width_px", 599), ("display_height_px", 399), ("display_number", 0), ("display_number", 11), ("type", "bash_20241022")],
)
def test_computer_out_of_its_bounds_is_refused_at_the_field(field: str, value: Any) -> None:
    assert refusal("computer_20241022", {field: value})[0] == ("computer_20241022", field)


# --- api_call


def test_api_call_keeps_every_field_as_it_was_sent() -> None:
    given = {
        **GET,
        "url": "http://example.com:8080/a/{{id}}",
        "schema": {"type": "object"},
        "headers": {"X-Api-Key": "k"},
        "secrets": {"key": {"name": "mine"}},
        "content": "YQ==",
        "data": {"a": None},
        "files": {"f": "g"},
        "json": {"deep": [1, None]},
        "cookies": {"c": "d"},
        "params": "q=1",
        "params_schema": {"type": "object", "properties": {"q": {"type": "string", "minLength": 1}}, "required": ["q"], "title": "T"},
        "follow_redirects": True,
        "timeout": 5,
        "include_response_content": False,
    }
    assert spec("api_call", {**given, "unknown": 1}) == given


def test_api_call_needs_no_more_than_method_and_url() -> None:
    assert spec("api_call", GET) == {**GET, "include_response_content": True}


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com/", "file:///etc/passwd", "https://", "$ f'https://{x}'", "https://h:99999/", "https://h/\n"],
)
def test_api_call_to_no_whole_web_address_is_refused(url: str) -> None:
    assert refusal("api_call", {**GET, "url": url})[:2] == (("api_call", "url"), "url_parsing")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "FETCH"),
        ("headers", {"a": 1}),
        ("follow_redirects", "true"),
        ("timeout", -1),
        ("secrets", {"k": "name"}),
        ("params_schema", {"properties": {"q": "string"}}),
    ],
)
def test_api_call_with_a_wrong_field_is_refused_at_it(field: str, value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        tool("api_call", {**GET, field: value})
    assert all(fault["loc"][:2] == ("api_call", field) for fault in raised.value.errors())


# --- system


def test_system_call_takes_its_resource_id_and_any_arguments() -> None:
    given = {"resource": "agent", "subresource": "doc", "operation": "search", "resource_id": f"{1:032x}", "arguments": {"text": "x"}}
    stored = spec("system", given)
    assert stored == {**given, "resource_id": "00000000-0000-0000-0000-000000000001"}
    assert presets_of(stored) == {"text": "x", "agent_id": "00000000-0000-0000-0000-000000000001"}


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ({"resource": "agent", "operation": "embed"}, "agent.create"),
        ({"resource": "user", "subresource": "tool", "operation": "list"}, "user.doc.list"),
        ({"resource": "session", "operation": "search"}, "session.chat"),
        ({"resource": "doc", "operation": "create"}, "doc.get"),
    ],
)
def test_system_call_that_makes_no_sense_is_refused_with_those_that_do(call: Any, word: str) -> None:
    loc, kind, message = refusal("system", call)
    assert (loc, kind) == (("system",), "system_call")
    assert word in message


@pytest.mark.parametrize("name", CALLS)
def test_system_call_is_one_that_its_parts_can_name_and_its_fields_are_known(name: str) -> None:
    parts = name.split(".")
    call = {"resource": parts[0], "operation": parts[-1], **({"subresource": parts[1]} if len(parts) == 3 else {})}
    assert spec("system", call) == call
    schema = schema_of(name)
    assert set(schema.get("required", ())) <= set(schema["properties"])


def test_field_of_system_calls_is_used_by_one_of_them() -> None:
    used = {id(each) for name in CALLS for each in schema_of(name)["properties"].values()}
    assert [name for name, each in FIELDS.items() if id(each) not in used] == []


def test_arguments_of_a_system_call_may_be_nested_or_flat() -> None:
    call = {"resource": "agent", "arguments": {"data": {"title": "t"}, "search_params": {"limit": 3}, "x": 1}}
    assert presets_of(call) == {"title": "t", "limit": 3, "x": 1}


# --- integration


def test_provider_of_the_contract_is_in_the_table_with_a_method() -> None:
    assert set(ProviderName.__args__) == set(PROVIDERS)  # type: ignore[attr-defined]  # a Literal has its values there
    assert all(provider.methods for provider in PROVIDERS.values())


@pytest.mark.parametrize("name", PROVIDERS)
def test_provider_without_setup_and_arguments_is_enough(name: str) -> None:
    assert spec("integration", {"provider": name}) == {"provider": name}


@pytest.mark.parametrize(("provider", "method"), [(name, method) for name, each in PROVIDERS.items() for method in each.methods])
def test_method_takes_its_own_defaults(provider: str, method: str) -> None:
    schema = PROVIDERS[provider].methods[method].arguments
    defaults = {name: each["default"] for name, each in schema.get("properties", {}).items() if "default" in each}
    assert spec("integration", {"provider": provider, "method": method, "arguments": defaults})["arguments"] == defaults
    assert set(schema.get("required", ())) <= set(schema.get("properties", {}))


def test_integration_is_stored_without_what_its_provider_does_not_know() -> None:
    given = {"provider": "wikipedia", "arguments": {"load_max_docs": 3, "colour": "red", "query": None}, "setup": {"x": 1}}
    assert spec("integration", given) == {"provider": "wikipedia", "arguments": {"load_max_docs": 3}, "setup": {}}
    free = {"provider": "dummy", "setup": {"x": 1}, "arguments": {"any": [1]}}
    assert spec("integration", free) == free


def test_provider_may_be_written_with_a_dash_as_the_original_documents_it() -> None:
    assert spec("integration", {"provider": "llama-parse"}) == {"provider": "llama_parse"}


@pytest.mark.parametrize(
    ("given", "loc", "kind"),
    [
        ({}, ("provider",), "missing"),
        ({"provider": "duckduckgo"}, ("provider",), "literal_error"),
        ({"provider": "brave", "method": "find"}, ("method",), "unknown_method"),
        ({"provider": "brave", "setup": {}}, ("setup", "brave_api_key"), "missing"),
        ({"provider": "brave", "setup": {"brave_api_key": {"k": 1}}}, ("setup", "brave_api_key"), "string_type"),
        ({"provider": "brave", "setup": []}, ("setup",), "dict_type"),
        ({"provider": "email", "setup": {"host": "h", "port": True, "user": "u", "password": "p"}}, ("setup", "port"), "int_type"),
        ({"provider": "mcp", "setup": {"transport": "pigeon"}}, ("setup", "transport"), "enum"),
        ({"provider": "mcp", "setup": {"transport": "http", "http_headers": {"a": 1}}}, ("setup", "http_headers", "a"), "string_type"),
        ({"provider": "wikipedia", "arguments": {"load_max_docs": 11}}, ("arguments", "load_max_docs"), "less_than_equal"),
        ({"provider": "wikipedia", "arguments": {"load_max_docs": 0}}, ("arguments", "load_max_docs"), "greater_than_equal"),
        ({"provider": "arxiv", "arguments": {"id_list": ["a", 1]}}, ("arguments", "id_list", 1), "string_type"),
        ({"provider": "ffmpeg", "arguments": {"file": 5}}, ("arguments", "file"), "no_match"),
        ({"provider": "google_sheets", "method": "batch_write", "arguments": {"data": [{}]}}, ("arguments", "data", 0, "range"), "missing"),
    ],
)
def test_integration_that_does_not_fit_its_provider_is_refused_at_the_field(given: Any, loc: tuple[Any, ...], kind: str) -> None:
    assert refusal("integration", given)[:2] == (("integration", *loc), kind)


def test_refusal_of_a_setup_does_not_tell_its_values() -> None:
    with pytest.raises(ValidationError) as raised:
        tool("integration", {"provider": "brave", "setup": {"brave_api_key": ["sk-0123456789"]}})
    assert "sk-0123456789" not in str(raised.value.errors()[0]["msg"])
    assert raised.value.errors()[0]["input"] is None


def test_fault_of_a_value_is_found_at_every_depth() -> None:
    schema = {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "object", "required": ["a"]}]}}
    assert [fault.loc for fault in faults(schema, [1, {"a": 1}, {}, "x"])] == [(2,), (3,)]


# --- secrets that stand for stored ones


def test_marker_in_a_new_tool_stands_for_nothing_and_is_refused() -> None:
    given = {"provider": "brave", "setup": {"brave_api_key": MARKER}}
    assert refusal("integration", given)[1] == "nothing_stored"
    assert UpdateToolRequest.model_validate({"name": "t", "type": "integration", "integration": given}).integration


# --- PATCH


def test_patch_of_nothing_keeps_the_tool_as_it_is() -> None:
    made = patch(("api_call", {**GET, "timeout": 5}))
    assert (made.name, made.type, made.description, spec_of(made)) == ("t", "api_call", "d", spec("api_call", {**GET, "timeout": 5}))


def test_patch_merges_the_fields_of_the_member_and_null_takes_one_away() -> None:
    made = patch(("api_call", {**GET, "timeout": 5, "headers": {"a": "b"}}), api_call={"headers": {"c": "d"}, "timeout": None}, name="n")
    assert made.name == "n"
    assert spec_of(made) == {**GET, "headers": {"c": "d"}, "include_response_content": True}


@pytest.mark.parametrize(("sent", "description"), [({}, "d"), ({"description": None}, None), ({"description": "e"}, "e")])
def test_patch_tells_a_description_of_null_from_none(sent: Any, description: str | None) -> None:
    assert patch(("function", {}), **sent).description == description


def test_patch_to_another_type_replaces_the_member() -> None:
    made = patch(("function", {"parameters": {"a": 1}}), type="bash_20241022", bash_20241022={})
    assert spec_of(made) == {"type": "bash_20241022", "name": "bash"}


def test_patch_to_another_provider_replaces_the_setup() -> None:
    stored = ("integration", {"provider": "llama-parse", "setup": {"llamaparse_api_key": "k"}})
    kept = patch(stored, integration={"provider": "llama-parse", "arguments": {"base64": True}})
    assert spec_of(kept) == {"provider": "llama_parse", "setup": {"llamaparse_api_key": "k"}, "arguments": {"base64": True}}
    assert spec_of(patch(stored, integration={"provider": "arxiv"})) == {"provider": "arxiv"}


def test_secret_of_one_provider_is_not_kept_for_another() -> None:
    row = {"type": "integration", "spec": {"provider": "mailgun", "setup": {"api_key": "k"}}}
    setup = {"api_key": MARKER, "project_id": "p"}

    def changed(provider: str) -> Any:
        body = {"name": "t", "type": "integration", "integration": {"provider": provider, "setup": setup}}
        return changed_spec(UpdateToolRequest.model_validate(body), row, None, lambda secret: secret)

    assert changed("mailgun")["setup"] == {"api_key": "k"}
    with pytest.raises(FieldInvalid, match="stands for a stored secret"):
        changed("browserbase")


@pytest.mark.parametrize(
    ("sent", "loc"),
    [
        ({"type": "api_call"}, ("body", "api_call")),
        ({"api_call": GET}, ("body", "function")),
        ({"type": "api_call", "api_call": {"method": "GET"}}, ("body", "api_call", "url")),
        ({"type": "integration", "integration": {"provider": "brave", "setup": {}}}, ("body", "integration", "setup", "brave_api_key")),
    ],
)
def test_patch_that_makes_no_whole_tool_is_refused_at_the_field(sent: Any, loc: tuple[Any, ...]) -> None:
    with pytest.raises(FieldInvalid) as raised:
        patch(("function", {}), **sent)
    assert raised.value.loc == loc
