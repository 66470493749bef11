"""Small writes to a connection, sent together. The web server and the client of the providers both write the head and the body of a message
one after the other; each alone is a system call, a packet, and a wake-up of the other side, which cost more than all of ours around it.
"""

import asyncio
from typing import Any

# What is written beyond this in one pass of the event loop goes out at once, so that a long answer does not gather here.
UNSENT_BYTES_MAX = 65_536


class Outbox:
    """What was written to a transport in this pass of the event loop; it goes out at the end of it, in order.

    Args:
        transport: what it is sent to, looked at only when something is sent: it may be replaced while nothing waits.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Send soon: when whoever writes waits for something, or `UNSENT_BYTES_MAX` are exceeded."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes > UNSENT_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Send now. What is left for a transport that closes is dropped, as the transport itself would."""
        if self._parts:
            parts, self._parts, self._bytes = self._parts, [], 0
            if not self.transport.is_closing():
                self.transport.writelines(parts)
