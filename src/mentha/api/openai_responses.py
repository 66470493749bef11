"""OpenAI's Responses over HTTP. (`responses.py` beside it holds the descriptions of errors.)"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from mentha.api.body import Route
from mentha.api.deps import RuntimeOf, Statement, TenantId, Tx, is_retry, turn_depth
from mentha.api.errors import unexpected_body
from mentha.api.hangup import unless_gone
from mentha.api.responses import errors
from mentha.chat.answer import Head
from mentha.chat.responses import events, items, shape
from mentha.chat.responses.run import ResponseForm
from mentha.chat.running import Running
from mentha.chat.turn import TurnRequest
from mentha.core import clock
from mentha.core.errors import BadRequest, MenthaError, NotFound
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.store import responses
from mentha.wire.responses import CreateResponse, DeletedResponse, ItemList, ResponseObject, unsupported

router = APIRouter(tags=["responses"], route_class=Route)

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
IDEMPOTENCY_KEY_CHARS_MAX = 255
# The items of larger bodies are checked in a thread.
INLINE_BYTES_MAX = 100_000
# A turn that ran this much longer than any may was on a server that is gone.
GONE_AFTER_S = 60.0
Order = Literal["asc", "desc"]


@router.post(
    "/responses",
    response_model=ResponseObject,
    responses=errors(400, 404, 422, 429, 502, 504) | {200: {"content": {"text/event-stream": {}}}},
)
async def create_response(
    body: CreateResponse,
    request: Request,
    tenant: TenantId,
    runtime: RuntimeOf,
    x_custom_api_key: Annotated[str | None, Header(max_length=4_096, description="A provider's key for this response only")] = None,
    idempotency_key: Annotated[
        str | None, Header(max_length=IDEMPOTENCY_KEY_CHARS_MAX, description="The same key gets the same answer")
    ] = None,
) -> Response:
    """Create a response, in one piece, as a stream of server-sent events, or in the background"""
    head = Head(new_id(), clock.now())
    raw = await request.body()
    asked = await asyncio.to_thread(shape.asked, body, head) if len(raw) > INLINE_BYTES_MAX else shape.asked(body, head)
    depth, executions = turn_depth(request)
    form = ResponseForm(tenant, head, asked, runtime.database)
    wanted = TurnRequest(
        tenant=tenant,
        # The form says where it stands.
        session_id=head.id,
        chat=asked.chat,
        fingerprint=hashlib.sha256(tenant.bytes + b"/responses" + hashlib.sha256(raw).digest()).digest(),
        head=head,
        retried=is_retry(request),
        idempotency_key=idempotency_key or None,
        custom_key=x_custom_api_key or None,
        depth=depth,
        executions=executions,
        form=form,
    )
    running = await runtime.turns.begin(wanted)
    if isinstance(running, bytes):
        return _stored(running, stream=asked.streamed)
    running.listeners += 1
    if asked.background:
        return await _in_background(running, runtime)
    if asked.streamed:
        return await _streamed(running, request, runtime)
    try:
        return Response(await unless_gone(running.answer(), request, runtime), media_type="application/json")
    finally:
        runtime.turns.leave(running)


@router.get("/responses/{response_id}", response_model=ResponseObject, responses=errors(400, 404))
async def get_response(
    response_id: str,
    tenant: TenantId,
    tx: Statement,
    runtime: RuntimeOf,
    stream: Annotated[bool, Query(description="Not supported")] = False,
) -> Response:
    """Get a response, whatever its state"""
    if stream:
        raise unsupported("stream", "a stream of a response that was made before")
    row = await responses.get(tx, tenant, _id(response_id))
    return Response(dumps(_shown(row, runtime.settings.turn_timeout_s)), media_type="application/json")


@router.delete("/responses/{response_id}", responses=errors(404))
async def delete_response(response_id: str, tenant: TenantId, tx: Tx) -> DeletedResponse:
    """Delete a response; what was said in a conversation stays there"""
    await responses.delete(tx, tenant, _id(response_id))
    return DeletedResponse(id=response_id)


@router.get("/responses/{response_id}/input_items", responses=errors(400, 404))
async def list_input_items(
    response_id: str,
    tenant: TenantId,
    tx: Statement,
    after: Annotated[str | None, Query(description="The item before the page")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Order, Query(description="By default the newest first")] = "desc",
) -> ItemList:
    """The items that a response was made from"""
    found = await responses.input_of(tx, tenant, _id(response_id))
    if order == "desc":
        found = found[::-1]
    if after is not None:
        places = [place for place, item in enumerate(found) if item["id"] == after]
        if not places:
            raise BadRequest("`after` is no item of this response")
        found = found[places[0] + 1 :]
    page = found[:limit]
    return ItemList(
        data=page, first_id=page[0]["id"] if page else None, last_id=page[-1]["id"] if page else None, has_more=len(found) > limit
    )


@router.post("/responses/{response_id}/cancel", response_model=ResponseObject, responses=errors(400, 404))
async def cancel_response(response_id: str, tenant: TenantId, runtime: RuntimeOf) -> Response:
    """Cancel a background response; one that has ended stays as it is"""
    found = _id(response_id)
    async with runtime.database.transaction() as tx:
        row = await responses.get(tx, tenant, found)
        if not row["background"]:
            raise BadRequest("only a background response can be cancelled", fix="create it with `background: true`")
        # Whoever runs it finds this when it stores its turn, and stores nothing.
        await responses.end(tx, tenant, found, "cancelled", {"status": "cancelled"})
        row = await responses.get(tx, tenant, found)
    runtime.turns.cancel(tenant, found)
    return Response(dumps(_shown(row, runtime.settings.turn_timeout_s)), media_type="application/json")


def _id(shown: str) -> UUID:
    found = items.id_of(shown)
    if found is None:
        raise NotFound("Response not found")
    return found


def _shown(row: Any, turn_timeout_s: float) -> JsonObject:
    """A response as it is now. One that nobody can be working on any more has failed."""
    body: JsonObject = row["body"]
    too_old = row["created_at"] < clock.now() - timedelta(seconds=turn_timeout_s + GONE_AFTER_S)
    if row["status"] == "in_progress" and too_old:
        return {**body, "status": "failed", "error": shape.error_of(500, "the server stopped while it was working on this")}
    return body


def _stored(body: bytes, *, stream: bool) -> Response:
    if not stream:
        return Response(body, media_type="application/json")
    return Response(b"".join(events.replayed(body)), media_type="text/event-stream", headers=STREAM_HEADERS)


async def _in_background(running: Running, runtime: Any) -> Response:
    """The response as it begins: as soon as it can be asked for, or has failed."""
    form = running.request.form
    if not isinstance(form, ResponseForm) or running.task is None:
        raise TypeError("not a response")
    placed = asyncio.create_task(form.placed.wait())
    try:
        await asyncio.wait({placed, running.task}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        placed.cancel()
    if not form.placed.is_set():
        await running.answer()
    # It is nobody's to leave: what cancels a turn that nobody waits for is not for this one.
    del runtime
    return Response(dumps({**form.skeleton, "status": "in_progress"}), media_type="application/json")


async def _streamed(running: Running, request: Request, runtime: Any) -> Response:
    try:
        # An error before the first byte keeps its status.
        await unless_gone(running.first(), request, runtime)
    except BaseException:
        runtime.turns.leave(running)
        raise
    return StreamingResponse(_events(running, runtime), media_type="text/event-stream", headers=STREAM_HEADERS)


async def _events(running: Running, runtime: Any) -> AsyncIterator[bytes]:
    form = running.request.form
    try:
        async for data in running.follow(ping_s=runtime.settings.stream_ping_s):
            yield data
    except MenthaError as error:
        if isinstance(form, ResponseForm):
            yield form.broke_off(shape.error_of(error.status, error.message))
    except Exception as error:  # noqa: BLE001 - the status is sent already: the fault is logged, and told by the last event
        told = unexpected_body(error, "/responses")
        if isinstance(form, ResponseForm):
            yield form.broke_off(shape.error_of(500, told["error"]["message"]))
    finally:
        runtime.turns.leave(running)
