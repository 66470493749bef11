"""Executions over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request

from mentha.api.body import Route
from mentha.api.deps import FilteredPage, RuntimeOf, Statement, TenantId, execution_depth, is_retry
from mentha.api.responses import errors
from mentha.store import executions
from mentha.wire.executions import (
    CreateExecutionRequest,
    Execution,
    ExecutionPage,
    ExecutionsPage,
    ExecutionStatus,
    StopExecutionRequest,
    TaskTokenResumeExecutionRequest,
    UpdateExecutionRequest,
)
from mentha.workflow import change, journal, start
from mentha.workflow.change import Answer
from mentha.workflow.start import Wanted

router = APIRouter(tags=["executions"], route_class=Route)

IDEMPOTENCY_KEY_CHARS_MAX = 255
TASK_TOKEN_CHARS_MAX = 200
# A token may be in a mail to somebody who may say yes or no, and read nothing.
UNSEEN: dict[str, Any] = {"input": {}, "output": None, "error": None, "metadata": {}, "session_id": None, "user_id": None}


@router.post("/tasks/{task_id}/executions", status_code=201, responses=errors(400, 404, 409))
async def create_execution(
    task_id: UUID,
    body: CreateExecutionRequest,
    request: Request,
    tenant: TenantId,
    runtime: RuntimeOf,
    idempotency_key: Annotated[
        str | None, Header(max_length=IDEMPOTENCY_KEY_CHARS_MAX, description="The same request with the same key starts nothing new")
    ] = None,
) -> Execution:
    """Start a task with an input. The answer's `metadata` has `jobs`, whose state can be asked for"""
    key = idempotency_key or None
    digest = start.digest_of(task_id, await request.body()) if key else None
    wanted = Wanted(task_id, body.input, body.metadata or {}, body.session_id, body.user_id, key, digest, depth=execution_depth(request))
    made = await start.create(runtime, tenant, wanted)
    # Its job has its id.
    return made.model_copy(update={"metadata": {**(made.metadata or {}), "jobs": [str(made.id)]}})


@router.get("/tasks/{task_id}/executions", responses=errors(404))
async def list_executions(
    task_id: UUID,
    tenant: TenantId,
    tx: Statement,
    page: FilteredPage,
    status: Annotated[ExecutionStatus | None, Query(description="Only those with this status")] = None,
) -> ExecutionPage:
    """List the executions of a task"""
    wanted = ExecutionsPage(**page.model_dump(), status=status)
    return ExecutionPage(items=await executions.list_(tx, tenant, task_id, wanted))


@router.get("/executions/{execution_id}", responses=errors(404))
async def get_execution(execution_id: UUID, tenant: TenantId, tx: Statement) -> Execution:
    """Get an execution"""
    return await executions.get(tx, tenant, execution_id)


@router.put("/executions/{execution_id}", responses=errors(400, 404, 409))
async def update_execution(
    execution_id: UUID, body: UpdateExecutionRequest, request: Request, tenant: TenantId, runtime: RuntimeOf
) -> Execution:
    """Answer what an execution waits for (`running`), or end it (`cancelled`)"""
    if isinstance(body, StopExecutionRequest):
        return await change.cancel(runtime, tenant, execution_id, reason=body.reason)
    target = body.model_dump(mode="json", include=set(change.NAMES), exclude_none=True)
    answer = Answer(body.input, target, body.transition_id, retried=is_retry(request))
    return await change.resume(runtime, tenant, execution_id, answer)


@router.post("/executions", responses=errors(400, 404, 409))
async def resume_by_task_token(
    body: TaskTokenResumeExecutionRequest,
    runtime: RuntimeOf,
    task_token: Annotated[str, Query(max_length=TASK_TOKEN_CHARS_MAX, description="From the metadata of a `wait` transition")],
) -> Execution:
    """Answer what an execution waits for by the token of that wait. Whoever has the token needs no key, and sees nothing of its data"""
    named = journal.read_token(task_token)
    changed = await change.resume(runtime, named.tenant, named.execution_id, Answer(body.input, {}, token=task_token))
    return changed.model_copy(update=UNSEEN)
