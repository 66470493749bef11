"""A chat turn in PostgreSQL: what it reads before the model is called, and what it writes after.

The write is one transaction: it locks the session's row, which gives concurrent turns their order, and stores the new messages, the answer,
and the fingerprint with the answer for a client that sends the request again. Mostly it is a single statement (`save_next`), which costs a
quarter of the four that a transaction takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.json import JsonObject
from mentha.store import usage
from mentha.store.pool import Tx
from mentha.store.usage import NewUsage

ISO = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""

# One statement, so that session and history are of one moment, and because each more costs the server 0.1 ms. `messages` are the replayed
# messages as one run of JSON: bytes, so that nothing here decodes or parses them. `tail` is what follows the last message with tool calls,
# if that is near the end: it tells which calls were not answered. Of a session whose context has to fit nothing of it is read here: what can
# fit, `store/budgets.py` reads once the model is known.
CONTEXT = f"""
SELECT now() AS started_at, x.situation, x.system_template, x.render_templates, x.token_budget, x.context_overflow, x.auto_run_tools,
    x.forward_tool_calls, x.recall_options, x.metadata, x.summary, x.last_seq, x.fold_job_id, h.messages, h.count,
    EXISTS (SELECT FROM session_agents p JOIN docs d ON d.tenant_id = p.tenant_id AND d.agent_id = p.agent_id
            WHERE p.tenant_id = $1 AND p.session_id = $2)
        OR EXISTS (SELECT FROM session_users p JOIN docs d ON d.tenant_id = p.tenant_id AND d.user_id = p.user_id
                   WHERE p.tenant_id = $1 AND p.session_id = $2) AS has_docs,
    EXISTS (SELECT FROM secrets v WHERE v.tenant_id = $1) AS has_secrets,
    (SELECT json_agg(l.message ORDER BY l.seq) FROM entries l
     WHERE l.tenant_id = $1 AND l.session_id = $2 AND l.role IN ('assistant', 'tool') AND l.seq >= (
        SELECT max(m.seq) FROM entries m WHERE m.tenant_id = $1 AND m.session_id = $2 AND m.seq > x.last_seq - 300 AND m.has_calls)) AS tail,
    to_char(x.created_at AT TIME ZONE 'UTC', {ISO}) AS created_at, to_char(x.updated_at AT TIME ZONE 'UTC', {ISO}) AS updated_at,
    (SELECT jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'canonical_name', a.canonical_name, 'about', a.about, 'model', a.model,
        'instructions', a.instructions, 'default_settings', a.default_settings, 'default_system_template', a.default_system_template,
        'metadata', a.metadata, 'project', p.canonical_name, 'created_at', to_char(a.created_at AT TIME ZONE 'UTC', {ISO}),
        'updated_at', to_char(a.updated_at AT TIME ZONE 'UTC', {ISO}),
        'tools', (SELECT jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'type', t.type, 'description', t.description, 'spec', t.spec)
                    ORDER BY t.created_at, t.id)
                  FROM tools t WHERE t.tenant_id = a.tenant_id AND t.agent_id = a.id)) ORDER BY sa.position)
     FROM session_agents sa JOIN agents a ON a.tenant_id = sa.tenant_id AND a.id = sa.agent_id
     JOIN projects p ON p.tenant_id = a.tenant_id AND p.id = a.project_id
     WHERE sa.tenant_id = x.tenant_id AND sa.session_id = x.id) AS agents,
    (SELECT jsonb_agg(jsonb_build_object('id', u.id, 'name', u.name, 'about', u.about, 'metadata', u.metadata,
        'created_at', to_char(u.created_at AT TIME ZONE 'UTC', {ISO}), 'updated_at', to_char(u.updated_at AT TIME ZONE 'UTC', {ISO}))
        ORDER BY su.position)
     FROM session_users su JOIN users u ON u.tenant_id = su.tenant_id AND u.id = su.user_id
     WHERE su.tenant_id = x.tenant_id AND su.session_id = x.id) AS users
FROM sessions x CROSS JOIN (
    SELECT convert_to(COALESCE(string_agg(e.message::text, ',' ORDER BY e.seq), ''), 'UTF8') AS messages, count(*) AS count
    FROM entries e
    WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.source = ANY ($3) AND NOT EXISTS (
        SELECT 1 FROM entry_relations r WHERE r.tenant_id = e.tenant_id AND r.session_id = e.session_id AND r.head = e.id)
    AND (SELECT s.context_overflow FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2) IS NULL
) h
WHERE x.tenant_id = $1 AND x.id = $2
"""


@dataclass(frozen=True, slots=True)
class ContextRow:
    """All that a turn needs to know of its session.

    Attributes:
        started_at: the database's clock when the turn began.
        session: the session's own fields.
        agents: in the order given, each with its `tools`; empty once all are gone.
        users: in the order given.
        history: comma-joined JSON messages, b"" for none, and for a session with a `context_overflow`.
        history_count: how many they are.
        last_seq: the number of the session's last entry, 0 where it never had one.
        tail: the last message with tool calls near the end of the history and what assistants and tools said after it.
        has_docs: whether one of the agents or users has documents.
        has_secrets: whether the tenant has any.
        fold_job_id: the job that folds the session, where one waits or runs.
    """

    started_at: datetime
    session: JsonObject
    agents: list[JsonObject]
    users: list[JsonObject]
    history: bytes
    history_count: int
    last_seq: int
    tail: list[JsonObject]
    has_docs: bool
    has_secrets: bool
    fold_job_id: UUID | None


async def load(tx: Tx, tenant: UUID, session_id: UUID, *, sources: Sequence[str]) -> ContextRow:
    """Read a session, its participants and its history for a turn.

    Args:
        sources: which entries are replayed.

    Raises:
        NotFound: the tenant has no such session.
    """
    row = await tx.fetchrow(CONTEXT, tenant, session_id, list(sources))
    if row is None:
        raise NotFound("Session not found during chat")
    session: dict[str, Any] = {**row, "id": str(session_id)}
    started_at, history, history_count, last_seq = (session.pop(name) for name in ("started_at", "messages", "count", "last_seq"))
    agents, users, tail = (session.pop(name) or [] for name in ("agents", "users", "tail"))
    has_docs, has_secrets, fold_job_id = (session.pop(name) for name in ("has_docs", "has_secrets", "fold_job_id"))
    return ContextRow(started_at, session, agents, users, history, history_count, last_seq, tail, has_docs, has_secrets, fold_job_id)


RECENT = """
SELECT e.message FROM entries e
WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq <= $3 AND e.role IN ('user', 'assistant') AND e.source IN ('api_request', 'api_response')
ORDER BY e.seq DESC LIMIT $4
"""


async def recent(tx: Tx, tenant: UUID, session_id: UUID, *, up_to_seq: int, limit: int) -> list[JsonObject]:
    """What users and assistants said last, up to an entry; the oldest first."""
    rows = await tx.fetch(RECENT, tenant, session_id, up_to_seq, limit)
    return [row["message"] for row in reversed(rows)]


@dataclass(frozen=True, slots=True)
class NewEntry:
    """One message to store.

    Attributes:
        message: its JSON as a provider takes it.
        content: its parts as the client sent them, where `message` does not tell them; None otherwise.
        has_calls: it is an assistant's message with tool calls.
    """

    id: UUID
    source: str
    role: str
    name: str | None
    message: str
    content: str | None
    has_calls: bool
    model: str
    tokenizer: str
    token_count: int


@dataclass(frozen=True, slots=True)
class NewTurn:
    """A finished turn to store.

    Attributes:
        fingerprint: SHA-256 of what makes a request the same one.
        retried: the request said that it was sent before.
        since: a turn with the same fingerprint stored after this moment is this one, stored by another process.
        after_seq: the number of the session's last entry when the turn began.
        answer: the body of the answer, kept for replay.
        usage: the calls of providers that it made.
    """

    id: UUID
    session_id: UUID
    fingerprint: bytes
    idempotency_key: str | None
    retried: bool
    since: datetime
    after_seq: int
    answer: bytes
    usage: Sequence[NewUsage] = ()


ENTRIES = """
    (tenant_id, id, session_id, seq, turn_id, source, role, name, message, content, has_calls, model, tokenizer, token_count)
    SELECT $1, e.id, $3, $8 + e.position, turn.id, e.source, e.role, e.name, e.message::json, e.content::json, e.has_calls, e.model,
        e.tokenizer, e.token_count
    FROM turn, unnest($9::uuid[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::boolean[], $16::text[], $17::text[],
        $18::int[]) WITH ORDINALITY AS e (id, source, role, name, message, content, has_calls, model, tokenizer, token_count, position)
"""
# No entry was added since the turn began, so no other turn was stored and this one can't be stored already. The condition counts on the
# newest version of the row: whoever had to wait for its lock finds another number there, and stores nothing.
SAVE_NEXT = f"""
WITH taken AS (
    UPDATE sessions SET last_seq = last_seq + cardinality($9::uuid[]), updated_at = now()
    WHERE tenant_id = $1 AND id = $3 AND last_seq = $8 RETURNING id
), turn AS (
    INSERT INTO turns (tenant_id, id, session_id, fingerprint, idempotency_key, retried, answer)
    SELECT $1, $2, $3, $4, $5, $6, $7 FROM taken
    RETURNING id
), stored AS (INSERT INTO entries {ENTRIES}), spent AS ({usage.stored_with_turn("$19")})
SELECT id FROM turn
"""


async def save_next(tx: Tx, tenant: UUID, turn: NewTurn, entries: Sequence[NewEntry]) -> bool:
    """Store a finished turn with its messages, where nothing was stored in its session since it began. One statement: no transaction needed.

    Not for a turn that may repeat another one: that can have been stored before this one began.

    Returns:
        False where something was, or the session is gone: nothing was stored; `save` knows what to do.
    """
    return await tx.fetchval(SAVE_NEXT, tenant, *_turn(turn), turn.after_seq, *_columns(entries), usage.as_json(turn.usage)) is not None


TAKE_SEQ = "UPDATE sessions SET last_seq = last_seq + $3, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING last_seq - $3"
# A retry and the request that it repeats can run at the same time on two machines; whoever comes second finds the other's row here. Two
# requests that merely look alike are both stored: one of the two must have said that it is a retry, or carry the same key.
# A request that said so looked for a stored turn before it ran, and found none: whatever it finds now, it repeats. That may be a turn whose
# transaction was older than this one's start and was committed after it: what a server that was killed, or a slow disk, leaves.
SAVE = f"""
WITH turn AS (
    INSERT INTO turns (tenant_id, id, session_id, fingerprint, idempotency_key, retried, answer)
    SELECT $1, $2, $3, $4, $5, $6, $7
    WHERE NOT EXISTS (
        SELECT 1 FROM turns t WHERE t.tenant_id = $1 AND t.fingerprint = $4
        AND (t.retried AND t.created_at > $19 OR ($6 OR t.idempotency_key = $5) AND t.created_at > now() - make_interval(secs => $20)))
    RETURNING id
), stored AS (INSERT INTO entries {ENTRIES}), spent AS ({usage.stored_with_turn("$21")})
SELECT id FROM turn
"""


async def save(tx: Tx, tenant: UUID, turn: NewTurn, entries: Sequence[NewEntry], *, replay_s: float) -> bool:
    """Store a finished turn with its messages. Needs a transaction around it; takes the lock of the session's row where there are entries.

    Args:
        replay_s: as `find` and `find_key` had it in `within_s` when they looked for this turn.

    Returns:
        False where the same turn was stored meanwhile by another process: roll back, and answer with `find`.

    Raises:
        NotFound: the session was deleted while the turn ran.
    """
    first = await tx.fetchval(TAKE_SEQ, tenant, turn.session_id, len(entries)) if entries else 0
    if first is None:
        raise NotFound("Session not found during chat: it was deleted while the turn ran")
    spent = usage.as_json(turn.usage)
    return await tx.fetchval(SAVE, tenant, *_turn(turn), first, *_columns(entries), turn.since, replay_s, spent) is not None


# Entries that no turn made: what a client puts into a conversation by itself.
ADD = """
INSERT INTO entries
    (tenant_id, id, session_id, seq, turn_id, source, role, name, message, content, has_calls, model, tokenizer, token_count)
SELECT $1, e.id, $3, $4 + e.position, $2, e.source, e.role, e.name, e.message::json, e.content::json, e.has_calls, e.model,
    e.tokenizer, e.token_count
FROM unnest($5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::boolean[], $12::text[], $13::text[],
    $14::int[]) WITH ORDINALITY AS e (id, source, role, name, message, content, has_calls, model, tokenizer, token_count, position)
"""


async def add(tx: Tx, tenant: UUID, session_id: UUID, entries: Sequence[NewEntry]) -> None:
    """Store messages at the end of a history. Needs a transaction around it; takes the lock of the session's row.

    Raises:
        NotFound: the tenant has no such session.
    """
    first = await tx.fetchval(TAKE_SEQ, tenant, session_id, len(entries))
    if first is None:
        raise NotFound("Session not found")
    await tx.execute(ADD, tenant, new_id(), session_id, first, *_columns(entries))


FIND = """
SELECT t.answer FROM turns t
WHERE t.tenant_id = $1 AND t.fingerprint = $2 AND t.created_at > now() - make_interval(secs => $3) ORDER BY t.created_at DESC LIMIT 1
"""


async def find(tx: Tx, tenant: UUID, fingerprint: bytes, *, within_s: float) -> bytes | None:
    """The kept answer of the newest turn with this fingerprint, not older than `within_s`."""
    return await tx.fetchval(FIND, tenant, fingerprint, within_s)


FIND_KEY = """
SELECT t.fingerprint, t.answer FROM turns t
WHERE t.tenant_id = $1 AND t.idempotency_key = $2 AND t.created_at > now() - make_interval(secs => $3) ORDER BY t.created_at DESC LIMIT 1
"""


async def find_key(tx: Tx, tenant: UUID, idempotency_key: str, *, within_s: float) -> tuple[bytes, bytes] | None:
    """Fingerprint and kept answer of the newest turn under this `Idempotency-Key`, not older than `within_s`."""
    row = await tx.fetchrow(FIND_KEY, tenant, idempotency_key, within_s)
    return (row["fingerprint"], row["answer"]) if row else None


def _turn(turn: NewTurn) -> tuple[Any, ...]:
    return turn.id, turn.session_id, turn.fingerprint, turn.idempotency_key, turn.retried, turn.answer


def _columns(entries: Sequence[NewEntry]) -> list[list[Any]]:
    fields = ("id", "source", "role", "name", "message", "content", "has_calls", "model", "tokenizer", "token_count")
    return [[getattr(entry, field) for entry in entries] for field in fields]
