"""What tools of type `system` can do with tasks and executions; a part of the table of `system_ops.py`."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from mentha.api import tasks as tasks_api
from mentha.core.clock import iso
from mentha.core.json import JsonObject, JsonValue
from mentha.server.system_arguments import checked, id_of, key_of_call, page_of, shown
from mentha.store import executions, tasks, transitions
from mentha.store.pool import Tx
from mentha.tools.calls import ToolFailed
from mentha.tools.system import EXECUTIONS_DEPTH_MAX, Caller, Operation
from mentha.wire.executions import CreateExecutionRequest, ExecutionsPage, ResumeExecutionRequest, StopExecutionRequest
from mentha.wire.tasks import CreateOrUpdateTaskRequest, CreateTaskRequest, PatchTaskRequest, UpdateTaskRequest
from mentha.workflow import change, start
from mentha.workflow.change import Answer

Work = Callable[[Tx, UUID, JsonObject], Awaitable[Any]]


def table(runtime: Any) -> dict[str, Operation]:
    """The operations by name, like `task.execution.create`."""
    found = {name: _in_transaction(runtime, work) for name, work in {**_tasks(runtime), **_reads()}.items()}
    begin = _begin(runtime)
    return {**found, "task.execution.create": begin, "execution.create": begin, "execution.change_status": _change_status(runtime)}


def _in_transaction(runtime: Any, work: Work) -> Operation:
    async def run(caller: Caller, given: JsonObject) -> JsonValue:
        async with runtime.database.transaction() as tx:
            return shown(await work(tx, caller.tenant, given))

    return run


def _tasks(runtime: Any) -> dict[str, Work]:
    def both(given: JsonObject) -> tuple[UUID, UUID]:
        return id_of(given, "agent_id"), id_of(given, "task_id")

    def create(tx: Tx, tenant: UUID, given: JsonObject) -> Awaitable[Any]:
        return tasks_api.create_in(tx, tenant, runtime, id_of(given, "agent_id"), checked(CreateTaskRequest, given))

    def update(tx: Tx, tenant: UUID, given: JsonObject) -> Awaitable[Any]:
        return tasks_api.update_in(tx, tenant, runtime, *both(given), checked(UpdateTaskRequest, given))

    def patch(tx: Tx, tenant: UUID, given: JsonObject) -> Awaitable[Any]:
        return tasks_api.patch_in(tx, tenant, runtime, *both(given), checked(PatchTaskRequest, given))

    def upsert(tx: Tx, tenant: UUID, given: JsonObject) -> Awaitable[Any]:
        return tasks_api.upsert_in(tx, tenant, runtime, *both(given), checked(CreateOrUpdateTaskRequest, given))

    async def delete(tx: Tx, tenant: UUID, given: JsonObject) -> JsonObject:
        task_id = id_of(given, "task_id")
        agent_id = id_of(given, "agent_id") if given.get("agent_id") else None
        return {"id": str(task_id), "deleted_at": iso(await tasks.delete(tx, tenant, task_id, agent_id=agent_id)), "jobs": []}

    return {
        "task.create": create,
        "task.get": lambda tx, tenant, given: tasks.get(tx, tenant, id_of(given, "task_id")),
        "task.list": lambda tx, tenant, given: tasks.list_(tx, tenant, id_of(given, "agent_id"), page_of(given)),
        "task.update": update,
        "task.patch": patch,
        "task.create_or_update": upsert,
        "task.delete": delete,
    }


def _reads() -> dict[str, Work]:
    def several(tx: Tx, tenant: UUID, given: JsonObject) -> Awaitable[Any]:
        page = ExecutionsPage(**page_of(given).model_dump())
        return executions.list_(tx, tenant, id_of(given, "task_id"), page)

    async def lines(tx: Tx, tenant: UUID, given: JsonObject) -> Any:
        page, execution_id = page_of(given), id_of(given, "execution_id")
        return await transitions.list_(
            tx, tenant, execution_id, limit=page.limit, offset=page.offset, direction=page.direction, scope_id=None, types=None
        )

    return {
        "task.execution.list": several,
        "execution.list": several,
        "execution.get": lambda tx, tenant, given: executions.get(tx, tenant, id_of(given, "execution_id")),
        "execution.transition.list": lines,
    }


def _begin(runtime: Any) -> Operation:
    async def run(caller: Caller, given: JsonObject) -> JsonValue:
        if caller.executions >= EXECUTIONS_DEPTH_MAX:
            raise ToolFailed(f"executions that start executions go no deeper than {EXECUTIONS_DEPTH_MAX} levels")
        body = checked(CreateExecutionRequest, {"input": {}, **given})
        task_id, depth = id_of(given, "task_id"), caller.executions
        key = key_of_call(caller)
        wanted = start.Wanted(task_id, body.input, body.metadata or {}, body.session_id, body.user_id, key, depth=depth)
        return shown(await start.create(runtime, caller.tenant, wanted))

    return run


def _change_status(runtime: Any) -> Operation:
    async def run(caller: Caller, given: JsonObject) -> JsonValue:
        execution_id = id_of(given, "execution_id")
        if given.get("status") == "cancelled":
            asked = checked(StopExecutionRequest, given)
            return shown(await change.cancel(runtime, caller.tenant, execution_id, reason=asked.reason))
        body = checked(ResumeExecutionRequest, {"status": "running", **given})
        target = body.model_dump(mode="json", include=set(change.NAMES), exclude_none=True)
        return shown(await change.resume(runtime, caller.tenant, execution_id, Answer(body.input, target, body.transition_id)))

    return run
