"""What the tests of whole processes share: a home folder that PostgreSQL's account can reach, and a model server."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.model_server import ModelServerHandle, running_model_server
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
