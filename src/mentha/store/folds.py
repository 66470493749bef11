"""The work of folding histories into summaries, as the sessions' rows tell it: who takes what, what is left of it, and what was made.

    schedule → claim → oldest → read → save (again and again) → finish | fail | release

A claim is a lease with a mark: a worker that died, or froze, loses its session to the next one, and what it stores later is refused, as is what
was made from a history that has been deleted meanwhile. Two workers never fold one session at once. Claims are made for all tenants.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from mentha.core.json import JsonObject
from mentha.store.budgets import KIND
from mentha.store.pool import Tx

RELATION = "summarized_as"
# More than are folded at once: where one may stop follows from what comes after.
LOOK_ENTRIES = 2_000

SCHEDULE = """
WITH x AS (
    UPDATE sessions SET fold_job_id = $3, fold_due_at = now(), fold_attempts = 0, fold_keep_tokens = $4, fold_step_tokens = $5, fold_model = $6
    WHERE tenant_id = $1 AND id = $2 AND fold_job_id IS NULL RETURNING id
), job AS (INSERT INTO jobs (tenant_id, id, kind, name) SELECT $1, $3, $7, $8 FROM x)
SELECT count(*) = 1 FROM x
"""


async def schedule(
    tx: Tx, tenant: UUID, session_id: UUID, job_id: UUID, *, kind: str, keep_tokens: int, step_tokens: int, model: str
) -> bool:
    """Have a session folded, with a job that tells of it. One statement; send a wake-up when the turn is stored.

    Args:
        keep_tokens: the newest messages with as many tokens stay.
        step_tokens: a summary is made from at most as many.
        model: the one that the turn used, which summarises.

    Returns:
        False where somebody else was faster, or the session is gone: there is no such job.
    """
    name = f"summarise session {session_id}"
    return await tx.fetchval(SCHEDULE, tenant, session_id, job_id, keep_tokens, step_tokens, model, kind, name)


@dataclass(frozen=True, slots=True)
class Claimed:
    """A session that this worker folds.

    Attributes:
        folded_seq: entries up to this number are folded already.
        summary: the text that these were folded into.
        attempts: how often it was taken, this time included, since something of it was stored.
    """

    tenant_id: UUID
    session_id: UUID
    job_id: UUID
    folded_seq: int
    last_seq: int
    summary: str | None
    attempts: int
    keep_tokens: int
    step_tokens: int
    model: str
    is_adaptive: bool


CLAIM = """
WITH due AS (
    SELECT s.tenant_id, s.id FROM sessions s WHERE s.fold_due_at <= now() ORDER BY s.fold_due_at LIMIT 1 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE sessions s SET fold_claim = $1, fold_due_at = now() + make_interval(secs => $2), fold_attempts = s.fold_attempts + 1
    FROM due WHERE s.tenant_id = due.tenant_id AND s.id = due.id
    RETURNING s.tenant_id, s.id AS session_id, s.fold_job_id AS job_id, s.folded_seq, s.last_seq, s.summary, s.fold_attempts AS attempts,
        s.fold_keep_tokens AS keep_tokens, s.fold_step_tokens AS step_tokens, s.fold_model AS model,
        s.context_overflow IS NOT DISTINCT FROM 'adaptive' AS is_adaptive
), told AS (
    UPDATE jobs j SET state = 'in_progress', updated_at = now() FROM taken t WHERE j.tenant_id = t.tenant_id AND j.id = t.job_id
)
SELECT * FROM taken
"""


async def claim(tx: Tx, mark: UUID, *, lease_s: float) -> Claimed | None:
    """Take the session that is due longest, for `lease_s` seconds; None where none is due. One statement.

    Args:
        mark: a new id; what this worker stores is checked against it.
    """
    row = await tx.fetchrow(CLAIM, mark, lease_s)
    return Claimed(**row) if row else None


OLDEST = f"""
SELECT e.seq, e.token_count, {KIND} AS kind FROM entries e
WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq > $3 AND e.seq < $4 ORDER BY e.seq LIMIT {LOOK_ENTRIES}
"""


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest entries that are not folded: number, tokens and kind (see `store/budgets.py`) of each."""

    seqs: list[int]
    counts: list[int]
    kinds: str


async def oldest(tx: Tx, tenant: UUID, session_id: UUID, *, after_seq: int, before_seq: int) -> Oldest:
    """Up to 2,000 entries between two numbers, in order."""
    rows = await tx.fetch(OLDEST, tenant, session_id, after_seq, before_seq)
    return Oldest([row["seq"] for row in rows], [row["token_count"] for row in rows], "".join(row["kind"] for row in rows))


READ = """
SELECT e.name, e.message FROM entries e
WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq > $3 AND e.seq <= $4 ORDER BY e.seq
"""


async def read(tx: Tx, tenant: UUID, session_id: UUID, *, after_seq: int, to_seq: int) -> list[tuple[str | None, JsonObject]]:
    """Name and message of each entry between two numbers, in order."""
    return [(row["name"], row["message"]) for row in await tx.fetch(READ, tenant, session_id, after_seq, to_seq)]


@dataclass(frozen=True, slots=True)
class Fold:
    """Entries folded into a summary.

    Attributes:
        after_seq, to_seq: which: those with greater numbers than the one, up to the other; and the summary before them.
        count: how many, without that summary.
        entry_id: of the new summary.
        message: its JSON as a provider takes it.
    """

    after_seq: int
    to_seq: int
    count: int
    summary: str
    entry_id: UUID
    message: str
    model: str
    tokenizer: str
    token_count: int


SAVE = f"""
WITH x AS (
    UPDATE sessions SET folded_seq = $5, folded_count = folded_count + $6, summary = $7, updated_at = now(), fold_attempts = 0,
        fold_due_at = now() + make_interval(secs => $13)
    WHERE tenant_id = $1 AND id = $2 AND fold_claim = $3 AND folded_seq = $4 RETURNING fold_job_id
), entry AS (
    INSERT INTO entries (tenant_id, id, session_id, seq, turn_id, source, role, message, has_calls, model, tokenizer, token_count)
    SELECT $1, $8, $2, -$5::bigint, fold_job_id, 'summarizer', 'system', $9::text::json, false, $10, $11, $12 FROM x
), folded AS (
    INSERT INTO entry_relations (tenant_id, session_id, head, relation, tail)
    SELECT $1, $2, e.id, '{RELATION}', $8 FROM x, entries e
    WHERE e.tenant_id = $1 AND e.session_id = $2 AND (e.seq > $4 AND e.seq <= $5 OR e.seq < 0 AND e.seq = -$4::bigint)
)
SELECT count(*) = 1 FROM x
"""


async def save(tx: Tx, tenant: UUID, session_id: UUID, mark: UUID, fold: Fold, *, lease_s: float) -> bool:
    """Store a summary and what it stands for, and hold the session for `lease_s` more seconds. One statement.

    Returns:
        False where the session is no longer this worker's: nothing was stored.
    """
    values = (
        fold.after_seq,
        fold.to_seq,
        fold.count,
        fold.summary,
        fold.entry_id,
        fold.message,
        fold.model,
        fold.tokenizer,
        fold.token_count,
    )
    return await tx.fetchval(SAVE, tenant, session_id, mark, *values, lease_s)


RENEW = """
UPDATE sessions SET fold_due_at = now() + make_interval(secs => $4) WHERE tenant_id = $1 AND id = $2 AND fold_claim = $3
"""


async def renew(tx: Tx, tenant: UUID, session_id: UUID, mark: UUID, *, lease_s: float) -> None:
    """Hold a session for `lease_s` more seconds, where it is still this worker's."""
    await tx.execute(RENEW, tenant, session_id, mark, lease_s)


RELEASE = """
UPDATE sessions SET fold_claim = NULL, fold_due_at = now(), fold_attempts = GREATEST(fold_attempts - 1, 0)
WHERE tenant_id = $1 AND id = $2 AND fold_claim = $3
"""


async def release(tx: Tx, tenant: UUID, session_id: UUID, mark: UUID) -> None:
    """Give a session back as if it had not been taken; what was stored stays."""
    await tx.execute(RELEASE, tenant, session_id, mark)


PROGRESS = """
UPDATE jobs SET progress = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2 AND state NOT IN ('succeeded', 'aborted', 'failed')
"""


async def tell_progress(tx: Tx, tenant: UUID, job_id: UUID, percent: float) -> None:
    """Let the job say how much is done, 0 to 100."""
    await tx.execute(PROGRESS, tenant, job_id, percent)


FINISH = """
WITH x AS (
    UPDATE sessions SET fold_job_id = NULL, fold_due_at = NULL, fold_claim = NULL, fold_attempts = 0
    WHERE tenant_id = $1 AND id = $2 AND fold_claim = $3 RETURNING id
)
UPDATE jobs j SET state = $5, reason = $6, progress = CASE WHEN $5 = 'succeeded' THEN 100 ELSE j.progress END, updated_at = now()
FROM x WHERE j.tenant_id = $1 AND j.id = $4
"""


async def finish(tx: Tx, tenant: UUID, claimed: Claimed, mark: UUID, *, state: Literal["succeeded", "aborted"], reason: str = "") -> None:
    """Nothing is left to fold, or nothing is to be folded any more; does nothing where the session is no longer this worker's."""
    await tx.execute(FINISH, tenant, claimed.session_id, mark, claimed.job_id, state, reason)


FAIL = """
WITH x AS (
    UPDATE sessions SET fold_claim = NULL, fold_due_at = now() + make_interval(secs => $5), fold_step_tokens = $6
    WHERE tenant_id = $1 AND id = $2 AND fold_claim = $3 RETURNING id
)
UPDATE jobs j SET state = 'retrying', reason = $7, updated_at = now() FROM x WHERE j.tenant_id = $1 AND j.id = $4
"""


async def fail(tx: Tx, tenant: UUID, claimed: Claimed, mark: UUID, *, reason: str, retry_after_s: float, step_tokens: int) -> None:
    """Give a session back, to be tried again after `retry_after_s`, with steps of that size. `reason` is shown to the tenant."""
    await tx.execute(FAIL, tenant, claimed.session_id, mark, claimed.job_id, retry_after_s, step_tokens, reason)


DUE = "SELECT min(s.fold_due_at) <= now() FROM sessions s WHERE s.fold_due_at IS NOT NULL"


async def any_due(tx: Tx) -> bool:
    """Whether some session waits for a worker."""
    return bool(await tx.fetchval(DUE))
