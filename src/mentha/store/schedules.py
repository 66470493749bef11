"""Schedules in PostgreSQL, as clients make and change them. What is due is taken by `store/workers.py`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.auth import caller
from mentha.core.errors import Conflict, NotFound
from mentha.core.ids import new_id
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.schedules import SCHEDULES_MAX, CreateScheduleRequest, Schedule

COLUMNS = """x.id, x.task_id, x.name, x.cron, x.timezone, x.input, x.metadata, x.paused, x.next_at, x.last_at, x.last_error, x.created_at,
    x.updated_at"""
LOCK_TASK = "SELECT (SELECT count(*) FROM schedules s WHERE s.tenant_id = $1 AND s.task_id = $2) FROM tasks t WHERE t.tenant_id = $1 AND t.id = $2 FOR UPDATE"
INSERT = f"""
INSERT INTO schedules AS x (tenant_id, id, task_id, name, cron, timezone, input, metadata, paused, next_at, key_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, task_id: UUID, new: CreateScheduleRequest, *, next_at: datetime | None) -> Schedule:
    """Store a new schedule of a task, due at `next_at`; what it starts counts for the caller's key. Needs a transaction around it.

    Raises:
        NotFound: no such task.
        Conflict: the task has 100 already.
    """
    count = await tx.fetchval(LOCK_TASK, tenant, task_id)
    if count is None:
        raise NotFound("Task not found during create")
    if count >= SCHEDULES_MAX:
        raise Conflict(f"a task has at most {SCHEDULES_MAX} schedules")
    return _schedule(await tx.fetchrow(INSERT, tenant, new_id(), task_id, *_fields(new), next_at, caller.key_id.get()), "create")


GET = f"SELECT {COLUMNS} FROM schedules x WHERE x.tenant_id = $1 AND x.task_id = $2 AND x.id = $3"
HOLD = f"{GET} FOR UPDATE"


async def get(tx: Tx, tenant: UUID, task_id: UUID, schedule_id: UUID) -> Schedule:
    """One schedule of a task.

    Raises:
        NotFound: the task has none with this id.
    """
    return _schedule(await tx.fetchrow(GET, tenant, task_id, schedule_id), "get")


async def hold(tx: Tx, tenant: UUID, task_id: UUID, schedule_id: UUID) -> Schedule:
    """The same, as it stays until the transaction ends.

    Raises:
        NotFound: as `get`.
    """
    return _schedule(await tx.fetchrow(HOLD, tenant, task_id, schedule_id), "update")


LIST = ordered(f"SELECT {COLUMNS} FROM schedules x WHERE x.tenant_id = $1 AND x.task_id = $4")
TASK_EXISTS = "SELECT EXISTS (SELECT FROM tasks t WHERE t.tenant_id = $1 AND t.id = $2)"


async def list_(tx: Tx, tenant: UUID, task_id: UUID, page: Page) -> list[Schedule]:
    """One page of a task's schedules.

    Raises:
        NotFound: no such task.
    """
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, task_id)
    if not rows and not await tx.fetchval(TASK_EXISTS, tenant, task_id):
        raise NotFound("Task not found during list")
    return [_schedule(row, "list") for row in rows]


UPDATE = f"""
UPDATE schedules x SET name = $4, cron = $5, timezone = $6, input = $7, metadata = $8, paused = $9, next_at = $10, last_error = NULL,
    updated_at = now()
WHERE x.tenant_id = $1 AND x.task_id = $2 AND x.id = $3 RETURNING {COLUMNS}
"""


async def update(
    tx: Tx, tenant: UUID, task_id: UUID, schedule_id: UUID, new: CreateScheduleRequest, *, next_at: datetime | None
) -> Schedule:
    """Replace a schedule.

    Raises:
        NotFound: as `get`.
    """
    return _schedule(await tx.fetchrow(UPDATE, tenant, task_id, schedule_id, *_fields(new), next_at), "update")


DELETE = "DELETE FROM schedules WHERE tenant_id = $1 AND task_id = $2 AND id = $3 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, task_id: UUID, schedule_id: UUID) -> datetime:
    """Delete a schedule. What it started goes on.

    Raises:
        NotFound: as `get`.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, task_id, schedule_id)
    if deleted_at is None:
        raise NotFound("Schedule not found during delete")
    return deleted_at


FIRED = "UPDATE schedules SET last_at = next_at, next_at = $3, last_error = $4 WHERE tenant_id = $1 AND id = $2"


async def fired(tx: Tx, tenant: UUID, schedule_id: UUID, *, next_at: datetime | None, error: str | None) -> None:
    """Its time has been dealt with: it is due again at `next_at`. `error` says why nothing was started."""
    await tx.execute(FIRED, tenant, schedule_id, next_at, error)


def _fields(new: CreateScheduleRequest) -> tuple[Any, ...]:
    return new.name, new.cron, new.timezone, new.input, new.metadata, new.paused


def _schedule(row: Any, operation: str) -> Schedule:
    if row is None:
        raise NotFound(f"Schedule not found during {operation}")
    return Schedule.model_validate(dict(row))
