"""Logs of executions in PostgreSQL: read by clients and by whoever runs on, written by whoever runs.

Law: a log is written by one statement, together with the row of its execution and only while that is still the writer's (`commit`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, Protocol
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.json import JsonValue
from mentha.store.paging import PAGE_BYTES_MAX, size_of
from mentha.store.pool import Tx
from mentha.wire.common import Direction
from mentha.wire.transitions import Transition, TransitionTarget, id_of, seq_of

COLUMNS = "t.seq, t.type, t.workflow, t.step, t.scope_id, t.next, t.output, t.label, t.metadata, t.created_at"
# What a client sees of a log.
SHOWN = "t.tenant_id = $1 AND t.execution_id = $2 AND t.type <> 'note'"

# A line has up to 50 MB.
_SIZE = size_of("t.output")

_ORDERS: tuple[tuple[Direction, LiteralString], ...] = (("asc", "ASC"), ("desc", "DESC"))
LIST: dict[str, LiteralString] = {
    direction: f"""
SELECT {COLUMNS} FROM (
    SELECT t.*, sum({_SIZE}) OVER (ORDER BY t.seq {sql}) AS total, row_number() OVER (ORDER BY t.seq {sql}) AS place FROM (
        SELECT t.* FROM transitions t
        WHERE {SHOWN} AND ($5::uuid IS NULL OR t.scope_id = $5) AND ($6::text[] IS NULL OR t.type = ANY($6))
        ORDER BY t.seq {sql} LIMIT $3 OFFSET $4
    ) t
) t WHERE t.total <= $7 OR t.place = 1 ORDER BY t.seq {sql}
"""
    for direction, sql in _ORDERS
}
EXISTS = "SELECT EXISTS (SELECT FROM executions x WHERE x.tenant_id = $1 AND x.id = $2)"


async def list_(
    tx: Tx,
    tenant: UUID,
    execution_id: UUID,
    *,
    limit: int,
    offset: int,
    direction: Direction,
    scope_id: UUID | None = None,
    types: Sequence[str] | None = None,
) -> list[Transition]:
    """One page of an execution's log, of one scope and of some types where they are named. Ordered as it was written.

    A page of more than `PAGE_BYTES_MAX` ends early; the next one goes on where it ended.

    Raises:
        NotFound: the tenant has no such execution.
    """
    rows = await tx.fetch(LIST[direction], tenant, execution_id, limit, offset, scope_id, types, PAGE_BYTES_MAX)
    if not rows and not await tx.fetchval(EXISTS, tenant, execution_id):
        raise NotFound("Execution not found during list")
    return [_transition(execution_id, row) for row in rows]


AFTER = f"""
SELECT {COLUMNS} FROM (
    SELECT t.*, sum({_SIZE}) OVER (ORDER BY t.seq) AS total, row_number() OVER (ORDER BY t.seq) AS place
    FROM (SELECT t.* FROM transitions t WHERE {SHOWN} AND t.seq > $3 ORDER BY t.seq LIMIT $4) t
) t WHERE t.total <= $5 OR t.place = 1 ORDER BY t.seq
"""


async def after(tx: Tx, tenant: UUID, execution_id: UUID, seq: int, *, limit: int) -> list[Transition]:
    """The lines of a log with greater numbers than `seq`, in order; fewer than `limit` where they are large, but one where there is one."""
    return [_transition(execution_id, row) for row in await tx.fetch(AFTER, tenant, execution_id, seq, limit, PAGE_BYTES_MAX)]


GET = f"SELECT {COLUMNS} FROM transitions t WHERE {SHOWN} AND t.seq = $3"


async def get(tx: Tx, tenant: UUID, execution_id: UUID, transition_id: UUID) -> Transition:
    """One line of a log.

    Raises:
        NotFound: the execution has none with this id.
    """
    seq = seq_of(execution_id, transition_id)
    found = await find(tx, tenant, execution_id, seq) if seq else None
    if found is None:
        raise NotFound("Transition not found during get")
    return found


async def find(tx: Tx, tenant: UUID, execution_id: UUID, seq: int) -> Transition | None:
    """The line with this number, where there is one that clients see."""
    row = await tx.fetchrow(GET, tenant, execution_id, seq)
    return _transition(execution_id, row) if row else None


AT_TARGET = f"""
SELECT {COLUMNS} FROM transitions t
WHERE {SHOWN} AND t.seq > $3 AND t.scope_id = $4 AND t.workflow = $5 AND t.step = $6 ORDER BY t.seq LIMIT 10
"""


async def at_target(tx: Tx, tenant: UUID, execution_id: UUID, target: TransitionTarget, *, after_seq: int) -> list[Transition]:
    """The first lines after a number that are of this target; ten at most."""
    rows = await tx.fetch(AT_TARGET, tenant, execution_id, after_seq, target.scope_id, target.workflow, target.step)
    return [_transition(execution_id, row) for row in rows]


LAST = f"SELECT {COLUMNS} FROM transitions t WHERE {SHOWN} AND t.type = $3 ORDER BY t.seq DESC LIMIT 1"


async def last(tx: Tx, tenant: UUID, execution_id: UUID, kind: str) -> Transition | None:
    """The last line of this type."""
    row = await tx.fetchrow(LAST, tenant, execution_id, kind)
    return _transition(execution_id, row) if row else None


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it is folded. `at` is in seconds since 1970."""

    type: str
    workflow: str
    step: int
    scope_id: str
    output: JsonValue
    next: Any
    metadata: Any
    at: float


READ = """
SELECT t.type, t.workflow, t.step, t.scope_id, t.output, t.next, t.metadata, t.created_at
FROM transitions t WHERE t.tenant_id = $1 AND t.execution_id = $2 AND t.seq > $3 AND t.seq <= $4 ORDER BY t.seq
"""


async def read(tx: Tx, tenant: UUID, execution_id: UUID, *, after_seq: int, to_seq: int) -> list[Line]:
    """All lines between two numbers, notes included, in order."""
    rows = await tx.fetch(READ, tenant, execution_id, after_seq, to_seq)
    return [Line(row[0], row[1], row[2], str(row[3]), row[4], row[5], row[6], row[7].timestamp()) for row in rows]


class NewLine(Protocol):
    """What is written of a line: `workflow/state.py`'s row."""

    type: Any
    workflow: str
    step: int
    scope_id: str
    label: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Fence:
    """What a writer knows of an execution; if any of it has changed, nothing is written."""

    worker: UUID
    epoch: int
    seq: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the execution is after the lines that are written.

    Attributes:
        ends: whether it has ended.
        parks: whether its writer lets go of it, to be taken again at `ready_at` (seconds since 1970), or when somebody wakes it.
        prompt_tokens, completion_tokens, cost: what these lines add.
    """

    status: str
    error: str | None = None
    ends: bool = False
    parks: bool = False
    ready_at: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


COMMIT = """
WITH x AS (
    UPDATE executions SET seq = seq + $6, transition_count = transition_count + $7, status = $8, error = $9, updated_at = now(),
        finished_at = CASE WHEN $10 THEN now() END, owner = CASE WHEN $11 THEN NULL ELSE owner END, ready_at = to_timestamp($12),
        prompt_tokens = prompt_tokens + $13, completion_tokens = completion_tokens + $14, cost = cost + $15
    WHERE tenant_id = $1 AND id = $2 AND owner = $3 AND epoch = $4 AND seq = $5 AND finished_at IS NULL RETURNING id
), lines AS (
    INSERT INTO transitions (tenant_id, execution_id, seq, type, workflow, step, scope_id, next, output, label, metadata, epoch, created_at)
    SELECT $1, $2, $5 + u.place, u.type, u.workflow, u.step, u.scope_id, u.next::json, u.output::json, u.label, u.metadata::json, $4, to_timestamp(u.at)
    FROM x, unnest($16::text[], $17::text[], $18::int[], $19::uuid[], $20::text[], $21::text[], $22::text[], $23::text[], $24::float8[])
        WITH ORDINALITY AS u (type, workflow, step, scope_id, next, output, label, metadata, at, place)
)
SELECT extract(epoch FROM clock_timestamp())::float8 FROM x
"""


async def commit(
    tx: Tx,
    tenant: UUID,
    execution_id: UUID,
    fence: Fence,
    outcome: Outcome,
    lines: Sequence[NewLine],
    texts: Sequence[tuple[Any, str, Any]],
) -> float | None:
    """Write lines to the log, and what the execution is after them. One statement, which needs no transaction around it.

    Args:
        texts: of each line the JSON of `next` (or None), `output` and `metadata` (or None).

    Returns:
        The time of the database, in seconds since 1970; None where nothing was written, because the execution is no longer the writer's
        or its log has grown: look again.
    """
    shown = sum(line.type != "note" for line in lines)
    return await tx.fetchval(
        COMMIT,
        tenant,
        execution_id,
        fence.worker,
        fence.epoch,
        fence.seq,
        len(lines),
        shown,
        outcome.status,
        outcome.error,
        outcome.ends,
        outcome.parks,
        outcome.ready_at,
        outcome.prompt_tokens,
        outcome.completion_tokens,
        outcome.cost,
        [line.type for line in lines],
        [line.workflow for line in lines],
        [line.step for line in lines],
        [line.scope_id for line in lines],
        [text[0] for text in texts],
        [text[1] for text in texts],
        [line.label for line in lines],
        [text[2] for text in texts],
        [line.at for line in lines],
    )


SNAPSHOT = """
UPDATE executions SET snapshot = $6::text::json, snapshot_seq = $5 WHERE tenant_id = $1 AND id = $2 AND owner = $3 AND epoch = $4 AND seq >= $5
"""


async def save_snapshot(tx: Tx, tenant: UUID, execution_id: UUID, fence: Fence, folded: str) -> None:
    """Keep what the first `fence.seq` lines were folded to, as JSON; where the execution is no longer the writer's, nothing happens."""
    await tx.execute(SNAPSHOT, tenant, execution_id, fence.worker, fence.epoch, fence.seq, folded)


def _transition(execution_id: UUID, row: Any) -> Transition:
    at: datetime = row["created_at"]
    target = TransitionTarget(workflow=row["workflow"], step=row["step"], scope_id=row["scope_id"])
    return Transition(
        id=id_of(execution_id, row["seq"]),
        execution_id=execution_id,
        type=row["type"],
        current=target,
        next=row["next"],
        output=row["output"],
        step_label=row["label"],
        metadata=row["metadata"] or {},
        seq=row["seq"],
        created_at=at,
        updated_at=at,
    )
