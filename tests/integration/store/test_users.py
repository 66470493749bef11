"""Users in PostgreSQL."""

from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.store import agents, projects, sessions, users
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.common import Page
from mentha.wire.projects import CreateProjectRequest
from mentha.wire.sessions import CreateSessionRequest
from mentha.wire.users import CreateUserRequest, PatchUserRequest, UpdateUserRequest
from tests.support.transactions import new_tenant, refusal

ANN = CreateUserRequest(name="Ann", about="a", metadata={"k": 1})


async def test_create_without_anything_is_a_nameless_user_in_the_default_project(connection: Any, tenant: UUID) -> None:
    user = await users.create(connection, tenant, CreateUserRequest())
    assert (user.name, user.about, user.metadata, user.project) == ("", "", {}, "default")
    assert await users.get(connection, tenant, user.id) == user


async def test_user_of_another_tenant_is_not_found_by_any_operation(connection: Any, tenant: UUID) -> None:
    user = await users.create(connection, tenant, ANN)
    other = await new_tenant(connection)
    for work in (
        users.get(connection, other, user.id),
        users.update(connection, other, user.id, UpdateUserRequest()),
        users.patch(connection, other, user.id, PatchUserRequest(name="x")),
        users.delete(connection, other, user.id),
    ):
        assert isinstance(await refusal(connection, work), NotFound)
    assert await users.list_(connection, other, Page()) == []
    assert (await users.upsert(connection, other, user.id, CreateUserRequest(name="theirs"))).name == "theirs"
    assert await users.get(connection, tenant, user.id) == user


async def test_update_replaces_all_but_the_project(connection: Any, tenant: UUID) -> None:
    await projects.create(connection, tenant, CreateProjectRequest(name="Work", canonical_name="work"))
    user = await users.create(connection, tenant, ANN.model_copy(update={"project": "work"}))
    replaced = await users.update(connection, tenant, user.id, UpdateUserRequest(name="Bea"))
    assert (replaced.name, replaced.about, replaced.metadata, replaced.project) == ("Bea", "", {}, "work")
    assert await users.list_(connection, tenant, Page(project="work")) == [replaced]


async def test_upsert_creates_and_then_replaces(connection: Any, tenant: UUID) -> None:
    user_id = new_id()
    made = await users.upsert(connection, tenant, user_id, ANN)
    again = await users.upsert(connection, tenant, user_id, CreateUserRequest(name="Bea"))
    assert (made.id, again.id, again.name, again.about, again.metadata) == (user_id, user_id, "Bea", "", {})
    assert again.created_at == made.created_at


async def test_user_in_an_unknown_project_is_not_found(connection: Any, tenant: UUID) -> None:
    error = await refusal(connection, users.create(connection, tenant, CreateUserRequest(project="nowhere")))
    assert isinstance(error, NotFound)
    assert "nowhere" in error.message


async def test_delete_leaves_the_sessions_without_the_user(connection: Any, tenant: UUID) -> None:
    agent = await agents.create(connection, tenant, CreateAgentRequest(name="Mia"))
    gone, kept = [await users.create(connection, tenant, ANN) for _ in range(2)]
    session = await sessions.create(connection, tenant, CreateSessionRequest(agent=agent.id, users=[gone.id, kept.id]))
    await users.delete(connection, tenant, gone.id)
    left = await sessions.get(connection, tenant, session.id)
    assert (left.users, left.kind) == ([kept.id], "single_agent_single_user")
    assert isinstance(await refusal(connection, users.delete(connection, tenant, gone.id)), NotFound)
