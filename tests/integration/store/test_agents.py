"""Agents in PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.errors import Conflict, ConstraintViolated, NotFound
from mentha.core.ids import new_id
from mentha.store import agents, projects, sessions, tools
from mentha.wire.agents import CreateAgentRequest, PatchAgentRequest, UpdateAgentRequest
from mentha.wire.common import Page
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE
from mentha.wire.projects import CreateProjectRequest
from mentha.wire.sessions import CreateSessionRequest
from mentha.wire.tools import CreateToolRequest, FunctionDef
from tests.support.transactions import new_tenant, refusal

EVERYTHING = CreateAgentRequest(
    name="Mia",
    canonical_name="mia",
    about="a",
    model="m",
    instructions=["i", "j"],
    default_settings={"temperature": 1},
    default_system_template="t",
    metadata={"k": 1},
)


def tool(name: str, **fields: Any) -> CreateToolRequest:
    return CreateToolRequest(name=name, **{"type": "function", "function": FunctionDef(), **fields})


async def test_create_without_anything_but_a_name_fills_in_the_rest(connection: Any, tenant: UUID) -> None:
    agent = await agents.create(connection, tenant, CreateAgentRequest(name="Mia"))
    assert agent.project == "default"
    assert agent.canonical_name
    assert (agent.about, agent.model, agent.instructions, agent.default_settings, agent.metadata) == ("", "", [], None, {})
    assert agent.default_system_template == DEFAULT_SYSTEM_TEMPLATE


async def test_get_gives_what_was_created(connection: Any, tenant: UUID) -> None:
    agent = await agents.create(connection, tenant, EVERYTHING)
    assert await agents.get(connection, tenant, agent.id) == agent
    assert agent.model_dump(include=EVERYTHING.model_fields_set) == EVERYTHING.model_dump(include=EVERYTHING.model_fields_set)


async def test_create_under_a_taken_name_is_a_conflict_in_any_case_of_letters(connection: Any, tenant: UUID) -> None:
    await agents.create(connection, tenant, EVERYTHING)
    again = CreateAgentRequest(name="x", canonical_name="MIA")
    assert isinstance(await refusal(connection, agents.create(connection, tenant, again)), Conflict)
    assert isinstance(await refusal(connection, agents.upsert(connection, tenant, new_id(), again)), Conflict)


async def test_name_of_another_tenants_agent_is_free(connection: Any, tenant: UUID) -> None:
    await agents.create(connection, tenant, EVERYTHING)
    other = await new_tenant(connection)
    assert (await agents.create(connection, other, EVERYTHING)).canonical_name == "mia"


async def test_agent_of_another_tenant_is_not_found_by_any_operation(connection: Any, tenant: UUID) -> None:
    agent = await agents.create(connection, tenant, EVERYTHING)
    other = await new_tenant(connection)
    replaced = UpdateAgentRequest(name="x")
    for work in (
        agents.get(connection, other, agent.id),
        agents.update(connection, other, agent.id, replaced),
        agents.patch(connection, other, agent.id, PatchAgentRequest(name="x")),
        agents.delete(connection, other, agent.id),
        tools.list_(connection, other, agent.id, Page()),
    ):
        assert isinstance(await refusal(connection, work), NotFound)
    assert isinstance(await refusal(connection, tools.create(connection, other, agent.id, tool("t"))), NotFound)
    assert await agents.list_(connection, other, Page()) == []
    # An id that another tenant uses already is free: nobody learns of it.
    assert (await agents.upsert(connection, other, agent.id, CreateAgentRequest(name="theirs"))).name == "theirs"
    assert await agents.get(connection, tenant, agent.id) == agent


async def test_update_sets_what_is_left_out_to_its_default_and_keeps_name_project_and_tools(connection: Any, tenant: UUID) -> None:
    await projects.create(connection, tenant, CreateProjectRequest(name="Work", canonical_name="work"))
    made = EVERYTHING.model_copy(update={"project": "work", "tools": [tool("t")]})
    agent = await agents.create(connection, tenant, made)
    replaced = await agents.update(connection, tenant, agent.id, UpdateAgentRequest(name="New"))
    assert (replaced.name, replaced.about, replaced.instructions, replaced.metadata) == ("New", "", [], {})
    assert replaced.default_system_template == DEFAULT_SYSTEM_TEMPLATE
    assert (replaced.canonical_name, replaced.project) == ("mia", "work")
    assert [each.name for each in await tools.list_(connection, tenant, agent.id, Page())] == ["t"]


async def test_upsert_replaces_tools_only_where_it_names_some(connection: Any, tenant: UUID) -> None:
    agent = await agents.upsert(connection, tenant, new_id(), EVERYTHING.model_copy(update={"tools": [tool("a"), tool("b")]}))
    await agents.upsert(connection, tenant, agent.id, EVERYTHING)
    assert {each.name for each in await tools.list_(connection, tenant, agent.id, Page())} == {"a", "b"}
    await agents.upsert(connection, tenant, agent.id, EVERYTHING.model_copy(update={"tools": []}))
    assert await tools.list_(connection, tenant, agent.id, Page()) == []


async def test_agent_in_an_unknown_project_is_not_found(connection: Any, tenant: UUID) -> None:
    agent = await agents.create(connection, tenant, EVERYTHING)
    for work in (
        agents.create(connection, tenant, CreateAgentRequest(name="x", project="nowhere")),
        agents.update(connection, tenant, agent.id, UpdateAgentRequest(name="x", project="nowhere")),
        agents.patch(connection, tenant, agent.id, PatchAgentRequest(project="nowhere")),
        agents.upsert(connection, tenant, agent.id, CreateAgentRequest(name="x", project="nowhere")),
        agents.list_(connection, tenant, Page(project="nowhere")),
    ):
        assert isinstance(await refusal(connection, work), NotFound)


async def test_list_by_project_gives_only_its_agents(connection: Any, tenant: UUID) -> None:
    await projects.create(connection, tenant, CreateProjectRequest(name="Work", canonical_name="work"))
    inside = await agents.create(connection, tenant, EVERYTHING.model_copy(update={"project": "WORK"}))
    await agents.create(connection, tenant, CreateAgentRequest(name="outside"))
    assert await agents.list_(connection, tenant, Page(project="work")) == [inside]


@pytest.mark.parametrize("broken", [{"about": "x" * 16_001}, {"default_system_template": " \n"}, {"default_system_template": ""}])
async def test_agent_that_breaks_a_rule_is_refused_with_the_rule(connection: Any, tenant: UUID, broken: dict[str, str]) -> None:
    error = await refusal(connection, agents.create(connection, tenant, EVERYTHING.model_copy(update=broken)))
    assert isinstance(error, ConstraintViolated)
    assert next(iter(broken)) in error.message


async def test_delete_takes_the_tools_along_and_leaves_the_sessions(connection: Any, tenant: UUID) -> None:
    agent = await agents.create(connection, tenant, EVERYTHING.model_copy(update={"tools": [tool("t")]}))
    session = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent.id))
    await agents.delete(connection, tenant, agent.id)
    assert isinstance(await refusal(connection, agents.get(connection, tenant, agent.id)), NotFound)
    assert await connection.fetchval("SELECT count(*) FROM tools WHERE tenant_id = $1", tenant) == 0
    left = await sessions.get(connection, tenant, session.id)
    assert (left.agents, left.kind) == ([], None)
