"""PostgreSQL for tests: one embedded server a run, shared by all workers, and databases cloned from a migrated template (some 30 ms each)."""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from mentha.core.ids import new_id
from mentha.store import embedded, migrate

TEMPLATE = "mentha"
# Whether somebody waits for a lock that the backend $1 has. Other tests' databases are in the same cluster, and so are their locks.
KEEPS_WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity a WHERE $1 = ANY (pg_blocking_pids(a.pid)))"


class Cluster:
    """A running server whose role may make databases."""

    def __init__(self, server: embedded.EmbeddedServer) -> None:
        self.server = server

    @classmethod
    @contextmanager
    def shared(cls, home: Path) -> Iterator["Cluster"]:
        """Join the server of this run; whoever comes first makes it, the last one stops it."""
        with (home.parent / "tests.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server = embedded.acquire(home, fsync=False)
            if not (home.parent / "template-made").exists():
                # Only the superuser can let the role make databases, and only while the server is stopped. A database in which the
                # superuser's own vacuum is at work can't be dropped by the role.
                server.release()
                allow = ["ALTER ROLE mentha CREATEDB", "GRANT CONNECT ON DATABASE postgres TO mentha", "ALTER SYSTEM SET autovacuum TO off"]
                embedded.as_superuser(home, allow)
                server = embedded.acquire(home, fsync=False)
                asyncio.run(migrate.migrate(server.dsn))
                (home.parent / "template-made").touch()
        try:
            yield cls(server)
        finally:
            server.release()

    @contextmanager
    def cloned(self) -> Iterator[str]:
        """The address of a new database, dropped afterwards."""
        name = f"t_{new_id().hex}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        try:
            yield self._address(name)
        finally:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _address(self, name: str) -> str:
        return urlunsplit(urlsplit(self.server.dsn)._replace(path=f"/{name}"))

    def _run(self, statement: str) -> None:
        async def work() -> Any:
            connection = await asyncpg.connect(self._address("postgres"))
            try:
                # Two clones of one template can't be made at once.
                await connection.execute("SELECT pg_advisory_lock(1)")
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(work())
