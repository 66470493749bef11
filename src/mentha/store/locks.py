"""Work that only one process may do at a time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from mentha.store.failures import FAILURES, translated

CONNECT_S = 15
TRY = "SELECT pg_try_advisory_lock($1)"


@asynccontextmanager
async def alone(dsn: str, key: int) -> AsyncGenerator[bool]:
    """Hold the lock `key` while the block runs; gives False where another process holds it. It goes with the process, however that ends.

    Args:
        dsn: a direct way to the database: a pooler would give the connection, and the lock, to others.

    Raises:
        Unavailable: the database is away.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, statement_cache_size=0)
    except FAILURES as error:
        raise translated(error) from error
    try:
        yield await connection.fetchval(TRY, key)
    finally:
        await connection.close(timeout=5)
