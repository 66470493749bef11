"""What a server's environment is made of: the packages that `requirements/serve.txt` puts there."""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from bench.processes import ROOT
from bench.table import Row

# Tasks (43 MB of sandbox), files (16) and MCP (7) came after the first 310.
PACKAGES_MAX, MB_MAX = 75, 380
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
# The program itself and what makes and fills the environment.
BESIDE = ("mentha", "pip", "setuptools")


def installed() -> list[Row]:
    """How many packages, and how large they are on disk with their compiled files."""
    found = list(_distributions())
    sizes = [path.stat().st_size for one in found for file in one.files or () if (path := one.locate_file(file)).is_file()]
    source = sum(path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file())
    return [
        Row(figure="packages of the server's environment", value=len(found), unit="packages", limit=PACKAGES_MAX),
        Row(figure="installed, with compiled files", value=(sum(sizes) + source) / 1e6, unit="MB", limit=MB_MAX),
    ]


def _distributions() -> Iterator[Distribution]:
    pinned = _PINNED.findall((ROOT / "requirements" / "serve.txt").read_text())
    for name in dict.fromkeys((*pinned, *BESIDE)):
        try:
            yield distribution(name)
        except PackageNotFoundError:
            continue  # for another system or Python
