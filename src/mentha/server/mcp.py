"""Mentha as an MCP server: one ASGI endpoint at `/mcp`, by the official SDK, with the same keys as the API.

A request goes: method → origin → tenant → the SDK, which is stateless: it keeps nothing of a client from one request to the next, so any
process behind a load balancer can answer it.

Source: the specification of MCP (2025-11-25, 2026-07-28), "Streamable HTTP" and "Authorization".
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from starlette.responses import JSONResponse, Response

from mentha import __version__, observe
from mentha.api.identity import Identity
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import Forbidden, MenthaError
from mentha.core.json import JsonObject, dumps
from mentha.observe.events import ToolBroke
from mentha.server.mcp_tools import Tool
from mentha.tools.calls import ToolFailed, told
from mentha.tools.mcp.servers import DEPTH
from mentha.tools.system import Caller

# Most take a model's time each; further ones are told to come again. No tenant can take the places of all.
REQUESTS_AT_ONCE_MAX = 200
REQUESTS_OF_A_TENANT_MAX = 50
TENANT = "mentha.tenant"
INSTRUCTIONS = "Agents with memory: search their documents, chat with them in sessions, and run their tasks."

Scope = Any
Receive = Any
Send = Any


class McpEndpoint:
    """The endpoint. The SDK is loaded, and its manager begun, by the first request; `close` ends it."""

    path = "/mcp"

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self._identity = identity
        self._tools: Mapping[str, Tool] = {}
        self._starting = asyncio.Lock()
        self._manager: Any = None
        self._running: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._requests: Counter[UUID] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # What figures are counted under.
        scope["route"] = self
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope, headers)
        if refused is not None:
            await refused(scope, receive, send)
            return
        try:
            tenant = await self._identity.tenant(headers, scope)
        except Forbidden:
            # As MCP wants it; everywhere else of this API it is a 403.
            await _error(401, "a valid key is needed", {"WWW-Authenticate": 'Bearer realm="mentha"'})(scope, receive, send)
            return
        if self._requests[tenant] >= REQUESTS_OF_A_TENANT_MAX:
            await _busy()(scope, receive, send)
            return
        self._requests[tenant] += 1
        try:
            manager = await self._started()
            await manager.handle_request({**scope, TENANT: tenant}, receive, send)
        finally:
            self._requests[tenant] -= 1
            if not self._requests[tenant]:
                del self._requests[tenant]

    def offer(self, tools: Mapping[str, Tool]) -> None:
        """Say what can be called; before the first request."""
        self._tools = tools

    async def close(self) -> None:
        """End what requests have left."""
        self._closing.set()
        if self._running is not None:
            await asyncio.wait({self._running})

    def _refused(self, scope: Scope, headers: Mapping[str, str]) -> Response | None:
        if scope["method"] != "POST":
            # No stream to listen on, and no session to end: there are none.
            return _error(405, "send POST", {"Allow": "POST"})
        if not self._may_come_from(headers.get("origin")):
            return _error(403, "scripts of this web page may not call; the operator can add its origin to MENTHA_MCP_ORIGINS")
        if self._requests.total() >= REQUESTS_AT_ONCE_MAX or self._closing.is_set():
            return _busy()
        return None

    def _may_come_from(self, origin: str | None) -> bool:
        """Whether a page of this origin may call: a page whose name leads to this server ("DNS rebinding") must not."""
        if origin is None or "*" in self._settings.mcp_origins:
            return True
        try:
            parts = urlsplit(origin.lower())
            host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
        except ValueError:
            return False
        return bool({origin.lower(), f"{parts.scheme}://{host}"} & {each.lower() for each in self._settings.mcp_origins})

    async def _started(self) -> Any:
        async with self._starting:
            if self._manager is None:
                # Half a second of imports: not on the event loop.
                await asyncio.to_thread(_load)
                module: Any = lazy.load("mcp.server.streamable_http_manager")
                manager = module.StreamableHTTPSessionManager(
                    self._server(),
                    stateless=True,
                    max_request_body_size=min(self._settings.small_body_bytes_max, self._settings.body_bytes_max),
                )
                begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                # It must be ended by the task that began it.
                self._running = asyncio.create_task(self._run(manager, begun))
                await begun
                self._manager = manager
            return self._manager

    async def _run(self, manager: Any, begun: "asyncio.Future[None]") -> None:
        async with manager.run():
            begun.set_result(None)
            await self._closing.wait()

    def _server(self) -> Any:
        lowlevel: Any = lazy.load("mcp.server.lowlevel")
        types: Any = lazy.load("mcp_types")
        listed = [_described(types, name, tool) for name, tool in self._tools.items()]

        async def list_tools(_context: Any, _params: Any) -> Any:
            return types.ListToolsResult(tools=listed)

        async def call_tool(context: Any, params: Any) -> Any:
            caller = _caller(context.request.scope[TENANT], params.meta)
            value, is_error = await self._called(caller, params.name, params.arguments or {})
            shown = types.TextContent(type="text", text=value if isinstance(value, str) else dumps(value).decode())
            structured = {} if isinstance(value, str) else {"structured_content": value}
            return types.CallToolResult(content=[shown], is_error=is_error, **structured)

        return lowlevel.Server("mentha", version=__version__, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool)

    async def _called(self, caller: Caller, name: str, given: JsonObject) -> tuple[JsonObject | str, bool]:
        """What a call gave, and whether that is an error."""
        tool = self._tools.get(name)
        if tool is None:
            return "there is no such tool; there are: " + ", ".join(f"`{each}`" for each in self._tools), True
        try:
            return await tool.call(caller, given), False
        except ToolFailed as error:
            return error.message, True
        except MenthaError as error:
            return told(error).message, True
        except Exception as error:  # noqa: BLE001 - a fault of ours fails the call; the log has it
            observe.emit(ToolBroke(kind="mcp", exception=type(error).__name__, detail=name))
            return "the call failed in the server; its log says why", True


def _caller(tenant: UUID, meta: Any) -> Caller:
    """For whom a call is run. A Mentha that calls itself says how deep it is; whoever says something else limits but themselves."""
    told = meta.get(DEPTH) if isinstance(meta, Mapping) else None
    turns, executions = told if isinstance(told, list) and len(told) == 2 else (0, 0)
    is_right = all(isinstance(each, int) and each >= 0 for each in (turns, executions))
    return Caller(tenant, turns, executions) if is_right else Caller(tenant)


def _described(types: Any, name: str, tool: Tool) -> Any:
    notes = types.ToolAnnotations(read_only_hint=not tool.changes, destructive_hint=False, open_world_hint=tool.changes)
    return types.Tool(name=name, description=tool.description, input_schema=tool.schema, annotations=notes)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """In the form of JSON-RPC, of a request whose id nobody has read."""
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32_600, "message": message}}
    return JSONResponse(body, status, {"x-should-retry": "true" if status == 503 else "false", **(headers or {})})


def _busy() -> Response:
    return _error(503, "too many requests at once", {"Retry-After": "1"})


def _load() -> None:
    """Import the SDK. Its log has whole messages, and is of no use to an operator."""
    lazy.load("mcp.server.streamable_http_manager")
    logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)
