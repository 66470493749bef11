"""First stage of a turn: read the session, its participants and its history from the database in one go."""

from uuid import UUID

from mentha.chat.context import Context, active_agent, open_calls
from mentha.store import turns
from mentha.store.pool import Database
from mentha.wire.chat import ChatInput

# Client-run calls and their results are api_*; `internal` closes calls that were never answered. Both are always replayed.
REPLAYED = ("api_request", "api_response", "internal")
REPLAYED_TOOLS = ("tool_request", "tool_response", "summarizer")


async def load(database: Database, tenant: UUID, session_id: UUID, request: ChatInput) -> Context:
    """Read the session for a turn. The connection is given back before this returns.

    Raises:
        NotFound: the tenant has no such session.
        BadRequest: its agents are all gone, or the request names an agent that is not in it.
    """
    sources = REPLAYED + REPLAYED_TOOLS if request.recall_tools else REPLAYED
    async with database.connection() as connection:
        row = await turns.load(connection, tenant, session_id, sources=sources)
    agents, users = row.agents, row.users
    session = {
        **row.session,
        "agents": [agent["id"] for agent in agents],
        "users": [user["id"] for user in users],
        "agent": agents[0]["id"] if agents else None,
        "user": users[0]["id"] if users else None,
    }
    agent = active_agent(agents, request.agent)
    return Context(
        row.started_at,
        session,
        agent,
        agents,
        users,
        row.history,
        row.history_count,
        row.last_seq,
        open_calls(row.tail),
        row.has_docs,
        row.has_secrets,
        row.fold_job_id,
        sources,
    )
