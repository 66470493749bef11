"""The schema's versions: numbered SQL files, each run once in a transaction of its own, under an advisory lock, with its checksum kept."""

import asyncio
import hashlib
import re
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg

from mentha import observe
from mentha.core.errors import ConfigInvalid
from mentha.observe.events import MigrationApplied
from mentha.store.failures import FAILURES, translated

LOCK_KEY = 0x6D656E746861  # "mentha"
LOCK_WAIT_S = 120
POSTGRES_VERSION_MIN = 150_000
# The first that goes on reading an index until enough rows pass a filter.
VECTOR_VERSION_MIN = (0, 8)
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")

TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
"""
APPLIED = "SELECT version, name, checksum FROM schema_migrations ORDER BY version"
RECORD = "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)"
HAS_TABLE = "SELECT to_regclass('schema_migrations') IS NOT NULL"
EXTENSIONS = """
SELECT name, installed_version IS NOT NULL AS installed, x.trusted, COALESCE(installed_version, default_version) AS version
FROM pg_available_extensions a LEFT JOIN LATERAL (
    SELECT bool_or(v.trusted) AS trusted FROM pg_available_extension_versions v WHERE v.name = a.name) x ON true
WHERE name IN ('vector', 'pg_trgm')
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations of this version of Mentha, in order."""
    folder = files("mentha.store").joinpath("migrations").iterdir()
    named = ((_FILE_NAME.fullmatch(file.name), file) for file in folder)
    found = [Migration(int(name[1]), name[2], file.read_text(encoding="utf-8")) for name, file in named if name]
    return sorted(found, key=lambda migration: migration.version)


async def migrate(dsn: str) -> list[Migration]:
    """Bring the schema up to date. Several processes may call this at once: one works, the others wait.

    Args:
        dsn: a direct way to the database, not through a pooler.

    Returns:
        What was applied now, in order.

    Raises:
        ConfigInvalid: the database is too old, lacks an extension, or has a schema that this version does not know.
        Unavailable: it can't be reached.
    """
    connection = await _connect(dsn)
    try:
        async with asyncio.timeout(LOCK_WAIT_S):
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        await _check_server(connection)
        await connection.execute(TABLE)
        pending = _pending(migrations(), await connection.fetch(APPLIED))
        for migration in pending:
            await _apply(connection, migration)
        return pending
    except TimeoutError:
        raise ConfigInvalid(
            f"another process has been migrating this database for {LOCK_WAIT_S} s; see what holds the advisory lock"
        ) from None
    except FAILURES as error:
        raise translated(error) from error
    finally:
        await connection.close(timeout=5)


async def pending(dsn: str) -> list[Migration]:
    """What `migrate` would apply. Changes nothing.

    Raises:
        ConfigInvalid, Unavailable: as `migrate`.
    """
    connection = await _connect(dsn)
    try:
        await _check_server(connection)
        applied = await connection.fetch(APPLIED) if await connection.fetchval(HAS_TABLE) else []
        return _pending(migrations(), applied)
    except FAILURES as error:
        raise translated(error) from error
    finally:
        await connection.close(timeout=5)


async def _connect(dsn: str) -> Any:
    try:
        return await asyncpg.connect(dsn, timeout=15, statement_cache_size=0)
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        # The driver's message would show the address, password included.
        raise ConfigInvalid(
            f"DATABASE_URL is not a valid PostgreSQL address ({type(error).__name__}): write postgresql://user:password@host:5432/database"
        ) from None
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise ConfigInvalid(f"PostgreSQL refuses the user or password of DATABASE_URL: {error}") from None
    except asyncpg.InvalidCatalogNameError as error:
        raise ConfigInvalid(f"{error}: create it, or correct DATABASE_URL") from None
    except FAILURES as error:
        raise translated(error) from error


async def _check_server(connection: Any) -> None:
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < POSTGRES_VERSION_MIN:
        raise ConfigInvalid(f"PostgreSQL 15 or newer is needed; DATABASE_URL leads to version {version // 10_000}")
    known = {row["name"]: row for row in await connection.fetch(EXTENSIONS)}
    packages = {"vector": "pgvector", "pg_trgm": "pg_trgm (in postgresql-contrib)"}
    superuser = await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    for name, package in packages.items():
        if name not in known:
            raise ConfigInvalid(f"PostgreSQL lacks the extension `{name}`: install {package} on its server")
        if not known[name]["installed"] and not known[name]["trusted"] and not superuser:
            raise ConfigInvalid(f"the extension `{name}` is not in this database yet: have an administrator run CREATE EXTENSION {name}")
    vector = known["vector"]["version"]
    if tuple(int(part) for part in vector.split(".")[:2]) < VECTOR_VERSION_MIN:
        raise ConfigInvalid(f"pgvector 0.8 or newer is needed; the database has {vector}: upgrade it, then ALTER EXTENSION vector UPDATE")


def _pending(known: list[Migration], applied: list[Any]) -> list[Migration]:
    by_version = {migration.version: migration for migration in known}
    for row in applied:
        migration = by_version.get(row["version"])
        if migration is None:
            raise ConfigInvalid(
                f"the database has schema version {row['version']} ({row['name']}), which this version of Mentha does not know: "
                "it was written by a newer one; upgrade Mentha, or restore a backup"
            )
        if migration.checksum != row["checksum"]:
            raise ConfigInvalid(f"migration {migration.version:04} ({migration.name}) differs from the one that made this database")
    done = {row["version"] for row in applied}
    return [migration for migration in known if migration.version not in done]


async def _apply(connection: Any, migration: Migration) -> None:
    began = time.perf_counter()
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(RECORD, migration.version, migration.name, migration.checksum)
    observe.emit(MigrationApplied(version=migration.version, name=migration.name, took_s=time.perf_counter() - began))
