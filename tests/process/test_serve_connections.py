"""Connections that send nothing, or a head without an end, or a body that nobody wants."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from mentha.server import connections
from mentha.server.web import HttpProtocol
from tests.support.talk import DEADLINE_S, until

Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers without reading the body."""
    headers = [(b"content-length", b"2"), *([(b"connection", b"close")] if scope["path"] == "/close" else [])]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def opened(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[], Awaitable[Opened]]]:
    """Opens connections to a server whose limits are short."""
    monkeypatch.setattr(connections, "HEAD_WAIT_S", 0.05)
    monkeypatch.setattr(connections, "LINGER_S", 0.05)
    config = uvicorn.Config(app, port=0, http=HttpProtocol, loop="none", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Opened:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
    server.force_exit = True
    await server.shutdown()


async def to_the_end(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server closes the connection."""
    async with asyncio.timeout(DEADLINE_S):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def test_connection_without_a_request_is_closed(opened: Callable[[], Awaitable[Opened]]) -> None:
    reader, _ = await opened()
    assert await to_the_end(reader) == b""


async def test_connection_whose_head_comes_in_drops_is_closed(opened: Callable[[], Awaitable[Opened]]) -> None:
    reader, writer = await opened()

    async def drip() -> None:
        while not reader.at_eof():
            writer.write(b"GET / HTTP/1.1\r\nX: " if not drops else b"x")
            drops.append(1)
            await asyncio.sleep(0.01)

    drops: list[int] = []
    dripping = asyncio.create_task(drip())
    assert await to_the_end(reader) == b""
    await dripping
    assert len(drops) > 1


async def test_second_request_on_a_connection_has_its_own_time(opened: Callable[[], Awaitable[Opened]]) -> None:
    reader, writer = await opened()
    for _ in range(3):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        # Longer than a head may take: between requests another, longer limit counts.
        await asyncio.sleep(2 * connections.HEAD_WAIT_S)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    assert await to_the_end(reader) == b""


async def test_answer_to_a_body_that_is_not_read_comes_before_the_connection_ends(opened: Callable[[], Awaitable[Opened]]) -> None:
    reader, writer = await opened()
    writer.write(b"POST /close HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 1_000)
    assert (await to_the_end(reader)).endswith(b"\r\n\r\nok")
    # The rest is dropped for a while; then the connection is cut.
    await until(lambda: _is_cut(writer))


def _is_cut(writer: asyncio.StreamWriter) -> bool:
    if writer.transport.is_closing():
        return True
    writer.write(b"x")
    return False
