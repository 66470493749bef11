"""Projects in PostgreSQL."""

from typing import Any
from uuid import UUID

from mentha.core.errors import Conflict, NotFound
from mentha.core.ids import new_id
from mentha.store import agents, projects, users
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.common import Page
from mentha.wire.projects import CreateProjectRequest, PatchProjectRequest, UpdateProjectRequest
from mentha.wire.users import CreateUserRequest
from tests.support.transactions import new_tenant, refusal

WORK = CreateProjectRequest(name="Work", canonical_name="work", metadata={"k": 1})


async def default_of(connection: Any, tenant: UUID) -> UUID:
    found = await projects.resolve(connection, tenant, "default")
    assert found
    return found


async def test_new_tenant_has_the_project_default(connection: Any, tenant: UUID) -> None:
    (project,) = await projects.list_(connection, tenant, Page())
    assert project.canonical_name == "default"


async def test_resolve_takes_a_name_in_any_case_and_none_for_none(connection: Any, tenant: UUID) -> None:
    project = await projects.create(connection, tenant, WORK)
    assert await projects.resolve(connection, tenant, "WoRk") == project.id
    assert await projects.resolve(connection, tenant, None) is None
    assert isinstance(await refusal(connection, projects.resolve(connection, tenant, "nowhere")), NotFound)
    assert isinstance(await refusal(connection, projects.resolve(connection, await new_tenant(connection), "work")), NotFound)


async def test_taken_name_is_a_conflict_however_it_is_given(connection: Any, tenant: UUID) -> None:
    await projects.create(connection, tenant, WORK)
    other = await projects.create(connection, tenant, CreateProjectRequest(name="Play"))
    for work in (
        projects.create(connection, tenant, WORK),
        projects.update(connection, tenant, other.id, UpdateProjectRequest(name="x", canonical_name="WORK")),
        projects.patch(connection, tenant, other.id, PatchProjectRequest(canonical_name="work")),
        projects.upsert(connection, tenant, new_id(), WORK),
    ):
        assert isinstance(await refusal(connection, work), Conflict)


async def test_default_can_be_changed_but_neither_renamed_nor_deleted(connection: Any, tenant: UUID) -> None:
    project_id = await default_of(connection, tenant)
    for work in (
        projects.update(connection, tenant, project_id, UpdateProjectRequest(name="x", canonical_name="other")),
        projects.patch(connection, tenant, project_id, PatchProjectRequest(canonical_name="other")),
        projects.upsert(connection, tenant, project_id, CreateProjectRequest(name="x", canonical_name="other")),
        projects.delete(connection, tenant, project_id),
    ):
        assert isinstance(await refusal(connection, work), Conflict)
    changed = await projects.patch(connection, tenant, project_id, PatchProjectRequest(name="Home", metadata={"k": 1}))
    assert (changed.canonical_name, changed.name, changed.metadata) == ("default", "Home", {"k": 1})


async def test_nobody_can_take_the_name_default(connection: Any, tenant: UUID) -> None:
    error = await refusal(connection, projects.create(connection, tenant, CreateProjectRequest(name="x", canonical_name="Default")))
    assert isinstance(error, Conflict)


async def test_delete_moves_what_the_project_held_to_default(connection: Any, tenant: UUID) -> None:
    project = await projects.create(connection, tenant, WORK)
    agent = await agents.create(connection, tenant, CreateAgentRequest(name="Mia", project="work"))
    user = await users.create(connection, tenant, CreateUserRequest(project="work"))
    await projects.delete(connection, tenant, project.id)
    assert (await agents.get(connection, tenant, agent.id)).project == "default"
    assert (await users.get(connection, tenant, user.id)).project == "default"
    assert isinstance(await refusal(connection, projects.delete(connection, tenant, project.id)), NotFound)


async def test_project_of_another_tenant_is_not_found_and_its_things_stay(connection: Any, tenant: UUID) -> None:
    project = await projects.create(connection, tenant, WORK)
    agent = await agents.create(connection, tenant, CreateAgentRequest(name="Mia", project="work"))
    other = await new_tenant(connection)
    for work in (
        projects.get(connection, other, project.id),
        projects.update(connection, other, project.id, UpdateProjectRequest(name="x")),
        projects.patch(connection, other, project.id, PatchProjectRequest(name="x")),
        projects.delete(connection, other, project.id),
    ):
        assert isinstance(await refusal(connection, work), NotFound)
    assert (await agents.get(connection, tenant, agent.id)).project == "work"


async def test_update_replaces_metadata_and_keeps_the_canonical_name(connection: Any, tenant: UUID) -> None:
    project = await projects.create(connection, tenant, WORK)
    replaced = await projects.update(connection, tenant, project.id, UpdateProjectRequest(name="New"))
    assert (replaced.canonical_name, replaced.name, replaced.metadata) == ("work", "New", {})
    assert await projects.get(connection, tenant, project.id) == replaced
