"""Libraries that load late stay loaded, and out of the way of collections of garbage."""

import gc
import sys
from collections.abc import Iterator

import pytest

from mentha.core import lazy

# A small module that nothing here has imported.
SMALL = "colorsys"


@pytest.fixture(autouse=True)
def thawed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the collector as it was found."""
    monkeypatch.delitem(sys.modules, SMALL, raising=False)
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_load_of_a_new_library_takes_its_objects_out_of_collections() -> None:
    assert gc.get_freeze_count() == 0
    lazy.load(SMALL)
    assert gc.get_freeze_count() > 0


def test_load_of_a_known_library_leaves_the_collector_alone() -> None:
    loaded = lazy.load(SMALL)
    gc.unfreeze()
    assert lazy.load(SMALL) is loaded
    assert gc.get_freeze_count() == 0
