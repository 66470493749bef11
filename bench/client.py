"""The load: a raw HTTP/1.1 keep-alive client that costs a fraction of what it measures (some 30 µs a request)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson

ANSWER_S_MAX = 60.0


def request(method: str, path: str, body: object = None, *, key: str) -> bytes:
    """The bytes of one request."""
    raw = b"" if body is None else orjson.dumps(body)
    lines = (f"{method} {path} HTTP/1.1", "Host: bench", f"Authorization: Bearer {key}", "Content-Type: application/json")
    return "\r\n".join((*lines, f"Content-Length: {len(raw)}\r\n\r\n")).encode() + raw


class Connection(asyncio.Protocol):
    """One connection; one exchange at a time.

    Attributes:
        on_data: called with each piece as it comes off the wire, where it is set.
    """

    def __init__(self) -> None:
        self.on_data: Callable[[bytes], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._status = 0
        self._begin = 0
        self._end: int | None = None
        self._waiter: asyncio.Future[tuple[int, bytes]] | None = None

    async def exchange(self, raw: bytes) -> tuple[int, bytes]:
        """Send a request; its answer's status and body, chunks with their sizes."""
        self._buffer = bytearray()
        self._status = self._begin = 0
        self._end = None
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._waiter

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self.on_data is not None:
            self.on_data(data)
        if not self._begin and not self._head():
            return
        buffer = self._buffer
        done = len(buffer) >= self._end if self._end is not None else buffer.endswith(b"\r\n0\r\n\r\n")
        if done and not self._waiter.done():
            self._waiter.set_result((self._status, bytes(memoryview(buffer)[self._begin :])))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionError("the server closed the connection"))

    def _head(self) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0:
            return False
        head = bytes(self._buffer[:at]).lower()
        self._status = int(head[9:12])
        self._begin = at + 4
        length = head.find(b"content-length:")
        self._end = self._begin + int(head[length + 15 :].split(b"\r\n", 1)[0]) if length >= 0 else None
        return True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """A connection to a server of this machine."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    try:
        yield connection
    finally:
        connection.close()


@dataclass(slots=True)
class Load:
    """What a run of requests gave. Times in seconds."""

    took_s: float = 0.0
    times_s: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    errors: int = 0

    @property
    def count(self) -> int:
        return len(self.times_s)

    @property
    def per_s(self) -> float:
        return self.count / self.took_s

    def quantile_ms(self, share: float) -> float:
        """The time that this share of the requests stayed within."""
        ordered = sorted(self.times_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


async def run(port: int, requests: Iterable[bytes], *, at_once: int = 1, keep: bool = False) -> Load:
    """Send the requests on `at_once` connections, on each the next one as soon as the last was answered.

    Args:
        keep: keep the bodies of the answers.
    """
    load = Load()
    queue = iter(requests)

    async def work() -> None:
        async with connected(port) as connection:
            for raw in queue:
                began = time.perf_counter()
                try:
                    async with asyncio.timeout(ANSWER_S_MAX):
                        status, body = await connection.exchange(raw)
                except (OSError, TimeoutError):
                    load.errors += 1
                    return
                load.times_s.append(time.perf_counter() - began)
                load.errors += not 200 <= status < 300
                if keep:
                    load.bodies.append(body)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    load.took_s = time.perf_counter() - began
    return load
