"""Executions in PostgreSQL, as clients make, see and change them. Who runs them works by `store/workers.py` and `store/transitions.py`.

Laws: whoever adds a line to a log raises `seq` in the same statement; an execution that has ended stays as it is.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.json import JsonObject, JsonValue
from mentha.store import paging
from mentha.store.pool import Tx
from mentha.wire.executions import Execution, ExecutionsPage
from mentha.wire.tasks import for_expressions

# What it gave last is read from its log.
COLUMNS = """x.id, x.task_id, x.task_version, x.status, x.input, x.error, x.transition_count, x.metadata, x.created_at, x.updated_at,
    x.session_id, x.user_id, x.schedule_id, x.prompt_tokens, x.completion_tokens, x.cost, x.finished_at,
    CASE WHEN x.transition_count = 0 THEN '{}' ELSE (
        SELECT t.output FROM transitions t
        WHERE t.tenant_id = x.tenant_id AND t.execution_id = x.id AND t.type NOT IN ('note', 'retry') ORDER BY t.seq DESC LIMIT 1) END AS output"""


@dataclass(frozen=True, slots=True)
class NewExecution:
    """An execution to be stored.

    Attributes:
        interpreter: what the plan of that version was made for.
        idempotency_key: the client's name for the request, whose digest is `request_digest`; or that of a call of a tool, without one.
        scheduled_at: the time of its schedule that it is for.
        depth: how many executions stand above it, each started by a tool of the one above.
        key_id: what its prompts cost counts for this key.
    """

    id: UUID
    task_id: UUID
    task_version: int
    agent_id: UUID
    interpreter: int
    input: JsonObject
    metadata: JsonObject
    session_id: UUID | None = None
    user_id: UUID | None = None
    idempotency_key: str | None = None
    request_digest: bytes | None = None
    schedule_id: UUID | None = None
    scheduled_at: datetime | None = None
    depth: int = 0
    key_id: UUID | None = None


CURRENT = "SELECT x.version, x.agent_id FROM tasks x WHERE x.tenant_id = $1 AND x.id = $2"


async def current(tx: Tx, tenant: UUID, task_id: UUID) -> tuple[int, UUID]:
    """The version of a task that a new execution runs, and the task's agent.

    Raises:
        NotFound: the tenant has no such task.
    """
    row = await tx.fetchrow(CURRENT, tenant, task_id)
    if row is None:
        raise NotFound("Task not found during create")
    return row["version"], row["agent_id"]


@dataclass(frozen=True, slots=True)
class Definition:
    """A version of a task as it is run.

    Attributes:
        plan: without its tools.
        tools: as they are stored, secrets sealed.
        task: what expressions can ask of the task.
    """

    plan: JsonObject
    tools: list[JsonObject]
    task: JsonObject


DEFINITION = """
SELECT v.plan, v.tools, v.definition, x.canonical_name FROM task_versions v JOIN tasks x ON x.tenant_id = v.tenant_id AND x.id = v.task_id
WHERE v.tenant_id = $1 AND v.task_id = $2 AND v.version = $3
"""


async def definition(tx: Tx, tenant: UUID, task_id: UUID, version: int) -> Definition:
    """A version of a task.

    Raises:
        NotFound: there is none.
    """
    row = await tx.fetchrow(DEFINITION, tenant, task_id, version)
    if row is None:
        raise NotFound("Task not found during create")
    task = {"id": str(task_id), "canonical_name": row["canonical_name"], "version": version}
    return Definition(row["plan"], row["tools"], {**task, **for_expressions(row["definition"], row["tools"])})


INSERT = f"""
INSERT INTO executions AS x
    (tenant_id, id, task_id, task_version, agent_id, interpreter, input, metadata, session_id, user_id, idempotency_key, request_digest,
     schedule_id, scheduled_at, depth, key_id, ready_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, now())
ON CONFLICT DO NOTHING
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, new: NewExecution) -> Execution | None:
    """Store an execution that is ready to be run. Have a worker look for it when it is committed.

    Returns:
        None where there is one with its idempotency key, or for its time of its schedule.

    Raises:
        NotFound: no such task, session or user.
    """
    row = await tx.fetchrow(
        INSERT,
        tenant,
        new.id,
        new.task_id,
        new.task_version,
        new.agent_id,
        new.interpreter,
        new.input,
        new.metadata,
        new.session_id,
        new.user_id,
        new.idempotency_key,
        new.request_digest,
        new.schedule_id,
        new.scheduled_at,
        new.depth,
        new.key_id,
    )
    return _execution(row) if row else None


FIND_KEY = "SELECT x.id, x.request_digest FROM executions x WHERE x.tenant_id = $1 AND x.idempotency_key = $2"


async def find_key(tx: Tx, tenant: UUID, idempotency_key: str) -> tuple[UUID, bytes | None] | None:
    """The execution that was made under this key, and the digest of its request."""
    row = await tx.fetchrow(FIND_KEY, tenant, idempotency_key)
    return (row["id"], row["request_digest"]) if row else None


GET = f"SELECT {COLUMNS} FROM executions x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, execution_id: UUID) -> Execution:
    """One execution.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = await tx.fetchrow(GET, tenant, execution_id)
    if row is None:
        raise NotFound("Execution not found during get")
    return _execution(row)


NAMES = """id, task_id, task_version, status, input, error, transition_count, metadata, created_at, updated_at, session_id, user_id,
    schedule_id, prompt_tokens, completion_tokens, cost, finished_at, output"""
# Input and output have up to 50 MB each.
LIST = paging.ended_early(
    paging.ordered(f"""
SELECT {COLUMNS} FROM executions x
WHERE x.tenant_id = $1 AND x.task_id = $5 AND ($6::text IS NULL OR x.status = $6) AND ($4::jsonpath IS NULL OR x.metadata @@ $4::jsonpath)
"""),
    names=NAMES,
    large=("input", "output", "metadata"),
    limit="$7",
)
TASK_EXISTS = "SELECT EXISTS (SELECT FROM tasks t WHERE t.tenant_id = $1 AND t.id = $2)"


async def list_(tx: Tx, tenant: UUID, task_id: UUID, page: ExecutionsPage) -> list[Execution]:
    """One page of a task's executions, those with one status where the page names it.

    A page of more than `paging.PAGE_BYTES_MAX` ends early; the next one goes on where it ended.

    Raises:
        NotFound: no such task.
    """
    how = (page.limit, page.offset, page.metadata_filter)
    rows = await tx.fetch(paging.statement(LIST, page), tenant, *how, task_id, page.status, paging.PAGE_BYTES_MAX)
    if not rows and not await tx.fetchval(TASK_EXISTS, tenant, task_id):
        raise NotFound("Task not found during list")
    return [_execution(row) for row in rows]


@dataclass(frozen=True, slots=True)
class Held:
    """An execution that nobody else changes until the transaction ends; with what its log is folded from."""

    id: UUID
    task_id: UUID
    task_version: int
    status: str
    input: JsonObject
    seq: int
    epoch: int
    owner: UUID | None
    snapshot: JsonObject | None
    snapshot_seq: int


HOLD = """
SELECT x.id, x.task_id, x.task_version, x.status, x.input, x.seq, x.epoch, x.owner, x.snapshot, x.snapshot_seq
FROM executions x WHERE x.tenant_id = $1 AND x.id = $2
"""
HOLD_LOCKED = f"{HOLD} FOR UPDATE"


async def hold(tx: Tx, tenant: UUID, execution_id: UUID) -> Held:
    """Keep an execution as it is until the transaction ends. Waits for a commit of whoever runs it, which takes about a millisecond.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = await tx.fetchrow(HOLD_LOCKED, tenant, execution_id)
    if row is None:
        raise NotFound("Execution not found during update")
    return Held(**row)


async def look(tx: Tx, tenant: UUID, execution_id: UUID) -> Held | None:
    """The same without holding it; None where it is gone."""
    row = await tx.fetchrow(HOLD, tenant, execution_id)
    return Held(**row) if row else None


RESUME = """
WITH x AS (
    UPDATE executions SET seq = seq + 1, transition_count = transition_count + 1, status = 'running', updated_at = now(),
        ready_at = CASE WHEN owner IS NULL THEN now() END
    WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL RETURNING seq, epoch
)
INSERT INTO transitions (tenant_id, execution_id, seq, type, workflow, step, scope_id, output, metadata, epoch, created_at)
SELECT $1, $2, seq, 'resume', $3, $4, $5, $6, $7, epoch, now() FROM x
"""


async def resume(tx: Tx, tenant: UUID, execution_id: UUID, target: JsonObject, given: JsonValue, *, metadata: JsonObject) -> None:
    """Write down the answer to a wait at `target` ({"workflow", "step", "scope_id"}); the execution must be held. Have it run on."""
    where = (target["workflow"], target["step"], target["scope_id"])
    await tx.execute(RESUME, tenant, execution_id, *where, given, metadata)


CANCEL = """
WITH x AS (
    UPDATE executions SET seq = seq + 1, transition_count = transition_count + 1, status = 'cancelled', epoch = epoch + 1, owner = NULL,
        ready_at = NULL, updated_at = now(), finished_at = now()
    WHERE tenant_id = $1 AND id = $2 AND finished_at IS NULL RETURNING seq, epoch
), last AS (
    SELECT t.workflow, t.step, t.scope_id FROM transitions t WHERE t.tenant_id = $1 AND t.execution_id = $2 ORDER BY t.seq DESC LIMIT 1
)
INSERT INTO transitions (tenant_id, execution_id, seq, type, workflow, step, scope_id, output, metadata, epoch, created_at)
SELECT $1, $2, x.seq, 'cancelled', COALESCE(last.workflow, 'main'), COALESCE(last.step, 0), COALESCE(last.scope_id, $5::uuid), $3, $4, x.epoch,
    now()
FROM x LEFT JOIN last ON true
"""


async def cancel(tx: Tx, tenant: UUID, execution_id: UUID, *, output: JsonValue, metadata: JsonObject, scope_id: str) -> bool:
    """End an execution: whoever runs it can write nothing more. `scope_id` is that of its main workflow.

    Returns:
        False where it has ended, or is gone.
    """
    done: str = await tx.execute(CANCEL, tenant, execution_id, output, metadata, scope_id)
    return done.endswith(" 1")


def _execution(row: Any) -> Execution:
    return Execution.model_validate(dict(row))
