"""From settings to a database that is ready: the embedded server or an external one, its schema, and a pool."""

import asyncio
from dataclasses import dataclass

from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid, Unavailable
from mentha.store import embedded, migrate, pool
from mentha.store.embedded import EmbeddedServer
from mentha.store.pool import Database

# An external database may start at the same time as we do.
CONNECT_TRIES_MAX = 20
CONNECT_PAUSE_S = 0.5

DOES_NOT_ANSWER = "the database of DATABASE_URL does not answer: see that it runs, or correct the address"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the database is.

    Attributes:
        dsn: for the pool.
        direct_dsn: past a pooler, for migrations.
        server: the embedded server, None for an external database.
    """

    dsn: str
    direct_dsn: str
    server: EmbeddedServer | None

    def release(self) -> None:
        """Let go of the embedded server, where there is one; the last one stops it. Blocking."""
        if self.server is not None:
            self.server.release()


async def find(settings: Settings) -> Place:
    """The external database of the settings, else the embedded one, started where it does not run.

    Raises:
        ConfigInvalid: the embedded one can't start; the message says what to do.
    """
    if settings.database_url is not None:
        dsn = settings.database_url.get_secret_value()
        direct = settings.database_url_direct.get_secret_value() if settings.database_url_direct else dsn
        return Place(dsn, direct, None)
    starting = asyncio.create_task(asyncio.to_thread(embedded.acquire, settings.home, pg_bin=settings.pg_bin))
    try:
        server = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # The thread can't be interrupted; what it starts must not be left running.
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(starting.result().release)
        raise
    return Place(server.dsn, server.dsn, server)


async def prepare_schema(place: Place, settings: Settings) -> None:
    """Migrate, or with `migrate` off refuse an old schema.

    Raises:
        ConfigInvalid: the schema is old and may not be migrated, or newer than this version.
        Unavailable: the database can't be reached, after some tries.
    """
    for attempt in range(CONNECT_TRIES_MAX):
        try:
            if settings.migrate:
                await migrate.migrate(place.direct_dsn)
                return
            missing = await migrate.pending(place.direct_dsn)
            if missing:
                names = ", ".join(f"{migration.version:04}_{migration.name}" for migration in missing)
                raise ConfigInvalid(
                    f"the database lacks {len(missing)} migrations ({names}): run `mentha migrate`, or start without --no-migrate"
                )
            return
        except Unavailable:
            if attempt == CONNECT_TRIES_MAX - 1 and place.server is None:
                raise ConfigInvalid(DOES_NOT_ANSWER) from None
            if attempt == CONNECT_TRIES_MAX - 1:
                raise
            await asyncio.sleep(CONNECT_PAUSE_S)


async def connect(place: Place, settings: Settings) -> Database:
    """The pool.

    Raises:
        Unavailable: the database can't be reached.
    """
    return await pool.connect(place.dsn, settings)
