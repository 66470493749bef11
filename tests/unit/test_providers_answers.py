"""What providers' JSON means."""

from typing import Any

import pytest

from mentha.providers.answers import BadAnswer, Chunks, ErrorAnswer, completion, model_names, usage
from mentha.providers.types import Delta, Usage


def whole(message: dict[str, Any] | None = None, **over: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi", **(message or {})}, "finish_reason": "stop"}
    return {"model": "real", "choices": [{**choice, **over}], "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}}


def chunk(delta: Any = None, **choice: Any) -> dict[str, Any]:
    return {"model": "real", "choices": [{"index": 0, "delta": delta or {}, "finish_reason": None, **choice}], "usage": None}


def call(call_id: str | None = "c1", **over: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}, **over}


def test_completion_gives_every_field() -> None:
    made = completion(whole(logprobs={"content": []}), "sent")
    assert (made.role, made.content, made.finish_reason, made.model) == ("assistant", "hi", "stop", "real")
    assert made.usage == Usage(2, 1, 3)
    assert made.logprobs == {"content": []}


def test_completion_without_a_model_has_the_sent_one() -> None:
    assert completion({**whole(), "model": None}, "sent").model == "sent"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("odd", "stop"),
        (None, "stop"),
        (5, "stop"),
    ],
)
def test_completion_with_any_finish_reason_has_one_of_four(said: object, expected: str) -> None:
    assert completion(whole(finish_reason=said), "m").finish_reason == expected


@pytest.mark.parametrize("said", ["stop", "tool_calls", "tool_use", None])
def test_completion_with_tool_calls_finishes_with_tool_calls(said: object) -> None:
    made = completion(whole({"content": None, "tool_calls": [call()]}, finish_reason=said), "m")
    assert made.finish_reason == "tool_calls"
    assert made.content is None


def test_completion_with_content_in_parts_joins_the_text() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert completion(whole({"content": parts}), "m").content == "ab"


def test_completion_with_arguments_as_an_object_makes_them_text() -> None:
    odd = call(function={"name": "f", "arguments": {"x": 1}})
    assert completion(whole({"tool_calls": [odd]}), "m").tool_calls[0]["function"]["arguments"] == '{"x":1}'


@pytest.mark.parametrize("missing", [None, ""])
def test_completion_gives_tool_calls_without_an_id_one_of_their_own(missing: str | None) -> None:
    ids = {entry["id"] for entry in completion(whole({"tool_calls": [call(missing), call(missing)]}), "m").tool_calls}
    assert len(ids) == 2
    assert all(ids)


def test_completion_with_an_empty_list_of_tool_calls_has_none() -> None:
    assert completion(whole({"tool_calls": []}), "m").tool_calls == []


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"choices": []},
        {"choices": None},
        {"choices": ["x"]},
        {"choices": {"0": 1}},
        {"choices": [{}]},
        whole({"content": 5}),
        whole({"tool_calls": "f"}),
        whole({"tool_calls": [{"id": "1"}]}),
        whole({"tool_calls": ["f"]}),
        whole({"tool_calls": [call()] * 129}),
    ],
)
def test_completion_without_sense_is_a_bad_answer(payload: object) -> None:
    with pytest.raises(BadAnswer):
        completion(payload, "m")


@pytest.mark.parametrize("payload", [{"error": {"message": "x"}}, [{"error": {"message": "x"}}], {"error": "x"}])
def test_completion_of_an_error_is_an_error_answer(payload: object) -> None:
    with pytest.raises(ErrorAnswer):
        completion(payload, "m")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 9}, Usage(1, 2, 9)),
        ({"prompt_tokens": 1, "completion_tokens": 2}, Usage(1, 2, 3)),
        ({"prompt_tokens": 1}, Usage(1, 0, 1)),
        ({"prompt_tokens": 1, "completion_tokens": 2**63, "total_tokens": -1}, Usage(1, 0, 1)),
        ({"prompt_tokens": None}, None),
        ({"prompt_tokens": True}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 2**63}, None),
        ({}, None),
        (None, None),
        ("5", None),
    ],
)
def test_usage_is_taken_where_it_is_numbers_that_can_be_true(value: object, expected: Usage | None) -> None:
    assert usage(value) == expected


def test_chunks_give_a_delta_for_content_and_none_for_a_role() -> None:
    chunks = Chunks()
    assert chunks.delta(chunk({"role": "assistant", "content": ""})) is None
    assert chunks.delta(chunk({"content": "a"})) == Delta(content="a", model="real")


def test_chunks_with_usage_and_no_choices_give_the_usage() -> None:
    payload = {"model": "real", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    assert Chunks().delta(payload) == Delta(usage=Usage(1, 1, 2), model="real")


def test_chunks_with_neither_choices_nor_usage_are_passed_over() -> None:
    assert Chunks().delta({"choices": [], "prompt_filter_results": []}) is None


def test_chunks_give_the_finish_reason_once() -> None:
    chunks = Chunks()
    first, second = chunks.delta(chunk(finish_reason="stop")), chunks.delta(chunk(finish_reason="stop"))
    assert first is not None
    assert first.finish_reason == "stop"
    assert second is None
    assert chunks.close() is None


def test_chunks_that_never_finished_are_closed_with_stop() -> None:
    assert Chunks().close() == Delta(finish_reason="stop")


def test_chunks_with_tool_calls_finish_with_tool_calls() -> None:
    chunks = Chunks()
    chunks.delta(chunk({"tool_calls": [call(index=0)]}))
    finished = chunks.delta(chunk(finish_reason="stop"))
    assert finished is not None
    assert finished.finish_reason == "tool_calls"


def test_chunks_without_indexes_count_new_ids_as_new_calls() -> None:
    chunks = Chunks()
    made = [chunks.delta(chunk({"tool_calls": [call(call_id)]})) for call_id in ("a", "b", None, "a")]
    assert [delta.tool_calls[0]["index"] for delta in made if delta and delta.tool_calls] == [0, 1, 1, 0]


def test_chunks_with_too_many_tool_calls_are_a_bad_answer() -> None:
    chunks = Chunks()
    for index in range(128):
        chunks.delta(chunk({"tool_calls": [call(index=index)]}))
    with pytest.raises(BadAnswer):
        chunks.delta(chunk({"tool_calls": [call(index=128)]}))


def test_chunks_of_an_error_are_an_error_answer() -> None:
    with pytest.raises(ErrorAnswer):
        Chunks().delta({"error": {"message": "overloaded"}})


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        {"choices": [None]},
        chunk({"content": 5}),
        chunk({"tool_calls": {"a": 1}}),
        chunk("x"),
        chunk({"tool_calls": [call(function="f")]}),
    ],
)
def test_chunks_without_sense_are_a_bad_answer(payload: object) -> None:
    with pytest.raises(BadAnswer):
        Chunks().delta(payload)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"data": [{"id": "a"}, {"id": "models/gemini-x"}, {"id": ""}, {"name": "b"}, "c"]}, ["a", "gemini-x"]),
        ([{"id": "a"}], ["a"]),
        ({"data": []}, []),
    ],
)
def test_model_names_are_the_ids(payload: object, expected: list[str]) -> None:
    assert model_names(payload) == expected


@pytest.mark.parametrize("payload", [None, {}, {"data": None}, "text"])
def test_model_names_of_no_list_are_a_bad_answer(payload: object) -> None:
    with pytest.raises(BadAnswer):
        model_names(payload)
