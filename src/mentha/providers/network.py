"""The sockets below the HTTP client: a network backend for `httpcore2` on plain asyncio (or uvloop) transports.

It replaces the library's own backend, which goes through anyio. At the start and at the end of every request the pool asks every idle
connection whether the server has hung up: there that costs 15-25 µs each (4 ms a request with a hundred idle connections), here it is a
look at a flag. `docs/decisions/0003-openai-sdk-as-transport.md` has the figures.

Source: the interface is `httpcore2.AsyncNetworkBackend` and `AsyncNetworkStream`, which its pool takes as `network_backend`.
"""

import asyncio
import socket
import ssl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from mentha.core import lazy
from mentha.core.outbox import Outbox

# Unread bytes of one connection at which reading pauses. The reader mostly waits, so this is reached by hostile servers only.
UNREAD_BYTES_MAX = 512_000
# Where a name has several addresses, each but the last gets this long: a dead IPv6 route must not use up the whole connect timeout.
ATTEMPT_S = 2.5
ADDRESSES_MAX = 8


class Pipe(asyncio.Protocol):
    """One connection's receiving end: what came in and was not read yet, and whether the other side has ended."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._outbox = Outbox(None)
        self.ended = False
        self._error: Exception | None = None
        self._parts: list[bytes] = []
        self._unread_bytes = 0
        self._paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False

    @property
    def readable(self) -> bool:
        """Whether a read would return at once. On an idle HTTP connection that means that it cannot be used again."""
        return bool(self._parts) or self.ended or self.transport.is_closing()

    async def read(self) -> bytes:
        """All that has come in, waiting for something; empty at the end. Raises what broke the connection."""
        while not self._parts and not self.ended:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self._parts and self._error is not None:
            raise self._error
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        self._unread_bytes = 0
        if self._paused and not self.ended:
            self._paused = False
            self.transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other side takes nothing."""
        if self.ended or self.transport.is_closing():
            raise self._error or ConnectionResetError("the connection is closed")
        self._outbox.transport = self.transport
        self._outbox.write(data)
        while self._full and not self.ended:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the sending end."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came in; stop reading where nobody takes it."""
        self._parts.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > UNREAD_BYTES_MAX and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """The other side sends no more; the transport closes itself then."""
        self.ended = True
        _wake(self._reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed; waiting reads and writes end."""
        self.ended = True
        self._error = exc
        _wake(self._reader)
        _wake(self._writer)

    def expire(self) -> None:
        """The time for reading is over: the next read, or the one that waits, raises TimeoutError."""
        self._parts.clear()
        self.ended, self._error = True, TimeoutError("the time for this answer is over")
        _wake(self._reader)

    def pause_writing(self) -> None:
        """The other side takes nothing more for now."""
        self._full = True

    def resume_writing(self) -> None:
        """It takes again."""
        self._full = False
        _wake(self._writer)


class Backend:
    """Opens connections; what a pool of `httpcore2` takes as `network_backend`. It never imports that library's own base classes."""

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **_: Any) -> "Stream":
        """A connection to the first address of `host` that accepts one.

        Raises:
            httpcore2.ConnectError: none does, or the name has none.
            httpcore2.ConnectTimeout: `timeout` seconds were over.
        """
        with _errors("ConnectTimeout", "ConnectError"):
            async with asyncio.timeout(timeout):
                return Stream(await _connect(host, port))

    async def sleep(self, seconds: float) -> None:
        """Wait; the pool does so between attempts to connect."""
        await asyncio.sleep(seconds)


class Stream:
    """One connection, as the pool sees it."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the interface has it; asyncio bounds pieces itself
        """All that has come in, at least one byte; empty at the end."""
        with _errors("ReadTimeout", "ReadError"):
            if timeout is None:
                return await self._pipe.read()
            async with asyncio.timeout(timeout):
                return await self._pipe.read()

    def limit(self, deadline: float) -> asyncio.TimerHandle:
        """Let reads fail from `deadline` on, a time of the loop's clock. Cancel what it returns before the connection is used again.

        One timer for a whole answer: a limit around each piece cost as much as reading it.
        """
        return asyncio.get_running_loop().call_at(deadline, self._pipe.expire)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of `buffer`."""
        with _errors("WriteTimeout", "WriteError"):
            if timeout is None:
                await self._pipe.write(buffer)
                return
            async with asyncio.timeout(timeout):
                await self._pipe.write(buffer)

    async def aclose(self) -> None:
        """Close at once. Not in order: that would still send what a cancelled request has left, and wait for the other side of TLS."""
        self._pipe.transport.abort()
        # One turn of the loop, in which the socket is closed.
        await asyncio.sleep(0)

    async def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None) -> "Stream":
        """The same connection with TLS on it.

        Raises:
            httpcore2.ConnectError: the certificate is not trusted, or not for this name.
        """
        loop = asyncio.get_running_loop()
        with _errors("ConnectTimeout", "ConnectError"):
            try:
                async with asyncio.timeout(timeout):
                    plain = self._pipe.transport
                    self._pipe.transport = await loop.start_tls(plain, self._pipe, ssl_context, server_hostname=server_hostname)
            except BaseException:
                await self.aclose()
                raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """What the pool asks: `is_readable`, `ssl_object`, `socket`, `client_addr`, `server_addr`."""
        if info == "is_readable":
            return self._pipe.readable
        name = {"client_addr": "sockname", "server_addr": "peername"}.get(info, info)
        return self._pipe.transport.get_extra_info(name)


async def dial(addresses: Sequence[str], port: int) -> Pipe:
    """A connection to the first of these addresses that accepts one. They are no names: nothing is looked up.

    Raises:
        OSError: none does; the last one's reason.
    """
    loop = asyncio.get_running_loop()
    for address in addresses[:-1]:
        try:
            async with asyncio.timeout(ATTEMPT_S):
                return (await loop.create_connection(Pipe, address, port, flags=socket.AI_NUMERICHOST))[1]
        except OSError:
            continue
    return (await loop.create_connection(Pipe, addresses[-1], port, flags=socket.AI_NUMERICHOST))[1]


async def _connect(host: str, port: int) -> Pipe:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Each address once, in the resolver's order.
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES_MAX]
    return await dial(addresses, port)


@contextmanager
def _errors(timed_out: str, failed: str) -> Generator[None]:
    """Raise the library's classes, which its pool expects, in place of ours."""
    try:
        yield
    except TimeoutError as error:
        raise getattr(lazy.load("httpcore2"), timed_out)(str(error)) from error
    except OSError as error:
        raise getattr(lazy.load("httpcore2"), failed)(str(error)) from error


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
