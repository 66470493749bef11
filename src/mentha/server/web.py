"""The connections of the web server: those of `connections`, with the pieces of an answer sent together."""

from asyncio import Transport
from typing import Any, cast

from mentha.core.outbox import Outbox
from mentha.server.connections import LimitedConnection


class HttpProtocol(LimitedConnection):
    """One connection of a client."""

    def connection_made(self, transport: Transport) -> None:
        """Put an outbox between the connection and its transport."""
        super().connection_made(cast("Transport", _Gathered(transport)))


class _Gathered(Outbox):
    """An outbox in the place of its transport."""

    def close(self) -> None:
        self.flush()
        self.transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)
