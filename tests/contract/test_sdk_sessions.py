"""Sessions through the SDK: every method, participants and kind, and the defaults of the published page."""

from typing import Any
from uuid import uuid4

import pytest
from julep import AsyncJulep, BadRequestError, NotFoundError, UnprocessableEntityError

from tests.support.sdk import session_of
from tests.support.talk import Client

RECALL_DEFAULT = {
    "mode": "vector",
    "limit": 10,
    "lang": "en-US",
    "metadata_filter": {},
    "num_search_messages": 4,
    "max_query_length": 1000,
    "include_embeddings": True,
    "confidence": 0.5,
    "mmr_strength": 0.5,
}


async def people(sdk: AsyncJulep, agents: int, users: int) -> tuple[list[str], list[str]]:
    """Ids of new agents and users."""
    return (
        [(await sdk.agents.create(name=f"Agent {number}", model="gpt-x")).id for number in range(agents)],
        [(await sdk.users.create(name=f"User {number}")).id for number in range(users)],
    )


async def test_session_methods_answer_with_the_documented_status_codes(sdk: AsyncJulep) -> None:
    agent = (await sdk.agents.create(name="Mia")).id
    raw = sdk.sessions.with_raw_response
    created = await raw.create(agent=agent)
    session = await created.parse()
    assert created.status_code == 201
    assert (await raw.create_or_update(str(uuid4()), agent=agent)).status_code == 201
    assert (await raw.create_or_update(session.id, agent=agent)).status_code == 201
    assert (await raw.get(session.id)).status_code == 200
    assert (await raw.list()).status_code == 200
    assert (await raw.update(session.id, situation="x")).status_code == 200
    assert (await raw.reset(session.id)).status_code == 200
    assert (await raw.history(session.id)).status_code == 200
    assert (await raw.render(session.id, messages=[{"role": "user", "content": "x"}], model="gpt-x")).status_code == 200
    deleted = await raw.delete(session.id)
    assert deleted.status_code == 202
    assert (await deleted.parse()).id == session.id
    with pytest.raises(NotFoundError):
        await sdk.sessions.get(session.id)


async def test_session_created_with_an_agent_only_has_the_defaults_of_the_page(raw: Client, sdk: AsyncJulep) -> None:
    agent = (await sdk.agents.create(name="Mia")).id
    session = (await raw.post("/sessions", json={"agent": agent})).json()
    rest = {name: value for name, value in session.items() if name not in ("id", "created_at", "updated_at")}
    assert rest == {
        "situation": None,
        "system_template": None,
        "summary": None,
        "render_templates": True,
        "token_budget": None,
        "context_overflow": None,
        "auto_run_tools": False,
        "forward_tool_calls": False,
        "recall_options": RECALL_DEFAULT,
        "metadata": {},
        "kind": "single_agent_no_user",
        "agent": agent,
        "agents": [agent],
        "user": None,
        "users": [],
    }


async def test_session_keeps_every_field_that_was_given(sdk: AsyncJulep) -> None:
    given: dict[str, Any] = {
        "situation": "in a shop",
        "system_template": "You are {{ agent.name }}",
        "render_templates": False,
        "token_budget": 5000,
        "context_overflow": "truncate",
        "auto_run_tools": True,
        "forward_tool_calls": True,
        "metadata": {"a": [1, {"b": None}]},
    }
    session = await sdk.sessions.get(await session_of(sdk, session=given))
    assert {name: getattr(session, name) for name in given} == given


@pytest.mark.parametrize(
    ("agents", "users", "kind"),
    [
        (1, 0, "single_agent_no_user"),
        (1, 1, "single_agent_single_user"),
        (1, 2, "single_agent_multi_user"),
        (2, 0, "multi_agent_no_user"),
        (2, 1, "multi_agent_single_user"),
        (2, 2, "multi_agent_multi_user"),
    ],
)
async def test_session_tells_its_participants_in_the_order_given_and_its_kind(sdk: AsyncJulep, agents: int, users: int, kind: str) -> None:
    agent_ids, user_ids = await people(sdk, agents, users)
    agent_ids.reverse()
    user_ids.reverse()
    session: Any = await sdk.sessions.get((await sdk.sessions.create(agents=agent_ids, users=user_ids)).id)
    assert (session.agents, session.users, session.kind) == (agent_ids, user_ids, kind)
    assert session.agent == (agent_ids[0] if agents == 1 else None)
    assert session.user == (user_ids[0] if users == 1 else None)


async def test_session_with_agent_and_agents_or_with_none_is_a_bad_request(sdk: AsyncJulep) -> None:
    (agent,), _ = await people(sdk, 1, 0)
    with pytest.raises(BadRequestError, match="Only one of 'agent' or 'agents' should be provided"):
        await sdk.sessions.create(agent=agent, agents=[agent])
    with pytest.raises(BadRequestError, match="At least one agent must be provided"):
        await sdk.sessions.create(situation="x")
    with pytest.raises(BadRequestError, match="At least one agent must be provided"):
        await sdk.sessions.create_or_update(str(uuid4()))


async def test_session_with_user_and_users_takes_users(sdk: AsyncJulep) -> None:
    (agent,), (first, second) = await people(sdk, 1, 2)
    session: Any = await sdk.sessions.create(agent=agent, user=first, users=[second])
    assert session.users == [second]


async def test_session_with_an_empty_list_beside_one_participant_takes_that_one(sdk: AsyncJulep) -> None:
    (agent,), (user,) = await people(sdk, 1, 1)
    created: Any = await sdk.sessions.create(agent=agent, agents=[], user=user, users=[])
    replaced: Any = await sdk.sessions.create_or_update(created.id, agent=agent, agents=[], user=user, users=[])
    for session in (created, replaced):
        assert (session.agents, session.users) == ([agent], [user])


async def test_session_with_unknown_participants_is_a_bad_request_that_stores_nothing(sdk: AsyncJulep) -> None:
    (agent,), _ = await people(sdk, 1, 0)
    for participants in ({"agent": str(uuid4())}, {"agent": agent, "user": str(uuid4())}, {"agents": [agent, str(uuid4())]}):
        with pytest.raises(BadRequestError, match="The specified participant ID is invalid"):
            await sdk.sessions.create(**participants)
    assert (await sdk.sessions.list()).items == []


async def test_session_patch_changes_only_what_is_sent(sdk: AsyncJulep) -> None:
    given: dict[str, Any] = {
        "situation": "s",
        "render_templates": False,
        "token_budget": 5,
        "forward_tool_calls": True,
        "metadata": {"a": 1},
    }
    session = await session_of(sdk, session=given)
    patched = await sdk.sessions.update(session, metadata={"b": None})
    assert {name: getattr(patched, name) for name in given} == {**given, "metadata": {"a": 1, "b": None}}
    cleared = await sdk.sessions.update(session, situation=None, token_budget=None)
    assert (cleared.situation, cleared.token_budget, cleared.render_templates) == (None, None, False)


async def test_session_put_replaces_settings_and_keeps_participants(sdk: AsyncJulep) -> None:
    (agent,), (user,) = await people(sdk, 1, 1)
    made = await sdk.sessions.create(agent=agent, user=user, situation="s", render_templates=False, metadata={"a": 1}, token_budget=7)
    put: Any = await sdk.sessions.reset(made.id, situation="t")
    assert (put.situation, put.render_templates, put.metadata, put.token_budget) == ("t", True, {}, None)
    assert (put.agents, put.users) == ([agent], [user])


async def test_session_put_with_a_participant_field_replaces_those(sdk: AsyncJulep) -> None:
    (first, second), (user,) = await people(sdk, 2, 1)
    made = await sdk.sessions.create(agent=first, user=user)
    put: Any = await sdk.sessions.reset(made.id, extra_body={"agents": [second, first]})
    assert (put.agents, put.users) == ([second, first], [user])
    assert (await sdk.sessions.reset(made.id, extra_body={"users": []})).users == []  # type: ignore[attr-defined]  # an extra field


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_session_sent_back_as_it_was_answered_stays_what_it_is(sdk: AsyncJulep, raw: Client, method: str) -> None:
    (agent, other), (user,) = await people(sdk, 2, 1)
    session = (await raw.post("/sessions", json={"agent": agent, "user": user, "metadata": {"a": 1}})).json()
    same = (await raw.request(method, f"/sessions/{session['id']}", json=session)).json()
    assert {**same, "updated_at": None} == {**session, "updated_at": None}
    both = await raw.request(method, f"/sessions/{session['id']}", json={**session, "agents": [other]})
    assert (both.status_code, both.json()["error"]["reason"]) == (400, "participant_invalid")


async def test_session_upsert_replaces_participants_where_it_names_any(sdk: AsyncJulep) -> None:
    (first, second), (user,) = await people(sdk, 2, 1)
    wanted = str(uuid4())
    made: Any = await sdk.sessions.create_or_update(wanted, agent=first, user=user, situation="s")
    assert (made.id, made.agents, made.users) == (wanted, [first], [user])
    moved: Any = await sdk.sessions.create_or_update(wanted, agent=second)
    assert (moved.agents, moved.users, moved.situation) == ([second], [user], None)
    kept: Any = await sdk.sessions.create_or_update(wanted, situation="t")
    assert (kept.agents, kept.users, kept.situation) == ([second], [user], "t")


async def test_session_recall_options_without_a_mode_mean_the_best_match(sdk: AsyncJulep, raw: Client) -> None:
    (agent,), _ = await people(sdk, 1, 0)

    async def stored(options: Any) -> Any:
        return (await raw.post("/sessions", json={"agent": agent, "recall_options": options})).json()["recall_options"]

    assert await stored({"limit": 3}) == {**RECALL_DEFAULT, "limit": 3}
    assert await stored({}) == RECALL_DEFAULT
    assert (await stored({"alpha": 0.3}))["mode"] == "hybrid"
    assert (await stored({"mode": "text", "trigram_similarity_threshold": 0.3}))["trigram_similarity_threshold"] == 0.3


async def test_session_recall_options_patch_merges_one_mode_and_replaces_another(sdk: AsyncJulep, raw: Client) -> None:
    session = await session_of(sdk, session={"recall_options": {"mode": "vector", "confidence": 0.9}})

    async def patched(options: Any) -> Any:
        return (await raw.patch(f"/sessions/{session}", json={"recall_options": options})).json()["recall_options"]

    merged = await patched({"limit": 3})
    assert (merged["mode"], merged["confidence"], merged["limit"]) == ("vector", 0.9, 3)
    replaced = await patched({"mode": "hybrid", "alpha": 0.2})
    assert (replaced["mode"], replaced["confidence"], replaced["limit"], replaced["alpha"]) == ("hybrid", 0.5, 10, 0.2)


@pytest.mark.parametrize("options", [{"limit": 51}, {"mode": "fuzzy"}, {"mode": "vector", "mmr_strength": 1}, {"lang": "no language"}, "x"])
async def test_session_recall_options_out_of_bounds_are_unprocessable(sdk: AsyncJulep, options: Any) -> None:
    (agent,), _ = await people(sdk, 1, 0)
    with pytest.raises(UnprocessableEntityError):
        await sdk.sessions.create(agent=agent, extra_body={"recall_options": options})


@pytest.mark.parametrize("fields", [{"situation": "  "}, {"system_template": ""}, {"token_budget": 0}, {"token_budget": -1}])
async def test_session_that_breaks_a_constraint_is_a_bad_request_that_names_the_field(sdk: AsyncJulep, fields: dict[str, Any]) -> None:
    (agent,), _ = await people(sdk, 1, 0)
    with pytest.raises(BadRequestError, match=next(iter(fields))):
        await sdk.sessions.create(agent=agent, **fields)


async def test_session_updated_at_moves_with_a_change_and_with_a_turn(sdk: AsyncJulep) -> None:
    session = await session_of(sdk)
    made = await sdk.sessions.get(session)
    patched = await sdk.sessions.update(session, situation="x")
    assert made.created_at == patched.created_at
    assert made.updated_at < patched.updated_at
    await sdk.sessions.chat(session, messages=[{"role": "user", "content": "hi"}])
    assert (await sdk.sessions.get(session)).updated_at > patched.updated_at


async def test_session_whose_user_was_deleted_goes_on_without_that_user(sdk: AsyncJulep) -> None:
    (agent,), (user,) = await people(sdk, 1, 1)
    session = (await sdk.sessions.create(agent=agent, user=user)).id
    await sdk.users.delete(user)
    left: Any = await sdk.sessions.get(session)
    assert (left.users, left.kind) == ([], "single_agent_no_user")
    assert await sdk.sessions.chat(session, messages=[{"role": "user", "content": "hi"}])
