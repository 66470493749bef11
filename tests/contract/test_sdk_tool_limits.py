"""Limits of the tool loop, `tool_choice` in it, and what a stream shows of it."""

import asyncio
import json
from typing import Any

import pytest
from julep import AsyncJulep

from tests.contract.test_sdk_tool_loop import ECHO, WEATHER, acting, results
from tests.support.model_server import ModelServerHandle, error, text, tool_calls
from tests.support.sdk import ask, asked, session_of
from tests.support.talk import Client, say
from tests.support.wild_server import Seen, answer, saying, wild_server


async def odd(sdk: AsyncJulep) -> str:
    return await session_of(sdk, model="fake/gpt-x", session={"auto_run_tools": True}, extra_body={"tools": [ECHO]})


async def events_of(raw: Client, session: str, **more: Any) -> list[Any]:
    body = {"messages": [{"role": "user", "content": "go"}], "stream": True, **more}
    whole = (await raw.post(f"/sessions/{session}/chat", json=body)).text
    return [json.loads(event.removeprefix("data: ")) for event in whole.split("\n\n") if event.startswith("data: ")]


async def test_model_must_answer_when_the_rounds_are_over(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await odd(odd_sdk)
    models.script("gpt-x", *[tool_calls([("echo", {})])] * 2, text("enough"))
    reply = await ask(odd_sdk, session)
    assert reply.choices[0].message.content == "enough"
    assert [body.get("tool_choice") for body in asked(models)] == [None, None, "none"]
    assert "2 rounds" in reply.warnings[0]


async def test_calls_after_the_last_round_are_dropped(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await odd(odd_sdk)
    models.script("gpt-x", *[tool_calls([("echo", {})])] * 3)
    choice = (await ask(odd_sdk, session)).choices[0]
    assert (choice.finish_reason, choice.message.content, choice.message.tool_calls) == ("stop", "", [])


async def test_long_result_is_cut_and_says_so(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("echo", {"text": "é" * 500})]), text("done"))
    await ask(odd_sdk, await odd(odd_sdk))
    (result,) = [message["content"] for message in asked(models)[-1]["messages"] if message["role"] == "tool"]
    assert result.startswith('{"text":"éé')
    assert result.endswith("\n[cut: these are the first 200 of 1011 bytes]")


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", ["auto", None]),
        ("required", ["required", None]),
        ("none", ["none", "none"]),
        ({"function": {"name": "echo"}}, [{"type": "function", "function": {"name": "echo"}}, None]),
    ],
)
async def test_choice_that_forces_a_call_counts_once(sdk: AsyncJulep, models: ModelServerHandle, choice: Any, sent: Any) -> None:
    models.script("gpt-x", tool_calls([("echo", {})]), text("done"))
    await ask(sdk, await acting(sdk), tool_choice=choice)
    assert [body.get("tool_choice") for body in asked(models)] == sent


async def test_model_that_fails_in_a_later_round_fails_the_turn_and_stores_nothing(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    session = await acting(sdk)
    models.script("gpt-x", tool_calls([("echo", {})]), error(400, "no"))
    assert (await raw.post(f"/sessions/{session}/chat", json={"messages": [{"role": "user", "content": "go"}]})).status_code == 400
    assert (await sdk.sessions.history(session)).entries == []


async def test_stream_shows_the_text_and_the_calls_of_every_round(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await acting(sdk)
    models.script("gpt-x", tool_calls([("echo", {"n": 1})], content="let me see"), text("it is one", chunks=3))
    events = await events_of(raw, session)
    choices = [event["choices"][0] for event in events]
    assert "".join(choice["delta"]["content"] or "" for choice in choices) == "let me seeit is one"
    (calls,) = [choice["delta"]["tool_calls"] for choice in choices if choice["delta"].get("tool_calls")]
    assert calls == [
        {"id": "call_0", "type": "function", "function": {"name": "echo", "arguments": '{"n":1}'}, "auto_run": True},
    ]
    assert [choice["finish_reason"] for choice in choices][-1] == "stop"
    assert [event["usage"] for event in events[:-1]] == [None] * (len(events) - 1)
    assert events[-1]["usage"] == {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}
    assert results(models) == [{"n": 1}]


async def test_stream_ends_with_the_calls_of_the_client(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await acting(sdk, ECHO, WEATHER)
    models.script("gpt-x", tool_calls([("echo", {}), ("weather", {})]))
    choices = [event["choices"][0] for event in await events_of(raw, session)]
    shown = [
        (call["function"]["name"], call.get("auto_run", False)) for choice in choices for call in choice["delta"].get("tool_calls") or ()
    ]
    assert shown == [("echo", True), ("weather", False)]
    assert choices[-1]["finish_reason"] == "tool_calls"


async def test_streamed_loop_is_read_by_the_sdk(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await acting(sdk)
    models.script("gpt-x", tool_calls([("echo", {"n": 1})]), text("done", chunks=2))
    stream = await ask(sdk, session, stream=True)
    words = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert "".join(words) == "done"


async def test_retry_of_a_turn_that_failed_goes_on_after_what_had_ended(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    async with wild_server(saying(answer(body=b'{"n":1}'))) as outside:
        session = await acting(sdk, {"name": "get", "type": "api_call", "api_call": {"method": "POST", "url": outside.url()}})
        models.script("gpt-x", tool_calls([("get", {})], content="let me see"), error(400, "no"))
        assert (await say(raw, session, "go", stream=True)).is_success
        models.script("gpt-x", text("done"))
        retried = (await say(raw, session, "go", retry=1, stream=True)).text
        assert "let me see" in retried
        assert "done" in retried
        assert len(outside.seen) == 1
    assert len(asked(models)) == 3
    assert [entry.role for entry in (await sdk.sessions.history(session)).entries] == ["user", "assistant"]


async def test_same_words_said_again_run_their_tools_again(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    async with wild_server(saying(answer(body=b"{}"))) as outside:
        session = await acting(sdk, {"name": "get", "type": "api_call", "api_call": {"method": "POST", "url": outside.url()}})
        for _ in range(2):
            models.script("gpt-x", tool_calls([("get", {})]), text("done"))
            assert (await say(raw, session, "go")).is_success
        assert len(outside.seen) == 2


async def test_call_that_takes_too_long_is_an_error_and_the_model_still_answers(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    async with wild_server(never) as outside:
        tool = {"name": "get", "type": "api_call", "api_call": {"method": "GET", "url": outside.url()}}
        session = await session_of(odd_sdk, model="fake/gpt-x", session={"auto_run_tools": True}, extra_body={"tools": [tool]})
        models.script("gpt-x", tool_calls([("get", {})]), text("sorry"))
        assert (await ask(odd_sdk, session)).choices[0].message.content == "sorry"
    assert "did not end within" in results(models)[0]["error"]
    assert asked(models)[-1]["tool_choice"] == "none"


async def test_calls_beyond_the_limit_wait_for_their_turn(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    two = asyncio.Event()

    async def wait(_: Seen, writer: asyncio.StreamWriter) -> None:
        if len(outside.seen) == 2:
            two.set()
        await two.wait()
        writer.write(answer(body=b"{}"))
        await writer.drain()

    async with wild_server(wait) as outside:
        tool = {"name": "get", "type": "api_call", "api_call": {"method": "GET", "url": outside.url()}}
        session = await session_of(odd_sdk, model="fake/gpt-x", session={"auto_run_tools": True}, extra_body={"tools": [tool]})
        models.script("gpt-x", tool_calls([("get", {})] * 5), text("done"))
        assert (await ask(odd_sdk, session)).choices[0].message.content == "done"
        assert (len(outside.seen), outside.peak) == (5, 2)
