"""Tools of agents in PostgreSQL."""

from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound, NotServedYet
from mentha.core.ids import new_id
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.tools import TOOL_TYPES_SERVED, CreateToolRequest, Tool

COLUMNS = "x.id, x.name, x.type, x.description, x.spec, x.created_at, x.updated_at"

INSERT = f"""
INSERT INTO tools AS x (tenant_id, id, agent_id, name, type, description, spec) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, agent_id: UUID, tool: CreateToolRequest) -> Tool:
    """Give an agent a tool.

    Raises:
        NotServedYet: this version has no tools of that type.
        NotFound: the tenant has no such agent.
        Conflict: the agent has a tool with this name.
    """
    if tool.type not in TOOL_TYPES_SERVED:
        raise NotServedYet(
            f"tools of type '{tool.type}' are not in this version", fix="use a tool of type 'function', which the client runs"
        )
    row = await tx.fetchrow(INSERT, tenant, new_id(), agent_id, tool.name, tool.type, tool.description, spec_of(tool))
    return tool_of(row)


DELETE_ALL = "DELETE FROM tools WHERE tenant_id = $1 AND agent_id = $2"


async def replace_all(tx: Tx, tenant: UUID, agent_id: UUID, tools: list[CreateToolRequest]) -> None:
    """Give an agent exactly these tools.

    Raises:
        Conflict: two of them have the same name.
    """
    await tx.execute(DELETE_ALL, tenant, agent_id)
    for tool in tools:
        await create(tx, tenant, agent_id, tool)


LIST = ordered(f"SELECT {COLUMNS} FROM tools x WHERE x.tenant_id = $1 AND x.agent_id = $4")
AGENT_EXISTS = "SELECT true FROM agents WHERE tenant_id = $1 AND id = $2"


async def list_(tx: Tx, tenant: UUID, agent_id: UUID, page: Page) -> list[Tool]:
    """One page of an agent's tools.

    Raises:
        NotFound: the tenant has no such agent.
    """
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, agent_id)
    if not rows and not await tx.fetchval(AGENT_EXISTS, tenant, agent_id):
        raise NotFound("No agent found during list")
    return [tool_of(row) for row in rows]


DELETE = "DELETE FROM tools WHERE tenant_id = $1 AND agent_id = $2 AND id = $3 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, agent_id: UUID, tool_id: UUID) -> datetime:
    """Take a tool from an agent.

    Raises:
        NotFound: the tenant's agent has no such tool.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, agent_id, tool_id)
    if deleted_at is None:
        raise NotFound("Tool not found during delete")
    return deleted_at


def spec_of(tool: CreateToolRequest) -> Any:
    """The member that is named like the type, as stored."""
    member = getattr(tool, tool.type)
    return member.model_dump(mode="json", exclude_none=True) if hasattr(member, "model_dump") else member


def tool_of(row: Any) -> Tool:
    """A row as the API shows it: a function has the tool's name and description inside, too."""
    spec = dict(row["spec"])
    if row["type"] == "function":
        spec["name"] = row["name"]
        spec["description"] = row["description"] if row["description"] is not None else spec.get("description")
    known = {name: row[name] for name in ("id", "name", "type", "description", "created_at", "updated_at")}
    return Tool.model_validate({**known, row["type"]: spec})
