"""Tools that the server runs during a turn, from the model's call to the stored history. Section 4.9 of the behaviour spec."""

import asyncio
import json
from typing import Any

import pytest
from julep import AsyncJulep

from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import ask, asked, said, session_of
from tests.support.talk import Client
from tests.support.wild_server import Seen, answer, wild_server

ECHO: Any = {"name": "echo", "type": "integration", "integration": {"provider": "dummy"}}
WEATHER: Any = {"name": "weather", "type": "function", "function": {"parameters": {"type": "object", "properties": {}}}}
ALL_SOURCES = "sources=api_request&sources=api_response&sources=tool_request&sources=tool_response&sources=internal"


async def acting(sdk: AsyncJulep, *tools: Any, **session: Any) -> str:
    return await session_of(sdk, session={"auto_run_tools": True, **session}, extra_body={"tools": list(tools or [ECHO])})


def results(models: ModelServerHandle, request: int = -1) -> list[Any]:
    """What the model was told by tools in a request."""
    return [json.loads(message["content"]) for message in asked(models)[request]["messages"] if message["role"] == "tool"]


async def stored(raw: Client, session: str) -> list[tuple[str, str]]:
    entries = (await raw.get(f"/sessions/{session}/history?{ALL_SOURCES}")).json()["entries"]
    return [(entry["source"], entry["role"]) for entry in entries]


async def test_call_is_run_and_the_model_answers_with_its_result(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("echo", {"n": 1})]), text("done"))
    reply = await ask(sdk, await acting(sdk), "go")
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == ("done", "stop")
    assert reply.choices[0].message.tool_calls == []
    second = asked(models)[1]["messages"]
    call = {"id": "call_0", "type": "function", "function": {"name": "echo", "arguments": '{"n":1}'}}
    assert second[-2:] == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": '{"n":1}', "tool_call_id": "call_0"},
    ]


async def test_usage_is_summed_over_all_rounds(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("echo", {})]), tool_calls([("echo", {})]), text("done"))
    usage = (await ask(sdk, await acting(sdk))).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (21, 9, 30)


async def test_rounds_are_stored_by_their_sources_and_replayed(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await acting(sdk)
    models.script("gpt-x", tool_calls([("echo", {"n": 1}), ("echo", {"n": 2})]), text("done"))
    await ask(sdk, session, "go")
    assert await stored(raw, session) == [
        ("api_request", "user"),
        ("tool_request", "assistant"),
        ("tool_response", "tool"),
        ("tool_response", "tool"),
        ("api_response", "assistant"),
    ]
    assert [entry.role for entry in (await sdk.sessions.history(session)).entries] == ["user", "assistant"]
    await ask(sdk, session, "and now?")
    assert [message["role"] for message in asked(models)[-1]["messages"][1:]] == ["user", "assistant", "tool", "tool", "assistant", "user"]
    await ask(sdk, session, "without", recall_tools=False)
    roles = [message["role"] for message in asked(models)[-1]["messages"][1:]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]


async def test_turn_that_is_not_saved_stores_no_round(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await acting(sdk)
    models.script("gpt-x", tool_calls([("echo", {})]), text("done"))
    assert (await ask(sdk, session, save=False)).choices[0].message.content == "done"
    assert await stored(raw, session) == []


@pytest.mark.parametrize(
    ("session", "request_", "runs"), [(True, None, True), (True, False, False), (False, True, True), (False, None, False)]
)
async def test_request_decides_before_its_session_who_runs_tools(
    sdk: AsyncJulep, models: ModelServerHandle, session: bool, request_: bool | None, runs: bool
) -> None:
    made = await acting(sdk, auto_run_tools=session)
    models.script("gpt-x", tool_calls([("echo", {})]))
    options: dict[str, Any] = {} if request_ is None else {"auto_run_tools": request_}
    reply = await ask(sdk, made, **options)
    assert reply.choices[0].finish_reason == ("stop" if runs else "tool_calls")
    assert len(asked(models)) == (2 if runs else 1)


async def test_forward_tool_calls_returns_all_calls_unrun(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await acting(sdk, ECHO, WEATHER, forward_tool_calls=True)
    models.script("gpt-x", tool_calls([("echo", {}), ("weather", {})]))
    choice = (await ask(sdk, session)).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls] == ["echo", "weather"]
    assert len(asked(models)) == 1


async def test_calls_of_the_client_stop_the_loop_after_those_of_the_server(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await acting(sdk, ECHO, WEATHER)
    models.script("gpt-x", tool_calls([("echo", {"n": 1}), ("weather", {})], content="let me see"), text("sunny"))
    choice = (await ask(sdk, session, "go")).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "let me see")
    assert [(call.id, call.function.name) for call in choice.message.tool_calls] == [("call_1", "weather")]
    assert await stored(raw, session) == [
        ("api_request", "user"),
        ("tool_request", "assistant"),
        ("tool_response", "tool"),
        ("api_response", "assistant"),
    ]
    await sdk.sessions.chat(session, messages=[said("12 degrees", "tool", tool_call_id="call_1")])
    sent = asked(models)[-1]["messages"][1:]
    assert [(message["role"], message.get("tool_call_id")) for message in sent] == [
        ("user", None),
        ("assistant", None),
        ("tool", "call_0"),
        ("assistant", None),
        ("tool", "call_1"),
    ]
    await sdk.sessions.chat(session, messages=[said("and?")], recall_tools=False)
    roles = [message["role"] for message in asked(models)[-1]["messages"][1:]]
    assert roles == ["user", "assistant", "tool", "assistant", "user"]


async def test_independent_calls_of_a_round_run_at_the_same_time(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    both = asyncio.Event()

    async def wait(_: Seen, writer: asyncio.StreamWriter) -> None:
        if server.open == 2:
            both.set()
        await both.wait()
        writer.write(answer(body=b'{"ok":true}', content_type="application/json"))
        await writer.drain()

    async with wild_server(wait) as server:
        tool = {"name": "get", "type": "api_call", "api_call": {"method": "GET", "url": server.url(target="/{id}")}}
        models.script("gpt-x", tool_calls([("get", {"id": "a"}), ("get", {"id": "b"})]), text("both"))
        reply = await ask(sdk, await acting(sdk, tool))
    assert reply.choices[0].message.content == "both"
    assert [result["json"] for result in results(models)] == [{"ok": True}] * 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("echo", "{not json"), "not valid JSON"),
        (("echo", "[1]"), "must be a JSON object"),
        (("nothing", {}), "there is no such tool; there are: `echo`"),
    ],
)
async def test_call_that_makes_no_sense_is_an_error_that_the_model_gets(
    sdk: AsyncJulep, models: ModelServerHandle, call: Any, told: str
) -> None:
    models.script("gpt-x", tool_calls([call]), text("sorry"))
    assert (await ask(sdk, await acting(sdk))).choices[0].message.content == "sorry"
    (result,) = results(models)
    assert told in result["error"]
    assert result["retry"] is False


async def test_presets_of_an_integration_win_over_a_call(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    tool = {"name": "echo", "type": "integration", "integration": {"provider": "dummy", "arguments": {"n": 1}}}
    models.script("gpt-x", tool_calls([("echo", {"n": 2, "m": 3})]), text("done"))
    await ask(sdk, await acting(sdk, tool))
    assert results(models) == [{"n": 1, "m": 3}]


async def test_tool_of_the_request_is_run_too(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("echo", {"n": 1})]), text("done"))
    reply = await ask(sdk, await session_of(sdk), tools=[ECHO], auto_run_tools=True)
    assert reply.choices[0].message.content == "done"
    assert results(models) == [{"n": 1}]


async def test_turn_without_calls_is_one_request_to_the_model(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    assert (await ask(sdk, await acting(sdk), "hello")).choices[0].message.content == "ok: hello"
    assert len(asked(models)) == 1


@pytest.mark.parametrize("kind", ["computer_20241022", "text_editor_20241022", "bash_20241022"])
async def test_calls_of_tools_at_the_client_are_returned(sdk: AsyncJulep, models: ModelServerHandle, kind: str) -> None:
    session = await acting(sdk, ECHO, {"name": "hands", "type": kind, kind: {}})
    models.script("gpt-x", tool_calls([("hands", {"command": "ls"})]))
    choice = (await ask(sdk, session)).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls] == ["hands"]
