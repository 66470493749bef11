"""One connection to an MCP server, by the official SDK; what it reads and writes goes through the door.

The SDK's connection lives in a task of its own, since it must be closed where it was opened; calls come from any other task. A connection
that breaks ends that task, and with it every call that waits.

The SDK would check results by the schemas that a server gives for them, with a library that runs any pattern: it is asked for plain
results, which `answers.py` reads.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from mentha import __version__
from mentha.core import lazy
from mentha.core.errors import OutboundError
from mentha.core.json import JsonObject
from mentha.tools.calls import ToolFailed
from mentha.tools.mcp.target import Target
from mentha.tools.outbound import Outbound

# Smaller than that of other answers: the SDK reads each into objects and checks it twice, on the event loop. That takes 0.3 s for 20,000
# objects, and 2.7 s for the 200,000 that 5 MB may have.
RESPONSE_BYTES_MAX = 5_000_000
OBJECTS_MAX = 20_000
# A server need not say anything on the stream that stays open for its notices.
SILENCE_S = 3_600.0
CLOSE_TIMEOUT_S = 5.0
CANCEL_TIMEOUT_S = 1.0
END_TIMEOUT_S = 0.5
MESSAGE_CHARS_MAX = 500
CAUSES_MAX = 10
# Source: the SDK's `mcp_types.jsonrpc`.
CONNECTION_CLOSED, INVALID_REQUEST, HEADER_MISMATCH = -32_000, -32_600, -32_020
SESSION_ENDED = "Session terminated"
# The SDK's own text for a status of which it tells nothing more.
STATUS_ALONE = "Server returned an error response"

_ANY: TypeAdapter[Any] = TypeAdapter(dict[str, Any])


class ConnectionLost(ToolFailed):
    """The connection broke, or the server has forgotten it.

    Args:
        took_nothing: the server has certainly not begun with what it was asked.
    """

    def __init__(self, message: str, *, took_nothing: bool = False, retry: bool = True) -> None:
        super().__init__(message, retry=retry)
        self.took_nothing = took_nothing


class Connection:
    """A connection; make it by `connected`.

    Args:
        changed: told that the server's list of tools is another one now.
    """

    def __init__(self, tenant: UUID, target: Target, outbound: Outbound, changed: Callable[[], None]) -> None:
        self._tenant = tenant
        self._target = target
        self._outbound = outbound
        self._changed = changed
        self._closing = asyncio.Event()
        self._opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own())
        # Why it ended is told to whoever asks; nobody may.
        self._owner.add_done_callback(lambda owner: owner.cancelled() or owner.exception())
        self._status = 0

        # Who uses it, and whether nobody else shall: for the pool.
        self.users = 0
        self.is_stale = False

    @property
    def is_alive(self) -> bool:
        """Whether further calls may be made on it; where that is over, it is for ever."""
        return not self.is_stale and not self._owner.done()

    async def opened(self, timeout_s: float) -> None:
        """Wait until the server has greeted.

        Raises:
            ToolFailed, OutboundError: it did not. `retry` says whether it may do so later.
        """
        await asyncio.wait({self._opened, self._owner}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self._opened.done() and not self._owner.done():
            return
        if self._owner.done():
            raise self._failure()
        raise ToolFailed(f"the MCP server did not greet within {timeout_s:.3g} s", retry=True)

    async def ask(self, make: Callable[[Any], Any], *, timeout_s: float) -> JsonObject:
        """Send a request and give the result as it came.

        Args:
            make: makes it, of the SDK's module of types.

        Raises:
            ConnectionLost: ask again on another connection, where that does no harm.
            ToolFailed: the server refuses, gives no result, or is too slow.
            OutboundError: what came through the door was not let through.
        """
        types: Any = lazy.load("mcp_types")
        return await self._timed(lambda session: session.send_request(make(types), _ANY), timeout_s)

    async def list_tools(self, cursor: str | None, *, timeout_s: float) -> JsonObject:
        """A page of the list of tools. Raises as `ask`.

        The SDK learns from it which arguments the server wants repeated in headers.
        """
        types: Any = lazy.load("mcp_types")
        params = types.PaginatedRequestParams(cursor=cursor)
        page = await self._timed(lambda session: session.list_tools(params=params), timeout_s)
        return page.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def close(self, *, wait_s: float = CLOSE_TIMEOUT_S) -> None:
        """Say good-bye and close; a server that does not let go in this time is left."""
        self._closing.set()
        await asyncio.wait({self._owner}, timeout=wait_s)
        if not self._owner.done():
            self._owner.cancel()
            await asyncio.wait({self._owner}, timeout=CLOSE_TIMEOUT_S)

    async def _timed(self, send: Callable[[Any], Any], timeout_s: float) -> Any:
        call = asyncio.ensure_future(send(self._opened.result().session))
        try:
            await asyncio.wait({call, self._owner}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            is_done = call.done()
            if not is_done:
                call.cancel()
                # The SDK tells the server that nobody waits any more.
                await asyncio.wait({call}, timeout=CANCEL_TIMEOUT_S)
        if not is_done:
            raise self._failure() if self._owner.done() else _slow(timeout_s)
        error = call.exception()
        if error is not None:
            raise await self._why(error)
        return call.result()

    async def _why(self, error: BaseException) -> ToolFailed | OutboundError:
        """What a call failed with; where that is the end of the connection, why that ended."""
        told = self._told(error)
        if isinstance(told, ConnectionLost) and not told.took_nothing:
            await asyncio.wait({self._owner}, timeout=END_TIMEOUT_S)
            if self._owner.done() and not self._owner.cancelled() and self._owner.exception() is not None:
                return self._failure()
        return told

    async def _own(self) -> None:
        await asyncio.to_thread(_load)
        sdk: Any = lazy.load("mcp.client")
        types: Any = lazy.load("mcp_types")
        async with AsyncExitStack() as stack:
            transport = await self._transport(stack)
            client = sdk.Client(
                transport,
                # Servers of the older transport know nothing of what the other mode asks first.
                mode="legacy" if self._target.transport == "sse" else "auto",
                client_info=types.Implementation(name="mentha", version=__version__),
                message_handler=self._heard,
                cache=None,
            )
            await stack.enter_async_context(client)
            self._opened.set_result(client)
            listening = asyncio.create_task(self._listen(client))
            stack.callback(listening.cancel)
            await self._closing.wait()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        target = self._target
        if target.transport == "stdio":
            stdio: Any = lazy.load("mcp.client.stdio")
            # What it writes to its standard error may hold anything; it is not ours to show.
            silent = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115, ASYNC230 - closed by the stack; no disk is read
            program = stdio.StdioServerParameters(command=target.argv[0], args=list(target.argv[1:]), env=dict(target.env), cwd="/")
            return stdio.stdio_client(program, errlog=silent)
        limits = dataclasses.replace(self._outbound.limits, response_bytes_max=RESPONSE_BYTES_MAX)
        http = await self._outbound.client(
            tenant=self._tenant, headers=target.headers, limits=limits, silence_s=SILENCE_S, objects_max=OBJECTS_MAX
        )
        http.event_hooks = {"request": [], "response": [self._note_status]}
        if target.transport == "sse":
            sse: Any = lazy.load("mcp.client.sse")
            return sse.sse_client(target.url, httpx_client_factory=lambda **_: http)
        await stack.enter_async_context(http)
        streamable: Any = lazy.load("mcp.client.streamable_http")
        return streamable.streamable_http_client(target.url, http_client=http, max_sse_event_size=RESPONSE_BYTES_MAX)

    async def _note_status(self, response: Any) -> None:
        # Of the stream for notices, which a server need not have, nothing follows.
        if response.request.method == "POST" or self._target.transport == "sse":
            self._status = response.status_code

    async def _heard(self, message: Any) -> None:
        if getattr(message, "method", "") == "notifications/tools/list_changed":
            self._changed()

    async def _listen(self, client: Any) -> None:
        """Servers of the newest protocol tell of changes to those alone that ask for it."""
        tools = client.server_capabilities.tools
        if client.session.discover_result is None or tools is None or not tools.list_changed:
            return
        # Without these notices a list is as old as `mcp_tools_ttl_s` lets it be.
        with contextlib.suppress(Exception):
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._changed()

    def _failure(self) -> ToolFailed | OutboundError:
        """Why the connection is over."""
        error = None if self._owner.cancelled() else self._owner.exception()
        return ConnectionLost("the connection to the MCP server is closed") if error is None else self._told(error)

    def _told(self, error: BaseException) -> ToolFailed | OutboundError:
        """An error of the SDK, of HTTP or of the door as one of ours; what a server says is cut, and holds no more than it knows."""
        errors = _leaves(error)
        for each in errors:
            ours = _ours(each)
            if ours is not None:
                return ours
        if self._status in (401, 403):
            return ToolFailed(f"the MCP server does not let us in (status {self._status}): look at `http_headers` of the tool's `setup`")
        return self._of_library(errors[0])

    def _of_library(self, error: BaseException) -> ToolFailed:
        told: Any = getattr(error, "error", None)
        if getattr(told, "code", None) is not None:
            return self._refused(told.code, str(told.message))
        if isinstance(error, ValidationError):
            return ToolFailed("the MCP server gave a result that is not of the protocol's form")
        if isinstance(error, FileNotFoundError | PermissionError):
            return ToolFailed("the program of the MCP server can't be started: the operator can mend MENTHA_MCP_COMMANDS")
        return self._by_status() or ConnectionLost(f"the connection to the MCP server broke ({type(error).__name__})")

    def _by_status(self) -> ToolFailed | None:
        if self._status < 400:
            return None
        is_passing = self._status >= 500 or self._status == 429
        return ToolFailed(f"the MCP server answered with status {self._status}", retry=is_passing, more={"status": self._status})

    def _refused(self, code: int, message: str) -> ToolFailed:
        if message == SESSION_ENDED and code == INVALID_REQUEST:
            return ConnectionLost("the MCP server has forgotten this connection", took_nothing=True)
        if code == CONNECTION_CLOSED:
            return ConnectionLost("the MCP server closed the connection before it answered")
        of_status = self._by_status() if message == STATUS_ALONE else None
        return of_status or ToolFailed(f"the MCP server refused: {message[:MESSAGE_CHARS_MAX]}", more={"code": code})


async def connected(tenant: UUID, target: Target, outbound: Outbound, changed: Callable[[], None], *, timeout_s: float) -> Connection:
    """A connection whose server has greeted. The caller closes it.

    Raises:
        ToolFailed, OutboundError: as `Connection.opened`.
    """
    connection = Connection(tenant, target, outbound, changed)
    try:
        await connection.opened(timeout_s)
    except BaseException:
        await connection.close(wait_s=0)
        raise
    return connection


def _slow(timeout_s: float) -> ToolFailed:
    return ToolFailed(f"the MCP server did not answer within {timeout_s:.3g} s; the call may have had its effect")


def _load() -> None:
    """Import the SDK, half a second: in a thread. Its log has whole messages, with secrets of tenants, and is of no use to an operator."""
    lazy.load("mcp.client")
    logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _ours(error: BaseException | None) -> ToolFailed | OutboundError | None:
    """The error of ours that a library's error was made of."""
    for _ in range(CAUSES_MAX):
        if isinstance(error, ToolFailed | OutboundError):
            return error
        error = error.__cause__ if error else None
    return None
