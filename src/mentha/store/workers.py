"""What processes do for all tenants: who runs which executions, what becomes of them when a lease is over, what is due, what has changed.

A claim is not checked against the lease: what a dead worker writes later is refused, because freeing its runs raised their `epoch`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mentha.core.json import JsonObject
from mentha.store import schedules
from mentha.store.pool import Tx
from mentha.wire.schedules import Schedule

FREED_MAX = 1_000
DEATHS_COUNTED_MAX = 1_000
DOUBLINGS_MAX = 6

# Also where an attempt before this one was committed without that being told.
REGISTER = """
INSERT INTO workers (id, lease_until) VALUES ($1, now() + make_interval(secs => $2)) ON CONFLICT (id) DO UPDATE SET lease_until = EXCLUDED.lease_until
"""
BEAT = "UPDATE workers SET lease_until = now() + make_interval(secs => $2) WHERE id = $1 AND lease_until >= now() RETURNING true"


async def register(tx: Tx, worker: UUID, *, lease_s: float) -> None:
    """A new worker, alive for `lease_s` seconds."""
    await tx.execute(REGISTER, worker, lease_s)


async def beat(tx: Tx, worker: UUID, *, lease_s: float) -> bool:
    """Alive for `lease_s` more seconds; False where its lease is over: it has lost its runs, and needs a new id."""
    return bool(await tx.fetchval(BEAT, worker, lease_s))


NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


async def now(tx: Tx) -> float:
    """The time of the database, in seconds since 1970."""
    return await tx.fetchval(NOW)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A run that this worker has from now on.

    Attributes:
        epoch: the number under which it writes.
    """

    id: UUID
    task_id: UUID
    task_version: int
    agent_id: UUID
    session_id: UUID | None
    user_id: UUID | None
    status: str
    input: JsonObject
    metadata: JsonObject
    epoch: int
    seq: int
    transition_count: int
    snapshot: JsonObject | None
    snapshot_seq: int
    created_at: datetime
    updated_at: datetime
    depth: int = 0
    key_id: UUID | None = None


CLAIM = "SELECT c.others, c.execution_id FROM claim_executions($1, $2, $3, $4, $5) c"
CLAIMED = """
SELECT e.id, e.task_id, e.task_version, e.agent_id, e.session_id, e.user_id, e.status, e.input, e.metadata, e.epoch, e.seq, e.transition_count,
    e.snapshot, e.snapshot_seq, e.created_at, e.updated_at, e.depth, e.key_id
FROM executions e WHERE e.tenant_id = $1 AND e.id = ANY($2::uuid[]) AND e.owner = $3 ORDER BY e.created_at, e.id
"""


async def claim(
    tx: Tx, tenant: UUID, worker: UUID, *, limit: int, tenant_max: int, interpreters: Sequence[int]
) -> tuple[list[Claimed], bool]:
    """Take the tenant's runs that are ready, oldest first. Two statements, of which the first one takes (`migrations/0012_create_executions.sql`).

    Args:
        limit: most runs to take.
        tenant_max: most runs of this tenant that all workers may have.
        interpreters: only plans made for one of these.

    Returns:
        The runs, and whether there may be more that are ready.
    """
    rows = await tx.fetch(CLAIM, tenant, worker, limit, tenant_max, list(interpreters))
    ids = [row["execution_id"] for row in rows if row["execution_id"] is not None]
    taken = [Claimed(**row) for row in await tx.fetch(CLAIMED, tenant, ids, worker)] if ids else []
    return taken, len(ids) >= limit or rows[0]["others"] + len(ids) >= tenant_max


DUE = """
WITH RECURSIVE found AS (
    (SELECT e.tenant_id FROM executions e WHERE e.owner IS NULL AND e.ready_at IS NOT NULL ORDER BY e.tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT e.tenant_id FROM executions e
            WHERE e.owner IS NULL AND e.ready_at IS NOT NULL AND e.tenant_id > found.tenant_id ORDER BY e.tenant_id LIMIT 1)
    FROM found WHERE found.tenant_id IS NOT NULL
)
SELECT found.tenant_id FROM found WHERE found.tenant_id IS NOT NULL AND EXISTS (
    SELECT FROM executions e WHERE e.tenant_id = found.tenant_id AND e.owner IS NULL AND e.ready_at <= now())
LIMIT $1
"""


async def due_tenants(tx: Tx, *, limit: int) -> list[UUID]:
    """Tenants that have runs which are ready. Looks at one row for each tenant that has any that will be."""
    return [row["tenant_id"] for row in await tx.fetch(DUE, limit)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of a run while its worker was busy with it; all None where it is gone."""

    tenant_id: UUID
    id: UUID
    epoch: int | None
    seq: int | None
    owner: UUID | None


STANDING = """
SELECT k.tenant_id, k.id, x.epoch, x.seq, x.owner FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id)
LEFT JOIN executions x ON x.tenant_id = k.tenant_id AND x.id = k.id
"""


async def standing(tx: Tx, keys: Sequence[tuple[UUID, UUID]]) -> list[Standing]:
    """How these runs (tenant and id of each) stand."""
    rows = await tx.fetch(STANDING, [tenant for tenant, _ in keys], [run for _, run in keys])
    return [Standing(**row) for row in rows]


FORGET_DEAD = "DELETE FROM workers WHERE lease_until < now() - interval '60 s'"
# Which of its runs a worker died of, nobody knows: those that got no further are taken at different times, so that only one goes on dying.
FREE_DEAD = f"""
WITH lost AS (
    SELECT e.tenant_id, e.id FROM executions e
    WHERE e.owner IS NOT NULL AND NOT EXISTS (SELECT FROM workers w WHERE w.id = e.owner AND w.lease_until >= now())
    LIMIT {FREED_MAX} FOR UPDATE OF e SKIP LOCKED
)
UPDATE executions e SET owner = NULL, epoch = e.epoch + 1, died_seq = e.seq,
    deaths = CASE WHEN e.died_seq = e.seq THEN LEAST(e.deaths + 1, {DEATHS_COUNTED_MAX}) ELSE 1 END,
    ready_at = now() + make_interval(
        secs => CASE WHEN e.died_seq = e.seq THEN $1::float8 * 2 ^ LEAST(e.deaths, {DOUBLINGS_MAX}) * (0.5 + random()) ELSE 0 END)
FROM lost WHERE e.tenant_id = lost.tenant_id AND e.id = lost.id RETURNING e.tenant_id, e.id, e.deaths
"""


@dataclass(frozen=True, slots=True)
class Freed:
    """A run whose worker has died.

    Attributes:
        deaths: of workers in a row that had it, without a line in its log between them.
    """

    tenant_id: UUID
    id: UUID
    deaths: int


async def free_dead(tx: Tx, *, pause_s: float) -> list[Freed]:
    """Give the runs of workers whose lease is over to others, at most 1,000 at a time.

    Args:
        pause_s: a run that got no further since the death before is ready again after about twice as long, then four times, and so on.
    """
    return [Freed(*row) for row in await tx.fetch(FREE_DEAD, pause_s)]


GIVE_UP = """
WITH x AS (
    UPDATE executions SET seq = seq + 1, transition_count = transition_count + 1, status = 'failed', error = $4, epoch = epoch + 1,
        ready_at = NULL, updated_at = now(), finished_at = now()
    WHERE tenant_id = $1 AND id = $2 AND owner IS NULL AND deaths = $3 AND died_seq = seq AND finished_at IS NULL RETURNING seq, epoch
), last AS (
    SELECT COALESCE(t.next->>'workflow', t.workflow) AS workflow, COALESCE((t.next->>'step')::int, t.step) AS step,
        COALESCE((t.next->>'scope_id')::uuid, t.scope_id) AS scope_id
    FROM transitions t WHERE t.tenant_id = $1 AND t.execution_id = $2 ORDER BY t.seq DESC LIMIT 1
)
INSERT INTO transitions (tenant_id, execution_id, seq, type, workflow, step, scope_id, output, metadata, epoch, created_at)
SELECT $1, $2, x.seq, 'error', COALESCE(last.workflow, 'main'), COALESCE(last.step, 0), COALESCE(last.scope_id, $7::uuid), $5, $6, x.epoch,
    now()
FROM x LEFT JOIN last ON true
"""


async def give_up(tx: Tx, freed: Freed, message: str, *, metadata: JsonObject, scope_id: str) -> bool:
    """End a run that its workers die with as failed, at the place where it was. `scope_id` is that of its main workflow.

    Returns:
        False where it is no longer as it was freed.
    """
    done: str = await tx.execute(GIVE_UP, freed.tenant_id, freed.id, freed.deaths, message, message, metadata, scope_id)
    return done.endswith(" 1")


async def forget_dead(tx: Tx) -> None:
    """Drop workers that died a while ago. What they had is still free to be taken by anybody."""
    await tx.execute(FORGET_DEAD)


FREE_STRAYS = """
UPDATE executions e SET owner = NULL, epoch = e.epoch + 1, ready_at = now()
WHERE e.owner = $1 AND e.claimed_at < now() - make_interval(secs => $3) AND NOT (e.id = ANY($2::uuid[]))
"""


async def free_strays(tx: Tx, worker: UUID, running: Sequence[UUID], *, older_than_s: float) -> int:
    """Give back what this worker has by the tables but runs no longer. Returns how many.

    Args:
        running: what it runs.
        older_than_s: a claim that was just made may not be among these yet.
    """
    done: str = await tx.execute(FREE_STRAYS, worker, list(running), older_than_s)
    return int(done.rpartition(" ")[2])


FREE = """
UPDATE executions e SET owner = NULL, epoch = e.epoch + 1, ready_at = now() + make_interval(secs => $4)
WHERE e.tenant_id = $1 AND e.id = $2 AND e.owner = $3
"""


async def free(tx: Tx, tenant: UUID, execution_id: UUID, worker: UUID, *, after_s: float) -> None:
    """Give one run back, to be taken again after `after_s` seconds."""
    await tx.execute(FREE, tenant, execution_id, worker, after_s)


RETIRE = """
WITH gone AS (DELETE FROM workers WHERE id = $1)
UPDATE executions e SET owner = NULL, epoch = e.epoch + 1, ready_at = now() WHERE e.owner = $1
"""


async def retire(tx: Tx, worker: UUID) -> int:
    """End a worker, and give back what it has. Returns how many runs."""
    done: str = await tx.execute(RETIRE, worker)
    return int(done.rpartition(" ")[2])


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an execution is."""

    status: str
    seq: int


PROGRESS = """
SELECT x.tenant_id, x.id, x.status, x.seq FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id)
JOIN executions x ON x.tenant_id = k.tenant_id AND x.id = k.id
"""


async def progress(tx: Tx, keys: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Progress]:
    """How far these executions (tenant and id of each) are; those that are gone are left out."""
    rows = await tx.fetch(PROGRESS, [tenant for tenant, _ in keys], [run for _, run in keys])
    return {(row["tenant_id"], row["id"]): Progress(row["status"], row["seq"]) for row in rows}


@dataclass(frozen=True, slots=True)
class Due:
    """A schedule that is due, with its tenant, the time of the database, and the key that it was made with."""

    tenant_id: UUID
    now: datetime
    key_id: UUID | None
    schedule: Schedule


ANY_SCHEDULE_DUE = "SELECT EXISTS (SELECT FROM schedules WHERE next_at <= now())"
TAKE_SCHEDULES = f"""
SELECT x.tenant_id, now() AS now, x.key_id, {schedules.COLUMNS} FROM schedules x
WHERE x.next_at <= now() ORDER BY x.next_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""


async def any_schedule_due(tx: Tx) -> bool:
    """Whether some schedule is due."""
    return await tx.fetchval(ANY_SCHEDULE_DUE)


async def take_schedules(tx: Tx, *, limit: int) -> list[Due]:
    """Schedules that are due, longest first; nobody else gets them until the transaction ends."""
    rows = await tx.fetch(TAKE_SCHEDULES, limit)
    return [Due(row["tenant_id"], row["now"], row["key_id"], Schedule.model_validate(dict(row))) for row in rows]
