"""Connections to MCP servers, kept for the next call: one for each tenant, server and set of headers, closed when it rests too long.

Laws: a connection serves one tenant's calls to one target; there are never more than the settings say, and where all are in use the next
call fails instead of waiting; a server that can't be reached is asked again after a pause that grows, by whichever call comes then.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from mentha.core.config import Settings
from mentha.core.errors import OutboundFailed, OutboundTimeout
from mentha.tools.calls import ToolFailed
from mentha.tools.mcp.client import Connection, ConnectionLost, connected
from mentha.tools.mcp.target import Target
from mentha.tools.outbound import Outbound

# Within one call; then `PAUSE_MAX_S` at most until the next one tries.
TRIES_MAX = 3
TRY_PAUSE_S = 0.2
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0
FAILURES_MAX = 1_000
GREETING_TIMEOUT_S = 15.0

Key = tuple[UUID, bytes]


@dataclass(slots=True)
class _Place:
    """Where a connection is, or will be."""

    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Connection | None = None
    users: int = 0
    rest: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class _Failure:
    """A server that could not be reached so many times in a row; until when nobody tries."""

    count: int
    until: float


class Pool:
    """All connections of the process.

    Args:
        changed: told which target's list of tools is another one now.
        wait: waits so many seconds, between tries.
    """

    def __init__(
        self,
        settings: Settings,
        outbound: Outbound,
        changed: Callable[[Key], None],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._outbound = outbound
        self._changed = changed
        self._wait = wait
        # The one that rests longest stands first.
        self._places: OrderedDict[Key, _Place] = OrderedDict()
        self._failures: OrderedDict[Key, _Failure] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many connections there are, and are about to be."""
        return len(self._places)

    @asynccontextmanager
    async def lent(self, tenant: UUID, target: Target) -> AsyncGenerator[Connection]:
        """A connection, opened where there is none; others use it at the same time.

        Raises:
            ToolFailed: too many are in use, or it can't be opened.
            OutboundError: the door does not let it through, or nobody answers.
        """
        key = (tenant, target.digest)
        place = self._places.get(key) or self._new(key)
        self._places.move_to_end(key)
        place.users += 1
        if place.rest:
            place.rest.cancel()
        try:
            async with place.opening:
                if place.connection is None or not place.connection.is_alive:
                    place.connection = await self._open(key, target)
                connection = place.connection
            connection.users += 1
            try:
                yield connection
            finally:
                connection.users -= 1
                if not connection.users and not connection.is_alive:
                    self._end(connection)
        finally:
            place.users -= 1
            if not place.users:
                self._rest(key, place)

    async def close(self) -> None:
        """Close all, used ones too."""
        for key in list(self._places):
            self._remove(key)
        if self._closing:
            await asyncio.wait(self._closing)

    def _new(self, key: Key) -> _Place:
        mine = [each for each in self._places if each[0] == key[0]]
        if len(mine) >= self._settings.mcp_connections_per_tenant_max:
            self._make_room(mine)
        if len(self._places) >= self._settings.mcp_connections_max:
            self._make_room(list(self._places))
        place = self._places[key] = _Place()
        return place

    def _make_room(self, among: list[Key]) -> None:
        resting = next((each for each in among if not self._places[each].users), None)
        if resting is None:
            raise ToolFailed("too many MCP servers are in use at once: try again later", retry=True)
        self._remove(resting)

    async def _open(self, key: Key, target: Target) -> Connection:
        failure = self._failures.get(key)
        left_s = failure.until - time.monotonic() if failure else 0
        if left_s > 0:
            raise ToolFailed(
                f"the MCP server could not be reached a moment ago; it is tried again in {left_s:.0f} s",
                retry=True,
                more={"retry_after_s": round(left_s, 1)},
            )
        tried = 1
        while True:
            try:
                connection = await connected(key[0], target, self._outbound, lambda: self._changed(key), timeout_s=self._greeting_timeout_s)
            except (ConnectionLost, OutboundFailed):
                if tried == TRIES_MAX:
                    self._note_failure(key)
                    raise
            except (ToolFailed, OutboundTimeout):
                self._note_failure(key)
                raise
            else:
                self._failures.pop(key, None)
                return connection
            await self._wait(TRY_PAUSE_S * 2**tried * random.uniform(0.5, 1.5))  # noqa: S311 - no secret rests on it
            tried += 1

    @property
    def _greeting_timeout_s(self) -> float:
        return min(GREETING_TIMEOUT_S, self._outbound.limits.timeout_s)

    def _note_failure(self, key: Key) -> None:
        before = self._failures.pop(key, None)
        count = before.count + 1 if before else 1
        # The first failure keeps nobody away: it may be over already.
        pause_s = 0.0 if count == 1 else min(PAUSE_FIRST_S * 2 ** (count - 2), PAUSE_MAX_S)
        self._failures[key] = _Failure(count, time.monotonic() + pause_s)
        while len(self._failures) > FAILURES_MAX:
            self._failures.popitem(last=False)

    def _rest(self, key: Key, place: _Place) -> None:
        """Nobody uses it now: keep it for a while, where it can be used again."""
        if self._places.get(key) is not place:
            return
        if place.connection is None or not place.connection.is_alive:
            self._remove(key)
            return
        place.rest = asyncio.get_running_loop().call_later(self._settings.mcp_idle_s, self._remove, key)

    def _remove(self, key: Key) -> None:
        place = self._places.pop(key, None)
        if place is None:
            return
        if place.rest:
            place.rest.cancel()
        if place.connection is not None:
            self._end(place.connection)

    def _end(self, connection: Connection) -> None:
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
