"""Usage: what a meter records, and what comes of it while the database is away."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from mentha.api import limits
from mentha.core import config
from mentha.core.errors import Unavailable
from mentha.core.ids import new_id
from mentha.store import api_keys, maintenance, pool, usage
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.store.usage import NewUsage, Query
from tests.support.transactions import new_tenant


@pytest.fixture
async def database(worker_dsn: str) -> AsyncIterator[Database]:
    """A pool; what it writes is committed."""
    opened = await pool.connect(worker_dsn, config.load(environ={}, flags={"database_connections_max": 2}))
    try:
        yield opened
    finally:
        await opened.close()


async def own_tenant(database: Database) -> UUID:
    async with database.connection() as connection:
        return await new_tenant(connection)


def call(**more: object) -> NewUsage:
    return NewUsage(**{"kind": "chat", "ok": True, "provider": "openai", "model": "gpt-x", **more})  # type: ignore[arg-type]  # any of its fields


def everything(*groups: str, **equal: object) -> Query:
    now = datetime.now(UTC)
    return Query(now - timedelta(days=1), now + timedelta(days=1), equal, groups)


async def test_meter_writes_rows_of_calls_that_are_made_at_once(database: Database) -> None:
    meter, tenant = Meter(database), await own_tenant(database)
    await meter.write(tenant, [call(prompt_tokens=3, completion_tokens=2, cost=0.5), call(model="gpt-y", ok=False)])
    meter.later(tenant, [call(prompt_tokens=10, key_id=new_id())])
    meter.later(new_id(), [call()])
    await meter.close()
    async with database.connection() as connection:
        total = await usage.total(connection, tenant, everything())
        by_model = await usage.grouped(connection, tenant, everything("model", "day"))
    assert (total["requests"], total["failed"], total["prompt_tokens"], total["total_tokens"], total["cost"]) == (3, 1, 13, 15, 0.5)
    assert [(row["model"], row["requests"], row["unpriced"]) for row in by_model] == [("gpt-x", 2, 1), ("gpt-y", 1, 0)]


class Away(Database):
    """A database that is away for the next `times` connections."""

    def __init__(self, real: Database, times: int) -> None:
        self.real, self.times = real, times

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Any]:
        if self.times:
            self.times -= 1
            raise Unavailable("away")
        async with self.real.connection() as connection:
            yield connection


async def test_meter_tells_who_waits_that_nothing_was_recorded_and_keeps_the_rest(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mentha.store.meter.RETRY_S", 0)
    away, tenant = Away(database, 3), await own_tenant(database)
    meter = Meter(away)
    meter.later(tenant, [call(prompt_tokens=1)])
    with pytest.raises(Unavailable):
        await meter.write(tenant, [call(prompt_tokens=10)])
    meter.later(tenant, [call(prompt_tokens=100)])
    while away.times:
        await asyncio.sleep(0)
    await meter.close()
    async with database.connection() as connection:
        assert (await usage.total(connection, tenant, everything()))["prompt_tokens"] == 101


async def test_row_that_cannot_be_written_takes_no_others_along(database: Database) -> None:
    meter, tenant, other = Meter(database), await own_tenant(database), await own_tenant(database)
    meter.later(tenant, [call(prompt_tokens=1), call(prompt_tokens=2**70), call(prompt_tokens=2)])
    await meter.write(other, [call(prompt_tokens=3)])
    await meter.close()
    async with database.connection() as connection:
        sums = [(await usage.total(connection, each, everything()))["prompt_tokens"] for each in (tenant, other)]
    assert sums == [3, 3]


async def test_key_counts_its_requests_of_a_minute_and_its_tokens_of_a_day(connection: Any, tenant: UUID) -> None:
    own = api_keys.Limits(requests_per_minute_max=5, tokens_per_day_max=100)
    key_id = await api_keys.create(connection, tenant, name="k", digest=bytes(32), hint="k", limits=own)
    known = await api_keys.identify(connection, bytes(32))
    assert known
    assert known == api_keys.Known(tenant, key_id, own)
    await connection.execute(usage.ADD, [{"tenant_id": str(tenant), **usage.as_json([call(key_id=key_id, prompt_tokens=7)])[0]}])
    used = [await api_keys.count_request(connection, known) for _ in range(2)]
    assert [(each.requests, await api_keys.tokens_since(connection, known, each.day)) for each in used if each] == [
        (1, (7, 1)),
        (2, (7, 1)),
    ]
    # Yesterday's tokens, and the requests of another minute, are over.
    await connection.execute("UPDATE usage SET created_at = now() - interval '1 day' WHERE tenant_id = $1", tenant)
    await connection.execute("UPDATE api_keys SET minute_at = now() - interval '1 hour' WHERE tenant_id = $1", tenant)
    again = await api_keys.count_request(connection, known)
    assert again
    assert (again.requests, await api_keys.tokens_since(connection, known, again.day)) == (1, (0, 0))
    await api_keys.limit(connection, str(key_id), api_keys.NO_LIMITS)
    assert (await api_keys.identify(connection, bytes(32))) == api_keys.Known(tenant, key_id, api_keys.NO_LIMITS)


async def test_tokens_of_a_key_are_summed_each_time_until_they_are_of_many_calls(
    connection: Any, tenant: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLS_KEPT_MIN", 2)
    monkeypatch.setattr(limits, "CALLS_PER_KEPT_S", 1e-9)
    monkeypatch.setattr(limits, "KEEP_S_MAX", 1e9)
    key_id = await api_keys.create(connection, tenant, name="k", digest=bytes(32), hint="k", limits=api_keys.NO_LIMITS)
    known, day = api_keys.Known(tenant, key_id, api_keys.NO_LIMITS), datetime.now(UTC) - timedelta(hours=1)
    tokens, found = limits.Tokens(), list[int]()
    for _ in range(4):
        found.append(await tokens.of(connection, known, day))
        await connection.execute(usage.ADD, [{"tenant_id": str(tenant), **usage.as_json([call(key_id=key_id, prompt_tokens=7)])[0]}])
    assert found == [0, 7, 14, 14]
    # Of another day nothing is known.
    assert await tokens.of(connection, known, day + timedelta(days=1)) == 0


async def test_usage_that_is_too_old_is_dropped(connection: Any, tenant: UUID) -> None:
    for age in ("1 day", "3 days"):
        await connection.execute(usage.ADD, [{"tenant_id": str(tenant), **usage.as_json([call()])[0]}])
        await connection.execute(
            "UPDATE usage SET created_at = now() - $2::text::interval WHERE tenant_id = $1 AND created_at = now()", tenant, age
        )
    assert await maintenance.purge_usage(connection, older_than_s=172_800) >= 1
    assert await connection.fetchval("SELECT count(*) FROM usage WHERE tenant_id = $1", tenant) == 1
