"""Sessions of several agents and users, and many turns at once: sections 4.2 of the behaviour spec, rulings 9 and 13."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from julep import AsyncJulep, BadRequestError

from tests.support.model_server import ModelServerHandle, gated, text
from tests.support.sdk import ask, asked, history_of, session_of
from tests.support.talk import assert_whole_turns

TURNS_AT_ONCE = 16


async def two_agents(sdk: AsyncJulep, **session: Any) -> tuple[str, str, str]:
    """Ids of a session, its first and its second agent."""
    template = "I am {{ agent.name }} of {{ agents | map(attribute='name') | join(', ') }}"
    first = await sdk.agents.create(
        name="Mia", model="model-of-mia", default_system_template=template, default_settings={"temperature": 0.1}
    )
    second = await sdk.agents.create(name="Ben B.", model="model-of-ben", default_system_template=template, default_settings={"top_p": 0.2})
    await sdk.agents.tools.create(second.id, name="weather", type="function", function={})
    made = await sdk.sessions.create(agents=[first.id, second.id], **session)
    return made.id, first.id, second.id


async def test_first_agent_answers_unless_the_request_names_one(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session, first, second = await two_agents(sdk)
    for agent in (None, second, first):
        await ask(sdk, session, **({"agent": agent} if agent else {}))
    assert [body["model"] for body in asked(models)] == ["model-of-mia", "model-of-ben", "model-of-mia"]


async def test_agent_that_answers_brings_its_own_template_settings_and_tools(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session, _, second = await two_agents(sdk)
    await ask(sdk, session, agent=second)
    (body,) = asked(models)
    assert body["messages"][0]["content"] == "I am Ben B. of Mia, Ben B."
    assert (body.get("temperature"), body["top_p"], body["tools"][0]["function"]["name"]) == (None, 0.2, "weather")


async def test_answers_of_several_agents_carry_their_names(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session, _, second = await two_agents(sdk)
    await ask(sdk, session, "one")
    await ask(sdk, session, "two", agent=second)
    await ask(sdk, session, "three")
    assert [message.get("name") for message in asked(models)[-1]["messages"] if message["role"] == "assistant"] == ["Mia", "Ben_B"]


async def test_agent_that_is_not_in_the_session_is_a_bad_request(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session, _, _ = await two_agents(sdk)
    elsewhere = await sdk.agents.create(name="Eve", model="gpt-x")
    for agent in (elsewhere.id, str(uuid4())):
        with pytest.raises(BadRequestError, match="not in this session"):
            await ask(sdk, session, agent=agent)
    assert asked(models) == []


async def test_session_whose_first_agent_was_deleted_is_answered_by_the_next(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session, first, _ = await two_agents(sdk)
    await sdk.agents.delete(first)
    await ask(sdk, session)
    assert asked(models)[0]["model"] == "model-of-ben"


async def test_session_whose_agents_are_all_deleted_stays_readable_and_refuses_to_chat(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session, first, second = await two_agents(sdk)
    await ask(sdk, session)
    await sdk.agents.delete(first)
    await sdk.agents.delete(second)
    with pytest.raises(BadRequestError, match="no agent any more"):
        await ask(sdk, session)
    assert len(await history_of(sdk, session)) == 2
    left: Any = await sdk.sessions.get(session)
    assert (left.agents, left.kind) == ([], None)


async def test_users_stand_in_templates_in_the_order_given(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    users = [(await sdk.users.create(name=name)).id for name in ("Ann", "Ben", "Cid")][::-1]
    template = "{{ user.name }}: {{ users | map(attribute='name') | join(', ') }}"
    session, _, _ = await two_agents(sdk, users=users, system_template=template)
    await ask(sdk, session)
    assert asked(models)[0]["messages"][0]["content"] == "Cid: Cid, Ben, Ann"


async def test_turns_at_once_on_one_session_are_all_answered_and_stored_once_question_by_answer(
    sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    session = await session_of(sdk)
    texts = [f"question {number}" for number in range(TURNS_AT_ONCE)]
    answers = await asyncio.gather(*(ask(sdk, session, each) for each in texts))
    assert [answer.choices[0].message.content for answer in answers] == [f"ok: {each}" for each in texts]
    stored = await history_of(sdk, session)
    assert_whole_turns(stored)
    assert sorted(each for role, each in stored if role == "user") == sorted(texts)


async def test_turns_that_run_at_once_all_reach_the_model_before_any_is_answered(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", *(gated(text("now")) for _ in range(4)))
    turns = [asyncio.create_task(ask(sdk, session, str(number))) for number in range(4)]
    await models.until_held(4)
    models.release()
    assert [answer.choices[0].message.content for answer in await asyncio.gather(*turns)] == ["now"] * 4
    assert len(await history_of(sdk, session)) == 8
