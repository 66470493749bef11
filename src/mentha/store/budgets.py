"""What a turn under a budget reads of a history: the newest messages that could fit, and how its model counts tokens. It never reads more.

The walk goes back from the newest entry in steps of some entries until their tokens exceed the room, so the cost follows from the budget and
not from the length of the history. What is folded is not walked through: `sessions.folded_seq` tells where it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mentha.store.pool import Tx

# The letters of `chat/budget.py`. What a tool's result came with (an image, as a user's message) belongs to the result.
KIND = """CASE WHEN e.has_calls THEN 'c' WHEN e.role = 'tool' OR e.role = 'user' AND e.source = 'internal' THEN 't'
    WHEN e.role IN ('user', 'system') THEN 'u' ELSE 'a' END"""
STEP_ENTRIES = 64

NEWEST = f"""
WITH RECURSIVE x AS MATERIALIZED (
    SELECT s.folded_seq, s.folded_count FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
), known AS MATERIALIZED (
    SELECT r.ratio FROM token_ratios r WHERE r.tenant_id = $1 AND r.model = $7
), walk (low, tokens) AS (
    SELECT $4::bigint + 1, 0::bigint
    UNION ALL
    SELECT step.low, w.tokens + step.tokens FROM walk w CROSS JOIN LATERAL (
        SELECT min(b.seq) AS low, sum(b.token_count) AS tokens FROM (
            SELECT e.seq, e.token_count FROM entries e
            WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq < w.low AND e.seq > (SELECT folded_seq FROM x) AND e.source = ANY ($3)
            ORDER BY e.seq DESC LIMIT {STEP_ENTRIES}) b
    ) step WHERE (w.tokens + $6::bigint) * COALESCE((SELECT ratio FROM known), $8::float8) <= $5::bigint + 0.001 AND step.low IS NOT NULL
)
SELECT x.folded_seq, x.folded_count, n.*, summary.message AS summary, summary.token_count AS summary_tokens,
    COALESCE((SELECT ratio FROM known), $8::float8) AS ratio
FROM x CROSS JOIN (
    SELECT convert_to(string_agg(m.message, ','), 'UTF8') AS messages, array_agg(octet_length(m.message)) AS sizes,
        array_agg(m.token_count) AS counts, string_agg(m.kind, '') AS kinds, array_agg(m.seq) AS seqs
    FROM (SELECT e.seq, e.message::text AS message, e.token_count, {KIND} AS kind FROM entries e
          WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq >= (SELECT min(low) FROM walk) AND e.seq <= $4 AND e.source = ANY ($3)
          ORDER BY e.seq) m
) n LEFT JOIN (
    SELECT convert_to(e.message::text, 'UTF8') AS message, e.token_count FROM entries e
    WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq = -(SELECT folded_seq FROM x) AND e.seq < 0 AND e.source = ANY ($3)
) summary ON true
"""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest entries of a session that are replayed, oldest first, as far back as their tokens exceed the room, or all.

    Attributes:
        messages: comma-joined JSON, `sizes` bytes each.
        counts: tokens of each.
        kinds: a letter for each.
        seqs: their numbers.
        folded_seq, folded_count: up to which number entries are folded, and for how many the summary stands.
        summary: the newest summary as a message, b"" for none.
        ratio: what the model's tokens are to ours.
    """

    messages: bytes
    sizes: Sequence[int]
    counts: Sequence[int]
    kinds: str
    seqs: Sequence[int]
    folded_seq: int
    folded_count: int
    summary: bytes
    summary_tokens: int
    ratio: float


async def newest(
    tx: Tx,
    tenant: UUID,
    session_id: UUID,
    *,
    sources: Sequence[str],
    last_seq: int,
    limit_tokens: int,
    fixed_tokens: int = 0,
    model: str = "",
    ratio: float = 1.0,
) -> Newest:
    """Read the newest part of a history, up to an entry, or all of it where that fits.

    Args:
        sources: which entries are replayed.
        limit_tokens: no more is read once `fixed_tokens` and those of the entries, times the ratio, exceed this; some entries more come along.
        model: the name that its ratio is kept under.
        ratio: of a model that has none yet.
    """
    row = await tx.fetchrow(NEWEST, tenant, session_id, list(sources), last_seq, limit_tokens, fixed_tokens, model, ratio)
    if row is None:
        # Deleted since it was read: whoever stores the turn finds out.
        return Newest(b"", (), (), "", (), 0, 0, b"", 0, ratio)
    return Newest(
        messages=row["messages"] or b"",
        sizes=row["sizes"] or (),
        counts=row["counts"] or (),
        kinds=row["kinds"] or "",
        seqs=row["seqs"] or (),
        folded_seq=row["folded_seq"],
        folded_count=row["folded_count"],
        summary=row["summary"] or b"",
        summary_tokens=row["summary_tokens"] or 0,
        ratio=row["ratio"],
    )


LEARN = """
INSERT INTO token_ratios AS r (tenant_id, model, ratio) VALUES ($1, $2, GREATEST($3, $4::float8 + $5 * ($3 - $4)))
ON CONFLICT (tenant_id, model) DO UPDATE
SET ratio = GREATEST($3, r.ratio + $5 * ($3 - r.ratio)), samples = r.samples + 1, updated_at = now()
"""


async def learn(tx: Tx, tenant: UUID, model: str, *, seen: float, start: float, fall: float) -> None:
    """Let a sample move the ratio of a model: up to it at once, down to it by the share `fall`. One statement.

    Args:
        seen: tokens that the provider reported for each that we counted.
        start: the ratio of a model that has none yet.
    """
    await tx.execute(LEARN, tenant, model, seen, start, fall)
