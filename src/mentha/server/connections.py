"""HTTP connections: uvicorn's own, with two limits that it lacks, on the size of a request's head and on the time until it is there.

Without them, whoever can reach the port can fill the memory with a head that never ends, or hold connections open with heads that
never come. The body has its limit in `api/middleware.py`; a connection that waits for its next request has one of uvicorn's.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64_000
HEAD_WAIT_S = 30.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedConnection(HttpToolsProtocol):
    """One connection of a client. Made by uvicorn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._in_head = True
        self._head_limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._head_limit = self.loop.call_later(HEAD_WAIT_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or was cut off."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head that is still not whole after `HEAD_BYTES_MAX` of them."""
        super().data_received(data)
        # What came with the head's end is bounded by the size of one read.
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        if self._head_limit is None:
            self._head_limit = self.loop.call_later(HEAD_WAIT_S, self.transport.close)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._end_wait()
        super().on_headers_complete()

    def _end_wait(self) -> None:
        if self._head_limit is not None:
            self._head_limit.cancel()
            self._head_limit = None
