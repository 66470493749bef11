"""News of executions for those that watch them: told at once by the runs of this process, and found out about those of others.

One query finds out about all that are watched here, however many watch. Whoever watches is told only that there is something new.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from mentha import observe
from mentha.core.errors import Unavailable
from mentha.observe.events import SweepFailed
from mentha.store import delivery, workers
from mentha.store.pool import Database

LOOK_S = 0.25
WATCHERS_MAX = 2_000
TENANT_WATCHERS_MAX = 500

Key = tuple[UUID, UUID]


class Watcher:
    """Somebody who watches one execution.

    Attributes:
        is_over: whether to stop watching, because the server stops.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._news = asyncio.Event()
        self._over = asyncio.Event()

    def end(self) -> None:
        """Let it stop watching, at once."""
        self.is_over = True
        self._over.set()
        self.tell()

    async def pause(self, pause_s: float) -> None:
        """Let this time go by; less where it is to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._over.wait()

    def tell(self) -> None:
        """There is something new."""
        self._news.set()

    async def wait(self, *, limit_s: float) -> bool:
        """Until there is something new since the last call; False where nothing was within `limit_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._news.wait()
        told = self._news.is_set()
        self._news.clear()
        return told


class Watch:
    """All who watch executions in this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: dict[Key, set[Watcher]] = {}
        self._seen: dict[Key, tuple[int, str]] = {}
        self._counts: Counter[UUID] = Counter()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    @contextmanager
    def watching(self, tenant: UUID, execution_id: UUID) -> Generator[Watcher]:
        """Watch an execution while the block runs. The first news come at once.

        Raises:
            Unavailable: too many watch in this process, or too many of this tenant, or it is stopping.
        """
        self.ensure_open(tenant)
        watcher, key = Watcher(), (tenant, execution_id)
        watcher.tell()
        self._watchers.setdefault(key, set()).add(watcher)
        self._counts[tenant] += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield watcher
        finally:
            self._counts[tenant] -= 1
            if not self._counts[tenant]:
                del self._counts[tenant]
            self._watchers[key].discard(watcher)
            if not self._watchers[key]:
                del self._watchers[key]
                self._seen.pop(key, None)

    def ensure_open(self, tenant: UUID) -> None:
        """Do nothing where one more of a tenant may watch.

        Raises:
            Unavailable: as `watching`.
        """
        if self._is_closed or self._counts.total() >= WATCHERS_MAX or self._counts[tenant] >= TENANT_WATCHERS_MAX:
            raise Unavailable("too many streams of executions are open, or the server is stopping", retry_after_s=5)

    def tell(self, tenant: UUID, execution_id: UUID) -> None:
        """Something of this execution was committed here."""
        for watcher in self._watchers.get((tenant, execution_id), ()):
            watcher.tell()

    def count(self, tenant: UUID) -> int:
        """How many watch for a tenant."""
        return self._counts[tenant]

    def close(self) -> None:
        """Let nobody watch any more: streams end, so that the server can."""
        self._is_closed = True
        if self._looking is not None:
            self._looking.cancel()
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.end()

    async def _look(self) -> None:
        while self._watchers:
            await asyncio.sleep(LOOK_S)
            try:
                await self._find_out(list(self._watchers))
            except Unavailable:
                pass  # the database is away, and comes back
            except Exception as error:  # noqa: BLE001 - one fault must not leave all who watch without news
                reason, detail = delivery.reason_of(error)
                observe.emit(SweepFailed(name="watch", reason=reason, detail=detail))
        self._looking = None

    async def _find_out(self, keys: list[Key]) -> None:
        async with self._database.connection() as tx:
            found = await workers.progress(tx, keys)
        for key in keys:
            progress = found.get(key)
            now = (progress.seq, progress.status) if progress else (-1, "")
            if key in self._watchers and self._seen.get(key) != now:
                self._seen[key] = now
                self.tell(*key)
