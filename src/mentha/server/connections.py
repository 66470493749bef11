"""HTTP connections: uvicorn's own, with what they lack: limits on a request's head, and an end that lets the client read the answer.

Without the limits, whoever can reach the port can fill the memory with a head that never ends, or hold connections open with heads that
never come. The body has its limit in `api/middleware.py`; a connection that waits for its next request has one of uvicorn's.

A request that is refused before it was read (413, 431) is answered while the client still sends. Closing then would make the client's
system throw the answer away, and clients would send the whole body again: so the rest is read and dropped first.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64_000
HEAD_WAIT_S = 30.0
LINGER_S = 30.0
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedConnection(HttpToolsProtocol):
    """One connection of a client. Made by uvicorn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._in_head = True
        self._received = True
        self._lingering = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_WAIT_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or was cut off."""
        self._end_wait()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head that is still not whole after `HEAD_BYTES_MAX` of them."""
        if self._lingering:
            return
        super().data_received(data)
        # What came with the head's end is bounded by the size of one read.
        self._head_bytes = self._head_bytes + len(data) if self._in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self._lingering:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head, self._received = True, False
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_WAIT_S, self.transport.abort)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        self._end_wait()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._received = True
        super().on_message_complete()

    def end(self, transport: asyncio.Transport) -> None:
        """Close the connection; where the client still sends, drop that first, for at most `LINGER_S`."""
        if self._received or self._lingering or transport.is_closing():
            transport.close()
            return
        self._lingering = True
        self._end_wait()
        self._timer = self.loop.call_later(LINGER_S, transport.abort)
        transport.write_eof()
        # uvicorn pauses while nobody reads a body.
        transport.resume_reading()

    def _end_wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
