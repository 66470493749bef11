"""The history of a session in PostgreSQL. Rows become JSON there and pass through here as text: a long history costs its bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.store.pool import Tx

BATCH_ROWS = 500
# Messages have numbers from 1 on; summaries have negative ones, the newest the lowest: each stands before all that it does not stand for.
BEFORE_ALL = -(2**62)

# A client's own form of the content where it was kept, else what the provider's form says.
ENTRY = """json_build_object(
    'id', e.id, 'role', e.role, 'name', e.name,
    'content', CASE
        WHEN e.content IS NOT NULL THEN e.content
        WHEN json_typeof(e.message -> 'content') = 'string' THEN json_build_array(json_build_object('type', 'text', 'text', e.message -> 'content'))
        WHEN json_typeof(e.message -> 'content') = 'array' THEN e.message -> 'content'
        ELSE '[]' END,
    'source', e.source, 'tokenizer', e.tokenizer, 'token_count', e.token_count, 'model', e.model,
    'tool_calls', e.message -> 'tool_calls', 'tool_call_id', e.message -> 'tool_call_id',
    'created_at', t.iso, 'timestamp', t.iso)"""

READ = f"""
SELECT s.created_at, h.entries, h.last_seq, h.count,
    (SELECT string_agg(json_build_object('head', r.head, 'relation', r.relation, 'tail', r.tail)::text, ',')
     FROM entry_relations r WHERE r.tenant_id = s.tenant_id AND r.session_id = s.id AND $3 = {BEFORE_ALL}) AS relations
FROM sessions s
LEFT JOIN LATERAL (
    SELECT string_agg(b.entry, ',' ORDER BY b.seq) AS entries, max(b.seq) AS last_seq, count(*) AS count
    FROM (
        SELECT e.seq, {ENTRY}::text AS entry
        FROM entries e, LATERAL (SELECT to_char(e.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS iso) t
        WHERE e.tenant_id = s.tenant_id AND e.session_id = s.id AND e.seq > $3 AND e.source = ANY ($4)
        ORDER BY e.seq LIMIT $5 OFFSET $6
    ) b
) h ON true
WHERE s.tenant_id = $1 AND s.id = $2
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of a session's history.

    Attributes:
        session_created_at: when the session was made.
        entries: comma-joined JSON objects in the order of `seq`, "" for none.
        relations: comma-joined JSON objects of the whole session, "" for none, and in all batches but the first.
        last_seq: where the next batch begins, None where there was none in this one.
        count: entries in it.
    """

    session_created_at: datetime
    entries: str
    relations: str
    last_seq: int | None
    count: int


async def read(
    tx: Tx, tenant: UUID, session_id: UUID, *, sources: Sequence[str], after_seq: int = BEFORE_ALL, rows: int = BATCH_ROWS, offset: int = 0
) -> Batch:
    """Up to `rows` entries after `after_seq`, `offset` of them skipped.

    Raises:
        NotFound: the tenant has no such session.
    """
    row = await tx.fetchrow(READ, tenant, session_id, after_seq, list(sources), rows, offset)
    if row is None:
        raise NotFound("Session not found during history")
    return Batch(row["created_at"], row["entries"] or "", row["relations"] or "", row["last_seq"], row["count"])


# By itself: a statement that waits for a lock goes on with what it saw before, and would leave a summary that was stored meanwhile.
LOCK = "SELECT true FROM sessions WHERE tenant_id = $1 AND id = $2 FOR UPDATE"
# All entries there ever were count as folded, into nothing; the work of folding them ends.
DELETE = """
WITH job AS (
    UPDATE jobs SET state = 'aborted', reason = 'the history was deleted', updated_at = now()
    WHERE tenant_id = $1 AND id = (SELECT fold_job_id FROM sessions WHERE tenant_id = $1 AND id = $2)
        AND state NOT IN ('succeeded', 'aborted', 'failed')
), x AS (
    UPDATE sessions SET summary = NULL, folded_seq = last_seq, folded_count = 0, fold_job_id = NULL, fold_due_at = NULL, fold_claim = NULL,
        updated_at = now()
    WHERE tenant_id = $1 AND id = $2 RETURNING id
), gone AS (DELETE FROM entries WHERE tenant_id = $1 AND session_id = $2),
     answers AS (DELETE FROM turns WHERE tenant_id = $1 AND session_id = $2),
     runs AS (DELETE FROM tool_runs WHERE tenant_id = $1 AND session_id = $2),
     said AS (DELETE FROM responses WHERE tenant_id = $1 AND session_id = $2)
SELECT now() FROM x
"""


async def delete(tx: Tx, tenant: UUID, session_id: UUID) -> datetime:
    """Delete the whole history of a session, its relations, summary, kept answers and responses; the session itself stays. Needs a transaction around it.

    Raises:
        NotFound: the tenant has no such session.
    """
    if not await tx.fetchval(LOCK, tenant, session_id):
        raise NotFound("Session not found during history")
    return await tx.fetchval(DELETE, tenant, session_id)
