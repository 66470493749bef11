"""The outermost layer of every request, in one pass: an id, the prefix `/api`, the size of the body, and the observation at the end.

Pure ASGI: two layers of the framework's own kind would double the cost of a small request.
"""

import re
import time
from typing import Any

from mentha import observe
from mentha.api import limits
from mentha.api.errors import headers_of, route_of, to_body, unexpected_body
from mentha.core.errors import BodyTooLarge
from mentha.core.ids import new_id
from mentha.core.json import dumps
from mentha.observe.events import RequestFinished, request_id, trace_parent

_GIVEN_ID = re.compile(rb"[A-Za-z0-9_.:-]{8,64}")
# Clients of OpenAI's API put its version before each path.
PREFIXES = ("/api", "/v1")
_FILE = re.compile(r"/files/[^/]+/content")
# What brings messages, documents, files or inputs. Whatever is not here gets the smaller limit: parsing holds up everybody.
_LARGE = re.compile(
    r"/sessions/[^/]+/(chat|render)|/tasks/[^/]+/executions|/executions/[^/]+|/(agents|users)/[^/]+/docs(/[^/]+)?|/docs/[^/]+|/embed|/files"
    r"|/responses|/conversations|/conversations/[^/]+/items|/chat/completions"
)
HEADERS = (b"x-request-id", b"content-length", b"traceparent", b"origin")

Scope = Any
Receive = Any
Send = Any


class Edge:
    """Wraps the application. A larger body is refused, before it is read where its length is declared.

    Args:
        body_bytes_max: of a body that is held in memory as a whole, and may be large.
        small_body_bytes_max: of one that need not be large.
        file_bytes_max: of one that is not, because it is a file.
    """

    def __init__(self, app: Any, *, body_bytes_max: int, small_body_bytes_max: int, file_bytes_max: int) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._small_body_bytes_max = small_body_bytes_max
        self._file_bytes_max = file_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {name: value for name, value in scope["headers"] if name in HEADERS}
        own_id = _id_of(headers.get(b"x-request-id"))
        request_id.set(own_id)
        trace_parent.set(headers.get(b"traceparent", b"").decode("latin-1"))
        response = _Response(send, own_id, vary=b"origin" not in headers)
        scope = _plain_path(scope)
        scope[limits.HEADERS] = response.added
        try:
            await self._serve(scope, receive, response, headers.get(b"content-length"))
        finally:
            observe.emit(
                RequestFinished(method=_method(scope), route=route_of(scope), status=response.status, took_s=time.perf_counter() - began)
            )

    async def _serve(self, scope: Scope, receive: Receive, response: "_Response", length: bytes | None) -> None:
        limit, name = self._limit(scope)
        if length is not None and length.isdigit() and int(length) > limit:
            await response.answer(413, _too_large(limit, name))
            return
        try:
            await self._app(scope, _limited(receive, limit, name) if length is None else receive, response.send)
        except BodyTooLarge as error:
            await response.answer(413, error)
        except Exception as error:  # noqa: BLE001 - the framework raises a fault again after it was answered and logged
            if not response.status:
                await response.fault(error, route_of(scope))

    def _limit(self, scope: Scope) -> tuple[int, str]:
        """The most bytes that a body may have, and the setting that says so."""
        if scope["method"] == "PUT" and _FILE.fullmatch(scope["path"]):
            return self._file_bytes_max, "file_bytes_max"
        if self._body_bytes_max <= self._small_body_bytes_max or _LARGE.fullmatch(scope["path"]):
            return self._body_bytes_max, "body_bytes_max"
        return self._small_body_bytes_max, "small_body_bytes_max"


class _Response:
    """Adds the id, and what else is in `added`, to the head of an answer and remembers its status, 0 until there is one.

    Args:
        vary: say that an answer to a request with an origin has other headers. With an origin, the layer that adds those says it.
    """

    def __init__(self, send: Send, own_id: str, *, vary: bool) -> None:
        self._send = send
        self.added = [(b"x-request-id", own_id.encode()), *([(b"vary", b"Origin")] if vary else [])]
        self.status = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.added]
        await self._send(message)

    async def answer(self, status: int, error: BodyTooLarge) -> None:
        extra = [(name.lower().encode(), value.encode()) for name, value in headers_of(error).items()]
        await self._body(status, dumps(to_body(error)), [*extra, (b"access-control-allow-origin", b"*")])

    async def fault(self, error: Exception, route: str) -> None:
        await self._body(500, dumps(unexpected_body(error, route)), [(b"x-should-retry", b"false")])

    async def _body(self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        await self.send({"type": "http.response.body", "body": body})


def _id_of(given: bytes | None) -> str:
    return given.decode() if given and _GIVEN_ID.fullmatch(given) else new_id().hex


def _method(scope: Scope) -> str:
    # A method that HTTP does not know would be a label of the client's choice in the metrics.
    return scope["method"] if scope["method"] in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS") else "-"


def _plain_path(scope: Scope) -> Scope:
    """Without the prefix, and without a slash at its end: the original sent such a request to the path without it."""
    path: str = scope["path"]
    raw: bytes = scope.get("raw_path") or b""
    for prefix in PREFIXES:
        if path == prefix or path.startswith(prefix + "/"):
            path, raw = path[len(prefix) :] or "/", raw[len(prefix) :] or b"/"
    if len(path) > 1 and path.endswith("/"):
        path, raw = path[:-1], raw.removesuffix(b"/")
    return {**scope, "path": path, "raw_path": raw} if path != scope["path"] else dict(scope)


def _limited(receive: Receive, limit: int, name: str) -> Receive:
    seen = 0

    async def counted() -> Any:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit, name)
        return message

    return counted


def _too_large(limit: int, name: str) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than {limit:,} bytes", fix=f"send less at once; the operator sets {name}")
