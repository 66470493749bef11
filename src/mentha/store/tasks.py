"""Tasks in PostgreSQL: a row for what has an id, and one for each definition that it has had.

The secrets of their tools are sealed like those of agents' tools (`store/tools.py`), each bound to the tool's own id, which a tool keeps
from version to version as long as it has its name.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from mentha.core.clock import iso
from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.json import JsonObject
from mentha.core.names import readable_name
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.store.tools import Seal, unsealed
from mentha.wire.common import Page
from mentha.wire.tasks import Draft, masked, shown, whole
from mentha.wire.tools import resealed

# Older definitions go.
VERSIONS_MAX = 100

COLUMNS = """x.id, x.agent_id, x.canonical_name, x.version, x.created_at, x.updated_at, v.definition, v.tools, v.warnings"""
FROM = "tasks x JOIN task_versions v ON v.tenant_id = x.tenant_id AND v.task_id = x.id AND v.version = x.version"

AGENT_TOOLS = "SELECT t.name FROM tools t WHERE t.tenant_id = $1 AND t.agent_id = $2"
AGENT_EXISTS = "SELECT true FROM agents WHERE tenant_id = $1 AND id = $2"


async def agent_tools(tx: Tx, tenant: UUID, agent_id: UUID) -> list[str]:
    """The names of the tools of an agent.

    Raises:
        NotFound: the tenant has no such agent.
    """
    rows = await tx.fetch(AGENT_TOOLS, tenant, agent_id)
    if not rows and not await tx.fetchval(AGENT_EXISTS, tenant, agent_id):
        raise NotFound("No agent found during create")
    return [row["name"] for row in rows]


INSERT = "INSERT INTO tasks (tenant_id, id, agent_id, canonical_name) VALUES ($1, $2, $3, $4)"


async def create(tx: Tx, tenant: UUID, agent_id: UUID, draft: Draft, *, task_id: UUID | None = None, seal: Seal = unsealed) -> JsonObject:
    """Store a new task of an agent, under a made-up canonical name where none is given; gives it as answers have it.

    Raises:
        NotFound: the tenant has no such agent.
        Conflict: the canonical name is taken.
        FieldInvalid: a secret is sent as it is shown, and none is stored in its place.
    """
    made_id = task_id or new_id()
    await tx.execute(INSERT, tenant, made_id, agent_id, draft.canonical_name or readable_name())
    await _store_version(tx, tenant, made_id, 1, draft, [], seal)
    return await get(tx, tenant, made_id)


GET = f"SELECT {COLUMNS} FROM {FROM} WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, task_id: UUID) -> JsonObject:
    """One task as answers have it.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return task_of(_found(await tx.fetchrow(GET, tenant, task_id), "get"))


LIST = ordered(
    f"SELECT {COLUMNS} FROM {FROM} WHERE x.tenant_id = $1 AND x.agent_id = $4"
    " AND ($5::jsonpath IS NULL OR (v.definition -> 'metadata')::jsonb @@ $5::jsonpath)"
)


async def list_(tx: Tx, tenant: UUID, agent_id: UUID, page: Page) -> list[JsonObject]:
    """One page of an agent's tasks, each as it is now.

    Raises:
        NotFound: the tenant has no such agent.
    """
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, agent_id, page.metadata_filter)
    if not rows and not await tx.fetchval(AGENT_EXISTS, tenant, agent_id):
        raise NotFound("No agent found during list")
    return [task_of(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a change starts from: the definition in the form of a request, with secrets masked."""

    agent_id: UUID
    version: int
    definition: JsonObject
    tools: list[JsonObject]


LOCK = f"SELECT x.agent_id, x.version, v.definition, v.tools FROM {FROM} WHERE x.tenant_id = $1 AND x.id = $2 FOR UPDATE OF x"


async def lock(tx: Tx, tenant: UUID, task_id: UUID) -> Stored | None:
    """A task that is to be changed, None where the tenant has none with this id. Needs a transaction around it; locks the row."""
    row = await tx.fetchrow(LOCK, tenant, task_id)
    if row is None:
        return None
    return Stored(row["agent_id"], row["version"], whole(row["definition"], row["tools"], masked), row["tools"])


UPDATE = """
UPDATE tasks SET version = $3, canonical_name = COALESCE($4, canonical_name), updated_at = now() WHERE tenant_id = $1 AND id = $2
"""
# What still runs is run as it began.
DROP_OLD = """
DELETE FROM task_versions v WHERE v.tenant_id = $1 AND v.task_id = $2 AND v.version <= $3 AND NOT EXISTS (
    SELECT FROM executions e WHERE e.tenant_id = $1 AND e.task_id = $2 AND e.task_version = v.version AND e.finished_at IS NULL)
"""


async def update(tx: Tx, tenant: UUID, task_id: UUID, draft: Draft, stored: Stored, *, seal: Seal = unsealed) -> JsonObject:
    """Give a task its next definition; secrets that are sent as they are shown stay. Runs that there are keep their plan.

    Args:
        stored: the task as `lock` gave it in this transaction.

    Raises:
        Conflict: the canonical name is taken.
        FieldInvalid: a secret is sent as it is shown, and none is stored in its place.
    """
    version = stored.version + 1
    await tx.execute(UPDATE, tenant, task_id, version, draft.canonical_name)
    await _store_version(tx, tenant, task_id, version, draft, stored.tools, seal)
    await tx.execute(DROP_OLD, tenant, task_id, version - VERSIONS_MAX)
    return await get(tx, tenant, task_id)


DELETE = "DELETE FROM tasks WHERE tenant_id = $1 AND id = $2 AND agent_id = COALESCE($3, agent_id) RETURNING now()"


async def delete(tx: Tx, tenant: UUID, task_id: UUID, *, agent_id: UUID | None = None) -> datetime:
    """Delete a task, where an agent is named one of that agent, with all its versions.

    Raises:
        NotFound: there is no such task.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, task_id, agent_id)
    if deleted_at is None:
        raise NotFound("Task not found during delete")
    return deleted_at


VERSIONS = """
SELECT v.version, v.definition ->> 'name' AS name, v.definition ->> 'description' AS description, v.created_at FROM task_versions v
WHERE v.tenant_id = $1 AND v.task_id = $4 ORDER BY CASE WHEN $5 THEN v.version END, v.version DESC LIMIT $2 OFFSET $3
"""
TASK_EXISTS = "SELECT true FROM tasks WHERE tenant_id = $1 AND id = $2"


async def versions(tx: Tx, tenant: UUID, task_id: UUID, page: Page) -> list[JsonObject]:
    """One page of the versions that are kept of a task.

    Raises:
        NotFound: the tenant has no such task.
    """
    rows = await tx.fetch(VERSIONS, tenant, page.limit, page.offset, task_id, page.direction == "asc")
    if not rows and not await tx.fetchval(TASK_EXISTS, tenant, task_id):
        raise NotFound("Task not found during list")
    return [{**row, "created_at": iso(row["created_at"])} for row in rows]


GET_VERSION = """
SELECT x.id, x.agent_id, x.canonical_name, v.version, x.created_at, v.created_at AS updated_at, v.definition, v.tools, v.warnings
FROM tasks x JOIN task_versions v ON v.tenant_id = x.tenant_id AND v.task_id = x.id
WHERE x.tenant_id = $1 AND x.id = $2 AND v.version = $3
"""


async def get_version(tx: Tx, tenant: UUID, task_id: UUID, version: int) -> JsonObject:
    """A task as it was with this version, but for its canonical name.

    Raises:
        NotFound: the tenant has no such task, or it has no such version any more.
    """
    return task_of(_found(await tx.fetchrow(GET_VERSION, tenant, task_id, version), "get"))


def task_of(row: Any) -> JsonObject:
    """A row as answers have it."""
    times = {name: iso(row[name]) for name in ("created_at", "updated_at")}
    known = {"id": str(row["id"]), "agent_id": str(row["agent_id"]), "canonical_name": row["canonical_name"], "version": row["version"]}
    return {**whole(row["definition"], row["tools"], shown), **known, **times, "warnings": row["warnings"]}


INSERT_VERSION = """
INSERT INTO task_versions (tenant_id, task_id, version, definition, tools, plan, warnings) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def _store_version(tx: Tx, tenant: UUID, task_id: UUID, version: int, draft: Draft, before: list[JsonObject], seal: Seal) -> None:
    tools = _sealed(draft.tools, before, seal)
    await tx.execute(INSERT_VERSION, tenant, task_id, version, draft.definition, tools, draft.plan, draft.warnings)


def _sealed(tools: list[JsonObject], before: list[JsonObject], seal: Seal) -> list[JsonObject]:
    """Tools as they are stored: with ids, secrets sealed, those that were sent as they are shown taken from the tool of the same name."""
    old: dict[tuple[str, bool], list[JsonObject]] = defaultdict(list)
    for tool in before:
        old[_name_of(tool)].append(tool)
    made: list[JsonObject] = []
    for index, tool in enumerate(tools):
        # Prompts may have tools of one name: the first goes on as the first, the second as the second.
        same = old[_name_of(tool)]
        stored = same.pop(0) if same else None
        tool_id = UUID(stored["id"]) if stored else new_id()
        kind = tool["type"]
        spec = resealed(kind, tool[kind], stored, partial(seal, tool_id), loc=("body", "tools", index, kind))
        made.append({"id": str(tool_id), **tool, kind: spec})
    return made


def _name_of(tool: JsonObject) -> tuple[str, bool]:
    return tool["name"], bool(tool.get("inline"))


def _found(row: Any, operation: str) -> Any:
    if row is None:
        raise NotFound(f"Task not found during {operation}")
    return row
