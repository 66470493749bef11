"""The pool: connections lent for a block, transactions that end with it, and limits on every wait."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mentha.core import config
from mentha.core.errors import ConstraintViolated, Unavailable
from mentha.store import pool
from mentha.store.pool import Database

LIMITS = {"database_connections_max": 1, "database_wait_s": 0.1, "database_statement_s": 0.5}


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A pool of one connection."""
    opened = await pool.connect(database_dsn, config.load(environ={}, flags=LIMITS))
    yield opened
    await opened.close()


async def tenants(database: Database) -> int:
    async with database.connection() as connection:
        return await connection.fetchval("SELECT count(*) FROM tenants")


ADD = "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'added')"


async def test_transaction_is_committed_at_its_end_and_rolled_back_by_an_error(database: Database) -> None:
    before = await tenants(database)

    async def fail() -> None:
        async with database.transaction() as tx:
            await tx.execute(ADD)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await tenants(database) == before
    async with database.transaction() as tx:
        await tx.execute(ADD)
    assert await tenants(database) == before + 1


async def test_transaction_whose_task_is_cancelled_is_rolled_back_and_gives_its_connection_back(database: Database) -> None:
    before = await tenants(database)
    entered = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as tx:
            await tx.execute(ADD)
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await tenants(database) == before


async def test_statement_that_is_cancelled_gives_its_connection_back(database: Database) -> None:
    async def work() -> None:
        async with database.connection() as connection:
            started.set()
            await connection.execute("SELECT pg_sleep(0.4)")

    started = asyncio.Event()
    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while True:
            try:
                await tenants(database)
                return
            except Unavailable:
                # PostgreSQL is told to end the statement before the connection is lent again.
                continue


async def test_wait_for_a_connection_has_a_limit(database: Database) -> None:
    async with database.connection():
        with pytest.raises(Unavailable, match="busy"):
            await tenants(database)
    await tenants(database)


async def test_statement_has_a_limit_and_the_next_one_works(database: Database) -> None:
    with pytest.raises(Unavailable):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(30)")
    await tenants(database)


async def test_driver_errors_leave_as_ours_and_faults_as_they_are(database: Database) -> None:
    with pytest.raises(ConstraintViolated):
        async with database.connection() as connection:
            await connection.execute("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'Not Valid')")
    with pytest.raises(Exception, match="nowhere"):
        async with database.transaction() as tx:
            await tx.execute("SELECT 1 FROM nowhere")
    await tenants(database)


async def test_json_columns_come_and_go_as_values(database: Database) -> None:
    async with database.connection() as connection:
        for value in ({"a": [1, None, "é"]}, [], None, "x", 1.5):
            assert await connection.fetchval("SELECT $1::jsonb", value) == value
            assert await connection.fetchval("SELECT $1::json", value) == value


async def test_pool_behind_a_pooler_keeps_no_prepared_statements(database_dsn: str) -> None:
    opened = await pool.connect(database_dsn, config.load(environ={}, flags={**LIMITS, "database_pooler": "transaction"}))
    try:
        await tenants(opened)
        async with opened.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql AND name <> ''") == 0
    finally:
        await opened.close()


async def test_connections_carry_our_name_and_limits(database: Database) -> None:
    async with database.connection() as connection:
        assert (await connection.fetchval("SHOW application_name")).startswith("mentha ")
        assert await connection.fetchval("SHOW statement_timeout") == "500ms"
        assert await connection.fetchval("SHOW timezone") == "UTC"


async def test_close_waits_for_what_is_lent_and_then_cuts_it_off(database_dsn: str) -> None:
    opened = await pool.connect(database_dsn, config.load(environ={}, flags=LIMITS))

    async def outlive() -> None:
        async with opened.connection() as connection:
            await opened.close(timeout_s=0.05)
            await connection.execute("SELECT 1")

    with pytest.raises(Unavailable):
        await outlive()


async def test_connect_to_nowhere_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await pool.connect("postgresql://ann@127.0.0.1:1/x", config.load(environ={}, flags=LIMITS))
