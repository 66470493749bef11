"""Tools in chat: offered, called, answered, continued. Sections 3.6 and 4.9 of the behaviour spec."""

from typing import Any

import pytest
from julep import AsyncJulep, UnprocessableEntityError

from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import ask, asked, said, session_of
from tests.support.talk import Client

SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "weather", "type": "function", "description": "tells the weather", "function": {"parameters": SCHEMA}}
TIME: Any = {"name": "time", "type": "function", "function": {"description": "tells the time"}}
CALL: Any = {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}


async def weather_session(sdk: AsyncJulep) -> str:
    return await session_of(sdk, extra_body={"tools": [WEATHER]})


async def test_tools_of_agent_and_request_are_offered_in_order(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await ask(sdk, await weather_session(sdk), tools=[TIME])
    assert asked(models)[0]["tools"] == [
        {"type": "function", "function": {"name": "weather", "description": "tells the weather", "parameters": SCHEMA}},
        {
            "type": "function",
            "function": {"name": "time", "description": "tells the time", "parameters": {"type": "object", "properties": {}}},
        },
    ]


async def test_tool_of_the_agent_wins_over_one_of_the_same_name(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await ask(sdk, await weather_session(sdk), tools=[{**WEATHER, "description": "an impostor"}])
    (tool,) = asked(models)[0]["tools"]
    assert tool["function"]["description"] == "tells the weather"


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"function": {"name": "weather"}}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
async def test_tool_choice_reaches_the_model(sdk: AsyncJulep, models: ModelServerHandle, choice: Any, sent: Any) -> None:
    await ask(sdk, await weather_session(sdk), tool_choice=choice)
    assert asked(models)[0].get("tool_choice") == sent


async def test_tool_choice_of_a_tool_that_is_not_offered_is_unprocessable(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await weather_session(sdk)
    with pytest.raises(UnprocessableEntityError, match="no tool 'time' is offered"):
        await ask(sdk, session, tool_choice={"function": {"name": "time"}})
    assert asked(models) == []


async def test_tool_choice_without_tools_is_not_sent_and_warned_of(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    answer = await ask(sdk, await session_of(sdk), tool_choice="auto")
    assert "tool_choice" not in asked(models)[0]
    assert "tool_choice" in answer.warnings[0]


async def test_tool_calls_are_returned_with_their_finish_reason(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", tool_calls([("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]))
    choice = (await ask(sdk, await weather_session(sdk))).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert [call.model_dump(exclude_none=True) for call in choice.message.tool_calls] == [
        CALL,
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}},
    ]


async def test_tool_calls_are_answered_and_the_conversation_goes_on(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await weather_session(sdk)
    models.script("gpt-x", tool_calls([("weather", {"city": "Rome"})]), text("Sunny in Rome."))
    await ask(sdk, session, "weather in Rome?")
    answer = await sdk.sessions.chat(session, messages=[{"role": "tool", "tool_call_id": "call_0", "content": "sunny"}])
    assert answer.choices[0].message.content == "Sunny in Rome."  # type: ignore[union-attr]  # the answer is not streamed
    assert asked(models)[1]["messages"][1:] == [
        {"role": "user", "content": "weather in Rome?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_0"},
    ]


async def test_tool_calls_stand_in_the_history(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await weather_session(sdk)
    models.script("gpt-x", tool_calls([("weather", {"city": "Rome"})]), text("Sunny."))
    await ask(sdk, session, "weather?")
    await sdk.sessions.chat(session, messages=[{"role": "tool", "tool_call_id": "call_0", "content": "sunny"}])
    entries = (await raw.get(f"/sessions/{session}/history")).json()["entries"]
    assert [entry["role"] for entry in entries] == ["user", "assistant", "tool", "assistant"]
    assert (entries[1]["content"], entries[1]["tool_calls"], entries[1]["source"]) == ([], [CALL], "api_response")
    assert (entries[2]["tool_call_id"], entries[2]["content"]) == ("call_0", [{"type": "text", "text": "sunny"}])
    assert (await sdk.sessions.history(session)).entries[1].tool_calls


async def test_tool_result_part_answers_its_call_and_is_shown_as_it_came(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await weather_session(sdk)
    models.script("gpt-x", tool_calls([("weather", {"city": "Rome"})]))
    await ask(sdk, session)
    part = {"type": "tool_result", "tool_use_id": "call_0", "content": [{"type": "text", "text": "sunny"}]}
    body = {"messages": [{"role": "user", "content": [part, {"type": "text", "text": "and now?"}]}]}
    assert (await raw.post(f"/sessions/{session}/chat", json=body)).status_code == 201
    assert asked(models)[1]["messages"][-2:] == [
        {"role": "tool", "content": "sunny", "tool_call_id": "call_0"},
        {"role": "user", "content": "and now?"},
    ]
    entries = (await raw.get(f"/sessions/{session}/history")).json()["entries"]
    assert entries[2]["content"] == [part]


@pytest.mark.parametrize("answered", [(), ("call_1",)])
async def test_tool_calls_left_unanswered_are_closed_by_a_stand_in(
    sdk: AsyncJulep, models: ModelServerHandle, answered: tuple[str, ...]
) -> None:
    session = await weather_session(sdk)
    models.script("gpt-x", tool_calls([("weather", {"city": "Rome"}), ("weather", {"city": "Oslo"})]))
    await ask(sdk, session)
    results: Any = [{"role": "tool", "tool_call_id": call, "content": "rain"} for call in answered]
    await sdk.sessions.chat(session, messages=[*results, said("never mind")])
    sent = asked(models)[1]["messages"][2:]
    assert [call["id"] for call in sent[0]["tool_calls"]] == ["call_0", "call_1"]
    assert sorted(message["tool_call_id"] for message in sent if message["role"] == "tool") == ["call_0", "call_1"]
    assert [message["role"] for message in sent] == ["assistant", "tool", "tool", "user"]
    # The stand-in stays: the conversation goes on, and the history shows only what the client said.
    await ask(sdk, session, "go on")
    assert asked(models)[2]["messages"][2 : 2 + len(sent)] == sent
    roles = [entry.role for entry in (await sdk.sessions.history(session)).entries]
    assert roles == ["user", "assistant", *("tool" for _ in answered), "user", "assistant", "user", "assistant"]


async def test_tool_calls_that_the_client_sends_are_passed_on(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    messages = [
        said("weather?"),
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "sunny", "tool_call_id": "call_0"},
    ]
    session = await session_of(sdk)
    assert (await raw.post(f"/sessions/{session}/chat", json={"messages": messages})).status_code == 201
    assert asked(models)[0]["messages"][1:] == messages


async def test_history_sent_to_another_session_reaches_the_model_as_it_was(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    old = await session_of(sdk)
    models.script("gpt-x", tool_calls([("weather", {"city": "Oslo"})]))
    answer = await ask(sdk, old, "weather?")
    call = answer.choices[0].message.tool_calls[0].id
    await sdk.sessions.chat(old, messages=[{"role": "tool", "content": "sunny", "tool_call_id": call}])
    entries: Any = (await sdk.sessions.history(old)).entries
    await sdk.sessions.chat(await session_of(sdk), messages=[*entries, said("and now?")])
    before, now = asked(models)[-2], asked(models)[-1]
    assert now["messages"][1:] == [*before["messages"][1:], said("ok: weather?", "assistant"), said("and now?")]


async def test_tool_traffic_of_the_server_is_replayed_unless_recall_tools_is_false(
    sdk: AsyncJulep, models: ModelServerHandle, rows: Any, account: Any
) -> None:
    session = await session_of(sdk)
    await ask(sdk, session, "one")
    # What a tool that runs on the server leaves behind; this version has none that would.
    await rows.execute(
        "UPDATE entries SET source = 'tool_request' WHERE tenant_id = $1 AND session_id = $2 AND role = 'user'", account.id, session
    )
    await ask(sdk, session, "two")
    await ask(sdk, session, "three", recall_tools=False, save=False)
    assert [message["content"] for message in asked(models)[1]["messages"][1:]] == ["one", "ok: one", "two"]
    assert [message["content"] for message in asked(models)[2]["messages"][1:]] == ["ok: one", "two", "ok: two", "three"]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("integration", {"provider": "wikipedia"}),
        ("system", {"resource": "agent", "operation": "list"}),
        ("api_call", {"method": "GET", "url": "https://example.com/"}),
        ("bash_20241022", {}),
    ],
)
async def test_call_of_a_tool_of_any_type_is_returned_and_can_be_answered(
    sdk: AsyncJulep, models: ModelServerHandle, kind: str, spec: Any
) -> None:
    wanted: Any = {"name": "helper", "type": kind, kind: spec}
    session = await session_of(sdk)
    models.script("gpt-x", tool_calls([("helper", {"a": 1})]), text("done"))
    choice = (await ask(sdk, session, tools=[wanted], tool_choice={"function": {"name": "helper"}})).choices[0]
    assert asked(models)[0]["tool_choice"] == {"type": "function", "function": {"name": "helper"}}
    assert (choice.finish_reason, choice.message.tool_calls[0].function.name) == ("tool_calls", "helper")
    answer = await sdk.sessions.chat(session, messages=[{"role": "tool", "tool_call_id": "call_0", "content": "1"}])
    assert answer.choices[0].message.content == "done"  # type: ignore[union-attr]  # the answer is not streamed


async def test_tools_as_created_are_what_render_shows(sdk: AsyncJulep, raw: Client) -> None:
    session = await weather_session(sdk)
    shown = (await raw.post(f"/sessions/{session}/render", json={"messages": [said("hi")], "tools": [TIME], "tool_choice": "auto"})).json()
    assert [tool["name"] for tool in shown["tools"]] == ["weather", "time"]
    assert shown["tools"][0] == WEATHER
    assert shown["tool_choice"] == "auto"
