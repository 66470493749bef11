"""The tables of the queue are those that the installed version of pgqueuer would make: an upgrade that changes them fails here."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pgqueuer
import pytest
from pgqueuer.adapters.persistence import qb
from pgqueuer.domain.settings import DBSettings

from mentha.store import queue

CATALOG = {
    "columns": """
        SELECT c.relname, c.relkind, c.relpersistence, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
            pg_get_expr(d.adbin, d.adrelid)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'queue'::regnamespace AND a.attnum > 0 ORDER BY c.relname, a.attnum""",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'queue' ORDER BY 1",
    "constraints": "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'queue'::regnamespace ORDER BY 1",
    "enums": """
        SELECT t.typname, e.enumlabel FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid
        WHERE t.typnamespace = 'queue'::regnamespace ORDER BY t.typname, e.enumsortorder""",
    "functions": "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'queue'::regnamespace ORDER BY proname",
    "triggers": """
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'queue'::regnamespace AND NOT tgisinternal ORDER BY tgname""",
}


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Any]:
    """A connection to a migrated database of this test."""
    connection = await asyncpg.connect(database_dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def objects(database: Any) -> dict[str, list[tuple[Any, ...]]]:
    return {name: [tuple(row) for row in await database.fetch(sql)] for name, sql in CATALOG.items()}


async def test_migration_of_the_queue_makes_what_the_library_would_make(database: Any) -> None:
    ours = await objects(database)
    await database.execute("DROP SCHEMA queue CASCADE")
    await database.execute(qb.QueryBuilderEnvironment(DBSettings(**queue.NAMES)).build_install_query())
    assert all(ours.values())
    assert await objects(database) == ours


async def test_library_finds_nothing_to_change_in_the_migrated_queue(database: Any) -> None:
    settings = DBSettings(**queue.NAMES)
    queries = pgqueuer.Queries(pgqueuer.AsyncpgDriver(database), qbe=qb.QueryBuilderEnvironment(settings))
    plan = await queries.plan_upgrade()
    assert (plan.statements, plan.notes) == ((), ())


def test_names_of_the_queue_stay_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads even bare names like CHANNEL and TRIGGER."""
    before = DBSettings(**queue.NAMES)
    assert set(queue.NAMES) == set(DBSettings.model_fields) - {"widen_id"}
    for name in DBSettings.model_fields:
        monkeypatch.setenv(name.upper(), "other")
        monkeypatch.setenv(f"PGQUEUER_{name.upper()}", "other")
    monkeypatch.setenv("PGQUEUER_SCHEMA", "other")
    for name in ("WIDEN_ID", "PGQUEUER_WIDEN_ID"):
        monkeypatch.delenv(name)
    assert DBSettings(**queue.NAMES) == before
