"""Streams, chunk by chunk and byte by byte: section 4.4 of the behaviour spec, ruling 14."""

import json
from typing import Any

import pytest
from julep import AsyncJulep

from tests.support.model_server import ModelServerHandle, drop, slow, sse_error, text, tool_calls
from tests.support.sdk import ask, history_of, said, session_of
from tests.support.talk import Client

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
BODY: Any = {"messages": [said("hi")], "stream": True}


async def stream_of(raw: Client, session: str, **more: Any) -> bytes:
    """The bytes of a streamed answer."""
    answer = await raw.post(f"/sessions/{session}/chat", json={**BODY, **more})
    assert answer.status_code == 201
    assert answer.headers["content-type"].split(";")[0] == "text/event-stream"
    return answer.content


def events_of(stream: bytes) -> list[Any]:
    """The chunks, checked to be what the SDK can read: nothing but `data: {…}` lines, a blank line after each, and comments."""
    assert stream.endswith(b"\n\n")
    blocks = [block for block in stream.decode().removesuffix("\n\n").split("\n\n") if block != ": ping"]
    assert all(block.startswith("data: {") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def assert_chunk_law(events: list[Any]) -> None:
    """One id and time; a choice and a role in each; docs first only, usage last only; a finish reason at the end only."""
    assert len({event["id"] for event in events}) == len({event["created_at"] for event in events}) == 1
    assert all(len(event["choices"]) == 1 and event["choices"][0]["delta"]["role"] == "assistant" for event in events)
    assert ["docs" in event for event in events] == [True] + [False] * (len(events) - 1)
    assert [event["usage"] is None for event in events[:-1]] == [True] * (len(events) - 1)
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1]["choices"][0]["finish_reason"] is not None
    assert all(event["jobs"] == [] for event in events)


def text_of(events: list[Any]) -> str:
    return "".join(event["choices"][0]["delta"]["content"] or "" for event in events)


async def test_stream_keeps_the_chunk_law_and_ends_without_done(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("Hello, world!", chunks=5))
    stream = await stream_of(raw, session)
    events = events_of(stream)
    assert_chunk_law(events)
    assert text_of(events) == "Hello, world!"
    assert len(events) == 6
    assert (events[-1]["choices"][0]["finish_reason"], events[-1]["usage"]) == ("stop", USAGE)
    assert b"[DONE]" not in stream


async def test_stream_is_read_by_the_sdk_piece_by_piece(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("Hello, world!", chunks=5))
    pieces = [chunk.choices[0].delta.content async for chunk in await ask(sdk, session, stream=True)]
    assert pieces == ["Hel", "lo,", " wo", "rld", "!", ""]


async def test_stream_passes_each_piece_on_before_the_next_one_comes(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", slow(text("abc", chunks=3)))
    # The first piece of the model's stream has only a role.
    models.release(2)
    chunks = aiter(await ask(sdk, session, stream=True))
    assert (await anext(chunks)).choices[0].delta.content == "a"
    models.release(1)
    assert (await anext(chunks)).choices[0].delta.content == "b"
    models.release(10)
    assert [chunk.choices[0].delta.content async for chunk in chunks] == ["c", ""]


async def test_stream_is_stored_as_one_answer_by_the_time_it_ends(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("Hello, world!", chunks=5))
    async for chunk in await ask(sdk, session, stream=True):
        if chunk.choices[0].finish_reason:
            assert await history_of(sdk, session) == [("user", "hi"), ("assistant", "Hello, world!")]


async def test_stream_joins_tool_calls_into_one_chunk(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", tool_calls([("weather", {"city": "Rome"}), ("time", {})]))
    events = events_of(await stream_of(raw, session))
    assert_chunk_law(events)
    (calls,) = [event["choices"][0]["delta"]["tool_calls"] for event in events if event["choices"][0]["delta"]["tool_calls"]]
    assert calls == [
        {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}},
        {"id": "call_1", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]
    assert events[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_stream_with_text_and_tool_calls_has_both(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", tool_calls([("weather", {})], content="Let me see."))
    events = events_of(await stream_of(raw, session))
    assert_chunk_law(events)
    assert text_of(events) == "Let me see."
    assert (await sdk.sessions.history(session)).entries[-1].tool_calls


async def test_stream_without_usage_of_the_provider_ends_with_null(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("x", usage=None))
    events = events_of(await stream_of(raw, session))
    assert_chunk_law(events)
    assert events[-1]["usage"] is None


async def test_stream_of_an_empty_answer_is_whole(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text(""))
    events = events_of(await stream_of(raw, session))
    assert_chunk_law(events)
    assert text_of(events) == ""
    assert await history_of(sdk, session) == [("user", "hi"), ("assistant", "")]


async def test_stream_that_is_silent_sends_comments_that_the_sdk_skips(
    odd_sdk: AsyncJulep, odd_raw: Client, models: ModelServerHandle
) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    stream = b""
    async with odd_raw.stream("POST", f"/sessions/{session}/chat", json=BODY) as answer:
        async for piece in answer.aiter_raw():
            stream += piece
            if stream.count(b": ping\n\n") == 3:
                models.release(10)
    events = events_of(stream)
    assert_chunk_law(events)
    assert text_of(events) == "abc"
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    pieces = []
    async for chunk in await ask(odd_sdk, session, stream=True):
        pieces.append(chunk.choices[0].delta.content)
        models.release(10)
    assert pieces[0] == "a"
    assert "".join(pieces) == "abc"


@pytest.mark.parametrize(
    "reply", [drop(after_chunks=3), sse_error("it broke", chunks=2), text("half", chunks=2, finish_reason=None, done=False)]
)
async def test_stream_that_breaks_ends_with_an_error_and_stores_nothing(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, reply: Any
) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", reply)
    events = events_of(await stream_of(raw, session))
    assert_chunk_law(events)
    assert text_of(events)
    assert (events[-1]["error"]["code"], events[-1]["usage"]) == ("llm_api_error", None)
    assert all("error" not in event for event in events[:-1])
    assert await history_of(sdk, session) == []


async def test_stream_that_breaks_is_read_by_the_sdk_to_its_end(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", drop(after_chunks=3))
    chunks = [chunk async for chunk in await ask(sdk, await session_of(sdk), stream=True)]
    assert chunks[-1].error["code"] == "llm_api_error"
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_stream_that_exceeds_the_time_limit_ends_with_an_error(
    odd_sdk: AsyncJulep, odd_raw: Client, models: ModelServerHandle
) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    events = events_of(await stream_of(odd_raw, session))
    assert_chunk_law(events)
    assert "no complete answer" in events[-1]["error"]["message"]
    assert await history_of(odd_sdk, session) == []


async def test_stream_warns_in_its_last_chunk(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk, session={"context_overflow": "truncate"})
    events = events_of(await stream_of(raw, session))
    assert [bool(event.get("warnings")) for event in events] == [False] * (len(events) - 1) + [True]


async def test_stream_of_the_echo_model_keeps_the_chunk_law(sdk: AsyncJulep, raw: Client) -> None:
    events = events_of(await stream_of(raw, await session_of(sdk, model="mentha/echo")))
    assert_chunk_law(events)
    assert "hi" in text_of(events)
