"""Schedules of tasks over HTTP. Ours: the published API has none."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import PlainPage, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.core import clock
from mentha.store import schedules
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.schedules import CreateScheduleRequest, PatchScheduleRequest, Schedule, SchedulePage
from mentha.workflow.schedules import next_of

OURS = {"x-mentha": True}
router = APIRouter(tags=["schedules"], route_class=Route)


@router.post("/tasks/{task_id}/schedules", status_code=201, responses=errors(404, 409), openapi_extra=OURS)
async def create_schedule(task_id: UUID, body: CreateScheduleRequest, tenant: TenantId, tx: Tx) -> Schedule:
    """Have a task started at regular times"""
    return await schedules.create(tx, tenant, task_id, body, next_at=next_of(body, clock.now()))


@router.get("/tasks/{task_id}/schedules", responses=errors(404), openapi_extra=OURS)
async def list_schedules(task_id: UUID, tenant: TenantId, tx: Statement, page: PlainPage) -> SchedulePage:
    """List the schedules of a task"""
    return SchedulePage(items=await schedules.list_(tx, tenant, task_id, page))


@router.get("/tasks/{task_id}/schedules/{schedule_id}", responses=errors(404), openapi_extra=OURS)
async def get_schedule(task_id: UUID, schedule_id: UUID, tenant: TenantId, tx: Statement) -> Schedule:
    """Get a schedule"""
    return await schedules.get(tx, tenant, task_id, schedule_id)


@router.put("/tasks/{task_id}/schedules/{schedule_id}", responses=errors(404), openapi_extra=OURS)
async def update_schedule(task_id: UUID, schedule_id: UUID, body: CreateScheduleRequest, tenant: TenantId, tx: Tx) -> Schedule:
    """Replace a schedule"""
    return await schedules.update(tx, tenant, task_id, schedule_id, body, next_at=next_of(body, clock.now()))


@router.patch("/tasks/{task_id}/schedules/{schedule_id}", responses=errors(404), openapi_extra=OURS)
async def patch_schedule(task_id: UUID, schedule_id: UUID, body: PatchScheduleRequest, tenant: TenantId, tx: Tx) -> Schedule:
    """Change some fields of a schedule, like `paused`"""
    held = await schedules.hold(tx, tenant, task_id, schedule_id)
    changed = CreateScheduleRequest.model_validate(held.model_dump() | body.model_dump(exclude_none=True))
    # A time that has come and was not dealt with yet is not forgotten because of a new name.
    is_kept = all(getattr(changed, name) == getattr(held, name) for name in ("cron", "timezone", "paused"))
    next_at = held.next_at if is_kept else next_of(changed, clock.now())
    return await schedules.update(tx, tenant, task_id, schedule_id, changed, next_at=next_at)


@router.delete("/tasks/{task_id}/schedules/{schedule_id}", status_code=202, responses=errors(404), openapi_extra=OURS)
async def delete_schedule(task_id: UUID, schedule_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete a schedule. Executions that it started stay"""
    return ResourceDeletedResponse(id=schedule_id, deleted_at=await schedules.delete(tx, tenant, task_id, schedule_id))
