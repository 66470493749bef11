"""Sessions in PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.errors import BadRequest, ConstraintViolated, NotFound, ParticipantInvalid
from mentha.core.ids import new_id
from mentha.store import agents, entries, sessions, users
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.common import Page
from mentha.wire.recall import HybridDocSearch, TextOnlyDocSearch
from mentha.wire.sessions import CreateSessionRequest, PatchSessionRequest, UpdateSessionRequest
from mentha.wire.users import CreateUserRequest
from tests.support.transactions import new_tenant, refusal


async def agent_ids(connection: Any, tenant: UUID, count: int) -> list[UUID]:
    return [(await agents.create(connection, tenant, CreateAgentRequest(name="Mia"))).id for _ in range(count)]


async def user_ids(connection: Any, tenant: UUID, count: int) -> list[UUID]:
    return [(await users.create(connection, tenant, CreateUserRequest())).id for _ in range(count)]


@pytest.mark.parametrize(
    ("agent_count", "user_count", "kind"),
    [
        (1, 0, "single_agent_no_user"),
        (1, 1, "single_agent_single_user"),
        (1, 2, "single_agent_multi_user"),
        (2, 0, "multi_agent_no_user"),
        (3, 1, "multi_agent_single_user"),
        (2, 2, "multi_agent_multi_user"),
    ],
)
async def test_session_keeps_its_participants_in_the_order_given(
    connection: Any, tenant: UUID, agent_count: int, user_count: int, kind: str
) -> None:
    # Not in the order in which they were made.
    who = (await agent_ids(connection, tenant, agent_count))[::-1]
    whom = (await user_ids(connection, tenant, user_count))[::-1]
    made = await sessions.create(connection, tenant, CreateSessionRequest(agents=who, users=whom))
    assert (made.agents, made.users, made.kind) == (who, whom, kind)
    assert made.agent == (who[0] if agent_count == 1 else None)
    assert made.user == (whom[0] if user_count == 1 else None)
    assert await sessions.get(connection, tenant, made.id) == made
    assert await sessions.list_(connection, tenant, Page()) == [made]


async def test_participant_that_is_named_twice_is_there_once(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    (user,) = await user_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agents=[agent, agent], users=[user, user]))
    assert (made.agents, made.users) == ([agent], [user])


async def test_session_with_participants_that_can_not_be_is_refused(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    other = await new_tenant(connection)
    (foreign_agent,), (foreign_user,) = await agent_ids(connection, other, 1), await user_ids(connection, other, 1)
    for body in (
        CreateSessionRequest(),
        CreateSessionRequest(agents=[]),
        CreateSessionRequest(agent=agent, agents=[agent]),
        CreateSessionRequest(agent=new_id()),
        CreateSessionRequest(agent=agent, user=new_id()),
        CreateSessionRequest(agent=foreign_agent),
        CreateSessionRequest(agent=agent, users=[foreign_user]),
        CreateSessionRequest(agents=[new_id() for _ in range(101)]),
    ):
        assert isinstance(await refusal(connection, sessions.create(connection, tenant, body)), ParticipantInvalid)
    assert await sessions.list_(connection, tenant, Page()) == []


@pytest.mark.parametrize("broken", [{"situation": "  "}, {"system_template": ""}, {"token_budget": 0}, {"token_budget": -1}])
async def test_session_that_breaks_a_rule_is_refused_with_the_rule(connection: Any, tenant: UUID, broken: dict[str, Any]) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent))
    for work in (
        sessions.create(connection, tenant, CreateSessionRequest(agent=agent, **broken)),
        sessions.update(connection, tenant, made.id, UpdateSessionRequest(**broken)),
        sessions.patch(connection, tenant, made.id, PatchSessionRequest(**broken)),
        sessions.upsert(connection, tenant, made.id, CreateSessionRequest(**broken)),
    ):
        error = await refusal(connection, work)
        assert isinstance(error, ConstraintViolated)
        assert next(iter(broken)) in error.message


async def test_update_replaces_settings_and_keeps_participants_that_it_does_not_name(connection: Any, tenant: UUID) -> None:
    one, other = await agent_ids(connection, tenant, 2)
    (user,) = await user_ids(connection, tenant, 1)
    full = CreateSessionRequest(agent=one, user=user, situation="s", token_budget=5, metadata={"k": 1}, render_templates=False)
    made = await sessions.create(connection, tenant, full)
    replaced = await sessions.update(connection, tenant, made.id, UpdateSessionRequest())
    assert (replaced.situation, replaced.token_budget, replaced.metadata, replaced.render_templates) == (None, None, {}, True)
    assert (replaced.agents, replaced.users) == ([one], [user])
    named = await sessions.update(connection, tenant, made.id, UpdateSessionRequest(agents=[other, one], users=[]))
    assert (named.agents, named.users) == ([other, one], [])


async def test_update_that_takes_the_last_agent_away_is_refused_and_changes_nothing(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent))
    body = UpdateSessionRequest(agents=[], situation="changed")
    assert isinstance(await refusal(connection, sessions.update(connection, tenant, made.id, body)), BadRequest)
    assert await sessions.get(connection, tenant, made.id) == made


async def test_upsert_creates_only_with_an_agent_and_replaces_without(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    session_id = new_id()
    error = await refusal(connection, sessions.upsert(connection, tenant, session_id, CreateSessionRequest(situation="s")))
    assert isinstance(error, ParticipantInvalid)
    made = await sessions.upsert(connection, tenant, session_id, CreateSessionRequest(agent=agent, situation="s"))
    again = await sessions.upsert(connection, tenant, session_id, CreateSessionRequest())
    assert (made.id, made.situation, again.situation, again.agents) == (session_id, "s", None, [agent])


async def test_recall_options_read_back_as_the_defaults_where_none_were_given(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent))
    assert made.recall_options
    assert made.recall_options.mode == "vector"


async def test_patch_of_recall_options_merges_within_a_mode_and_replaces_across(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent, recall_options=HybridDocSearch(limit=3, alpha=0.1)))
    merged = await sessions.patch(connection, tenant, made.id, PatchSessionRequest.model_validate({"recall_options": {"alpha": 0.9}}))
    assert merged.recall_options == HybridDocSearch(limit=3, alpha=0.9)
    crossed = await sessions.patch(connection, tenant, made.id, PatchSessionRequest.model_validate({"recall_options": {"mode": "text"}}))
    assert crossed.recall_options == TextOnlyDocSearch()


async def test_session_of_another_tenant_is_not_found_by_any_operation(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent))
    other = await new_tenant(connection)
    for work in (
        sessions.get(connection, other, made.id),
        sessions.update(connection, other, made.id, UpdateSessionRequest()),
        sessions.patch(connection, other, made.id, PatchSessionRequest(situation="x")),
        sessions.patch(connection, other, made.id, PatchSessionRequest.model_validate({"recall_options": {}})),
        sessions.delete(connection, other, made.id),
        entries.read(connection, other, made.id, sources=["api_request"]),
        entries.delete(connection, other, made.id),
    ):
        assert isinstance(await refusal(connection, work), NotFound)
    (theirs,) = await agent_ids(connection, other, 1)
    assert (await sessions.upsert(connection, other, made.id, CreateSessionRequest(agent=theirs))).agents == [theirs]
    assert await sessions.get(connection, tenant, made.id) == made


async def test_delete_takes_the_session_away(connection: Any, tenant: UUID) -> None:
    (agent,) = await agent_ids(connection, tenant, 1)
    made = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent))
    await sessions.delete(connection, tenant, made.id)
    assert isinstance(await refusal(connection, sessions.get(connection, tenant, made.id)), NotFound)
    assert isinstance(await refusal(connection, sessions.delete(connection, tenant, made.id)), NotFound)
