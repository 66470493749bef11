"""The schema's versions: applied once, in order, whole or not at all."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from mentha.core.errors import ConfigInvalid, Unavailable
from mentha.observe.events import Event, MigrationApplied, subscribe, unsubscribe
from mentha.store import migrate
from mentha.store.migrate import Migration

NEXT = len(migrate.migrations()) + 1
GOOD = Migration(NEXT, "make_good", "CREATE TABLE good (a int); INSERT INTO good VALUES (1)")
BAD = Migration(NEXT + 1, "make_bad", "CREATE TABLE bad (a int); INSERT INTO good VALUES (2); SELECT 1 / 0")


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(database_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> list[Migration]:
    """Migrations that this version has beside its own; add to it."""
    added: list[Migration] = []
    own = migrate.migrations()
    monkeypatch.setattr(migrate, "migrations", lambda: [*own, *added])
    return added


def test_migrations_are_numbered_from_one_without_a_gap() -> None:
    assert [migration.version for migration in migrate.migrations()] == list(range(1, NEXT))


async def test_migrate_applies_what_is_missing_once_and_tells_of_it(database_dsn: str, database: Any, more: list[Migration]) -> None:
    seen: list[Event] = []
    subscribe(seen.append)
    more.append(GOOD)
    assert await migrate.pending(database_dsn) == [GOOD]
    assert await database.fetchval("SELECT to_regclass('good')") is None
    assert await migrate.migrate(database_dsn) == [GOOD]
    assert await migrate.migrate(database_dsn) == []
    assert await migrate.pending(database_dsn) == []
    assert await database.fetchval("SELECT count(*) FROM good") == 1
    unsubscribe(seen.append)
    assert [(event.version, event.name) for event in seen if isinstance(event, MigrationApplied)] == [(NEXT, "make_good")]


async def test_migration_that_fails_leaves_nothing_of_itself_and_all_of_the_earlier_ones(
    database_dsn: str, database: Any, more: list[Migration]
) -> None:
    more.extend([GOOD, BAD])
    with pytest.raises(Exception, match=r"division by zero|out of range"):
        await migrate.migrate(database_dsn)
    assert await database.fetchval("SELECT to_regclass('bad')") is None
    assert await database.fetchval("SELECT array_agg(a) FROM good") == [1]
    assert [migration.version for migration in await migrate.pending(database_dsn)] == [NEXT + 1]


async def test_two_that_migrate_at_once_apply_each_migration_once(database_dsn: str, more: list[Migration]) -> None:
    more.append(GOOD)
    done = await asyncio.gather(*(migrate.migrate(database_dsn) for _ in range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, 1]


async def test_schema_that_this_version_does_not_know_is_refused_by_both(database_dsn: str, database: Any) -> None:
    await database.execute("INSERT INTO schema_migrations VALUES ($1, 'later', 'x')", NEXT)
    for work in (migrate.migrate(database_dsn), migrate.pending(database_dsn)):
        with pytest.raises(ConfigInvalid, match=f"version {NEXT} \\(later\\)"):
            await work


async def test_migration_that_differs_from_the_applied_one_is_refused(database_dsn: str, database: Any) -> None:
    await database.execute("UPDATE schema_migrations SET checksum = 'x' WHERE version = 1")
    with pytest.raises(ConfigInvalid, match="0001"):
        await migrate.migrate(database_dsn)


async def test_pending_on_an_empty_database_is_everything(database_dsn: str, database: Any) -> None:
    await database.execute("DROP TABLE schema_migrations")
    assert await migrate.pending(database_dsn) == migrate.migrations()
    assert await database.fetchval("SELECT to_regclass('schema_migrations')") is None


async def test_migrate_waits_no_longer_than_its_limit_for_another_one(
    database_dsn: str, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_WAIT_S", 0.05)
    await database.execute("SELECT pg_advisory_lock($1)", migrate.LOCK_KEY)
    with pytest.raises(ConfigInvalid, match="another process has been migrating"):
        await migrate.migrate(database_dsn)


@pytest.mark.parametrize(
    ("dsn", "error", "words"),
    [
        ("nonsense", ConfigInvalid, "not a valid PostgreSQL address"),
        ("postgresql://ann:s3cret@127.0.0.1:1/x", Unavailable, "not available"),
    ],
)
async def test_address_that_leads_nowhere_is_told_without_its_password(dsn: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as raised:
        await migrate.pending(dsn)
    assert "s3cret" not in str(raised.value)


async def test_database_that_does_not_exist_is_named(database_dsn: str) -> None:
    head, _, tail = database_dsn.partition("/t_")
    with pytest.raises(ConfigInvalid, match="nowhere"):
        await migrate.migrate(f"{head}/nowhere?{tail.partition('?')[2]}")
