"""Tools of MCP servers as tools of an agent: names, schemas, what is fixed, and nothing of a server's text that is read as ours."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.config import McpCommand, Settings
from mentha.core.redact import Redactor
from mentha.tools import offer
from mentha.tools.calls import ToolFailed
from mentha.tools.mcp import answers, discovery
from mentha.tools.mcp.discovery import Listed
from mentha.tools.mcp.target import target_of

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}, "required": ["q", "n"]}


def server(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"id": None, "name": name, "type": "integration", "description": None, "integration": {"provider": "mcp", **spec}}


def listed(name: str, schema: Any = SCHEMA) -> dict[str, Any]:
    return {"name": name, "description": f"Does {name}", "input_schema": schema}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=12), st.text("abc_", min_size=1, max_size=70))
def test_names_of_a_servers_tools_are_distinct_and_fit_every_provider(names: list[str], tool: str) -> None:
    taken = {"web", f"{tool}_", f"{tool}_a"}
    found = discovery.offered(server(tool), [Listed(name, "", SCHEMA) for name in names], taken)
    made = [each["name"] for each in found]
    assert len(set(made) | taken) == len(made) + len(taken)
    assert all(
        1 <= len(name) <= 64 and not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for name in made
    )


def test_name_that_fits_is_the_tools_and_the_servers_name_joined() -> None:
    assert discovery.name_of("web", "search", set()) == "web_search"
    assert discovery.name_of("web", "a.b c", set()) == "web_a_b_c"
    clash = discovery.name_of("web", "search", {"web_search"})
    assert clash.startswith("web_search_")
    assert clash == discovery.name_of("web", "search", {"web_search"})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, True),
        ({"method": "call_tool"}, True),
        ({"method": "call_tool", "arguments": {"timeout_seconds": 3}}, True),
        ({"method": "call_tool", "arguments": {"tool_name": "x"}}, False),
        ({"method": "list_tools"}, False),
        ({"method": "read_resource"}, False),
    ],
)
def test_tool_stands_for_a_server_unless_it_names_one_thing_to_do(spec: dict[str, Any], expected: bool) -> None:
    assert discovery.stands_for_many(server(**spec)) is expected


def test_catalogue_leaves_out_what_no_provider_would_take() -> None:
    deep: Any = {"type": "string"}
    for _ in range(60):
        deep = {"type": "array", "items": deep}
    bad = [
        {"type": "object", "properties": {"x": {"$ref": "http://169.254.169.254/latest"}}},
        {"type": "object", "properties": {"x": {"$ref": "file:///etc/passwd"}}},
        {"type": "object", "properties": {"x": deep}},
        {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)"}}},
        {"type": "object", "properties": {"x": {"description": "x" * 200_000}}},
        {"type": "array"},
        {"type": "object", "properties": []},
        {"type": "object", "required": "q"},
    ]
    found = discovery.catalogue_of(
        [listed("good"), listed("good"), *(listed(f"bad{n}", each) for n, each in enumerate(bad))], tools_max=9, redactor=Redactor()
    )
    assert [each.name for each in found.tools] == ["good"]
    assert found.left_out == len(bad) + 1


def test_catalogue_of_very_many_tools_is_cut_by_number_and_by_bytes() -> None:
    assert len(discovery.catalogue_of([listed(f"t{n}") for n in range(500)], tools_max=7, redactor=Redactor()).tools) == 7
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1_000)}}
    found = discovery.catalogue_of([listed(f"t{n}", wide) for n in range(50)], tools_max=50, redactor=Redactor())
    assert 1 <= len(found.tools) < 10
    assert len(found.tools) + found.left_out == 50


def test_offer_of_a_servers_tool_is_its_own_schema_without_what_is_fixed() -> None:
    tool = server(setup={"transport": "http"}, arguments={"timeout_seconds": 5, "arguments": {"n": 3}})
    (made,) = discovery.offered(tool, [Listed("search", "Finds", SCHEMA)], {"web"})
    assert offer.function_of(made) == {
        "name": "web_search",
        "description": "Finds",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    }
    spec, given = discovery.call_of(made, made["integration"], {"q": "mint", "n": 9})
    assert given == {"tool_name": "search", "arguments": {"q": "mint", "n": 3}}
    assert spec == {"provider": "mcp", "setup": {"transport": "http"}, "method": "call_tool", "arguments": {"timeout_seconds": 5}}


def test_name_of_a_servers_tool_that_looks_like_a_secret_is_not_where_references_are_filled() -> None:
    (made,) = discovery.offered(server(), [Listed("$ secrets.OPENAI_API_KEY", "{secrets.X}", SCHEMA)], {"web"})
    assert "secrets" not in str(made["integration"])
    spec, given = discovery.call_of(made, made["integration"], {})
    assert "secrets" not in str(spec)
    assert given["tool_name"] == "$ secrets.OPENAI_API_KEY"


def test_choice_of_a_server_becomes_any_of_its_tools() -> None:
    web = server()
    now = discovery.offered(web, [Listed("search", "", SCHEMA)], set())
    assert discovery.choice_of("web", [web], now) == "required"
    assert discovery.choice_of("web_search", [web], now) == {"type": "function", "function": {"name": "web_search"}}
    assert discovery.choice_of("web", [web], []) is None
    assert discovery.choice_of("web_other", [web], now) is None
    assert discovery.may_name([web], "web_other")
    assert not discovery.may_name([web], "other")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
        ({"content": []}, ""),
        ({"content": [{"type": "text", "text": "{}"}], "structuredContent": {"x": [1]}}, {"x": [1]}),
        (
            {"content": [{"type": "text", "text": "see"}, {"type": "image", "data": "AAAA", "mimeType": "image/png"}]},
            ["see", {"type": "image", "bytes": 3, "mime_type": "image/png"}],
        ),
        ({"content": "what", "isError": "no"}, ""),
        (
            {"content": [None, {"type": "resource", "resource": {"uri": "a:b", "blob": "AAAAAAAA"}}]},
            [{"type": "resource", "resource": {"uri": "a:b", "bytes": 6}}],
        ),
    ],
)
def test_model_is_told_texts_and_values_and_no_bytes(result: dict[str, Any], expected: Any) -> None:
    assert discovery.answer_of(answers.result_of(result)) == expected


def test_tool_that_says_it_failed_is_a_failed_call() -> None:
    with pytest.raises(ToolFailed, match="no such city"):
        discovery.answer_of(answers.result_of({"content": [{"type": "text", "text": "no such city"}], "isError": True}))


@pytest.mark.parametrize("listed", [None, 3, {}, {"name": 3}, {"name": ""}, {"inputSchema": {}}])
def test_item_of_a_list_that_is_none_is_passed_over(listed: Any) -> None:
    assert answers.tool_of(listed) is None
    assert answers.resource_of(listed) is None
    assert answers.prompt_of(listed) is None or listed == {"name": ""}


COMMANDS = {"files": McpCommand(argv=("/bin/files", "-r"), env=("TOKEN",)), "free": McpCommand(argv=("/bin/free",), takes_args=True)}


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ({"command": "/bin/sh", "args": ["-c", "id"]}, "not one that the operator has listed"),
        ({}, "there are: `files`, `free`"),
        ({"command": "files", "args": ["/etc"]}, "does not let tools add `args`"),
        ({"command": "files", "cwd": "/etc"}, "`cwd`"),
        ({"command": "files", "env": {"LD_PRELOAD": "/x.so"}}, "does not let tools set; there are: `TOKEN`"),
        ({"command": "files", "env": {"TOKEN": "a\0b"}}, "can't be one"),
        ({"command": "free", "args": ["a\0b"]}, "can't be an argument"),
    ],
)
def test_program_of_a_tool_is_what_the_operator_lists_and_nothing_more(setup: dict[str, Any], message: str) -> None:
    with pytest.raises(ToolFailed) as refused:
        target_of({"transport": "stdio", **setup}, Settings(mcp_commands=COMMANDS))
    assert message in refused.value.message


def test_target_with_another_header_is_another_target() -> None:
    def digest(**setup: Any) -> bytes:
        return target_of({"transport": "http", "http_url": "https://mcp.example/", **setup}, Settings()).digest

    assert digest() == digest(http_headers={})
    assert len({digest(), digest(http_headers={"a": "1"}), digest(http_headers={"a": "2"}), digest(transport="sse")}) == 4
    free = target_of({"transport": "stdio", "command": "free", "args": ["x"]}, Settings(mcp_commands=COMMANDS))
    assert free.argv == ("/bin/free", "x")
