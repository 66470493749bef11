"""A WebSocket over a connection of the door: text messages out and in, bounded. The protocol is `wsproto`'s, which opens no connections.

Source: RFC 6455.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from mentha.core import lazy
from mentha.core.errors import OutboundFailed, OutboundRefused
from mentha.tools.calls import ToolFailed
from mentha.tools.outbound import Connection, Outbound

READ_BYTES_MAX = 65_536
SCHEMES = {"ws": "http", "wss": "https"}


class WebSocket:
    """An open one. Every method raises `OutboundFailed` where the other side is gone or breaks the protocol."""

    def __init__(self, stream: Connection, bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._wsproto: Any = lazy.load("wsproto")
        self._events: Any = lazy.load("wsproto.events")
        self._protocol = self._wsproto.WSConnection(self._wsproto.ConnectionType.CLIENT)

    async def begin(self, host: str, target: str) -> None:
        """Shake hands."""
        await self._send(self._events.Request(host=host, target=target))
        event = await self._next()
        if event is None:
            raise _gone()
        if not isinstance(event, self._events.AcceptConnection):
            status = getattr(event, "status_code", None)
            raise OutboundFailed(f"the server opens no WebSocket, and answers with status {status}", fix="check the address and its key")

    async def send(self, text: str) -> None:
        """Send a message."""
        await self._send(self._events.TextMessage(data=text))

    async def receive(self) -> str:
        """The next text message.

        Raises:
            OutboundRefused: it has more characters than may be read.
        """
        parts: list[str] = []
        left = self._bytes_max
        while event := await self._next():
            if isinstance(event, self._events.Ping):
                await self._send(event.response())
            elif isinstance(event, self._events.TextMessage):
                left -= len(event.data)
                if left < 0:
                    raise OutboundRefused(f"a message has more than {self._bytes_max:,} characters", rule="response_size")
                parts.append(event.data)
                if event.message_finished:
                    return "".join(parts)
            elif isinstance(event, self._events.CloseConnection):
                break
        raise _gone()

    async def _next(self) -> Any:
        """The next event; None at the end of the connection."""
        try:
            while (event := next(self._protocol.events(), None)) is None:
                data = await self._stream.receive(READ_BYTES_MAX)
                if not data:
                    return None
                self._protocol.receive_data(data)
        except self._wsproto.utilities.ProtocolError:
            return None
        return event

    async def _send(self, event: Any) -> None:
        try:
            data = self._protocol.send(event)
        except self._wsproto.utilities.ProtocolError:
            raise _gone() from None
        if not await self._stream.send(data):
            raise _gone()


@asynccontextmanager
async def connected(outbound: Outbound, tenant: UUID, url: str) -> AsyncGenerator[WebSocket]:
    """A WebSocket to a `ws://` or `wss://` address, closed at the end.

    Raises:
        ToolFailed: the address is none, or the library is not installed.
        OutboundError: it may not be reached, or is not.
    """
    scheme, _, rest = url.partition("://")
    if scheme.lower() not in SCHEMES:
        raise ToolFailed("the address of the browser must begin with ws://, wss://, http:// or https://")
    try:
        lazy.load("wsproto")
    except ImportError:
        raise ToolFailed("this needs the library wsproto, which is not installed: the operator can `pip install '.[browser]'`") from None
    checked = await outbound.check_url(f"{SCHEMES[scheme.lower()]}://{rest}", tenant=tenant)
    is_tls = checked.scheme == "https"
    async with outbound.open_tcp(checked.host, checked.port, tenant=tenant, ports=None, tls=is_tls) as stream:
        socket = WebSocket(stream, outbound.limits.response_bytes_max)
        await socket.begin(urlsplit(checked.url).netloc, checked.target)
        yield socket


def _gone() -> OutboundFailed:
    return OutboundFailed("the connection to the browser is closed", fix="look whether its session still runs, or start another one")
