"""The gateway where something goes wrong at its end: the database is away, or a client leaves a stream with a long prompt."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from mentha.chat.gateway import Gateway
from mentha.core import config, tokens
from mentha.core.errors import Unavailable
from mentha.providers.service import Providers
from mentha.store import pool
from mentha.store.meter import Meter
from mentha.store.pool import Database
from tests.support.transactions import new_tenant

SETTINGS = config.load(environ={}, flags={"database_connections_max": 2})


class Away(Database):
    """A database that is away for the next `times` connections."""

    def __init__(self, real: Database) -> None:
        self.real, self.times = real, 0

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Any]:
        if self.times:
            self.times -= 1
            raise Unavailable("away")
        async with self.real.connection() as connection:
            yield connection


@pytest.fixture
async def database(worker_dsn: str) -> AsyncIterator[Away]:
    opened = await pool.connect(worker_dsn, SETTINGS)
    try:
        yield Away(opened)
    finally:
        await opened.close()


async def tenant_in(database: Away) -> UUID:
    async with database.connection() as connection:
        return await new_tenant(connection)


async def recorded(database: Away, tenant: UUID) -> list[Any]:
    async with database.connection() as connection:
        return await connection.fetch("SELECT ok, estimated, prompt_tokens FROM usage WHERE tenant_id = $1", tenant)


@pytest.mark.parametrize("stream", [False, True])
async def test_call_that_was_answered_while_the_database_was_away_is_recorded_later(
    database: Away, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    monkeypatch.setattr("mentha.store.meter.RETRY_S", 0)
    tenant, providers, meter = await tenant_in(database), Providers(SETTINGS), Meter(database)
    gateway, route, body = (
        Gateway(SETTINGS, providers, meter),
        providers.route("mentha/echo"),
        {"messages": [{"role": "user", "content": "hi"}]},
    )
    database.times = 1

    async def answered() -> list[bytes]:
        if stream:
            return [event async for event in gateway.stream(tenant, route, {**body, "stream": True})]
        return [await gateway.whole(tenant, route, body)]

    with pytest.raises(Unavailable):
        await answered()
    while not (found := await recorded(database, tenant)):
        await asyncio.sleep(0)
    (row,) = found
    assert row["ok"]
    await meter.close()
    await providers.close()


async def test_stream_that_is_left_records_a_long_prompt_without_counting_it(database: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, providers, meter = await tenant_in(database), Providers(SETTINGS), Meter(database)
    gateway, route = Gateway(SETTINGS, providers, meter), providers.route("mentha/echo")
    events = gateway.stream(tenant, route, {"stream": True, "messages": [{"role": "user", "content": "word " * 100_000}]})
    await anext(events)
    monkeypatch.setattr(tokens, "count", lambda _: pytest.fail("this would hold the event loop"))
    await events.aclose()
    await meter.close()
    (row,) = await recorded(database, tenant)
    assert (row["ok"], row["estimated"], 100_000 < row["prompt_tokens"] < 150_000) == (False, True, True)
    await providers.close()
