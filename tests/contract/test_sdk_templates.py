"""Templates of a chat, and render, which shows what a chat would send: sections 4.5 and 4.6 of the behaviour spec."""

from typing import Any

import pytest
from julep import AsyncJulep, BadRequestError

from tests.support.model_server import ModelServerHandle
from tests.support.sdk import ask, asked, history_of, said, session_of
from tests.support.talk import Client


async def system_of(sdk: AsyncJulep, models: ModelServerHandle, session: str, **chat: Any) -> str:
    """The system message that a chat sends."""
    await ask(sdk, session, **chat)
    first = asked(models)[-1]["messages"][0]
    assert first["role"] == "system"
    return first["content"]


async def test_default_template_tells_agent_user_situation_and_instructions_in_order(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = await sdk.agents.create(name="Mia", about="a poet", model="gpt-x", instructions=["rhyme", "be short"])
    user = await sdk.users.create(name="Ann", about="a reader")
    session = (await sdk.sessions.create(agent=agent.id, user=user.id, situation="in a shop")).id
    system = await system_of(sdk, models, session)
    words = ["Mia", "a poet", "Ann", "a reader", "Situation: in a shop", "Instructions:", "- rhyme", "- be short"]
    places = [system.index(word) for word in words]
    assert places == sorted(places)


async def test_session_template_wins_over_the_agents(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = {"default_system_template": "agent: {{ agent.name }}"}
    assert await system_of(sdk, models, await session_of(sdk, **agent)) == "agent: Mia"
    ours = await session_of(sdk, **agent, session={"system_template": "session: {{ session.situation }}", "situation": "s"})
    assert await system_of(sdk, models, ours) == "session: s"


async def test_template_knows_every_documented_variable(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    template = (
        "{{ agent.name }} {{ current_agent.id == agent.id }} {{ agents|length }} {{ user.name }} {{ users|length }} {{ session.id == session.id }} "
        "{{ settings.temperature }} {{ settings.model }} {{ tools[0].name }} {{ docs|length }} {{ metadata.k }}"
    )
    tools: Any = [{"name": "weather", "type": "function", "function": {}}]
    agent = await sdk.agents.create(name="Mia", model="gpt-x", extra_body={"tools": tools})
    user = await sdk.users.create(name="Ann")
    session = (await sdk.sessions.create(agent=agent.id, user=user.id, system_template=template)).id
    system = await system_of(sdk, models, session, temperature=0.5, metadata={"k": "v"})
    assert system == "Mia True 1 Ann 1 True 0.5 gpt-x weather 0 v"


async def test_template_variable_that_is_not_there_is_empty(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, session={"system_template": "[{{ metadata.x.y }}{{ user.name }}{{ nothing.at.all }}]"})
    assert await system_of(sdk, models, session) == "[]"


async def test_template_that_renders_to_nothing_sends_no_system_message(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await ask(sdk, await session_of(sdk, session={"system_template": "{% if false %}x{% endif %}"}))
    assert asked(models)[0]["messages"] == [{"role": "user", "content": "hi"}]


async def test_metadata_of_a_request_is_not_stored(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, session={"system_template": "[{{ metadata.k }}]", "metadata": {"own": 1}})
    assert await system_of(sdk, models, session, metadata={"k": "v"}) == "[v]"
    assert await system_of(sdk, models, session) == "[]"
    assert (await sdk.sessions.get(session)).metadata == {"own": 1}


@pytest.mark.parametrize("hostile", ["{{ 7 * 7 }}", "{{ settings }}", "{% for x in range(9) %}x{% endfor %}", "{{", "{% raw", "{# x #}"])
async def test_text_of_a_user_is_never_a_template(sdk: AsyncJulep, models: ModelServerHandle, hostile: str) -> None:
    session = await session_of(sdk)
    await ask(sdk, session, hostile)
    assert asked(models)[0]["messages"][-1]["content"] == hostile
    assert (await history_of(sdk, session))[0] == ("user", hostile)


async def test_text_of_system_and_assistant_is_a_template_and_stored_rendered(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle
) -> None:
    session = await session_of(sdk)
    parts = [{"type": "text", "text": "a{{ 1 + 1 }}"}, {"type": "text", "text": "b{{ 2 + 2 }}"}]
    messages = [said("You are {{ agent.name }}", "system"), {"role": "assistant", "content": parts}, said("{{ 3 }}")]
    assert (await raw.post(f"/sessions/{session}/chat", json={"messages": messages})).status_code == 201
    sent = asked(models)[0]["messages"][1:]
    assert [message["content"] for message in sent] == [
        "You are Mia",
        [{"type": "text", "text": "a2"}, {"type": "text", "text": "b4"}],
        "{{ 3 }}",
    ]
    assert [said for _, said in (await history_of(sdk, session))[:3]] == ["You are Mia", "a2b4", "{{ 3 }}"]


async def test_history_is_not_rendered_again(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await sdk.sessions.chat(session, messages=[said("{{ '{{ 1 + 1 }}' }}", "system")])
    await ask(sdk, session)
    assert asked(models)[1]["messages"][1]["content"] == "{{ 1 + 1 }}"


async def test_render_templates_false_leaves_messages_as_they_are_but_renders_the_system_template(
    sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    session = await session_of(sdk, session={"render_templates": False, "system_template": "{{ agent.name }}"})
    await sdk.sessions.chat(session, messages=[said("{{ 1 + 1 }}", "system"), said("hi")])
    assert [message["content"] for message in asked(models)[0]["messages"]] == ["Mia", "{{ 1 + 1 }}", "hi"]


@pytest.mark.parametrize("template", ["{{ agent.name", "{% if %}", "{{ 1 / 0 }}", "{% for x in range(1000000000) %}{% endfor %}"])
async def test_template_that_fails_is_a_bad_request_and_nothing_is_asked_or_stored(
    sdk: AsyncJulep, models: ModelServerHandle, template: str
) -> None:
    session = await session_of(sdk, session={"system_template": template})
    with pytest.raises(BadRequestError, match=r"[Tt]emplate"):
        await ask(sdk, session)
    assert asked(models) == []
    assert await history_of(sdk, session) == []


async def test_template_syntax_error_names_itself_as_the_original_does(sdk: AsyncJulep) -> None:
    session = await session_of(sdk, session={"system_template": "{{ agent.name"})
    with pytest.raises(BadRequestError, match="Template syntax error: "):
        await ask(sdk, session)


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__.__mro__ }}", "{{ agent.__init__.__globals__ }}", "{{ cycler.__init__.__globals__.os }}", "{% include 'x' %}"],
)
async def test_template_reaches_nothing_of_the_server(sdk: AsyncJulep, models: ModelServerHandle, template: str) -> None:
    session = await session_of(sdk, session={"system_template": f"[{template}]"})
    try:
        system = await system_of(sdk, models, session)
    except BadRequestError:
        assert asked(models) == []
    else:
        assert system == "[]"


async def test_render_shows_what_chat_sends_and_stores_nothing(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk, default_system_template="Be {{ agent.name }} {{ metadata.k }}")
    await ask(sdk, session, "before")
    body = {"messages": [said("{{ 1 + 1 }}", "system"), said("hi", name="Ann O'Neil")], "metadata": {"k": "v"}, "temperature": 0.5}
    rendered = await raw.post(f"/sessions/{session}/render", json=body)
    assert rendered.status_code == 200
    assert len(await history_of(sdk, session)) == 2
    assert len(asked(models)) == 1
    await raw.post(f"/sessions/{session}/chat", json=body)
    assert rendered.json()["messages"] == asked(models)[-1]["messages"]
    assert (rendered.json()["docs"], rendered.json()["tools"], rendered.json()["tool_choice"]) == ([], None, None)


async def test_render_is_parsed_by_the_sdk(sdk: AsyncJulep) -> None:
    rendered = await sdk.sessions.render(await session_of(sdk), messages=[said("hi")])
    assert rendered.messages[-1].content == "hi"
