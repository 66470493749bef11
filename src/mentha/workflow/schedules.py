"""Schedules of tasks: when each is due, and starting what is due, each time once.

A firing is one transaction: the schedule is held, an execution stored under the time that it is for, and the next time written down. A time
that passed while no server ran is made up for once, however many there were.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from mentha import observe
from mentha.core import cron
from mentha.core.cron import CronInvalid
from mentha.core.errors import FieldInvalid, MenthaError, Unavailable
from mentha.observe.events import ScheduleFailed, SweepFailed
from mentha.store import delivery, queue, schedules, workers
from mentha.store.failures import translated
from mentha.store.pool import Tx
from mentha.store.workers import Due
from mentha.wire.schedules import CreateScheduleRequest
from mentha.workflow import start
from mentha.workflow.runs import KIND
from mentha.workflow.start import Wanted

FIRED_AT_ONCE_MAX = 20
ROUNDS_MAX = 50


def next_of(new: CreateScheduleRequest, now: datetime) -> datetime | None:
    """When a schedule is due next; None while it is paused, or where its times never come.

    Raises:
        FieldInvalid: it has no valid expression, or no time zone.
    """
    try:
        due = cron.next_after(new.cron, new.timezone, now)
    except CronInvalid as error:
        name = "timezone" if "time zone" in str(error) else "cron"
        raise FieldInvalid(str(error), loc=("body", name), kind="cron_invalid") from None
    return None if new.paused else due


async def sweep(runtime: Any) -> None:
    """Start what is due."""
    async with runtime.database.connection() as connection:
        if not await workers.any_schedule_due(connection):
            return
    for _ in range(ROUNDS_MAX):
        tenants: set[UUID] = set()
        async with runtime.database.transaction() as tx:
            due = await workers.take_schedules(tx, limit=FIRED_AT_ONCE_MAX)
            for each in due:
                await _fire(runtime, tx, each)
                tenants.add(each.tenant_id)
            if not runtime.runs.has_room:
                for tenant in tenants:
                    await queue.wake(tx, KIND, payload=tenant.bytes)
        for tenant in tenants:
            runtime.runs.nudge(tenant)
        if len(due) < FIRED_AT_ONCE_MAX:
            return


async def _fire(runtime: Any, tx: Tx, due: Due) -> None:
    tenant, schedule = due.tenant_id, due.schedule
    error: str | None = None
    wanted = Wanted(
        schedule.task_id,
        schedule.input,
        schedule.metadata or {},
        schedule_id=schedule.id,
        scheduled_at=schedule.next_at,
        key_id=due.key_id,
    )
    try:
        async with tx.transaction():
            await start.create_in(tx, tenant, wanted, runtime.plans)
    except Exception as failure:  # noqa: BLE001 - one schedule must not keep those of others from being started
        error = _told(failure)
    try:
        next_at = cron.next_after(schedule.cron, schedule.timezone, due.now)
    except CronInvalid as invalid:
        # Time zones come from the machine: this one may know fewer than the one that checked it.
        next_at, error = None, f"it is not due any more: {invalid}"
        observe.emit(ScheduleFailed(reason="cron_invalid"))
    await schedules.fired(tx, tenant, schedule.id, next_at=next_at, error=error)


def _told(failure: Exception) -> str:
    """What the owner of a schedule is told of why it could start nothing. Where the database is away, nobody is: it is raised again."""
    known = translated(failure)
    if isinstance(known, Unavailable):
        raise known
    reason, detail = delivery.reason_of(known)
    observe.emit(ScheduleFailed(reason=reason))
    if isinstance(known, MenthaError):
        return known.message
    observe.emit(SweepFailed(name="schedules", reason=reason, detail=detail))
    return "something went wrong in the server; its log has the details"
