"""Calls and results as a model has them: arguments, errors, lengths."""

from typing import Any

import pytest

from mentha.core.errors import OutboundFailed, OutboundRefused
from mentha.tools.api_call import result_of
from mentha.tools.calls import Call, ToolFailed, arguments_of, calls_of, failed, text_of, told
from mentha.tools.multipart import form
from mentha.tools.outbound import OutboundResponse
from mentha.tools.system import joined


def call(arguments: str) -> Call:
    return Call(0, "call_0", "f", arguments)


@pytest.mark.parametrize(
    ("given", "wanted"), [("", {}), ("  ", {}), ("{}", {}), ('{"a":[1]}', {"a": [1]}), ('{"a":"\\u0000b"}', {"a": "b"})]
)
def test_arguments_are_an_object_and_nothing_is_an_empty_one(given: str, wanted: Any) -> None:
    assert arguments_of(call(given)) == wanted


@pytest.mark.parametrize("given", ["{", "[]", "1", '"x"', "null", "{" * 10, '{"a":' * 70 + "1" + "}" * 70, "\ud800"])
def test_arguments_of_another_form_are_a_failure(given: str) -> None:
    with pytest.raises(ToolFailed):
        arguments_of(call(given))


def test_calls_without_an_id_get_one_of_their_place() -> None:
    calls = calls_of([{"function": {"name": "f", "arguments": None}}, {"id": "x", "function": {"name": "g", "arguments": "{}"}}])
    assert [(each.position, each.id, each.name, each.arguments) for each in calls] == [(0, "call_0", "f", ""), (1, "x", "g", "{}")]


@pytest.mark.parametrize("bytes_max", [1, 2, 5, 9, 10])
def test_long_result_is_cut_between_letters_and_says_so(bytes_max: int) -> None:
    text = text_of("é" * 6, bytes_max=bytes_max)
    assert text == "é" * (bytes_max // 2) + f"\n[cut: these are the first {bytes_max} of 12 bytes]"


def test_result_that_fits_is_given_as_it_is() -> None:
    assert text_of("é", bytes_max=2) == "é"
    assert text_of({"a": "é\x00"}, bytes_max=100) == '{"a":"é\\u0000"}'
    assert text_of("a\x00b", bytes_max=100) == "ab"


def test_errors_of_ours_tell_what_to_do_and_whether_to_try_again() -> None:
    refused = failed(told(OutboundRefused("not allowed", fix="ask the operator")), "api_call")
    assert refused.value == {"error": "not allowed: ask the operator", "retry": False}
    assert failed(told(OutboundFailed("nobody answers"))).value == {"error": "nobody answers", "retry": True}
    assert (refused.ok, refused.kind) == (False, "api_call")


def test_presets_of_a_system_tool_win_over_flat_and_nested_arguments() -> None:
    spec = {"resource": "user", "operation": "patch", "resource_id": "1", "arguments": {"data": {"about": "a"}}}
    assert joined(spec, {"user_id": "2", "data": {"about": "b", "name": "c"}, "search_params": {"limit": 3}}) == {
        "user_id": "1",
        "about": "a",
        "name": "c",
        "limit": 3,
    }


def response(body: bytes, kind: str, *more: tuple[str, str]) -> OutboundResponse:
    return OutboundResponse(status=200, headers=(("content-type", kind), *more), body=body, url="http://x/", redirects=0)


@pytest.mark.parametrize(
    ("body", "kind", "wanted"),
    [
        (b'{"a":1}', "text/plain", {"json": {"a": 1}}),
        (b"<a/>", "application/atom+xml", {"json": None, "text": "<a/>"}),
        (b"\xe9", "text/plain; charset=latin-1", {"json": None, "text": "é"}),
        (b"\xe9", "text/plain", {"json": None, "content": "6Q=="}),
        (b"words", "application/pdf", {"json": None, "content": "d29yZHM="}),
        (b"a\x00", "text/plain", {"json": None, "content": "YQA="}),
        (b"words", "text/plain; charset=nonsense", {"json": None, "content": "d29yZHM="}),
        (b"", "text/plain", {"json": None}),
    ],
)
def test_answer_is_given_once_in_the_form_that_says_most(body: bytes, kind: str, wanted: Any) -> None:
    result = result_of(response(body, kind), with_content=True)
    assert result == {"status_code": 200, "headers": {"content-type": kind}, **wanted}


def test_headers_that_come_twice_are_joined() -> None:
    assert result_of(response(b"", "a/b", ("x", "1"), ("x", "2")), with_content=True)["headers"]["x"] == "1, 2"


@pytest.mark.parametrize("name", ["a\r\nb", "a\x00"])
def test_name_with_control_characters_is_refused_in_a_form(name: str) -> None:
    with pytest.raises(ToolFailed):
        form([(name, "v")], {})
    with pytest.raises(ToolFailed):
        form([], {"f": ("n", b"", name)})
