"""Requests of `api_call` tools: whatever a model says, what the tool fixes stays as it is (ruling 17)."""

import contextlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from mentha.tools import references
from mentha.tools.calls import ToolFailed
from mentha.tools.offer import function_of, presets
from mentha.tools.requests import PARTS, Request, request_of
from mentha.wire.tools import CreateToolRequest, plain

HOST = "http://api.example:8000"
names = st.sampled_from(("q", "limit", "a b", "é", "x&y", "id", "headers", "json", "url", "content", "method"))
texts = st.text("abc é?&=/:@#%.\\{}$\"'\r\n", max_size=8)
values = st.none() | st.booleans() | st.integers(-9, 9) | texts | st.lists(texts, max_size=2) | st.dictionaries(names, texts, max_size=2)
fields = st.dictionaries(names, values, max_size=4)
header_names = st.sampled_from(("X-A", "x-b", "Authorization", "Cookie", "content-type"))
plain_texts = st.text("abc 123-_.", min_size=1, max_size=8)
headers = st.dictionaries(header_names, plain_texts, max_size=3)
schemas = st.dictionaries(names, st.sampled_from(({"type": "object"}, {"type": "string"}, {})), max_size=4)


@st.composite
def tools(draw: st.DrawFn) -> Any:
    spec: dict[str, Any] = {
        "method": draw(st.sampled_from(("GET", "POST", "PUT", "DELETE", "HEAD"))),
        "url": HOST + draw(st.sampled_from(("/", "/items/{id}", "/items/{{ id }}/x?k=v", "/a?fixed=1"))),
    }
    for part, strategy in (("params", fields), ("json", fields), ("data", fields), ("headers", headers), ("cookies", headers)):
        if draw(st.booleans()):
            spec[part] = draw(strategy)
    if draw(st.booleans()):
        spec["params_schema"] = {"properties": draw(schemas)}
    return plain(CreateToolRequest.model_validate({"name": "call", "type": "api_call", "api_call": spec}))


def made(tool: Any, arguments: Any) -> Request | None:
    """The request of a call, None where it is refused."""
    offered = function_of(tool)["parameters"]["properties"]
    try:
        return request_of(tool["api_call"], offered, arguments)
    except ToolFailed:
        return None


def pairs(fixed: dict[str, Any]) -> list[tuple[str, str]]:
    """Fields as a query has them."""
    return [
        (name, each if isinstance(each, str) else json.dumps(each, ensure_ascii=False, separators=(",", ":")))
        for name, value in fixed.items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]


@given(tools(), fields)
def test_call_never_leaves_the_origin_and_method_of_its_tool(tool: Any, arguments: Any) -> None:
    request = made(tool, arguments)
    if request is None:
        return
    parts = urlsplit(request.url)
    assert f"{parts.scheme}://{parts.netloc}" == HOST
    offered = function_of(tool)["parameters"]["properties"]
    assert request.method == tool["api_call"]["method"] or "method" in offered


@given(tools(), fields)
def test_fixed_fields_of_the_query_stand_there_once_and_unchanged(tool: Any, arguments: Any) -> None:
    request = made(tool, arguments)
    fixed = tool["api_call"].get("params") or {}
    if request is None:
        return
    sent = parse_qsl(urlsplit(request.url).query, keep_blank_values=True)
    for name in fixed:
        assert [pair for pair in sent if pair[0] == name] == [pair for pair in pairs(fixed) if pair[0] == name]
    assert [pair for pair in sent if pair[0] == "fixed"] == ([("fixed", "1")] if "?fixed=" in request.url else [])


@given(tools(), fields)
def test_fixed_fields_of_the_body_stand_there_unchanged(tool: Any, arguments: Any) -> None:
    request = made(tool, arguments)
    spec = tool["api_call"]
    if request is None or request.body is None:
        return
    if "data" in spec:
        sent = parse_qsl(request.body.decode(), keep_blank_values=True)
        # A name that the call gives too stands where the call has it.
        for name in spec["data"]:
            assert [pair for pair in sent if pair[0] == name] == [pair for pair in pairs(spec["data"]) if pair[0] == name]
    elif "json" in spec:
        assert json.loads(request.body).items() >= spec["json"].items()


@given(tools(), headers)
def test_fixed_headers_win_whatever_their_case(tool: Any, given_headers: Any) -> None:
    tool["api_call"]["params_schema"] = {"properties": {"headers": {"type": "object"}}}
    request = made(tool, {"id": "1", "headers": given_headers})
    if request is None:
        return
    for name, value in (tool["api_call"].get("headers") or {}).items():
        sent = request.headers[name.lower()]
        assert sent == value or (name.lower() == "cookie" and sent.startswith(value)) or _has_twin(tool, name)


@given(tools(), st.dictionaries(st.sampled_from(sorted(PARTS)), values | st.floats(allow_nan=False), max_size=4))
@example({"api_call": {"method": "GET", "url": HOST}}, {"params": 1.5})
@example({"api_call": {"method": "GET", "url": HOST}}, {"params": [1]})
@example({"api_call": {"method": "GET", "url": HOST}}, {"url": {"a": 1}})
@example({"api_call": {"method": "GET", "url": HOST}}, {"url": "\r\nx: y"})
def test_parts_of_a_request_of_any_form_make_one_or_are_refused_in_words(tool: Any, parts: Any) -> None:
    with contextlib.suppress(ToolFailed):
        request_of(tool["api_call"], dict.fromkeys(PARTS, {}), parts)


def _has_twin(tool: Any, name: str) -> bool:
    return sum(other.lower() == name.lower() for other in tool["api_call"]["headers"]) > 1


@given(tools())
def test_presets_are_never_offered(tool: Any) -> None:
    assert not set(presets(tool)) & set(function_of(tool)["parameters"]["properties"]) - {"params", "json", "data"}


@given(
    st.sampled_from(("..", ".", "../..", "%2e%2e", "a/../b", "\\..", "?x=1", "#f", "@evil", "//evil")),
    st.sampled_from(("{id}", "x/{id}/y")),
)
def test_part_of_a_path_stays_a_part(value: str, path: str) -> None:
    tool = plain(
        CreateToolRequest.model_validate({"name": "c", "type": "api_call", "api_call": {"method": "GET", "url": f"{HOST}/base/{path}"}})
    )
    request = made(tool, {"id": value})
    if request is None:
        assert value in ("..", ".")
        return
    parts = urlsplit(request.url)
    assert parts.path.count("/") == f"/base/{path}".count("/")
    assert (parts.query, parts.fragment) == ("", "")


@given(fields, texts)
def test_reference_is_found_in_what_the_tool_fixes_and_nothing_else_changes(part: Any, value: str) -> None:
    spec = {"url": f"{HOST}/", "json": part, "headers": {"a": "x {secrets.K} y"}, "secrets": {"K": {"name": "REAL"}}}
    assert references.names_in(spec) == {"REAL"}
    filled = references.filled(spec, {"REAL": value})
    assert filled["headers"] == {"a": f"x {value} y"}
    assert filled["json"] == part
