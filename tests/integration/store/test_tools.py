"""Tools of agents in PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.errors import Conflict, FieldInvalid, NotFound
from mentha.core.ids import new_id
from mentha.store import agents, tools
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.common import Page
from mentha.wire.masks import MARKER
from mentha.wire.tools import TOOL_TYPES, CreateToolRequest, FunctionDef, PatchToolRequest, UpdateToolRequest
from tests.support.transactions import new_tenant, refusal

SPECS: dict[str, Any] = {
    "function": {"parameters": {"type": "object"}},
    "integration": {"provider": "brave", "setup": {"brave_api_key": "s3cret"}},
    "system": {"resource": "agent", "operation": "list"},
    "api_call": {"method": "GET", "url": "https://h/?key=s3cret", "headers": {"Authorization": "s3cret", "Accept": "a"}},
    "computer_20241022": {"display_width_px": 800},
    "text_editor_20241022": {},
    "bash_20241022": {},
}
SPEC = "SELECT spec FROM tools WHERE tenant_id = $1 AND id = $2"


def body(kind: str, name: str = "t", spec: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, kind: SPECS[kind] if spec is None else spec, **more}


def tool(kind: str, name: str = "t", spec: Any = None, **more: Any) -> CreateToolRequest:
    return CreateToolRequest.model_validate(body(kind, name, spec, **more))


def replaced(kind: str, name: str = "t", spec: Any = None, **more: Any) -> UpdateToolRequest:
    return UpdateToolRequest.model_validate(body(kind, name, spec, **more))


def sealed(_: UUID, secret: Any) -> str:
    return f"sealed.{len(str(secret))}"


@pytest.fixture
async def agent(connection: Any, tenant: UUID) -> UUID:
    return (await agents.create(connection, tenant, CreateAgentRequest(name="Mia"))).id


async def test_function_is_stored_with_its_name_and_description_inside(connection: Any, tenant: UUID, agent: UUID) -> None:
    given = tool("function", spec=FunctionDef(name="ignored", description="d", parameters={"type": "object"}))
    made = await tools.create(connection, tenant, agent, given)
    assert made.function == FunctionDef(name="t", description="d", parameters={"type": "object"})
    assert await tools.list_(connection, tenant, agent, Page()) == [made]


@pytest.mark.parametrize("kind", TOOL_TYPES)
async def test_tool_of_any_type_is_made_read_listed_and_deleted(connection: Any, tenant: UUID, agent: UUID, kind: str) -> None:
    made = await tools.create(connection, tenant, agent, tool(kind))
    assert await tools.get(connection, tenant, agent, made.id) == made
    assert await tools.list_(connection, tenant, agent, Page()) == [made]
    assert "s3cret" not in made.model_dump_json()
    await tools.delete(connection, tenant, agent, made.id)
    assert isinstance(await refusal(connection, tools.delete(connection, tenant, agent, made.id)), NotFound)


@pytest.mark.parametrize("kind", TOOL_TYPES)
async def test_update_replaces_type_member_name_and_description(connection: Any, tenant: UUID, agent: UUID, kind: str) -> None:
    made = await tools.create(connection, tenant, agent, tool("function", description="d"))
    changed = await tools.update(connection, tenant, agent, made.id, replaced(kind, "new"))
    assert (changed.id, changed.created_at, changed.description) == (made.id, made.created_at, None)
    second = await agents.create(connection, tenant, CreateAgentRequest(name="second"))
    fresh = await tools.create(connection, tenant, second.id, tool(kind, "new"))
    own = {"id", "created_at", "updated_at"}
    assert changed.model_dump(exclude=own) == fresh.model_dump(exclude=own)
    assert await tools.get(connection, tenant, agent, made.id) == changed


async def test_patch_keeps_what_is_not_in_it(connection: Any, tenant: UUID, agent: UUID) -> None:
    made = await tools.create(connection, tenant, agent, tool("computer_20241022", description="d"))
    named = await tools.patch(connection, tenant, agent, made.id, PatchToolRequest(name="screen"))
    assert named.model_copy(update={"name": "t", "updated_at": made.updated_at}) == made
    sized = await tools.patch(connection, tenant, agent, made.id, PatchToolRequest(computer_20241022={"display_number": 2}))
    assert sized.computer_20241022
    assert (sized.computer_20241022.display_width_px, sized.computer_20241022.display_number) == (800, 2)
    assert (sized.name, sized.description) == ("screen", "d")


async def test_taken_name_is_a_conflict_for_every_operation_and_free_for_another_agent(connection: Any, tenant: UUID, agent: UUID) -> None:
    await tools.create(connection, tenant, agent, tool("function", "a"))
    other = await tools.create(connection, tenant, agent, tool("bash_20241022", "b"))
    for work in (
        tools.create(connection, tenant, agent, tool("system", "a")),
        tools.update(connection, tenant, agent, other.id, replaced("function", "a")),
        tools.patch(connection, tenant, agent, other.id, PatchToolRequest(name="a")),
    ):
        assert isinstance(await refusal(connection, work), Conflict)
    # Its own name is no other's.
    assert (await tools.update(connection, tenant, agent, other.id, replaced("function", "b"))).name == "b"
    second = await agents.create(connection, tenant, CreateAgentRequest(name="second"))
    assert (await tools.create(connection, tenant, second.id, tool("function", "a"))).name == "a"


async def test_tool_is_found_only_under_its_own_agent_and_tenant(connection: Any, tenant: UUID, agent: UUID) -> None:
    made = await tools.create(connection, tenant, agent, tool("function"))
    second = (await agents.create(connection, tenant, CreateAgentRequest(name="second"))).id
    other = await new_tenant(connection)
    for whose, owner, tool_id in ((tenant, second, made.id), (other, agent, made.id), (tenant, agent, new_id())):
        for work in (
            tools.get(connection, whose, owner, tool_id),
            tools.update(connection, whose, owner, tool_id, replaced("function")),
            tools.patch(connection, whose, owner, tool_id, PatchToolRequest(name="x")),
            tools.delete(connection, whose, owner, tool_id),
        ):
            assert isinstance(await refusal(connection, work), NotFound)
    assert await tools.get(connection, tenant, agent, made.id) == made


async def test_secrets_alone_go_through_the_seal_and_never_twice(connection: Any, tenant: UUID, agent: UUID) -> None:
    made = await tools.create(connection, tenant, agent, tool("api_call"), seal=sealed)
    stored = await connection.fetchval(SPEC, tenant, made.id)
    assert stored["headers"] == {"Authorization": "sealed.6", "Accept": "a"}
    assert stored["url"] == "https://h/?key=sealed.6"
    # A change of something else, and one that sends back what was shown, leave the seals alone.
    await tools.patch(connection, tenant, agent, made.id, PatchToolRequest(api_call={"timeout": 5}), seal=sealed)
    shown = (await tools.get(connection, tenant, agent, made.id)).model_dump(mode="json", by_alias=True)
    await tools.update(connection, tenant, agent, made.id, UpdateToolRequest.model_validate(shown), seal=sealed)
    assert await connection.fetchval(SPEC, tenant, made.id) == {**stored, "timeout": 5}
    new = PatchToolRequest(api_call={"headers": {"Authorization": MARKER, "X-Api-Key": "another one"}})
    await tools.patch(connection, tenant, agent, made.id, new, seal=sealed)
    assert (await connection.fetchval(SPEC, tenant, made.id))["headers"] == {"Authorization": "sealed.6", "X-Api-Key": "sealed.11"}


async def test_tools_of_a_new_and_of_a_replaced_agent_go_through_the_seal(connection: Any, tenant: UUID) -> None:
    given = CreateAgentRequest(name="x", tools=[tool("integration")])
    for work in (agents.create(connection, tenant, given, seal=sealed), agents.upsert(connection, tenant, new_id(), given, seal=sealed)):
        made = await work
        (each,) = await tools.list_(connection, tenant, made.id, Page())
        assert (await connection.fetchval(SPEC, tenant, each.id))["setup"] == {"brave_api_key": "sealed.6"}
        assert each.integration
        assert each.integration.setup == {"brave_api_key": MARKER}


@pytest.mark.parametrize(
    "sent",
    [
        PatchToolRequest(api_call={"headers": {"X-New-Key": MARKER}}),
        PatchToolRequest(api_call={"url": f"https://elsewhere/?key={MARKER}"}),
        PatchToolRequest(type="integration", integration={"provider": "brave", "setup": {"brave_api_key": MARKER}}),
    ],
)
async def test_marker_where_no_secret_is_stored_is_refused(connection: Any, tenant: UUID, agent: UUID, sent: PatchToolRequest) -> None:
    made = await tools.create(connection, tenant, agent, tool("api_call"))
    error = await refusal(connection, tools.patch(connection, tenant, agent, made.id, sent))
    assert isinstance(error, FieldInvalid)
    assert error.loc == ("body", sent.type or "api_call")
    assert await tools.get(connection, tenant, agent, made.id) == made
