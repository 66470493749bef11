"""What a chat sends to the model, as the model server recorded it, and what it answers: section 4.4 of the behaviour spec."""

from typing import Any

import pytest
from julep import AsyncJulep, BadRequestError, UnprocessableEntityError

from tests.support.model_server import ModelServerHandle, text
from tests.support.sdk import ask, asked, history_of, said, session_of
from tests.support.talk import Client

PNG = "data:image/png;base64,iVBORw0KGgo="
SETTINGS: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 50,
    "frequency_penalty": 0.25,
    "presence_penalty": -0.25,
    "seed": 7,
    "stop": ["END"],
    "logit_bias": {"50256": -100},
    "repetition_penalty": 1.5,
    "length_penalty": 0.5,
    "min_p": 0.25,
}


def options_of(body: Any) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


async def test_chat_answers_with_the_documented_fields(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("Hello!", usage={"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}))
    answered = await sdk.sessions.with_raw_response.chat(session, messages=[said("hi")])
    assert answered.http_response.status_code == 201
    body = answered.http_response.json()
    assert body["usage"] == {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    assert (body["jobs"], body["docs"], body["warnings"]) == ([], [], [])
    message = {
        "role": "assistant",
        "content": "Hello!",
        "name": None,
        "tool_call_id": None,
        "tool_calls": [],
        "id": None,
        "created_at": None,
    }
    assert body["choices"] == [{"index": 0, "finish_reason": "stop", "logprobs": None, "tool_calls": None, "message": message}]
    assert set(body) == {"id", "created_at", "usage", "jobs", "docs", "choices", "warnings", "context"}


async def test_chat_answer_is_parsed_by_the_sdk_as_a_message(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    answer = await ask(sdk, await session_of(sdk))
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("ok: hi", "stop")
    assert answer.usage.total_tokens == 10


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_chat_passes_the_finish_reason_on(sdk: AsyncJulep, models: ModelServerHandle, reason: str) -> None:
    models.script("gpt-x", text("cut", finish_reason=reason))
    assert (await ask(sdk, await session_of(sdk))).choices[0].finish_reason == reason


async def test_chat_sends_system_history_and_new_messages_in_order(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, default_system_template="Be {{ agent.name }}")
    await ask(sdk, session, "one")
    await ask(sdk, session, "two")
    assert asked(models)[-1]["messages"] == [
        {"role": "system", "content": "Be Mia"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "ok: one"},
        {"role": "user", "content": "two"},
    ]


async def test_chat_settings_of_the_agent_are_sent(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await ask(sdk, await session_of(sdk, default_settings=SETTINGS))
    assert options_of(asked(models)[0]) == SETTINGS


async def test_chat_settings_of_the_request_win_over_the_agents(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, default_settings={"temperature": 0.5, "top_p": 0.9, "stop": ["A"]})
    await ask(sdk, session, temperature=0, stop=["B", "C"])
    assert options_of(asked(models)[0]) == {"temperature": 0, "top_p": 0.9, "stop": ["B", "C"]}


async def test_chat_setting_that_is_null_in_the_request_overrides_the_agents(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, default_settings={"temperature": 0.5, "top_p": 0.9})
    await ask(sdk, session, temperature=None)
    assert options_of(asked(models)[0]) == {"top_p": 0.9}


async def test_chat_model_comes_from_agent_then_its_settings_then_the_request(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    plain = await session_of(sdk, model="from-agent")
    settled = await session_of(sdk, model="from-agent", default_settings={"model": "from-settings"})
    await ask(sdk, plain)
    await ask(sdk, settled)
    await ask(sdk, settled, model="from-request")
    assert [body["model"] for body in asked(models)] == ["from-agent", "from-settings", "from-request"]


async def test_chat_warns_of_agent_settings_that_are_none(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    answer = await ask(sdk, await session_of(sdk, default_settings={"temperature": 0.5, "mood": "good"}))
    assert options_of(asked(models)[0]) == {"temperature": 0.5}
    (warning,) = answer.warnings
    assert "mood" in warning


async def test_chat_option_that_the_provider_does_not_take_is_dropped_with_a_warning(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    answer = await ask(sdk, await session_of(sdk, model="ollama/llama"), min_p=0.25, temperature=0.5)
    assert options_of(asked(models)[0]) == {"temperature": 0.5}
    (warning,) = answer.warnings
    assert "`min_p`" in warning


async def test_chat_seed_of_minus_one_means_no_seed(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await ask(sdk, await session_of(sdk, default_settings={"seed": 7}), seed=-1)
    assert "seed" not in asked(models)[0]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "json_schema": {"type": "object", "properties": {}}},
            {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object", "properties": {}}}},
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}},
            {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}},
        ),
    ],
)
async def test_chat_response_format_reaches_the_model(sdk: AsyncJulep, models: ModelServerHandle, given: Any, sent: Any) -> None:
    await ask(sdk, await session_of(sdk), response_format=given)
    assert asked(models)[0].get("response_format") == sent


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 5.1),
        ("top_p", -0.1),
        ("max_tokens", 0),
        ("frequency_penalty", 2.1),
        ("presence_penalty", -2.1),
        ("repetition_penalty", 2.1),
        ("length_penalty", -0.1),
        ("min_p", 1.1),
        ("seed", 1001),
        ("seed", -2),
        ("stop", ["a", "b", "c", "d", "e"]),
        ("logit_bias", {"1": 101}),
        ("model", "9lives"),
        ("model", "x" * 121),
        ("messages", []),
        ("stream", "true"),
        ("tool_choice", "maybe"),
        ("response_format", {"type": "xml"}),
    ],
)
async def test_chat_field_out_of_bounds_is_unprocessable_and_named(raw: Client, sdk: AsyncJulep, name: str, value: Any) -> None:
    session = await session_of(sdk)
    answer = await raw.post(f"/sessions/{session}/chat", json={"messages": [said("hi")], name: value})
    assert answer.status_code == 422
    assert {fault["loc"][1] for fault in answer.json()["detail"]} == {name}


async def test_chat_name_is_sent_in_safe_letters_and_kept_in_the_history(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await sdk.sessions.chat(session, messages=[said("hi", name="Ann O'Neil <a@b>"), said("ho", name="李雷")])
    (first, second) = asked(models)[0]["messages"][1:]
    assert first == {"role": "user", "content": "hi", "name": "Ann_O_Neil_a_b"}
    assert second == {"role": "user", "content": "ho"}
    entries = (await sdk.sessions.history(session)).entries
    assert [entry.name for entry in entries] == ["Ann O'Neil <a@b>", "李雷", None]


async def test_chat_images_are_sent_and_stored_as_they_came(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    parts: Any = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}]
    await sdk.sessions.chat(session, messages=[{"role": "user", "content": parts}])
    assert asked(models)[0]["messages"][-1] == {"role": "user", "content": parts}
    entries = (await raw.get(f"/sessions/{session}/history")).json()["entries"]
    assert entries[0]["content"] == parts


@pytest.mark.parametrize(
    ("content", "sent", "stored"),
    [
        ("x", "x", ["x"]),
        (["x"], "x", ["x"]),
        ([{"type": "text", "text": "x"}], "x", ["x"]),
        (["x", "y"], [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}], ["x", "y"]),
        ([{"type": "text", "text": "x"}, {"text": "y"}], [{"type": "text", "text": "x"}, {"type": "text", "text": "y"}], ["x", "y"]),
        ("", "", [""]),
    ],
)
async def test_chat_text_in_every_form_is_sent_and_stored(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, content: Any, sent: Any, stored: list[str]
) -> None:
    session = await session_of(sdk)
    assert (await raw.post(f"/sessions/{session}/chat", json={"messages": [{"role": "user", "content": content}]})).status_code == 201
    assert asked(models)[0]["messages"][-1] == {"role": "user", "content": sent}
    entry = (await raw.get(f"/sessions/{session}/history")).json()["entries"][0]
    assert entry["content"] == [{"type": "text", "text": part} for part in stored]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "tool", "content": "x"},
        {"role": "judge", "content": "x"},
        {"content": "x"},
    ],
)
async def test_chat_message_that_is_incomplete_is_unprocessable(sdk: AsyncJulep, raw: Client, message: Any) -> None:
    answer = await raw.post(f"/sessions/{await session_of(sdk)}/chat", json={"messages": [message]})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:3] == ["body", "messages", 0]


async def test_chat_without_save_stores_nothing(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session, "kept")
    assert (await ask(sdk, session, "lost", save=False)).choices[0].message.content == "ok: lost"
    assert await history_of(sdk, session) == [("user", "kept"), ("assistant", "ok: kept")]


async def test_chat_without_recall_still_sends_the_history(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session, "one")
    await ask(sdk, session, "two", recall=False)
    assert [message["content"] for message in asked(models)[-1]["messages"][1:]] == ["one", "ok: one", "two"]


async def test_chat_history_is_there_when_the_answer_is(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    for number in range(5):
        await ask(sdk, session, str(number))
        assert (await history_of(sdk, session))[-1] == ("assistant", f"ok: {number}")


@pytest.mark.parametrize(
    ("where", "options", "words"),
    [
        ("session", {"context_overflow": "truncate"}, "context_overflow"),
        ("session", {"context_overflow": "adaptive"}, "context_overflow"),
        ("session", {"token_budget": 1000}, "token_budget"),
    ],
)
async def test_chat_says_what_does_not_act_yet_and_answers(
    sdk: AsyncJulep, models: ModelServerHandle, where: str, options: dict[str, Any], words: str
) -> None:
    session = await session_of(sdk, session=options if where == "session" else None)
    answer = await ask(sdk, session, **(options if where == "chat" else {}))
    (warning,) = answer.warnings
    assert words in warning
    assert answer.choices[0].message.content == "ok: hi"


async def test_chat_without_a_model_anywhere_is_a_bad_request(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, model="")
    with pytest.raises(BadRequestError, match="no model is named"):
        await ask(sdk, session)
    assert asked(models) == []


async def test_chat_in_an_unknown_session_is_not_found(raw: Client, account: Any) -> None:
    for path in ("chat", "render"):
        answer = await raw.post(f"/sessions/{account.id}/{path}", json={"messages": [said("hi")]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "http_404")


async def test_chat_ignores_the_query_parameter_of_the_sdk(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    assert await sdk.sessions.chat(await session_of(sdk), messages=[said("hi")], connection_pool={"a": 1})


async def test_chat_over_the_limit_of_messages_is_unprocessable(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    await odd_sdk.sessions.chat(session, messages=[said("x")] * 10)
    with pytest.raises(UnprocessableEntityError, match="at most 10 messages"):
        await odd_sdk.sessions.chat(session, messages=[said("x")] * 11)
