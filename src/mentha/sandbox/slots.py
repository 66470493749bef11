"""Places for processes that work: a limited number at once, a limited number of waiters, each for a limited time."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Generator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mentha.core.errors import Unavailable


@dataclass(slots=True)
class _Owner:
    """What one owner has going: its places, how many wait, how many wait or hold."""

    free: asyncio.Semaphore
    waiting: int = 0
    users: int = 0


class Slots:
    """Places that are taken one by one. Belongs to one event loop.

    Args:
        wait_s: how long one waits for a place.
        too_many: what is said where too many wait.
        all_busy: what is said where none came free in time.
        owner_max: the most places that one owner holds or stands next in line for; its others wait behind these.
        owner_waiting_max: of one owner.
    """

    def __init__(
        self,
        count: int,
        *,
        waiting_max: int,
        wait_s: float,
        too_many: str,
        all_busy: str,
        owner_max: int | None = None,
        owner_waiting_max: int | None = None,
    ) -> None:
        self._count = count
        self._free = asyncio.Semaphore(count)
        self._waiting = 0
        self._waiting_max = waiting_max
        self._wait_s = wait_s
        self._too_many = too_many
        self._all_busy = all_busy
        self._owner_max = owner_max or count
        self._owner_waiting_max = owner_waiting_max or waiting_max
        self._owners: dict[Hashable, _Owner] = {}
        self.closed = False

    @asynccontextmanager
    async def taken(self, owner: Hashable = None) -> AsyncGenerator[None]:
        """Hold a place, which counts for `owner`.

        Raises:
            Unavailable: none came free in time, or too many wait, or they are closed.
        """
        if self.closed:
            raise Unavailable("the server is stopping")
        async with contextlib.AsyncExitStack() as stack:
            share = stack.enter_context(self._owned(owner))
            if self._waiting >= self._waiting_max or share.waiting >= self._owner_waiting_max:
                raise Unavailable(self._too_many)
            self._waiting += 1
            share.waiting += 1
            try:
                async with asyncio.timeout(self._wait_s):
                    # The owner's first: so in the line of all stand few of each, however many an owner has.
                    await stack.enter_async_context(share.free)
                    if self.closed:
                        # The places are kept by who waits until they are free.
                        raise Unavailable("the server is stopping")
                    await stack.enter_async_context(self._free)
            except TimeoutError:
                raise Unavailable(self._all_busy) from None
            finally:
                self._waiting -= 1
                share.waiting -= 1
            yield

    @contextlib.contextmanager
    def _owned(self, owner: Hashable) -> Generator["_Owner"]:
        """What an owner has going, kept as long as there is something."""
        share = self._owners.setdefault(owner, _Owner(asyncio.Semaphore(self._owner_max)))
        share.users += 1
        try:
            yield share
        finally:
            share.users -= 1
            if not share.users:
                del self._owners[owner]

    async def drained(self, *, limit_s: float) -> None:
        """Wait until all places are free, and keep them; at most `limit_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                for _ in range(self._count):
                    await self._free.acquire()
