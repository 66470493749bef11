"""Which tools an MCP server has: asked once, kept for some minutes or until the server says that they changed.

A server that fails is not asked again for a while: every turn would wait for it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from mentha.core.errors import MenthaError
from mentha.tools.calls import ToolFailed, told
from mentha.tools.mcp.discovery import Catalogue

ENTRIES_MAX = 256
FAILURE_S = 30.0

Key = tuple[UUID, bytes]


@dataclass(frozen=True, slots=True)
class _Entry:
    until: float
    found: Catalogue | ToolFailed


class Catalogues:
    """Those of all servers, by tenant and target.

    Args:
        ttl_s: how long one is kept.
    """

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._known: OrderedDict[Key, _Entry] = OrderedDict()
        self._asking: dict[Key, asyncio.Task[Catalogue]] = {}
        self._changes: dict[Key, int] = {}

    async def get(self, key: Key, ask: Callable[[], Awaitable[Catalogue]]) -> Catalogue:
        """The catalogue; those who want it at the same time ask once.

        Raises:
            ToolFailed: the server could not be asked, now or a moment ago.
        """
        entry = self._known.get(key)
        if entry is not None and entry.until > time.monotonic():
            self._known.move_to_end(key)
            if isinstance(entry.found, ToolFailed):
                raise ToolFailed(entry.found.message, retry=entry.found.retry)
            return entry.found
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._ask(key, ask))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Who goes away does not take it from the others.
        return await asyncio.shield(asking)

    def forget(self, key: Key) -> None:
        """The server's tools are others now."""
        self._known.pop(key, None)
        if key in self._asking:
            self._changes[key] = self._changes.get(key, 0) + 1

    async def close(self) -> None:
        """Stop asking."""
        for task in (asking := list(self._asking.values())):
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Catalogue]]) -> Catalogue:
        try:
            found = await ask()
        except (ToolFailed, MenthaError) as error:
            failure = error if isinstance(error, ToolFailed) else told(error)
            self._keep(key, _Entry(time.monotonic() + FAILURE_S, failure))
            raise failure from None
        else:
            # One that changed while it was read is of use to those who wait, and to nobody later.
            if not self._changes.get(key):
                self._keep(key, _Entry(time.monotonic() + self._ttl_s, found))
            return found
        finally:
            self._changes.pop(key, None)
            del self._asking[key]

    def _keep(self, key: Key, entry: _Entry) -> None:
        self._known[key] = entry
        self._known.move_to_end(key)
        while len(self._known) > ENTRIES_MAX:
            self._known.popitem(last=False)
