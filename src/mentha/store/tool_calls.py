"""Calls of tools in PostgreSQL while their turn runs: what a turn that was cut short needs to go on (`migrations/0009_create_tool_calls.sql`).

Every statement here is a transaction of its own: a call that has ended is remembered before anything else happens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mentha.store.pool import Tx


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that is about to be made."""

    position: int
    call_id: str
    tool: str
    arguments_digest: bytes


@dataclass(frozen=True, slots=True)
class StoredRound:
    """A round as it was written: what the model said, and the results of those calls that have ended, by position."""

    message: bytes
    results: dict[int, bytes]


FIND = """
SELECT r.id FROM tool_runs r
WHERE r.tenant_id = $1 AND r.fingerprint = $2 AND ($3 OR r.idempotency_key = $4) AND r.created_at > now() - make_interval(secs => $5)
ORDER BY r.created_at DESC LIMIT 1
"""


async def find(tx: Tx, tenant: UUID, fingerprint: bytes, *, retried: bool, idempotency_key: str | None, within_s: float) -> UUID | None:
    """The newest run of the same request, not older than `within_s`; without `retried` only one under the same key."""
    return await tx.fetchval(FIND, tenant, fingerprint, retried, idempotency_key, within_s)


READ = """
SELECT o.round, o.message,
    (SELECT array_agg(c.position ORDER BY c.position) FROM tool_calls c
     WHERE c.tenant_id = $1 AND c.run_id = $2 AND c.round = o.round AND c.state = 'done') AS positions,
    (SELECT array_agg(c.result ORDER BY c.position) FROM tool_calls c
     WHERE c.tenant_id = $1 AND c.run_id = $2 AND c.round = o.round AND c.state = 'done') AS results
FROM tool_rounds o WHERE o.tenant_id = $1 AND o.run_id = $2 ORDER BY o.round
"""


async def read(tx: Tx, tenant: UUID, run_id: UUID) -> dict[int, StoredRound]:
    """All rounds of a run by number."""
    rows = await tx.fetch(READ, tenant, run_id)
    return {row["round"]: StoredRound(row["message"], dict(zip(row["positions"] or (), row["results"] or (), strict=True))) for row in rows}


@dataclass(frozen=True, slots=True)
class Run:
    """What runs tools: a turn, with what tells that a later request is the same one, or a step of an execution, whose id tells that."""

    id: UUID
    session_id: UUID | None = None
    fingerprint: bytes = b""
    idempotency_key: str | None = None
    execution_id: UUID | None = None


ROUND = """
opened AS (
    INSERT INTO tool_rounds (tenant_id, run_id, round, message)
    SELECT $1, run.id, $3, $4 FROM run
    ON CONFLICT (tenant_id, run_id, round) DO NOTHING RETURNING round
), calls AS (
    INSERT INTO tool_calls (tenant_id, run_id, round, position, call_id, tool, arguments_digest, state)
    SELECT $1, $2, $3, c.position, c.call_id, c.tool, c.digest, 'running'
    FROM opened, unnest($5::int[], $6::text[], $7::text[], $8::bytea[]) AS c (position, call_id, tool, digest)
)
SELECT count(*) FROM opened
"""
NEXT_ROUND = f"WITH run AS (SELECT r.id FROM tool_runs r WHERE r.tenant_id = $1 AND r.id = $2), {ROUND}"
# The session is looked for, so that a turn whose session is gone writes nothing, rather than breaking a constraint.
FIRST_ROUND = f"""
WITH run AS (
    INSERT INTO tool_runs (tenant_id, id, session_id, fingerprint, idempotency_key)
    SELECT $1, $2, s.id, $10, $11 FROM sessions s WHERE s.tenant_id = $1 AND s.id = $9
    ON CONFLICT (tenant_id, id) DO NOTHING RETURNING id
), {ROUND}
"""
FIRST_ROUND_OF_EXECUTION = f"""
WITH run AS (
    INSERT INTO tool_runs (tenant_id, id, execution_id, fingerprint) VALUES ($1, $2, $9, '') ON CONFLICT (tenant_id, id) DO NOTHING RETURNING id
), {ROUND}
"""


async def begin_round(tx: Tx, tenant: UUID, run: Run, number: int, message: bytes, calls: Sequence[NewCall], *, first: bool) -> bool:
    """Write what the model said and which calls are about to be made; with `first` the run as well. One statement.

    Returns:
        False where another process has written this round already, or the session is gone: nothing was written.
    """
    columns = [[getattr(call, name) for call in calls] for name in ("position", "call_id", "tool", "arguments_digest")]
    given = (tenant, run.id, number, message, *columns)
    if first and run.execution_id:
        return await tx.fetchval(FIRST_ROUND_OF_EXECUTION, *given, run.execution_id) == 1
    if first:
        return await tx.fetchval(FIRST_ROUND, *given, run.session_id, run.fingerprint, run.idempotency_key) == 1
    return await tx.fetchval(NEXT_ROUND, *given) == 1


FINISH = """
UPDATE tool_calls SET state = 'done', result = $5 WHERE tenant_id = $1 AND run_id = $2 AND round = $3 AND position = $4 AND state = 'running'
"""


async def finish(tx: Tx, tenant: UUID, run_id: UUID, number: int, position: int, result: bytes) -> None:
    """Write that a call has ended, well or not; the first result counts."""
    await tx.execute(FINISH, tenant, run_id, number, position, result)
