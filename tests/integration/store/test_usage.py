"""Usage: what a meter records, and what comes of it while the database is away."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.ids import new_id
from mentha.store import pool, usage
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
