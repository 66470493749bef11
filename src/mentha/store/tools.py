"""Tools of agents in PostgreSQL.

The secrets of a tool, and nothing else of it, go through `seal` on their way into a row; in a row they stay sealed. Nothing here takes a seal
off: answers show a marker in the place of each (`tool_of`), and whoever runs a tool opens what it needs with `wire.masks.each_secret`.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, JsonValue
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire import masks
from mentha.wire.common import Page
from mentha.wire.tools import CreateToolRequest, PatchToolRequest, Tool, UpdateToolRequest, changed_spec, patched, spec_of

# What to store in the place of a secret of the tool with this id. Inside of a URL it gives text that is safe there (`masks.Change`).
Seal = Callable[[UUID, JsonValue], JsonValue]


def unsealed(_tool_id: UUID, secret: JsonValue) -> JsonValue:
    """The seal that is none: a secret is stored as it is."""
    return secret


COLUMNS = "x.id, x.name, x.type, x.description, x.spec, x.created_at, x.updated_at"

INSERT = f"""
INSERT INTO tools AS x (tenant_id, id, agent_id, name, type, description, spec) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, agent_id: UUID, tool: CreateToolRequest, *, seal: Seal = unsealed) -> Tool:
    """Give an agent a tool.

    Raises:
        NotFound: the tenant has no such agent.
        Conflict: the agent has a tool with this name.
    """
    tool_id = new_id()
    spec = masks.each_secret(tool.type, spec_of(tool), partial(seal, tool_id))
    return tool_of(await tx.fetchrow(INSERT, tenant, tool_id, agent_id, tool.name, tool.type, tool.description, spec))


GET = f"SELECT {COLUMNS} FROM tools x WHERE x.tenant_id = $1 AND x.agent_id = $2 AND x.id = $3"


async def get(tx: Tx, tenant: UUID, agent_id: UUID, tool_id: UUID) -> Tool:
    """One tool of an agent.

    Raises:
        NotFound: the tenant's agent has no such tool.
    """
    return tool_of(_found(await tx.fetchrow(GET, tenant, agent_id, tool_id), "get"))


SEALED = (
    "SELECT x.id, x.name, x.type, x.description, x.spec FROM tools x WHERE x.tenant_id = $1 AND x.agent_id = $2 ORDER BY x.created_at, x.id"
)


async def sealed(tx: Tx, tenant: UUID, agent_id: UUID) -> list[JsonObject]:
    """All tools of an agent as create-tool objects with their `id`, the oldest first; their secrets stay sealed. For whoever runs them."""
    rows = await tx.fetch(SEALED, tenant, agent_id)
    named = ("name", "type", "description")
    return [{"id": str(row["id"]), **{name: row[name] for name in named}, row["type"]: row["spec"]} for row in rows]


GET_LOCKED = f"{GET} FOR UPDATE"
UPDATE = f"""
UPDATE tools x SET name = $4, type = $5, description = $6, spec = $7, updated_at = now()
WHERE x.tenant_id = $1 AND x.agent_id = $2 AND x.id = $3
RETURNING {COLUMNS}
"""


async def update(tx: Tx, tenant: UUID, agent_id: UUID, tool_id: UUID, tool: UpdateToolRequest, *, seal: Seal = unsealed) -> Tool:
    """Replace a tool; secrets that are sent as they are shown stay. Needs a transaction around it; locks the row.

    Raises:
        NotFound: the tenant's agent has no such tool.
        Conflict: the agent has another tool with this name.
        FieldInvalid: a secret is sent as it is shown, and none is stored in its place.
    """
    stored = _found(await tx.fetchrow(GET_LOCKED, tenant, agent_id, tool_id), "update")
    return await _changed(tx, tenant, agent_id, tool_id, tool, changed_spec(tool, stored, None, partial(seal, tool_id)))


async def patch(tx: Tx, tenant: UUID, agent_id: UUID, tool_id: UUID, tool: PatchToolRequest, *, seal: Seal = unsealed) -> Tool:
    """Change the given fields, and of the tool's member those that are given in it. Needs a transaction around it; locks the row.

    Raises:
        NotFound, Conflict: as `update`.
        FieldInvalid: as `update`, or what comes out breaks a rule.
    """
    stored = _found(await tx.fetchrow(GET_LOCKED, tenant, agent_id, tool_id), "patch")
    whole = patched(stored, tool)
    fresh = set[str](getattr(tool, whole.type) or ())
    return await _changed(tx, tenant, agent_id, tool_id, whole, changed_spec(whole, stored, fresh, partial(seal, tool_id)))


DELETE_ALL = "DELETE FROM tools WHERE tenant_id = $1 AND agent_id = $2"


async def replace_all(tx: Tx, tenant: UUID, agent_id: UUID, tools: list[CreateToolRequest], *, seal: Seal = unsealed) -> None:
    """Give an agent exactly these tools.

    Raises:
        Conflict: two of them have the same name.
    """
    await tx.execute(DELETE_ALL, tenant, agent_id)
    for tool in tools:
        await create(tx, tenant, agent_id, tool, seal=seal)


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


def tool_of(row: Any) -> Tool:
    """A row as the API shows it: without secrets; a function has the tool's name and description inside, too."""
    spec = masks.shown(row["type"], row["spec"])
    if row["type"] == "function":
        description = row["description"] if row["description"] is not None else spec.get("description")
        spec = {**spec, "name": row["name"], "description": description}
    known = {name: row[name] for name in ("id", "name", "type", "description", "created_at", "updated_at")}
    return Tool.model_validate({**known, row["type"]: spec})


async def _changed(tx: Tx, tenant: UUID, agent_id: UUID, tool_id: UUID, tool: UpdateToolRequest, spec: JsonObject) -> Tool:
    return tool_of(await tx.fetchrow(UPDATE, tenant, agent_id, tool_id, tool.name, tool.type, tool.description, spec))


def _found(row: Any, operation: str) -> Any:
    if row is None:
        raise NotFound(f"Tool not found during {operation}")
    return row
