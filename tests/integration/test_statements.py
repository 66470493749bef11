"""Every SQL statement of `store/` is one that PostgreSQL accepts on the migrated schema."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

import mentha.store

STARTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


def statements() -> Iterator[tuple[str, str]]:
    for info in pkgutil.iter_modules(mentha.store.__path__):
        module = importlib.import_module(f"mentha.store.{info.name}")
        for name, value in vars(module).items():
            if not name.isupper():
                continue
            texts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            for text in texts:
                if isinstance(text, str) and text.strip().startswith(STARTS) and getattr(module, "__name__", ""):
                    yield f"{info.name}.{name}", text


@pytest.mark.parametrize(("name", "sql"), sorted(set(statements())))
async def test_statement_on_the_migrated_schema_is_accepted(connection: Any, name: str, sql: str) -> None:
    await connection.prepare(sql)
