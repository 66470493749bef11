"""An HTTP server that answers whatever a test wants, byte for byte, and remembers what it was asked. It closes after each answer."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class WildServer:
    """What it saw. `peak` is the most connections that were open at once."""

    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    peak: int = 0
    names: list[str | None] = field(default_factory=list)

    def url(self, host: str = "127.0.0.1", target: str = "/", *, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{target}"


def answer(status: str = "200 OK", body: bytes = b"", **headers: str) -> bytes:
    """A whole answer. Underscores in names of headers stand for `-`."""
    given = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def saying(whole: bytes | Callable[[Seen], bytes]) -> Answer:
    """An answer that is sent at once."""

    async def send(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(whole if isinstance(whole, bytes) else whole(seen))
        await writer.drain()

    return send


@contextlib.asynccontextmanager
async def wild_server(
    say: Answer, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[WildServer]:
    """A running server."""
    server = WildServer()
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        server.connections += 1
        server.open += 1
        server.peak = max(server.peak, server.open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            seen = Seen(method, target, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
            server.seen.append(seen)
            await say(seen, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            server.open -= 1
            tasks.discard(task)
            writer.transport.abort()

    if tls is not None:
        tls.sni_callback = lambda _, name, __: server.names.append(name)
    async with await asyncio.start_server(serve, host, port, ssl=tls, limit=1_000_000) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
