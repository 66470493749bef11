"""Transactions for tests that are not coroutines, as Hypothesis wants them: each piece of work in one that is rolled back."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from mentha.core import config
from mentha.core.errors import MenthaError
from mentha.core.ids import new_id
from mentha.store import pool
from mentha.store.failures import FAILURES, translated
from mentha.store.pool import Database

T = TypeVar("T")
INSERT_TENANT = "INSERT INTO tenants (id, name) VALUES ($1, $2)"


class Transactions:
    """A loop and a pool of connections of one test module's own."""

    def __init__(self, dsn: str, *, connections: int = 1) -> None:
        self._dsn = dsn
        self._settings = config.load(environ={}, flags={"database_connections_max": connections})
        self._runner = asyncio.Runner()
        self.database: Database

    def __enter__(self) -> Self:
        self._runner.__enter__()
        self.database = self._runner.run(pool.connect(self._dsn, self._settings))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._runner.run(self.database.close())
        self._runner.__exit__(kind, error, trace)

    def rolled_back(self, work: Callable[[Any, UUID], Awaitable[T]]) -> T:
        """What `work` gives, for a connection inside a transaction and a new tenant in it; nothing of it stays."""

        async def run() -> T:
            async with self.database.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    return await work(connection, await new_tenant(connection))
                finally:
                    await transaction.rollback()

        return self._runner.run(run())

    def committed(self, work: Callable[[Database, UUID], Awaitable[T]]) -> T:
        """What `work` gives, for the database and a new tenant in it; both stay."""

        async def run() -> T:
            async with self.database.connection() as connection:
                tenant = await new_tenant(connection)
            return await work(self.database, tenant)

        return self._runner.run(run())


async def refusal(connection: Any, work: Awaitable[object]) -> Exception:
    """The error that `work` ends with, as it leaves `store`; what `work` did is undone."""
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        await work
    except FAILURES as error:
        return translated(error)
    except MenthaError as error:
        return error
    finally:
        await savepoint.rollback()
    raise AssertionError("it went well")


async def new_tenant(connection: Any) -> UUID:
    """The id of a new tenant."""
    tenant = new_id()
    await connection.execute(INSERT_TENANT, tenant, f"t{tenant.hex}")
    return tenant
