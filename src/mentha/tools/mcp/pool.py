"""Connections to MCP servers, kept for the next call: one for each tenant, server and set of headers, closed when it rests too long.

Laws: a connection serves one tenant's calls to one target; one that rests holds places of the door (a stream for notices, and what the last
call left open), so there are never more than a third of those, of all, of a tenant or of a host: one that rests makes room, and where none
does the next call waits for a while; a server that can't be reached is asked again after a pause that grows, by whichever call comes then.
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
from mentha.tools.outbound.dial import TENANT_SHARE

# Within one call; then `PAUSE_MAX_S` at most until the next one tries.
TRIES_MAX = 3
TRY_PAUSE_S = 0.2
PAUSE_FIRST_S = 1.0
PAUSE_MAX_S = 60.0
FAILURES_MAX = 1_000
GREETING_TIMEOUT_S = 15.0
ROOM_TIMEOUT_S = 5.0
# Of the places that the door has.
SHARE = 3

Key = tuple[UUID, bytes]


@dataclass(slots=True)
class _Place:
    """Where a connection is, or will be."""

    host: str
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
        self._freed = asyncio.Condition()
        share = settings.outbound_connections_max // SHARE
        self._max = max(1, min(settings.mcp_connections_max, share))
        self._tenant_max = max(1, min(settings.mcp_connections_per_tenant_max, share // TENANT_SHARE))
        self._host_max = max(1, settings.outbound_connections_per_host_max // SHARE)

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
        place = await self._place(key, target.host)
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
                async with self._freed:
                    self._freed.notify_all()

    async def close(self) -> None:
        """Close all, used ones too."""
        for key in list(self._places):
            self._remove(key)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _place(self, key: Key, host: str) -> _Place:
        """The place of a target, taken by one more who uses it; a new one where there is room, or will be soon."""
        try:
            async with asyncio.timeout(ROOM_TIMEOUT_S), self._freed:
                while not (key in self._places or self._has_room(key[0], host)):
                    await self._freed.wait()
        except TimeoutError:
            raise ToolFailed("too many MCP servers are in use at once: try again later", retry=True) from None
        place = self._places.setdefault(key, _Place(host))
        self._places.move_to_end(key)
        place.users += 1
        if place.rest:
            place.rest.cancel()
        return place

    def _has_room(self, tenant: UUID, host: str) -> bool:
        """Whether one more may be, after a resting one has made room where it must."""
        for among, most in (
            ([key for key in self._places if key[0] == tenant], self._tenant_max),
            ([key for key, place in self._places.items() if host and place.host == host], self._host_max),
            (list(self._places), self._max),
        ):
            if len(among) >= most:
                resting = next((key for key in among if not self._places[key].users), None)
                if resting is None:
                    return False
                self._remove(resting)
        return True

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
