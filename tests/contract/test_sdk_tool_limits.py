"""Limits of the tool loop, `tool_choice` in it, and what a stream shows of it."""

import json
from typing import Any

import pytest
from julep import AsyncJulep

from tests.contract.test_sdk_tool_loop import ECHO, WEATHER, acting, results
from tests.support.model_server import ModelServerHandle, error, text, tool_calls
from tests.support.sdk import ask, asked, session_of
from tests.support.talk import Client


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
