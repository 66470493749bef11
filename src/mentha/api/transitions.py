"""Transitions over HTTP, and executions as streams of server-sent events.

A stream holds no connection while nothing happens: it is told of news (`workflow/watch.py`), and then reads what is new after what it
has sent.
"""

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from mentha.api.body import Route
from mentha.api.deps import PlainPage, RuntimeOf, Statement, TenantId
from mentha.api.responses import errors
from mentha.core.errors import FieldInvalid, NotFound, Unavailable
from mentha.core.json import dumps
from mentha.store import executions, transitions, workers
from mentha.store.workers import Progress
from mentha.wire.executions import ENDED
from mentha.wire.transitions import SEQ_MASK, Transition, TransitionPage, TransitionType
from mentha.workflow.watch import Watcher

router = APIRouter(tags=["executions"], route_class=Route)

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
STREAM: Any = {200: {"content": {"text/event-stream": {}}}}
PING = b": ping\n\n"
BATCH_ROWS = 200
# Of all streams of a tenant in this process. What changes meanwhile is told as one change.
STATUS_BYTES_PER_S_MAX = 10_000_000
TOKEN_CHARS_MAX = 100
Token = Annotated[str | None, Query(max_length=TOKEN_CHARS_MAX, description="Go on after the event that had this token")]


@router.get("/executions/{execution_id}/transitions", responses=errors(404))
async def list_transitions(
    execution_id: UUID,
    tenant: TenantId,
    tx: Statement,
    page: PlainPage,
    scope_id: Annotated[UUID | None, Query(description="Only those of this scope")] = None,
    type: Annotated[list[TransitionType] | None, Query(description="Only those of these types")] = None,  # noqa: A002 - as the field
) -> TransitionPage:
    """List the transitions of an execution"""
    found = await transitions.list_(
        tx, tenant, execution_id, limit=page.limit, offset=page.offset, direction=page.direction, scope_id=scope_id, types=type
    )
    return TransitionPage(items=found)


@router.get("/executions/{execution_id}/transitions/{transition_id}", responses=errors(404))
async def get_transition(execution_id: UUID, transition_id: UUID, tenant: TenantId, tx: Statement) -> Transition:
    """Get a transition"""
    return await transitions.get(tx, tenant, execution_id, transition_id)


@router.get("/executions/{execution_id}/transitions.stream", response_class=StreamingResponse, responses={**errors(404), **STREAM})
async def stream_transitions(
    execution_id: UUID, tenant: TenantId, runtime: RuntimeOf, next_page_token: Token = None, next_token: Token = None
) -> StreamingResponse:
    """Stream the transitions of an execution from the first one on, until it ends"""
    after_seq = _seq_of(next_page_token or next_token)
    await _ensure(runtime, tenant, execution_id)
    return _stream(_transitions(runtime, tenant, execution_id, after_seq))


@router.get("/executions/{execution_id}/status.stream", response_class=StreamingResponse, responses={**errors(404), **STREAM})
async def stream_status(execution_id: UUID, tenant: TenantId, runtime: RuntimeOf, next_token: Token = None) -> StreamingResponse:
    """Stream an execution as it is now, and whenever it changes, until it ends"""
    del next_token  # part of the published contract; every stream begins with what is now
    await _ensure(runtime, tenant, execution_id)
    return _stream(_statuses(runtime, tenant, execution_id))


async def _ensure(runtime: Any, tenant: UUID, execution_id: UUID) -> None:
    """Errors come before the first byte."""
    runtime.watch.ensure_open(tenant)
    async with runtime.database.connection() as tx:
        await executions.get(tx, tenant, execution_id)


def _stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream", headers=STREAM_HEADERS)


async def _news(runtime: Any, tenant: UUID, execution_id: UUID) -> AsyncIterator[Watcher | None]:
    """Who watches whenever there may be something new, None after a silent time; ends when the server stops."""
    with runtime.watch.watching(tenant, execution_id) as watcher:
        while not watcher.is_over:
            yield watcher if await watcher.wait(limit_s=runtime.settings.stream_ping_s) else None


async def _transitions(runtime: Any, tenant: UUID, execution_id: UUID, after_seq: int) -> AsyncIterator[bytes]:
    async for watcher in _news(runtime, tenant, execution_id):
        if watcher is None:
            yield PING
            continue
        is_more = True
        while is_more:
            try:
                # In this order: what has ended has all its lines.
                async with runtime.database.connection() as tx:
                    found = await workers.progress(tx, [(tenant, execution_id)])
                    lines = await transitions.after(tx, tenant, execution_id, after_seq, limit=BATCH_ROWS)
            except Unavailable:
                # The next news come when the database is back.
                break
            for line in lines:
                after_seq = line.seq
                yield _event({"transition": line.model_dump(mode="json"), "next_page_token": _token_of(line.seq)})
            progress = found.get((tenant, execution_id))
            # A batch may end early, and the last lines of a log may be such as are not shown.
            is_more = bool(lines) and progress is not None and after_seq < progress.seq
            if not is_more and _is_over(progress):
                return


async def _statuses(runtime: Any, tenant: UUID, execution_id: UUID) -> AsyncIterator[bytes]:
    shown: Any = None
    async for watcher in _news(runtime, tenant, execution_id):
        if watcher is None:
            yield PING
            continue
        try:
            async with runtime.database.connection() as tx:
                execution = await executions.get(tx, tenant, execution_id)
        except Unavailable:
            continue
        except NotFound:
            return
        if (execution.status, execution.transition_count, execution.updated_at) != shown:
            shown = (execution.status, execution.transition_count, execution.updated_at)
            event = _event(execution.model_dump(mode="json"))
            yield event
            if execution.status not in ENDED:
                # A large one at every change would hold up all others.
                pause_s = len(event) * runtime.watch.count(tenant) / STATUS_BYTES_PER_S_MAX
                await watcher.pause(min(pause_s, runtime.settings.stream_ping_s))
        if execution.status in ENDED:
            return


def _is_over(progress: Progress | None) -> bool:
    return progress is None or progress.status in ENDED


def _event(data: Any) -> bytes:
    return b"data: " + dumps(data) + b"\n\n"


def _token_of(seq: int) -> str:
    return base64.urlsafe_b64encode(b"s%d" % seq).decode()


def _seq_of(token: str | None) -> int:
    if not token:
        return 0
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        seq = int(raw[1:]) if raw[:1] == b"s" and raw[1:].isdigit() and len(raw) <= 11 else -1
    except ValueError:
        seq = -1
    if not 0 <= seq <= SEQ_MASK:
        raise FieldInvalid("not a token of a stream", loc=("query", "next_page_token"), kind="token_invalid")
    return seq
