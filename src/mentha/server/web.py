"""The connections of the web server: those of `connections`, with the pieces of an answer sent together."""

from asyncio import Transport
from collections.abc import Callable
from typing import Any, cast

from mentha.core.outbox import Outbox
from mentha.server.connections import LimitedConnection


class HttpProtocol(LimitedConnection):
    """One connection of a client."""

    def connection_made(self, transport: Transport) -> None:
        """Put an outbox between the connection and its transport."""
        super().connection_made(cast("Transport", _Gathered(transport, self.end)))


class _Gathered(Outbox):
    """An outbox in the place of its transport."""

    def __init__(self, transport: Transport, end: Callable[[Transport], None]) -> None:
        super().__init__(transport)
        self._end = end
        self._closed = False

    def write(self, data: bytes) -> None:
        # As after the close of a transport. A request that turns out to be none after its head has two answers, the second by its handler.
        if not self._closed:
            super().write(data)

    def close(self) -> None:
        self.flush()
        self._closed = True
        self._end(self.transport)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
