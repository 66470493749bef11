"""The index of an embedder's vectors, for owners that are too large for exact search. Built at need, beside the server's work.

It is one of HNSW (source: Malkov and Yashunin, 2016) over the vectors of one embedder, on their expression at its dimensions: vectors of
several dimensions share one table, and an index wants one.
"""

import asyncpg

from mentha.store.embedders import EmbedderRow
from mentha.store.failures import FAILURES, translated

LOCK_KEY = 0x6D656E_76656374  # "men" "vect"
CONNECT_S = 15
MEMORY = "256MB"

TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
IS_VALID = "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass($1)"


async def build(dsn: str, embedder: EmbedderRow) -> bool:
    """Build the index where there is none; what an earlier attempt left half-built is dropped first. Reading and writing go on meanwhile.

    Args:
        dsn: a direct way to the database, not through a pooler.

    Returns:
        False where there was nothing to do, or another process is at it.

    Raises:
        Unavailable: the database is away.
    """
    name = f"vectors_nearest_{embedder.id:d}"
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, statement_cache_size=0)
        try:
            if not await connection.fetchval(TRY_LOCK, LOCK_KEY):
                return False
            valid = await connection.fetchval(IS_VALID, name)
            if valid:
                return False
            await connection.execute(f"SET statement_timeout = 0; SET maintenance_work_mem = '{MEMORY}'")
            if valid is False:
                await connection.execute(f"DROP INDEX CONCURRENTLY {name}")
            await connection.execute(
                f"CREATE INDEX CONCURRENTLY {name} ON vectors USING hnsw ((vector::halfvec({embedder.dimensions:d})) halfvec_cosine_ops) "
                f"WHERE embedder_id = {embedder.id:d}"
            )
            return True
        finally:
            await connection.close(timeout=5)
    except FAILURES as error:
        raise translated(error) from error


async def drop(dsn: str, embedder_id: int) -> None:
    """Drop the index of an embedder that is no longer used.

    Raises:
        Unavailable: the database is away.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S, statement_cache_size=0)
        try:
            await connection.execute("SET statement_timeout = 0")
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS vectors_nearest_{embedder_id:d}")
        finally:
            await connection.close(timeout=5)
    except FAILURES as error:
        raise translated(error) from error
