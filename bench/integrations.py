"""A call of an integration: what setup, arguments, reading and taking out secrets cost beside the HTTP call itself.

The service is a process of its own (`python -m bench.integrations`), which answers as Brave Search does.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager
from uuid import UUID

import orjson

from bench.stage import Stage
from bench.table import Row
from mentha.core import config
from mentha.tools import integrations
from mentha.tools.integrations import Means
from mentha.tools.outbound import Outbound, OutboundCall

TENANT = UUID(int=1)
CALLS = 200
ROUNDS = 5
OVERHEAD_MS_MAX = 0.3
SPEC = {"provider": "brave", "setup": {"brave_api_key": "a-key-of-the-usual-length-0123456789"}}
FOUND = [
    {"title": f"Tea {n}", "url": f"https://example.com/{n}", "description": "Leaves in hot water, for minutes. " * 5} for n in range(10)
]
BODY = orjson.dumps({"type": "search", "web": {"results": FOUND}})


async def calls(_: Stage) -> list[Row]:
    """One call after the other, of the service through the door and of the integration over it."""
    with _serving() as port:
        url = f"http://127.0.0.1:{port}"
        settings = config.load(environ={}, flags={"outbound_allow": ("127.0.0.1",), "integration_base_urls": {"brave": url}})
        outbound = Outbound(settings)
        means = Means(settings, outbound, _no_secrets)

        async def plain() -> None:
            await outbound.request(OutboundCall(tenant=TENANT, method="GET", url=f"{url}/web/search?q=tea"))

        async def whole() -> None:
            assert await integrations.run(means, TENANT, SPEC, {"query": "tea"})

        for act in (plain, whole):
            await _cpu_ms(act)
        # In turns, so that whatever else the machine does meets both.
        runs = [(await _cpu_ms(plain), await _cpu_ms(whole)) for _ in range(ROUNDS)]
    floor_ms, call_ms = (min(each) for each in zip(*runs, strict=True))
    return [
        Row(figure="an HTTP call through the door: CPU", value=floor_ms, unit="ms"),
        Row(figure="a call of an integration, ten results: CPU", value=call_ms, unit="ms"),
        Row(figure="of it the integration's own: CPU", value=call_ms - floor_ms, unit="ms", limit=OVERHEAD_MS_MAX),
    ]


async def _cpu_ms(act: Callable[[], Awaitable[None]]) -> float:
    before = time.process_time()
    for _ in range(CALLS):
        await act()
    return (time.process_time() - before) / CALLS * 1_000


async def _no_secrets(_: UUID, __: Collection[str]) -> dict[str, str]:
    return {}


@contextmanager
def _serving() -> Generator[int]:
    with subprocess.Popen([sys.executable, "-m", "bench.integrations"], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _serve() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
