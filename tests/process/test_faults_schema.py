"""What a server makes of a schema that is not its own: empty, old, newer, changed, or being migrated by another one."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mentha.store.migrate import LOCK_KEY, migrations
from tests.support.server import KEY, ServerProcess, running
from tests.support.talk import mentha, new_session, talking, until

ALL = [migration.version for migration in migrations()]
EMPTY = """
DO $$ DECLARE t name; BEGIN
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP EXECUTE format('DROP TABLE %I CASCADE', t); END LOOP;
    FOR t IN
        SELECT proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
    LOOP EXECUTE format('DROP FUNCTION %I', t); END LOOP;
    DROP SCHEMA queue CASCADE;
END $$
"""
# The last migration undone, as if this database had been made before it was written.
OLD = "DROP TABLE jobs; DELETE FROM schema_migrations WHERE version = 4"


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Any]:
    """A connection to the test's database."""
    connection = await asyncpg.connect(database_dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def applied(database: Any) -> list[int]:
    return [row["version"] for row in await database.fetch("SELECT version FROM schema_migrations ORDER BY version")]


def assert_refused(home: Path, dsn: str, *arguments: str, because: str) -> None:
    """The server does not start, and says why in one line."""
    ended = mentha("serve", "--port", "0", *arguments, home=home, dsn=dsn)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("mentha: ")
    assert because in line


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ("INSERT INTO schema_migrations VALUES (9999, 'from_the_future', 'x')", "9999 (from_the_future)"),
        ("UPDATE schema_migrations SET checksum = 'x' WHERE version = 2", "0002 (create_resources) differs"),
    ],
)
async def test_serve_on_a_schema_that_is_not_its_own_refuses_with_the_reason(
    home: Path, database_dsn: str, database: Any, change: str, because: str
) -> None:
    await database.execute(change)
    assert_refused(home, database_dsn, because=because)


async def test_serve_without_migrating_refuses_an_empty_and_an_old_schema_and_names_what_is_missing(
    home: Path, database_dsn: str, database: Any
) -> None:
    await database.execute(OLD)
    assert_refused(home, database_dsn, "--no-migrate", because="0004_create_jobs")
    await database.execute(EMPTY)
    assert_refused(home, database_dsn, "--no-migrate", because=f"{len(ALL)} migrations (0001_create_tenants")
    assert await database.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_serve_on_an_old_schema_migrates_it_and_keeps_its_data(home: Path, database_dsn: str, database: Any) -> None:
    await database.execute("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'older')")
    await database.execute(OLD)
    with running(home=home, dsn=database_dsn):
        assert await applied(database) == ALL
        assert await database.fetchval("SELECT count(*) FROM tenants WHERE name = 'older'") == 1


async def test_two_servers_that_migrate_at_once_take_turns_and_both_serve(home: Path, database_dsn: str, database: Any) -> None:
    await database.execute(EMPTY)
    # The lock is held until both stand before it.
    await database.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    environ = {"MENTHA_HOME": str(home), "MENTHA_API_KEY": KEY, "DATABASE_URL": database_dsn}
    servers = [ServerProcess(environ), ServerProcess(environ)]
    try:
        starts = [asyncio.create_task(asyncio.to_thread(server.start)) for server in servers]
        await until(lambda: _waiting(database, 2))
        await database.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
        await asyncio.gather(*starts)
        lines = [json.loads(line) for server in servers for line in server.log]
        assert sorted(line["version"] for line in lines if line["event"] == "migration applied") == ALL
        assert await applied(database) == ALL
        for server in servers:
            async with talking(server.url) as client:
                await new_session(client)
    finally:
        for server in servers:
            server.stop()


async def test_migrate_says_what_is_missing_applies_it_and_then_has_nothing_to_do(home: Path, database_dsn: str, database: Any) -> None:
    await database.execute(EMPTY)
    check = mentha("migrate", "--check", home=home, dsn=database_dsn)
    assert (check.returncode, len(check.stdout.splitlines())) == (1, len(ALL))
    assert all(line.startswith("missing") for line in check.stdout.splitlines())
    done = mentha("migrate", home=home, dsn=database_dsn)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, len(ALL))
    again = mentha("migrate", "--check", home=home, dsn=database_dsn)
    assert (again.returncode, again.stdout) == (0, "the schema is up to date\n")
    assert await applied(database) == ALL


@pytest.mark.parametrize("address", ["postgresql://ann:s3cret@[::1", "nonsense://s3cret"])
def test_serve_with_an_address_that_is_none_refuses_without_showing_the_password(home: Path, address: str) -> None:
    ended = mentha("serve", "--port", "0", home=home, dsn=address)
    assert ended.returncode == 2
    assert "DATABASE_URL" in ended.stderr
    assert "s3cret" not in ended.stderr + ended.stdout


def test_serve_with_a_database_that_does_not_answer_gives_up_and_says_so(home: Path) -> None:
    # Nobody listens on port 1. The wait for a database that is just starting is part of this.
    assert_refused(home, "postgresql://ann:s3cret@127.0.0.1:1/x", because="DATABASE_URL")


def test_serve_with_a_wrong_password_refuses_without_showing_it(home: Path, database_dsn: str) -> None:
    user, _, rest = database_dsn.removeprefix("postgresql://").partition("@")
    name = user.partition(":")[0]
    ended = mentha("serve", "--port", "0", home=home, dsn=f"postgresql://{name}:wr0ng-s3cret@{rest}")
    assert ended.returncode == 2
    assert "password" in ended.stderr
    assert "wr0ng-s3cret" not in ended.stderr + ended.stdout


WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def _waiting(database: Any, count: int) -> bool:
    return await database.fetchval(WAITING) >= count
