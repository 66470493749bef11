"""Responses in PostgreSQL: a row each, over the session that it is a turn of; and what Responses need of sessions and agents."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.json import JsonObject
from mentha.store.pool import Tx


@dataclass(frozen=True, slots=True)
class NewResponse:
    """A response that begins.

    Attributes:
        conversation: whether its session is the client's own.
        body: the response as it is shown until it is complete.
        input: its items.
    """

    id: UUID
    session_id: UUID
    conversation: bool
    background: bool
    body: JsonObject
    input: list[JsonObject]


@dataclass(frozen=True, slots=True)
class Previous:
    """A response that another one follows.

    Attributes:
        last_seq: the number of its last entry; None where it is not complete.
        is_last: whether nothing was said in its session after it.
    """

    session_id: UUID
    conversation: bool
    last_seq: int | None
    is_last: bool


INTO = """
    INTO responses (tenant_id, id, session_id, conversation, background, body, input, continues)"""
# A new session with its only agent; foreign keys are checked when all of it is there.
BEGIN_NEW = f"""
WITH session AS (
    INSERT INTO sessions (tenant_id, id, render_templates, auto_run_tools, forward_tool_calls, context_overflow)
    VALUES ($1, $3, false, true, false, $9)
), member AS (INSERT INTO session_agents (tenant_id, session_id, agent_id, position) VALUES ($1, $3, $8, 1))
INSERT {INTO} VALUES ($1, $2, $3, $4, $5, $6, $7, NULL)
"""


async def begin_new(tx: Tx, tenant: UUID, response: NewResponse, agent_id: UUID, *, overflow: str | None) -> None:
    """Store a response that begins, in a session of its own. One statement: it needs no transaction around it.

    Raises:
        ParticipantInvalid: the tenant has no such agent.
    """
    await tx.execute(BEGIN_NEW, tenant, *_fields(response), agent_id, overflow)


BEGIN = f"INSERT {INTO} VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, continues) WHERE continues IS NOT NULL DO NOTHING RETURNING true"


async def begin(tx: Tx, tenant: UUID, response: NewResponse, *, continues: UUID | None = None) -> bool:
    """Store a response that begins, in a session that is there.

    Returns:
        False where another response has continued `continues` already: nothing was stored.

    Raises:
        NotFound: the tenant has no such session.
    """
    return bool(await tx.fetchval(BEGIN, tenant, *_fields(response), continues))


FINISH = """
UPDATE responses r SET status = $3, body = $4, last_seq = s.last_seq
FROM sessions s WHERE r.tenant_id = $1 AND r.id = $2 AND r.status = 'in_progress' AND s.tenant_id = r.tenant_id AND s.id = r.session_id
RETURNING true
"""


async def finish(tx: Tx, tenant: UUID, response_id: UUID, status: str, body: JsonObject) -> bool:
    """Store what came of a response, with its turn. False where it was cancelled or deleted meanwhile."""
    return bool(await tx.fetchval(FINISH, tenant, response_id, status, body))


END = """
UPDATE responses SET status = $3, body = (body::jsonb || $4::jsonb)::json, continues = NULL
WHERE tenant_id = $1 AND id = $2 AND status = 'in_progress' RETURNING true
"""


async def end(tx: Tx, tenant: UUID, response_id: UUID, status: str, change: JsonObject) -> bool:
    """Store that a response failed or was cancelled. False where it has ended already."""
    return bool(await tx.fetchval(END, tenant, response_id, status, change))


PREVIOUS = """
SELECT r.session_id, r.conversation, r.last_seq, r.last_seq = s.last_seq AS is_last
FROM responses r JOIN sessions s ON s.tenant_id = r.tenant_id AND s.id = r.session_id WHERE r.tenant_id = $1 AND r.id = $2
"""


async def previous(tx: Tx, tenant: UUID, response_id: UUID) -> Previous:
    """What a response that follows needs to know of this one.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = await tx.fetchrow(PREVIOUS, tenant, response_id)
    if row is None:
        raise NotFound("Previous response not found")
    return Previous(row["session_id"], row["conversation"], row["last_seq"], bool(row["is_last"]))


GET = "SELECT status, background, body, created_at FROM responses WHERE tenant_id = $1 AND id = $2"


async def get(tx: Tx, tenant: UUID, response_id: UUID) -> Any:
    """`status`, `background`, `body` and `created_at` of a response.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _found(await tx.fetchrow(GET, tenant, response_id))


INPUT = "SELECT input FROM responses WHERE tenant_id = $1 AND id = $2"


async def input_of(tx: Tx, tenant: UUID, response_id: UUID) -> list[JsonObject]:
    """The items that a response was made from, the oldest first.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _found(await tx.fetchrow(INPUT, tenant, response_id))["input"]


DELETE = "DELETE FROM responses WHERE tenant_id = $1 AND id = $2 RETURNING session_id, conversation"
# A session that was made for responses goes with the last of them.
DELETE_SESSION = """
DELETE FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
    AND NOT EXISTS (SELECT FROM responses r WHERE r.tenant_id = s.tenant_id AND r.session_id = s.id)
"""


async def delete(tx: Tx, tenant: UUID, response_id: UUID) -> None:
    """Delete a response, with its session where that was made for it. Needs a transaction around it.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = _found(await tx.fetchrow(DELETE, tenant, response_id))
    if not row["conversation"]:
        await tx.execute(DELETE_SESSION, tenant, row["session_id"])


DROP_SESSION = "DELETE FROM sessions WHERE tenant_id = $1 AND id = $2"


async def drop_session(tx: Tx, tenant: UUID, session_id: UUID) -> None:
    """Delete a session that was made for one response; nothing where it is gone."""
    await tx.execute(DROP_SESSION, tenant, session_id)


MOVE_TURN = "UPDATE turns SET session_id = $3 WHERE tenant_id = $1 AND id = $2"


async def move_turn(tx: Tx, tenant: UUID, turn_id: UUID, session_id: UUID) -> None:
    """Keep the answer of a turn beyond its session, with another one.

    Raises:
        NotFound: the tenant has no such session.
    """
    await tx.execute(MOVE_TURN, tenant, turn_id, session_id)


MAKE_AGENT = """
INSERT INTO agents (tenant_id, id, project_id, canonical_name, name, about, model, instructions, metadata)
SELECT $1, $2, p.id, $3, 'Responses', 'Answers requests of the Responses API that name no agent.', '', '{}', '{}'
FROM projects p WHERE p.tenant_id = $1 AND p.canonical_name = 'default'
ON CONFLICT DO NOTHING
"""


async def make_agent(tx: Tx, tenant: UUID, agent_id: UUID) -> None:
    """Make the agent of those requests that name none, where it is not there."""
    await tx.execute(MAKE_AGENT, tenant, agent_id, f"responses_{agent_id.hex}")


FIND_AGENT = "SELECT id FROM agents WHERE tenant_id = $1 AND (id::text = lower($2) OR lower(canonical_name) = lower($2)) LIMIT 1"


async def find_agent(tx: Tx, tenant: UUID, name: str) -> UUID | None:
    """The agent with this id or canonical name, None where the tenant has none."""
    return await tx.fetchval(FIND_AGENT, tenant, name)


IS_EMPTY = """
SELECT CASE WHEN s.last_seq > 0 THEN false
    WHEN EXISTS (SELECT FROM session_agents a WHERE a.tenant_id = s.tenant_id AND a.session_id = s.id AND a.agent_id = $3) THEN true END
FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
"""


async def is_empty(tx: Tx, tenant: UUID, session_id: UUID, agent_id: UUID) -> bool | None:
    """Whether nothing was ever stored in a session; None where there is none with this id, or the agent is not in it."""
    return await tx.fetchval(IS_EMPTY, tenant, session_id, agent_id)


PUT_SESSION = """
INSERT INTO sessions (tenant_id, id, render_templates, auto_run_tools, forward_tool_calls, context_overflow, metadata)
VALUES ($1, $2, false, true, false, $3, $4) ON CONFLICT DO NOTHING
"""
PUT_AGENT = """
INSERT INTO session_agents (tenant_id, session_id, agent_id, position)
VALUES ($1, $2, $3, 1 + (SELECT count(*) FROM session_agents a WHERE a.tenant_id = $1 AND a.session_id = $2)) ON CONFLICT DO NOTHING
"""


async def put_session(tx: Tx, tenant: UUID, session_id: UUID, *, overflow: str | None, metadata: JsonObject | None = None) -> None:
    """Make a session where there is none with this id."""
    await tx.execute(PUT_SESSION, tenant, session_id, overflow, metadata or {})


async def put_agent(tx: Tx, tenant: UUID, session_id: UUID, agent_id: UUID) -> None:
    """Let an agent take part in a session.

    Raises:
        ParticipantInvalid: the tenant has no such agent.
    """
    await tx.execute(PUT_AGENT, tenant, session_id, agent_id)


# What a summary stands for is copied as it was said, and the summary is not.
FORK = """
WITH session AS (
    INSERT INTO sessions (tenant_id, id, situation, system_template, render_templates, token_budget, context_overflow, auto_run_tools,
        forward_tool_calls, recall_options, last_seq)
    SELECT s.tenant_id, $3, s.situation, s.system_template, s.render_templates, s.token_budget, s.context_overflow, s.auto_run_tools,
        s.forward_tool_calls, s.recall_options, $4
    FROM sessions s WHERE s.tenant_id = $1 AND s.id = $2
), agents AS (
    INSERT INTO session_agents (tenant_id, session_id, agent_id, position)
    SELECT a.tenant_id, $3, a.agent_id, a.position FROM session_agents a WHERE a.tenant_id = $1 AND a.session_id = $2
), users AS (
    INSERT INTO session_users (tenant_id, session_id, user_id, position)
    SELECT u.tenant_id, $3, u.user_id, u.position FROM session_users u WHERE u.tenant_id = $1 AND u.session_id = $2
)
INSERT INTO entries (tenant_id, id, session_id, seq, turn_id, source, role, name, message, content, has_calls, model, tokenizer, token_count,
    created_at)
SELECT e.tenant_id, gen_random_uuid(), $3, e.seq, e.turn_id, e.source, e.role, e.name, e.message, e.content, e.has_calls, e.model,
    e.tokenizer, e.token_count, e.created_at
FROM entries e WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq BETWEEN 1 AND $4
"""


async def fork(tx: Tx, tenant: UUID, session_id: UUID, copy_id: UUID, *, last_seq: int) -> None:
    """Copy a session under a new id with its participants, and its entries up to a number."""
    await tx.execute(FORK, tenant, session_id, copy_id, last_seq)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a session as items are made of it."""

    id: UUID
    seq: int
    message: JsonObject
    created_at: datetime


SHOWN = "('api_request', 'api_response', 'tool_request', 'tool_response')"
SEQ_OF = "SELECT e.seq FROM entries e WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.id = $3"
NEXT = f"""
SELECT e.id, e.seq, e.message, e.created_at FROM entries e
WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq >= $3 AND e.source IN {SHOWN} ORDER BY e.seq LIMIT $4
"""
BEFORE = f"""
SELECT e.id, e.seq, e.message, e.created_at FROM entries e
WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.seq <= $3 AND e.source IN {SHOWN} ORDER BY e.seq DESC LIMIT $4
"""
FIRST, LAST = 0, 2**62


async def messages(tx: Tx, tenant: UUID, session_id: UUID, *, at: UUID | None, limit: int, newest_first: bool) -> list[StoredMessage]:
    """Messages of a session in their order or the opposite one.

    Args:
        at: the entry to begin with, itself included; None for the first one.

    Raises:
        NotFound: the session has no such entry.
    """
    seq = LAST if newest_first else FIRST
    if at is not None:
        seq = await tx.fetchval(SEQ_OF, tenant, session_id, at)
        if seq is None:
            raise NotFound("Item not found")
    rows = await tx.fetch(BEFORE if newest_first else NEXT, tenant, session_id, seq, limit)
    return [StoredMessage(**row) for row in rows]


# A call and its outputs go together: providers refuse one without the other.
DELETE_MESSAGE = """
WITH said AS (
    SELECT e.id, e.seq, e.role, e.message FROM entries e WHERE e.tenant_id = $1 AND e.session_id = $2 AND e.id = $3
), asked AS (
    SELECT c.id, c.seq, c.message FROM entries c, said
    WHERE c.tenant_id = $1 AND c.session_id = $2 AND c.has_calls AND c.seq <= said.seq AND (c.id = said.id OR said.role = 'tool' AND EXISTS (
        SELECT FROM json_array_elements(c.message -> 'tool_calls') k WHERE k ->> 'id' = said.message ->> 'tool_call_id'))
    ORDER BY c.seq DESC LIMIT 1
)
DELETE FROM entries d WHERE d.tenant_id = $1 AND d.session_id = $2 AND (
    d.id IN (SELECT id FROM said) OR d.id IN (SELECT id FROM asked)
    OR d.role = 'tool' AND EXISTS (SELECT FROM asked, json_array_elements(asked.message -> 'tool_calls') k
        WHERE d.seq > asked.seq AND k ->> 'id' = d.message ->> 'tool_call_id'
        AND NOT EXISTS (SELECT FROM entries n WHERE n.tenant_id = $1 AND n.session_id = $2 AND n.has_calls AND n.seq > asked.seq AND n.seq < d.seq)))
RETURNING d.id
"""


async def delete_message(tx: Tx, tenant: UUID, session_id: UUID, entry_id: UUID) -> None:
    """Delete one message of a session; of calls and their outputs, all that belong together.

    Raises:
        NotFound: the session has no such entry.
    """
    if not await tx.fetch(DELETE_MESSAGE, tenant, session_id, entry_id):
        raise NotFound("Item not found")


CONVERSATION = "SELECT id, metadata, created_at FROM sessions WHERE tenant_id = $1 AND id = $2"
UPDATE_CONVERSATION = """
UPDATE sessions SET metadata = $3, updated_at = now() WHERE tenant_id = $1 AND id = $2 RETURNING id, metadata, created_at
"""


async def conversation(tx: Tx, tenant: UUID, session_id: UUID) -> Any:
    """`id`, `metadata` and `created_at` of a session.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _found(await tx.fetchrow(CONVERSATION, tenant, session_id), "Conversation")


async def update_conversation(tx: Tx, tenant: UUID, session_id: UUID, metadata: JsonObject) -> Any:
    """Replace the metadata of a session; gives what `conversation` does.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _found(await tx.fetchrow(UPDATE_CONVERSATION, tenant, session_id, metadata), "Conversation")


def _found(row: Any, what: str = "Response") -> Any:
    if row is None:
        raise NotFound(f"{what} not found")
    return row


def _fields(response: NewResponse) -> tuple[Any, ...]:
    return response.id, response.session_id, response.conversation, response.background, response.body, response.input
