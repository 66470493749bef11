"""From a request to an execution that workers can run: its input checked, its plan kept as it is now, one transaction."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.auth import caller
from mentha.core.errors import BadRequest, Conflict
from mentha.core.ids import new_id
from mentha.core.json import JsonObject
from mentha.store import executions, queue
from mentha.store.executions import NewExecution
from mentha.store.pool import Tx
from mentha.tools.schemas import compile_schema
from mentha.wire.executions import Execution
from mentha.workflow.plans import Plans
from mentha.workflow.runs import KIND

FAULTS_TOLD_MAX = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """An execution that somebody wants.

    Attributes:
        idempotency_key: the same request under the same key gets the same execution.
        digest: of the request, to tell the same one from another; None where the key alone says that, as a call that is made once more may
            come with other arguments.
        schedule_id, scheduled_at: of the schedule that wants it.
        depth: how many executions stand above it.
        key_id: what its prompts cost counts for this key.
    """

    task_id: UUID
    input: JsonObject
    metadata: JsonObject = field(default_factory=dict[str, Any])
    session_id: UUID | None = None
    user_id: UUID | None = None
    idempotency_key: str | None = None
    digest: bytes | None = None
    schedule_id: UUID | None = None
    scheduled_at: datetime | None = None
    depth: int = 0
    key_id: UUID | None = field(default_factory=caller.key_id.get)


async def create(runtime: Any, tenant: UUID, wanted: Wanted) -> Execution:
    """Start an execution, or give the one that the same request has started.

    Raises:
        NotFound: no such task, session or user.
        BadRequest: the input does not fit the task's `input_schema`. The message says where.
        Conflict: the idempotency key was used for another request.
    """
    async with runtime.database.transaction() as tx:
        made = await create_in(tx, tenant, wanted, runtime.plans)
        if made is None:
            return await _same(tx, tenant, wanted)
        if not runtime.runs.has_room:
            await queue.wake(tx, KIND, payload=tenant.bytes)
    runtime.runs.nudge(tenant)
    return made


async def create_in(tx: Tx, tenant: UUID, wanted: Wanted, plans: Plans) -> Execution | None:
    """Store an execution within a transaction; have a worker look for it when that is committed.

    Returns:
        None where there is one under its idempotency key, or for its time of its schedule.

    Raises:
        NotFound, BadRequest: as `create`.
    """
    version, agent_id = await executions.current(tx, tenant, wanted.task_id)
    plan = await plans.get(tx, tenant, wanted.task_id, version)
    check_input(plan["task"]["input_schema"], wanted.input)
    new = NewExecution(
        id=new_id(),
        task_id=wanted.task_id,
        task_version=version,
        agent_id=agent_id,
        interpreter=plan["interpreter"],
        input=wanted.input,
        metadata=wanted.metadata,
        session_id=wanted.session_id,
        user_id=wanted.user_id,
        idempotency_key=wanted.idempotency_key,
        request_digest=wanted.digest,
        schedule_id=wanted.schedule_id,
        scheduled_at=wanted.scheduled_at,
        depth=wanted.depth,
        key_id=wanted.key_id,
    )
    return await executions.create(tx, tenant, new)


def check_input(schema: Any, given: Any, *, what: str = "the input does not fit the task's input_schema") -> None:
    """Check a value by a tenant's schema; one that is empty, or none, lets everything pass.

    Raises:
        BadRequest: it does not fit. The message says where, without the value.
    """
    if not schema:
        return
    faults = compile_schema(schema).faults(given)
    if faults:
        told = "; ".join(f"at `{fault.path or '/'}`: {fault.message}" for fault in faults[:FAULTS_TOLD_MAX])
        raise BadRequest(f"{what}: {told}", fix="send what the schema asks for")


def digest_of(task_id: UUID, body: bytes) -> bytes:
    """What tells a request from others under the same key."""
    return hashlib.sha256(task_id.bytes + body).digest()


async def _same(tx: Tx, tenant: UUID, wanted: Wanted) -> Execution:
    found = await executions.find_key(tx, tenant, wanted.idempotency_key) if wanted.idempotency_key else None
    if found is None or found[1] != wanted.digest:
        raise Conflict("this Idempotency-Key was used for another request", fix="use a new key")
    return await executions.get(tx, tenant, found[0])
