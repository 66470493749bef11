"""Sessions in PostgreSQL: settings in one row, participants in two tables, in the order given."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import BadRequest, NotFound, ParticipantInvalid
from mentha.core.ids import new_id
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.recall import VectorDocSearch, merge
from mentha.wire.sessions import PARTICIPANTS_MAX, CreateSessionRequest, PatchSessionRequest, Session, kind_of

SETTINGS = """x.situation, x.system_template, x.summary, x.render_templates, x.token_budget, x.context_overflow, x.auto_run_tools,
    x.forward_tool_calls, x.recall_options, x.id, x.metadata, x.created_at, x.updated_at"""
COLUMNS = f"""{SETTINGS},
    ARRAY(SELECT a.agent_id FROM session_agents a WHERE a.tenant_id = x.tenant_id AND a.session_id = x.id ORDER BY a.position) AS agents,
    ARRAY(SELECT u.user_id FROM session_users u WHERE u.tenant_id = x.tenant_id AND u.session_id = x.id ORDER BY u.position) AS users"""
# `{}` in recall_options reads back as the defaults of a vector search, as the original's sessions had it.
RECALL_DEFAULT = VectorDocSearch.model_validate({}).model_dump(mode="json")

INSERT = f"""
WITH x AS (
    INSERT INTO sessions AS x
        (tenant_id, id, situation, system_template, render_templates, token_budget, context_overflow, auto_run_tools, forward_tool_calls,
         recall_options, metadata)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    RETURNING {SETTINGS}
), agents AS (
    INSERT INTO session_agents (tenant_id, session_id, agent_id, position)
    SELECT $1, $2, who, position FROM unnest($12::uuid[]) WITH ORDINALITY AS given (who, position)
), users AS (
    INSERT INTO session_users (tenant_id, session_id, user_id, position)
    SELECT $1, $2, who, position FROM unnest($13::uuid[]) WITH ORDINALITY AS given (who, position)
)
SELECT {SETTINGS}, $12::uuid[] AS agents, $13::uuid[] AS users FROM x
"""


async def create(tx: Tx, tenant: UUID, session: CreateSessionRequest) -> Session:
    """Store a new session. One statement: it needs no transaction around it.

    Raises:
        ParticipantInvalid: no agent, or an agent or user that the tenant does not have.
        ConstraintViolated: a blank text, or a budget below one.
    """
    agents, users = participants(session)
    if not agents:
        raise ParticipantInvalid("At least one agent must be provided", fix="send `agent` or `agents`")
    row = await tx.fetchrow(INSERT, tenant, new_id(), *_settings(session), agents, users)
    return session_of(row, "create")


GET = f"SELECT {COLUMNS} FROM sessions x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, session_id: UUID) -> Session:
    """One session.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return session_of(await tx.fetchrow(GET, tenant, session_id), "get")


LIST = ordered(f"SELECT {COLUMNS} FROM sessions x WHERE x.tenant_id = $1 AND ($4::jsonpath IS NULL OR x.metadata @@ $4::jsonpath)")


async def list_(tx: Tx, tenant: UUID, page: Page) -> list[Session]:
    """One page of sessions."""
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, page.metadata_filter)
    return [session_of(row, "list") for row in rows]


UPDATE = """
UPDATE sessions x
SET situation = $3, system_template = $4, render_templates = $5, token_budget = $6, context_overflow = $7, auto_run_tools = $8,
    forward_tool_calls = $9, recall_options = $10, metadata = $11, updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING true
"""


async def update(tx: Tx, tenant: UUID, session_id: UUID, session: CreateSessionRequest) -> Session:
    """Replace the settings; participants stay unless the request names some. Needs a transaction around it.

    Raises:
        NotFound: the tenant has none with this id.
        ParticipantInvalid, ConstraintViolated: as `create`.
    """
    if not await tx.fetchval(UPDATE, tenant, session_id, *_settings(session)):
        raise NotFound("Session not found during update")
    await _replace_participants(tx, tenant, session_id, session)
    return await get(tx, tenant, session_id)


UPSERT = """
INSERT INTO sessions AS x
    (tenant_id, id, situation, system_template, render_templates, token_budget, context_overflow, auto_run_tools, forward_tool_calls,
     recall_options, metadata)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (tenant_id, id) DO UPDATE
SET situation = $3, system_template = $4, render_templates = $5, token_budget = $6, context_overflow = $7, auto_run_tools = $8,
    forward_tool_calls = $9, recall_options = $10, metadata = $11, updated_at = now()
RETURNING x.xmax = 0
"""


async def upsert(tx: Tx, tenant: UUID, session_id: UUID, session: CreateSessionRequest) -> Session:
    """Create the session with this id, or replace it with its participants, where any are named. Needs a transaction around it.

    Raises:
        ParticipantInvalid: a new session without an agent, or an agent or user that the tenant does not have.
        ConstraintViolated: as `create`.
    """
    created = await tx.fetchval(UPSERT, tenant, session_id, *_settings(session))
    if created and not participants(session, as_shown=True)[0]:
        raise ParticipantInvalid("At least one agent must be provided", fix="send `agent` or `agents`")
    await _replace_participants(tx, tenant, session_id, session)
    return await get(tx, tenant, session_id)


LOCK_RECALL = "SELECT x.recall_options FROM sessions x WHERE x.tenant_id = $1 AND x.id = $2 FOR UPDATE"
PATCH = """
UPDATE sessions x
SET situation = CASE WHEN $3 THEN $4 ELSE x.situation END,
    system_template = CASE WHEN $5 THEN $6 ELSE x.system_template END,
    token_budget = CASE WHEN $7 THEN $8 ELSE x.token_budget END,
    context_overflow = CASE WHEN $9 THEN $10 ELSE x.context_overflow END,
    recall_options = CASE WHEN $11 THEN $12 ELSE x.recall_options END,
    render_templates = COALESCE($13, x.render_templates),
    auto_run_tools = COALESCE($14, x.auto_run_tools),
    forward_tool_calls = COALESCE($15, x.forward_tool_calls),
    metadata = x.metadata || COALESCE($16::jsonb, '{}'),
    updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING true
"""
NULLABLE = ("situation", "system_template", "token_budget", "context_overflow")


async def patch(tx: Tx, tenant: UUID, session_id: UUID, session: PatchSessionRequest) -> Session:
    """Change the given fields only: null clears what may be null, metadata and recall options merge. Needs a transaction around it.

    Raises:
        NotFound: the tenant has none with this id.
        ConstraintViolated: as `create`.
    """
    given = session.model_fields_set
    recall = None
    if session.recall_options is not None:
        stored = await tx.fetchval(LOCK_RECALL, tenant, session_id)
        recall = merge(stored, session.recall_options.model_dump(mode="json", exclude_unset=True))
    pairs = [value for field in NULLABLE for value in (field in given, getattr(session, field))]
    found = await tx.fetchval(
        PATCH,
        tenant,
        session_id,
        *pairs,
        "recall_options" in given,
        recall,
        # null for a flag means its default
        True if session.render_templates is None and "render_templates" in given else session.render_templates,
        False if session.auto_run_tools is None and "auto_run_tools" in given else session.auto_run_tools,
        False if session.forward_tool_calls is None and "forward_tool_calls" in given else session.forward_tool_calls,
        session.metadata,
    )
    if not found:
        raise NotFound("Session not found during patch")
    return await get(tx, tenant, session_id)


DELETE = "DELETE FROM sessions WHERE tenant_id = $1 AND id = $2 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, session_id: UUID) -> datetime:
    """Delete a session with its history.

    Raises:
        NotFound: the tenant has none with this id.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, session_id)
    if deleted_at is None:
        raise NotFound("Session not found during delete")
    return deleted_at


def participants(session: CreateSessionRequest, *, as_shown: bool = False) -> tuple[list[UUID], list[UUID]]:
    """Agents and users of a request, in the order given, without repetitions. Where both `user` and `users` are given, `users` counts.

    An empty list names nobody, as in the original: the field for one counts beside it.

    Args:
        as_shown: take `agent` beside `agents` where both say the same. Answers have both, and are sent back to change a session.

    Raises:
        ParticipantInvalid: both `agent` and `agents` name some, or too many of either.
    """
    if session.agent is not None and session.agents and not (as_shown and session.agents == [session.agent]):
        raise ParticipantInvalid("Only one of 'agent' or 'agents' should be provided")
    agents = _several(session.agents, session.agent)
    users = _several(session.users, session.user)
    if len(agents) > PARTICIPANTS_MAX or len(users) > PARTICIPANTS_MAX:
        raise ParticipantInvalid(f"A session has at most {PARTICIPANTS_MAX} agents and {PARTICIPANTS_MAX} users")
    return agents, users


def session_of(row: Any, operation: str) -> Session:
    """A row as the API shows it.

    Raises:
        NotFound: there is no row.
    """
    if row is None:
        raise NotFound(f"Session not found during {operation}")
    agents, users = row["agents"], row["users"]
    shown = {
        **row,
        "recall_options": row["recall_options"] or RECALL_DEFAULT,
        "kind": kind_of(len(agents), len(users)),
        "agent": agents[0] if len(agents) == 1 else None,
        "user": users[0] if len(users) == 1 else None,
    }
    return Session.model_validate(shown)


DROP_AGENTS = "DELETE FROM session_agents WHERE tenant_id = $1 AND session_id = $2"
DROP_USERS = "DELETE FROM session_users WHERE tenant_id = $1 AND session_id = $2"
ADD_AGENTS = """
INSERT INTO session_agents (tenant_id, session_id, agent_id, position)
SELECT $1, $2, who, position FROM unnest($3::uuid[]) WITH ORDINALITY AS given (who, position)
"""
ADD_USERS = """
INSERT INTO session_users (tenant_id, session_id, user_id, position)
SELECT $1, $2, who, position FROM unnest($3::uuid[]) WITH ORDINALITY AS given (who, position)
"""


async def _replace_participants(tx: Tx, tenant: UUID, session_id: UUID, session: CreateSessionRequest) -> None:
    given = session.model_fields_set
    agents, users = participants(session, as_shown=True)
    if given & {"agent", "agents"}:
        if not agents:
            raise BadRequest("At least one agent must be provided", fix="leave `agent` and `agents` out to keep those there are")
        await tx.execute(DROP_AGENTS, tenant, session_id)
        await tx.execute(ADD_AGENTS, tenant, session_id, agents)
    if given & {"user", "users"}:
        await tx.execute(DROP_USERS, tenant, session_id)
        await tx.execute(ADD_USERS, tenant, session_id, users)


def _several(many: Sequence[UUID] | None, one: UUID | None) -> list[UUID]:
    if many:
        return list(dict.fromkeys(many))
    return [one] if one is not None else []


def _settings(session: CreateSessionRequest) -> list[Any]:
    return [
        session.situation,
        session.system_template,
        session.render_templates,
        session.token_budget,
        session.context_overflow,
        session.auto_run_tools,
        session.forward_tool_calls,
        session.recall_options.model_dump(mode="json") if session.recall_options else None,
        session.metadata or {},
    ]
