"""Chat, render and history over HTTP."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from mentha.api.body import Route
from mentha.api.deps import RuntimeOf, TenantId, Tx, is_retry, turn_depth
from mentha.api.errors import to_body, unexpected_body
from mentha.api.hangup import unless_gone
from mentha.api.responses import errors
from mentha.chat import answer, turn
from mentha.chat.running import Running, replay
from mentha.chat.turn import TurnRequest
from mentha.core import clock
from mentha.core.clock import iso
from mentha.core.errors import MenthaError
from mentha.core.ids import new_id
from mentha.core.json import dumps
from mentha.store import entries
from mentha.store.pool import Database
from mentha.wire.chat import ChatInput, ChatResponse, RenderResponse
from mentha.wire.common import OFFSET_MAX, ResourceDeletedResponse
from mentha.wire.entries import SOURCES_DEFAULT, History, Source

router = APIRouter(tags=["sessions"], route_class=Route)

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
IDEMPOTENCY_KEY_CHARS_MAX = 255
HISTORY_LIMIT_MAX = 1_000_000


@router.post(
    "/sessions/{session_id}/chat",
    status_code=201,
    response_model=ChatResponse,
    responses=errors(400, 404, 422, 429, 502, 504) | {201: {"content": {"text/event-stream": {}}}},
)
async def chat(
    session_id: UUID,
    body: ChatInput,
    request: Request,
    tenant: TenantId,
    x_custom_api_key: Annotated[str | None, Header(max_length=4_096, description="A provider's key for this turn only")] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=IDEMPOTENCY_KEY_CHARS_MAX, description="The same key gets the same answer")
    ] = None,
) -> Response:
    """Send messages and get the agent's answer, in one piece or as a stream of server-sent events"""
    runtime = request.app.state.runtime
    depth, executions = turn_depth(request)
    wanted = TurnRequest(
        tenant=tenant,
        session_id=session_id,
        chat=body,
        fingerprint=_fingerprint(tenant, session_id, await request.body()),
        head=answer.Head(new_id(), clock.now()),
        retried=is_retry(request),
        idempotency_key=idempotency_key or None,
        custom_key=x_custom_api_key or None,
        depth=depth,
        executions=executions,
    )
    running = await runtime.turns.begin(wanted)
    if isinstance(running, bytes):
        return _stored(running, stream=body.stream)
    running.listeners += 1
    if body.stream:
        return await _streamed(running, request, runtime)
    try:
        return Response(await unless_gone(running.answer(), request, runtime), 201, media_type="application/json")
    finally:
        runtime.turns.leave(running)


@router.post("/sessions/{session_id}/render", response_model=RenderResponse, responses=errors(400, 404))
async def render(session_id: UUID, body: ChatInput, tenant: TenantId, runtime: RuntimeOf) -> Response:
    """Show what a chat with this body would send to the model, without sending or storing anything"""
    prompt, recalled = await turn.render(runtime.turns.parts, tenant, session_id, body)
    drafted = prompt.drafted
    rest = {
        "docs": recalled.references,
        # As templates see them: without secrets.
        "tools": drafted.variables["tools"] or None,
        "tool_choice": drafted.tool_choice,
        "model": drafted.model,
        "warnings": drafted.warnings,
        "context": answer.context_of(prompt.fitted),
    }
    return Response(b'{"messages":' + prompt.messages + b"," + dumps(rest)[1:], media_type="application/json")


@router.get("/sessions/{session_id}/history", response_model=History, responses=errors(404))
async def get_history(
    session_id: UUID,
    tenant: TenantId,
    runtime: RuntimeOf,
    limit: Annotated[int | None, Query(ge=1, description="Entries; all by default")] = None,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX, description="Entries to skip")] = 0,
    sources: Annotated[list[Source] | None, Query(description="Which entries; those of the API by default")] = None,
) -> Response:
    """The stored messages of a session, in the order in which they were stored"""
    wanted = sources or SOURCES_DEFAULT
    left = min(limit or HISTORY_LIMIT_MAX, HISTORY_LIMIT_MAX)
    first = await _read(runtime.database, tenant, session_id, sources=wanted, rows=min(left, entries.BATCH_ROWS), offset=offset)
    head = dumps({"session_id": session_id, "created_at": iso(first.session_created_at)})[:-1] + b',"entries":['
    end = b'],"relations":[' + first.relations.encode() + b"]}"
    if first.count < entries.BATCH_ROWS or first.count >= left:
        return Response(head + first.entries.encode() + end, media_type="application/json")
    rest = _rest(runtime.database, tenant, session_id, first, left - first.count, sources=wanted)
    return StreamingResponse(_joined(head + first.entries.encode(), rest, end), media_type="application/json")


@router.delete("/sessions/{session_id}/history", status_code=202, responses=errors(404))
async def delete_history(session_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete all stored messages of a session; the session stays"""
    return ResourceDeletedResponse(id=session_id, deleted_at=await entries.delete(tx, tenant, session_id))


def _fingerprint(tenant: UUID, session_id: UUID, body: bytes) -> bytes:
    return hashlib.sha256(tenant.bytes + session_id.bytes + hashlib.sha256(body).digest()).digest()


def _stored(body: bytes, *, stream: bool) -> Response:
    if not stream:
        return Response(body, 201, media_type="application/json")
    return Response(b"".join(replay(body)), 201, media_type="text/event-stream", headers=STREAM_HEADERS)


async def _streamed(running: Running, request: Request, runtime: Any) -> Response:
    try:
        # An error before the first byte keeps its status.
        await unless_gone(running.first(), request, runtime)
    except BaseException:
        runtime.turns.leave(running)
        raise
    return StreamingResponse(_events(running, runtime), 201, media_type="text/event-stream", headers=STREAM_HEADERS)


async def _events(running: Running, runtime: Any) -> AsyncIterator[bytes]:
    try:
        async for data in running.follow(ping_s=runtime.settings.stream_ping_s):
            yield data
    except MenthaError as error:
        yield answer.failed(running.request.head, to_body(error))
    except Exception as error:  # noqa: BLE001 - the status is sent already: the fault is logged, and told by a last chunk
        yield answer.failed(running.request.head, unexpected_body(error, "/sessions/{session_id}/chat"))
    finally:
        runtime.turns.leave(running)


async def _read(database: Database, tenant: UUID, session_id: UUID, **options: Any) -> entries.Batch:
    # A connection for each batch: a client that reads slowly must not hold one.
    async with database.connection() as connection:
        return await entries.read(connection, tenant, session_id, **options)


async def _rest(
    database: Database, tenant: UUID, session_id: UUID, batch: entries.Batch, left: int, *, sources: Any
) -> AsyncIterator[bytes]:
    while batch.count == entries.BATCH_ROWS and batch.last_seq is not None and left > 0:
        rows = min(left, entries.BATCH_ROWS)
        batch = await _read(database, tenant, session_id, sources=sources, rows=rows, after_seq=batch.last_seq)
        left -= batch.count
        if batch.entries:
            yield b"," + batch.entries.encode()


async def _joined(head: bytes, rest: AsyncIterator[bytes], end: bytes) -> AsyncIterator[bytes]:
    yield head
    async for piece in rest:
        yield piece
    yield end
