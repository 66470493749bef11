"""A connection of its own to PostgreSQL that comes back by itself. It can listen, which a connection through a pooler can't.

Whoever asks something of it while the database is away waits until it is back. It has the methods that pgqueuer wants of a driver.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Self

import asyncpg

from mentha import observe
from mentha.core.config import Settings
from mentha.core.errors import Unavailable
from mentha.observe.events import WorkerLost, WorkerResumed
from mentha.store import pool
from mentha.store.failures import FAILURES, translated

CONNECT_S = 15
PAUSE_S = 0.25
PAUSE_S_MAX = 10.0


class DirectConnection:
    """One connection for one consumer of wake-ups; statements take turns on it.

    Args:
        dsn: past the pooler, where there is one.
        listens: whether LISTEN works on this way; False through a pooler in transaction mode.
    """

    def __init__(self, dsn: str, settings: Settings, *, listens: bool) -> None:
        self._dsn = dsn
        self._settings = settings
        self._listens = listens
        self._lock = asyncio.Lock()
        self._connection: Any = None
        self._channel = ""
        self._told: Callable[[str], None] | None = None
        self._silent = False
        self._lost_at: float | None = None
        self._impatient = asyncio.Event()

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        """The rows that a statement gives, as soon as the database is there.

        Raises:
            Unavailable: the database is away, and `hurry` was called.
        """
        return [dict(row) for row in await self._run("fetch", query, args)]

    async def execute(self, query: str, *args: object) -> str:
        """Run a statement as soon as the database is there; one that was cut off is run again.

        Raises:
            Unavailable: as `fetch`.
        """
        return str(await self._run("execute", query, args))

    async def add_listener(self, channel: str, callback: Callable[[str], None]) -> None:
        """Call `callback` with what is sent to `channel` from now on, also after the connection was lost and made again."""
        self._channel, self._told = channel, callback
        await self.execute("SELECT 1")

    async def notify(self, channel: str, payload: str) -> None:
        """Tell this connection's own listener, and nobody else: what pgqueuer sends with it concerns only itself."""
        if channel == self._channel and self._told is not None:
            self._told(payload)

    def rearm(self) -> None:
        """Pass the next notice on. Between two calls only the first one is: each means no more than "look again"."""
        self._silent = False

    def hurry(self) -> None:
        """From now on nobody waits for a database that is away."""
        self._impatient.set()

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*FAILURES):
                await connection.close(timeout=5)

    @property
    def shutdown(self) -> asyncio.Event:
        """Wanted of a driver, and not used."""
        return self._impatient

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def _run(self, method: str, query: str, args: tuple[object, ...]) -> Any:
        async with self._lock:
            pause_s = PAUSE_S
            while True:
                try:
                    connection = await self._connected()
                    result = await getattr(connection, method)(query, *args)
                except FAILURES as error:
                    fault = translated(error)
                    if not isinstance(fault, Unavailable) or self._impatient.is_set():
                        raise fault from error
                    await self._lost(error, pause_s)
                    pause_s = min(pause_s * 2, PAUSE_S_MAX)
                else:
                    self._found()
                    return result

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_S,
                command_timeout=self._settings.database_statement_s,
                # A pooler gives every statement another connection, and refuses start-up parameters that it does not know.
                statement_cache_size=100 if self._listens else 0,
                server_settings=pool.server_settings(self._settings) if self._listens else {},
            )
        if self._listens and self._told is not None:
            # Does nothing where it listens already.
            await self._connection.add_listener(self._channel, self._notice)
        return self._connection

    def _notice(self, _connection: object, _pid: int, _channel: str, payload: str) -> None:
        if self._told is not None and not self._silent:
            self._silent = True
            self._told(payload)

    async def _lost(self, error: Exception, pause_s: float) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            observe.emit(WorkerLost(detail=f"{type(error).__name__}: {error}"))
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._impatient.wait()

    def _found(self) -> None:
        if self._lost_at is not None:
            away_s, self._lost_at = time.monotonic() - self._lost_at, None
            observe.emit(WorkerResumed(away_s=away_s))
