"""Usage that no transaction carries: rows of many calls in one statement.

`write` returns once its rows are committed, so a call that was answered is a call that was recorded. `later` is for calls whose answer
nobody gets (they failed, or their turn did): their rows wait here while the database is away, at most `ROWS_MAX` of them.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from mentha.core.errors import Unavailable
from mentha.core.json import JsonObject
from mentha.store import usage
from mentha.store.pool import Database
from mentha.store.usage import NewUsage

ROWS_MAX = 10_000
BATCH_ROWS = 500
RETRY_S = 1.0
# A row, and who waits for it.
_Waiting = tuple[JsonObject, asyncio.Future[None] | None]


class Meter:
    """One for the process. Its task runs only while there are rows to write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        # How many of the next rows are written each by itself, because one of them can't be.
        self._apart = 0

    async def write(self, tenant: UUID, rows: Sequence[NewUsage]) -> None:
        """Record calls, and return once that is committed.

        Raises:
            Unavailable: the database is away; nothing was recorded.
        """
        if rows:
            done = asyncio.get_running_loop().create_future()
            self._put(tenant, rows, done)
            await done

    def later(self, tenant: UUID, rows: Sequence[NewUsage]) -> None:
        """Record calls soon; again and again while the database is away. The oldest are dropped where more than `ROWS_MAX` wait."""
        if rows:
            self._put(tenant, rows, None)

    async def close(self) -> None:
        """Write what waits; what can't be written now is lost."""
        self._closing = True
        if self._task is not None:
            await asyncio.wait([self._task])

    def _put(self, tenant: UUID, rows: Sequence[NewUsage], done: asyncio.Future[None] | None) -> None:
        for place, row in enumerate(usage.as_json(rows)):
            # One statement takes all rows of one call of `write`, or at least the last, which its caller waits for.
            self._waiting.append(({"tenant_id": str(tenant), **row}, done if place == len(rows) - 1 else None))
        while len(self._waiting) > ROWS_MAX and self._waiting[0][1] is None:
            self._waiting.popleft()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="meter")

    async def _work(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(1 if self._apart else min(len(self._waiting), BATCH_ROWS))]
            self._apart = max(self._apart - 1, 0)
            try:
                async with self._database.connection() as connection:
                    await connection.execute(usage.ADD, [row for row, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits is told; the others are tried again
                await self._failed(batch, error)
            else:
                for _, done in batch:
                    if done is not None and not done.done():
                        done.set_result(None)

    async def _failed(self, batch: list[_Waiting], error: Exception) -> None:
        is_away = isinstance(error, Unavailable)
        if not is_away and len(batch) > 1:
            # A row that the database does not take is no reason to lose those of others.
            self._waiting.extendleft(reversed(batch))
            self._apart = len(batch)
            return
        for _, done in batch:
            if done is not None and not done.done():
                done.set_exception(error)
        kept = [each for each in batch if each[1] is None]
        # A fault that is not the database's absence would come again for ever.
        if kept and is_away and not self._closing:
            self._waiting.extendleft(reversed(kept))
            await asyncio.sleep(RETRY_S)
