"""Libraries that are slow to import or large in memory, loaded at their first use.

The list is closed: an architecture test refuses any other import inside a function.
"""

import importlib
from types import ModuleType
from typing import Literal

Slow = Literal["openai", "httpx2", "httpcore2", "quicktok", "jinja2", "regex", "opentelemetry"]


def load(name: str) -> ModuleType:
    """Import `name` (a module of one of the libraries in `Slow`) now; later calls cost a dictionary look-up."""
    return importlib.import_module(name)
