"""An MCP server made with the official SDK, for our client: over streamable HTTP, the older transport (SSE), or standard input and output.

    async with serving("http") as server: ...       # a real server on loopback; server.url
    python -m tests.support.mcp_server               # over standard input and output

Its tools can be changed while it runs: `server.tools.add(...)`; those who listen are told.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp_types import ImageContent, TextContent
from starlette.applications import Starlette

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
STARTED_LIMIT_S = 20.0


@dataclass
class McpServer:
    """A running server.

    Attributes:
        seen: headers of every request, oldest first.
        calls: tools that were called, with what they were given.
    """

    url: str = ""
    seen: list[dict[str, str]] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    made: Any = None


def make(server: McpServer) -> MCPServer:
    """The server and all that it has."""
    made = MCPServer("tests", version="1")
    server.made = made

    @made.tool(description="Add two numbers")
    def add(a: int, b: int) -> int:
        server.calls.append(("add", (a, b)))
        return a + b

    @made.tool(description="Say it back", structured_output=False)
    def echo(text: str) -> str:
        server.calls.append(("echo", text))
        return text

    @made.tool(description="Fail")
    def fail(why: str) -> str:
        raise ValueError(why)

    @made.tool(description="A picture", structured_output=False)
    def draw() -> list[TextContent | ImageContent]:
        return [TextContent(type="text", text="a dot"), ImageContent(type="image", data=PIXEL, mime_type="image/png")]

    @made.tool(name="with.odd name", description="Its name is odd")
    def odd() -> str:
        return "odd"

    @made.tool(description="Wait for ever")
    async def wait() -> str:
        await asyncio.Event().wait()
        return ""

    @made.tool(description="Have one more tool from now on", structured_output=False)
    async def grow(ctx: Context) -> str:
        made.add_tool(lambda: "new", name="grown", description="A new one")
        await ctx.session.send_tool_list_changed()
        await ctx.notify_tools_changed()
        return "grown"

    @made.tool(description="What is in the environment", structured_output=False)
    def environment(name: str) -> str:
        return os.environ.get(name, "-")

    @made.resource("notes://today", description="Notes of today", mime_type="text/plain")
    def today() -> str:
        return "buy mint"

    @made.prompt(description="Greet somebody")
    def greet(name: str) -> str:
        return f"Greet {name}."

    return made


@contextlib.asynccontextmanager
async def serving(transport: str, *, port: int = 0, **options: Any) -> AsyncIterator[McpServer]:
    """A server on loopback, in this loop.

    Args:
        transport: `http` or `sse`.
        port: 0 for any free one.
        options: of the SDK's `streamable_http_app`.
    """
    server = McpServer()
    made = make(server)
    app = made.streamable_http_app(**options) if transport == "http" else made.sse_app(**options)
    async with _listening(_noting(app, server), port) as port:
        server.url = f"http://127.0.0.1:{port}/{'mcp' if transport == 'http' else 'sse'}"
        yield server


def _noting(app: Starlette, server: McpServer) -> Any:
    async def noted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            server.seen.append({name.decode(): value.decode() for name, value in scope["headers"]} | {"method": scope["method"]})
        await app(scope, receive, send)

    return noted


@contextlib.asynccontextmanager
async def _listening(app: Any, port: int) -> AsyncIterator[int]:
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="on", timeout_graceful_shutdown=0)
    web = uvicorn.Server(config)
    running = asyncio.create_task(web.serve())
    async with asyncio.timeout(STARTED_LIMIT_S):
        while not web.started:
            await asyncio.sleep(0.01)
    try:
        yield web.servers[0].sockets[0].getsockname()[1]
    finally:
        web.should_exit = True
        await running


if __name__ == "__main__":
    make(McpServer()).run(transport="stdio")
