"""The folder with the published contract and the corpora, which stands beside the project where there is one."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared"


def path(name: str) -> Path:
    """A file of the shared folder; the test is skipped where there is none."""
    found = FOLDER / name
    if not found.exists():
        pytest.skip(f"no {name} beside the project")
    return found
