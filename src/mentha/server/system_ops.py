"""What tools of type `system` can call: one table, name → operation, over the same functions that the API's handlers call.

Everything is within the caller's tenant, and checked by the same shapes as a request over HTTP. Answers are those of the API, but for
lists, which are bare, and vectors, which no model can read. Those on tasks and executions are in `system_tasks.py`.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from mentha.api import docs as docs_api
from mentha.auth.vault import Vault
from mentha.chat.answer import Head
from mentha.chat.turn import TurnRequest
from mentha.core import clock
from mentha.core.clock import iso
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, JsonValue, loads
from mentha.server import system_tasks
from mentha.server.system_arguments import checked, id_of, key_of_call, page_of, shown, valid
from mentha.store import agents, docs, entries, jobs, sealing, sessions, tools, users
from mentha.store.chunks import OwnerKind, owner_of
from mentha.store.pool import Tx
from mentha.tools.calls import ToolFailed
from mentha.tools.system import DEPTH_MAX, Caller, Operation
from mentha.wire.agents import CreateAgentRequest, CreateOrUpdateAgentRequest, PatchAgentRequest, UpdateAgentRequest
from mentha.wire.chat import ChatInput
from mentha.wire.docs import CreateDocRequest, DocSearchRequest, EmbedQueryRequest
from mentha.wire.entries import SOURCES_DEFAULT
from mentha.wire.sessions import CreateOrUpdateSessionRequest, CreateSessionRequest, PatchSessionRequest, UpdateSessionRequest
from mentha.wire.tools import CreateToolRequest, PatchToolRequest, UpdateToolRequest
from mentha.wire.users import CreateOrUpdateUserRequest, CreateUserRequest, PatchUserRequest, UpdateUserRequest

# A statement or two within the caller's tenant; what it gives is shown as JSON.
Work = Callable[[Tx, UUID, JsonObject], Awaitable[Any]]
# A model reads no vectors, and has the query that it made.
SEARCH_DEFAULTS: JsonObject = {"mode": "hybrid", "include_embeddings": False}
_SEARCH: TypeAdapter[Any] = TypeAdapter(DocSearchRequest)


def table(runtime: Any) -> dict[str, Operation]:
    """All operations by name, like `agent.doc.search`."""
    found: dict[str, Operation] = {}
    for name, work in {**_agents(runtime.vault), **_tools(runtime.vault), **_users(), **_sessions(), **_docs()}.items():
        found[name] = _in_transaction(runtime, work)
    for kind in ("agent", "user"):
        found |= _docs_of(runtime, kind)
    return {**found, **system_tasks.table(runtime), "session.chat": _chat(runtime), "doc.embed": _embed(runtime)}


def _in_transaction(runtime: Any, work: Work) -> Operation:
    async def run(caller: Caller, given: JsonObject) -> JsonValue:
        async with runtime.database.transaction() as tx:
            return shown(await work(tx, caller.tenant, given))

    return run


def _agents(vault: Vault) -> dict[str, Work]:
    def target(given: JsonObject) -> UUID:
        return id_of(given, "agent_id")

    async def create(tx: Tx, tenant: UUID, given: JsonObject) -> Any:
        body = checked(CreateAgentRequest, given)
        return await agents.create(tx, tenant, body, seal=await sealing.seal_for(tx, tenant, vault, body.tools or ()))

    async def upsert(tx: Tx, tenant: UUID, given: JsonObject) -> Any:
        body = checked(CreateOrUpdateAgentRequest, given)
        return await agents.upsert(tx, tenant, target(given), body, seal=await sealing.seal_for(tx, tenant, vault, body.tools or ()))

    return {
        "agent.create": create,
        "agent.get": lambda tx, tenant, given: agents.get(tx, tenant, target(given)),
        "agent.list": lambda tx, tenant, given: agents.list_(tx, tenant, page_of(given)),
        "agent.update": lambda tx, tenant, given: agents.update(tx, tenant, target(given), checked(UpdateAgentRequest, given)),
        "agent.patch": lambda tx, tenant, given: agents.patch(tx, tenant, target(given), checked(PatchAgentRequest, given)),
        "agent.create_or_update": upsert,
        "agent.delete": _deleting("agent_id", agents.delete),
    }


def _tools(vault: Vault) -> dict[str, Work]:
    def both(given: JsonObject) -> tuple[UUID, UUID]:
        return id_of(given, "agent_id"), id_of(given, "tool_id")

    async def create(tx: Tx, tenant: UUID, given: JsonObject) -> Any:
        body = checked(CreateToolRequest, given)
        seal = await sealing.seal_for(tx, tenant, vault, [body])
        return await tools.create(tx, tenant, id_of(given, "agent_id"), body, seal=seal)

    async def update(tx: Tx, tenant: UUID, given: JsonObject) -> Any:
        body = checked(UpdateToolRequest, given)
        return await tools.update(tx, tenant, *both(given), body, seal=await sealing.seal_for(tx, tenant, vault, [body]))

    async def patch(tx: Tx, tenant: UUID, given: JsonObject) -> Any:
        body = checked(PatchToolRequest, given)
        return await tools.patch(tx, tenant, *both(given), body, seal=await sealing.seal_for(tx, tenant, vault, [body]))

    async def delete(tx: Tx, tenant: UUID, given: JsonObject) -> JsonObject:
        agent_id, tool_id = both(given)
        return _gone(tool_id, await tools.delete(tx, tenant, agent_id, tool_id))

    return {
        "agent.tool.create": create,
        "agent.tool.get": lambda tx, tenant, given: tools.get(tx, tenant, *both(given)),
        "agent.tool.list": lambda tx, tenant, given: tools.list_(tx, tenant, id_of(given, "agent_id"), page_of(given)),
        "agent.tool.update": update,
        "agent.tool.patch": patch,
        "agent.tool.delete": delete,
    }


def _users() -> dict[str, Work]:
    return {
        "user.create": lambda tx, tenant, given: users.create(tx, tenant, checked(CreateUserRequest, given)),
        "user.get": lambda tx, tenant, given: users.get(tx, tenant, id_of(given, "user_id")),
        "user.list": lambda tx, tenant, given: users.list_(tx, tenant, page_of(given)),
        "user.update": lambda tx, tenant, given: users.update(tx, tenant, id_of(given, "user_id"), checked(UpdateUserRequest, given)),
        "user.patch": lambda tx, tenant, given: users.patch(tx, tenant, id_of(given, "user_id"), checked(PatchUserRequest, given)),
        "user.create_or_update": lambda tx, tenant, given: users.upsert(
            tx, tenant, id_of(given, "user_id"), checked(CreateOrUpdateUserRequest, given)
        ),
        "user.delete": _deleting("user_id", users.delete),
    }


def _sessions() -> dict[str, Work]:
    def target(given: JsonObject) -> UUID:
        return id_of(given, "session_id")

    return {
        "session.create": lambda tx, tenant, given: sessions.create(tx, tenant, checked(CreateSessionRequest, given)),
        "session.get": lambda tx, tenant, given: sessions.get(tx, tenant, target(given)),
        "session.list": lambda tx, tenant, given: sessions.list_(tx, tenant, page_of(given)),
        "session.update": lambda tx, tenant, given: sessions.update(tx, tenant, target(given), checked(UpdateSessionRequest, given)),
        "session.patch": lambda tx, tenant, given: sessions.patch(tx, tenant, target(given), checked(PatchSessionRequest, given)),
        "session.create_or_update": lambda tx, tenant, given: sessions.upsert(
            tx, tenant, target(given), checked(CreateOrUpdateSessionRequest, given)
        ),
        "session.delete": _deleting("session_id", sessions.delete),
        "session.history": _history,
        "job.get": lambda tx, tenant, given: jobs.get(tx, tenant, id_of(given, "job_id")),
    }


def _docs() -> dict[str, Work]:
    found: dict[str, Work] = {
        "doc.get": lambda tx, tenant, given: docs.get(tx, tenant, id_of(given, "doc_id"), include_embeddings=False),
    }
    for kind in ("agent", "user"):
        found |= _docs_read(kind)
    return found


def _docs_read(kind: OwnerKind) -> dict[str, Work]:
    def whose(given: JsonObject) -> UUID:
        return id_of(given, f"{kind}_id")

    async def delete(tx: Tx, tenant: UUID, given: JsonObject) -> JsonObject:
        doc_id = id_of(given, "doc_id")
        return _gone(doc_id, await docs.delete(tx, tenant, doc_id, owner=owner_of(kind, whose(given))))

    return {
        f"{kind}.doc.get": lambda tx, tenant, given: docs.get(
            tx, tenant, id_of(given, "doc_id"), owner=owner_of(kind, whose(given)), include_embeddings=False
        ),
        f"{kind}.doc.list": lambda tx, tenant, given: docs.list_(tx, tenant, kind, whose(given), page_of(given), include_embeddings=False),
        f"{kind}.doc.delete": delete,
    }


def _docs_of(runtime: Any, kind: OwnerKind) -> dict[str, Operation]:
    """What makes chunks or vectors."""

    async def create(caller: Caller, given: JsonObject) -> JsonValue:
        body = checked(CreateDocRequest, given)
        return shown(await docs_api.create_in(runtime, caller.tenant, kind, id_of(given, f"{kind}_id"), body))

    async def search(caller: Caller, given: JsonObject) -> JsonValue:
        owner_id = id_of(given, f"{kind}_id")
        fields = {name: value for name, value in given.items() if value is not None}
        if not fields.keys() & {"text", "vector"}:
            raise ToolFailed("these arguments are missing: `text`, or `vector`")
        defaults = SEARCH_DEFAULTS if "text" in fields else {**SEARCH_DEFAULTS, "mode": "vector"}
        body = valid(lambda: _SEARCH.validate_python({**defaults, **fields}))
        return await docs_api.search_in(runtime, caller.tenant, kind, owner_id, body)

    return {f"{kind}.doc.create": create, f"{kind}.doc.search": search}


def _embed(runtime: Any) -> Operation:
    async def run(caller: Caller, given: JsonObject) -> JsonValue:
        return await docs_api.vectors_of(runtime, caller.tenant, checked(EmbedQueryRequest, given))

    return run


def _chat(runtime: Any) -> Operation:
    """A turn in another session, or in the same one. It is run and stored like any other."""

    async def run(caller: Caller, given: JsonObject) -> JsonValue:
        if caller.depth >= DEPTH_MAX:
            raise ToolFailed(f"a chat within a chat goes no deeper than {DEPTH_MAX} levels")
        turn_id, key = new_id(), key_of_call(caller)
        request = TurnRequest(
            tenant=caller.tenant,
            session_id=id_of(given, "session_id"),
            chat=checked(ChatInput, {**given, "stream": False}),
            # A call that a crash has made again gets the answer that it had; nothing else is taken for the repetition of another turn.
            fingerprint=hashlib.sha256(key.encode() if key else turn_id.bytes).digest(),
            idempotency_key=key,
            head=Head(turn_id, clock.now()),
            depth=caller.depth + 1,
            executions=caller.executions,
        )
        running = await runtime.turns.begin(request)
        return loads(running if isinstance(running, bytes) else await running.answer())

    return run


async def _history(tx: Tx, tenant: UUID, given: JsonObject) -> JsonObject:
    session_id, page = id_of(given, "session_id"), page_of(given)
    rows = min(page.limit, entries.BATCH_ROWS)
    batch = await entries.read(tx, tenant, session_id, sources=SOURCES_DEFAULT, rows=rows, offset=page.offset)
    said = loads(f"[{batch.entries}]")
    return {
        "session_id": str(session_id),
        "created_at": iso(batch.session_created_at),
        "entries": said,
        "relations": loads(f"[{batch.relations}]"),
    }


def _deleting(name: str, delete: Callable[[Tx, UUID, UUID], Awaitable[Any]]) -> Work:
    async def run(tx: Tx, tenant: UUID, given: JsonObject) -> JsonObject:
        target = id_of(given, name)
        return _gone(target, await delete(tx, tenant, target))

    return run


def _gone(target: UUID, deleted_at: Any) -> JsonObject:
    return {"id": str(target), "deleted_at": iso(deleted_at), "jobs": []}
