"""A call of a tool of an MCP server, on a connection that is kept and on a new one, and a list that is known.

The server is a process of its own, made with the official SDK (`python -m bench.mcp`).
"""

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from uuid import UUID

from bench.stage import Stage
from bench.table import Row
from mentha.core import config
from mentha.tools.mcp.servers import Servers
from mentha.tools.mcp.target import Target
from mentha.tools.outbound import Outbound
from tests.support.mcp_server import serving

TENANT = UUID(int=1)
CALLS = 200
CONNECTIONS = 30
ROUNDS = 3
TIMEOUT_S = 30.0
CALL_MS_MAX = 2.5


async def calls(_: Stage) -> list[Row]:
    """One call after the other."""
    with _server() as url:
        settings = config.load(environ={}, flags={"outbound_allow": ("127.0.0.1",)})
        servers = Servers(settings, Outbound(settings))
        made = iter(range(10_000))

        async def on(target: Target) -> None:
            given = await servers.call_tool(TENANT, target, "echo", {"text": "tea"}, timeout_s=TIMEOUT_S)
            assert given["text"] == "tea"

        async def known() -> None:
            assert (await servers.catalogue(TENANT, Target("http", url=url))).tools

        async def kept() -> None:
            await on(Target("http", url=url))

        async def new() -> None:
            await on(Target("http", url=url, headers=(("x-number", str(next(made))),)))

        try:
            for act in (kept, new, known):
                await _cpu_ms(act, 5)
            kept_ms = min([await _cpu_ms(kept, CALLS) for _ in range(ROUNDS)])
            new_ms = min([await _cpu_ms(new, CONNECTIONS) for _ in range(ROUNDS)])
            known_ms = min([await _cpu_ms(known, CALLS) for _ in range(ROUNDS)])
        finally:
            await servers.close()
    return [
        Row(figure="a call of an MCP server's tool: CPU", value=kept_ms, unit="ms", limit=CALL_MS_MAX),
        Row(figure="the same on a new connection: CPU", value=new_ms, unit="ms"),
        Row(figure="an MCP server's tools, known: CPU", value=known_ms, unit="ms"),
    ]


async def _cpu_ms(act: Callable[[], Awaitable[None]], count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        await act()
    return (time.process_time() - before) / count * 1_000


@contextmanager
def _server() -> Generator[str]:
    with subprocess.Popen([sys.executable, "-m", "bench.mcp"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _serve() -> None:
    logging.disable(logging.CRITICAL)
    async with serving("http") as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
