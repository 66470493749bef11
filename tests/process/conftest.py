"""What the tests of whole processes share: a home folder that PostgreSQL's account can reach, and a model server."""

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.support.model_server import ModelServerHandle, running_model_server
from tests.support.server import ServerProcess, running
from tests.support.talk import end_leftovers


@pytest.fixture
def home() -> Iterator[Path]:
    """A new home folder; the test fails where it leaves a PostgreSQL running in it."""
    # Every account can pass through, unlike pytest's own folder when root runs it.
    folder = Path(tempfile.mkdtemp(prefix="mentha-home-")).resolve()
    folder.chmod(0o711)
    yield folder / "h"
    left = end_leftovers(folder)
    shutil.rmtree(folder)
    assert left == [], "a PostgreSQL was left running"


@pytest.fixture
def models() -> Iterator[ModelServerHandle]:
    """A model server of this test."""
    with running_model_server() as server:
        yield server


@pytest.fixture
def provider(models: ModelServerHandle) -> dict[str, str]:
    """The environment of a server that uses it."""
    return {"OPENAI_BASE_URL": models.base_url, "OPENAI_API_KEY": "sk-fake"}


@pytest.fixture
async def rows(database_dsn: str) -> AsyncIterator[Any]:
    """A connection to the database of this test; what it writes is committed."""
    connection = await asyncpg.connect(database_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def providers(models: ModelServerHandle) -> str:
    """A provider whose every model makes vectors; which are the same, so that only the names tell the embedders apart."""
    return json.dumps({"fake": {"base_url": models.base_url}})


@pytest.fixture
def embedding_server(home: Path, database_dsn: str, providers: str) -> Iterator[ServerProcess]:
    """A server whose embedder is the model server."""
    with running(home=home, dsn=database_dsn, providers=providers, embedder="fake/emb", log_level="debug") as process:
        yield process
