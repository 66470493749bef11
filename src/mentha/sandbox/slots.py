"""Places for processes that work: a limited number at once, a limited number of waiters, each for a limited time."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mentha.core.errors import Unavailable


class Slots:
    """Places that are taken one by one. Belongs to one event loop.

    Args:
        wait_s: how long one waits for a place.
        too_many: what is said where too many wait.
        all_busy: what is said where none came free in time.
    """

    def __init__(self, count: int, *, waiting_max: int, wait_s: float, too_many: str, all_busy: str) -> None:
        self._count = count
        self._free = asyncio.Semaphore(count)
        self._waiting = 0
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._too_many = too_many
        self._all_busy = all_busy
        self.closed = False

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None]:
        """Hold a place.

        Raises:
            Unavailable: none came free in time, or too many wait, or they are closed.
        """
        if self.closed:
            raise Unavailable("the server is stopping")
        if self._waiting >= self._waiting_max:
            raise Unavailable(self._too_many)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(self._all_busy) from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()

    async def drained(self, *, limit_s: float) -> None:
        """Wait until all places are free, and keep them; at most `limit_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for _ in range(self._count):
                    await self._free.acquire()
