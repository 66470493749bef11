"""Fixtures for all rings: one PostgreSQL a run, databases cloned from a migrated template, transactions that are rolled back."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import settings

from mentha.core import config
from mentha.core.ids import new_id
from mentha.store import pool
from tests.support.databases import Cluster

HOME = "MENTHA_TESTS_HOME"

# The same examples each time, so that what is green stays green until the code changes; `make fuzz` looks for others. No example has a
# time limit of its own: machines are busy.
settings.register_profile("same", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("others", deadline=None, print_blob=True)
settings.load_profile("same")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the folder of this run's database, once for all workers."""
    if not hasattr(config, "workerinput"):
        folder = Path(tempfile.mkdtemp(prefix="mentha-tests-"))
        # As root, PostgreSQL runs under another account, which must be able to reach its folder.
        folder.chmod(0o711)
        os.environ[HOME] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder when all workers have ended."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(HOME), ignore_errors=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL of this run, without fsync, with a migrated template."""
    with Cluster.shared(Path(os.environ[HOME]) / "home") as shared:
        yield shared


@pytest.fixture
def database_dsn(cluster: Cluster) -> Iterator[str]:
    """A fresh migrated database of one test."""
    with cluster.cloned() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def worker_dsn(cluster: Cluster) -> Iterator[str]:
    """A migrated database that the tests of one worker share; each rolls back, or works in a tenant of its own."""
    with cluster.cloned() as dsn:
        yield dsn


@pytest.fixture
async def connection(worker_dsn: str) -> AsyncIterator[Any]:
    """A connection inside a transaction that is rolled back."""
    database = await pool.connect(worker_dsn, config.load(environ={}, flags={"database_connections_max": 1}))
    try:
        async with database.connection() as lent:
            transaction = lent.transaction()
            await transaction.start()
            try:
                yield lent
            finally:
                await transaction.rollback()
    finally:
        await database.close()


@pytest.fixture
async def tenant(connection: Any) -> UUID:
    """A tenant inside the rolled-back transaction."""
    tenant_id = new_id()
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, $2)", tenant_id, f"t{tenant_id.hex}")
    return tenant_id
