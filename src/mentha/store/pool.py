"""The way to PostgreSQL: a pool of connections, transactions, and the one place where the driver's errors become ours.

A connection is held for as long as its `async with` block: never call a model or a tool inside of one.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from mentha import __version__
from mentha.core.config import Settings
from mentha.core.errors import Unavailable
from mentha.core.json import dumps, loads
from mentha.store.failures import FAILURES, translated

# A lent connection, mostly inside a transaction. The driver has no types of its own.
Tx = Any


class _Connection(asyncpg.Connection):
    """A connection that keeps no session state: nothing of ours uses any, so nothing has to be reset when it goes back to the pool."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


class Database:
    """A pool of connections to one database."""

    def __init__(self, pool: asyncpg.Pool, *, wait_s: float) -> None:
        self._pool = pool
        self._wait_s = wait_s

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Tx]:
        """Lend a connection on which each statement is a transaction of its own. Meant for one statement.

        Raises:
            Unavailable: no connection came free in time, or the database went away. Sending the request again helps.
        """
        connection = await self._acquire()
        try:
            yield connection
        except FAILURES as error:
            raise translated(error) from error
        finally:
            await self._release(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Tx]:
        """Lend a connection inside a transaction: committed where the block ends, rolled back where it raises.

        Raises:
            Unavailable: as `connection`; when it comes from the commit itself, the outcome is not known.
            Conflict, NotFound, ConstraintViolated: a named constraint of the schema was broken (see `store/failures.py`).
        """
        connection = await self._acquire()
        try:
            async with connection.transaction():
                yield connection
        except FAILURES as error:
            raise translated(error) from error
        finally:
            await self._release(connection)

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Wait for the lent connections and close all; after `timeout_s` cut them off."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _acquire(self) -> PoolConnectionProxy:
        try:
            return await self._pool.acquire(timeout=self._wait_s)
        except TimeoutError:
            raise Unavailable("every database connection is busy", retry_after_s=1) from None
        except FAILURES as error:
            raise translated(error) from error

    async def _release(self, connection: PoolConnectionProxy) -> None:
        try:
            await self._pool.release(connection, timeout=5)
        except (*FAILURES, TimeoutError):
            # A connection that broke is dropped by the pool; what it broke on was already told by the block above.
            return


async def connect(dsn: str, settings: Settings) -> Database:
    """Open the pool, with one connection made at once so that a wrong address fails here.

    Raises:
        Unavailable: the database can't be reached.
    """
    pooled = settings.database_pooler == "transaction"
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=settings.database_connections_max,
            max_inactive_connection_lifetime=300,
            init=_init,
            connection_class=_Connection,
            command_timeout=settings.database_statement_s,
            timeout=settings.database_wait_s,
            statement_cache_size=0 if pooled else 256,
            # Poolers refuse start-up parameters that they do not know.
            server_settings={} if pooled else server_settings(settings),
        )
    except FAILURES as error:
        raise translated(error) from error
    return Database(pool, wait_s=settings.database_wait_s)


def server_settings(settings: Settings) -> dict[str, str]:
    """What every connection asks of PostgreSQL: a name, a limit on statements and idle transactions, no JIT (it costs more than it gives)."""
    return {
        "application_name": f"mentha {__version__}",
        "statement_timeout": str(int(settings.database_statement_s * 1000)),
        "idle_in_transaction_session_timeout": str(int(settings.database_statement_s * 1000)),
        "jit": "off",
        "timezone": "UTC",
    }


async def _init(connection: Any) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=_encode_json, decoder=loads, schema="pg_catalog", format="text")
    # Where pgvector is installed is the operator's choice.
    schema = await connection.fetchval("SELECT t.typnamespace::regnamespace::text FROM pg_type t WHERE t.oid = to_regtype('halfvec')")
    if schema is not None:
        await connection.set_type_codec("halfvec", encoder=_encode_vector, decoder=_decode_vector, schema=schema, format="binary")


def _encode_json(value: Any) -> str:
    return dumps(value).decode()


# A vector is bytes everywhere in `store`: half-precision floats, big-endian. PostgreSQL's own form has a head before them: their number in
# two bytes, and two bytes of zeros. Source: pgvector, halfvec_send.
VECTOR_HEAD_BYTES = 4
FLOAT_BYTES = 2


def _encode_vector(value: bytes) -> bytes:
    return (len(value) // FLOAT_BYTES).to_bytes(2) + b"\0\0" + value


def _decode_vector(value: bytes) -> bytes:
    return bytes(value[VECTOR_HEAD_BYTES:])


def floats(vector: bytes) -> list[float]:
    """The numbers of a vector as the tables have it."""
    return list(struct.unpack(f">{len(vector) // FLOAT_BYTES}e", vector))
