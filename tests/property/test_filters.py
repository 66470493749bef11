"""Metadata filters: what PostgreSQL selects is what a plain reading of the documented rules selects, and no filter breaks a statement."""

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError
from starlette.datastructures import QueryParams

from mentha.core.json import dumps, loads
from mentha.store import users
from mentha.wire import filters
from mentha.wire.common import Page
from mentha.wire.users import CreateUserRequest
from tests.support.transactions import Transactions

HOSTILE = [
    '"',
    "'",
    "\\",
    "a.b",
    "$",
    "@",
    "?(@)",
    '") || (true',
    "a\"b'c",
    "\n",
    "\u2028",
    "\x7f",
    "\x1f",
    "ключ",
    "鍵",
    "🔑",
    "*",
    "[*]",
    "last",
    "",
    ".",
    "a..b",
]
NUMERIC = ["5", "5.0", "-1", "1e3", "0x10", "1_0", " 5", "５", "nan", "inf", "true", "false", "null", "+7", ".5", "1e400", "-0"]

keys = st.sampled_from([*"abc", *HOSTILE]) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4)
numbers = st.integers(-6, 6) | st.floats(-6, 6).map(lambda number: round(number, 1)) | st.integers(-(2**63), 2**64 - 1)
scalars = (
    st.none() | st.booleans() | numbers | st.sampled_from([*NUMERIC, *HOSTILE, "5"]) | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6)
objects = st.dictionaries(keys, values, max_size=4)


# --- the rules, read plainly


def matches(metadata: Any, wanted: dict[str, Any]) -> bool:
    """Whether each condition of the filter holds."""
    return all(holds(metadata, (key,), value) for key, value in wanted.items())


def holds(metadata: Any, path: tuple[str, ...], value: Any) -> bool:
    """An object holds when each key of it does, a list when each item does; anything else at either reading of its path."""
    if isinstance(value, dict) and value:
        return all(holds(metadata, (*path, key), item) for key, item in value.items())
    if isinstance(value, list) and value:
        return all(holds(metadata, path, item) for item in value)
    opened = tuple(part for key in path for part in key.split("."))
    readings = [path] if "" in opened else [path, opened]
    return any(alike(found, value) for reading in readings for found in at(metadata, reading))


def at(node: Any, path: tuple[str, ...]) -> list[Any]:
    """What is at a path; a list on the way stands for each of its items."""
    if not path:
        return [node]
    items = node if isinstance(node, list) else [node]
    return [found for item in items if isinstance(item, dict) and path[0] in item for found in at(item[path[0]], path[1:])]


def alike(found: Any, value: Any) -> bool:
    """Loosely the same; a list that was found is as good as any of its items."""
    if isinstance(value, dict):
        return isinstance(found, dict)
    if isinstance(value, list):
        return isinstance(found, list)
    return any(same(item, reading) for item in (found if isinstance(found, list) else [found]) for reading in readings_of(value))


def readings_of(value: Any) -> list[Any]:
    """The values that a wanted scalar can stand for."""
    if value is None:
        return [None]
    if isinstance(value, bool):
        return [value, "true" if value else "false"]
    if isinstance(value, (int, float)):
        return [value, dumps(value).decode()]
    if value in ("true", "false"):
        return [value, value == "true"]
    return [value, *number_of(value)]


def number_of(text: str) -> list[int | float]:
    """The number that a text writes, if it does; spaces and underscores are no part of one."""
    if "_" in text or text != text.strip():
        return []
    try:
        number = float(text)
        return [int(text)] if math.isfinite(number) else []
    except ValueError:
        pass
    try:
        return [number] if math.isfinite(number := float(text)) else []
    except ValueError:
        return []


def same(found: Any, wanted: Any) -> bool:
    """Of one JSON type, and equal."""
    if isinstance(found, bool) or isinstance(wanted, bool) or found is None or wanted is None:
        return found is wanted
    if isinstance(found, str) or isinstance(wanted, str):
        return isinstance(found, str) and isinstance(wanted, str) and found == wanted
    if isinstance(found, (dict, list)):
        return False
    return Decimal(dumps(found).decode()) == Decimal(str(wanted))


# --- the laws


@pytest.fixture(scope="module")
def transactions(worker_dsn: str) -> Iterator[Transactions]:
    with Transactions(worker_dsn) as opened:
        yield opened


SELECT = "SELECT x.number FROM unnest($1::jsonb[]) WITH ORDINALITY AS x (metadata, number) WHERE x.metadata @@ $2::jsonpath"


def selected(transactions: Transactions, stored: list[dict[str, Any]], predicate: str) -> list[dict[str, Any]]:
    """Those of `stored` that PostgreSQL finds."""

    async def select(tx: Any, _: UUID) -> list[Any]:
        return [stored[row["number"] - 1] for row in await tx.fetch(SELECT, stored, predicate)]

    return transactions.rolled_back(select)


def related(stored: list[dict[str, Any]], drawn: dict[str, Any], parts: list[int]) -> dict[str, Any]:
    """A filter that has to do with what is stored: some of it, in other words, beside what was drawn."""
    wanted = dict(drawn)
    for number, metadata in zip(parts, stored, strict=False):
        for key, value in list(metadata.items())[: number % 3]:
            if number % 5 == 0 and isinstance(value, dict) and value:
                inner, item = next(iter(value.items()))
                wanted[f"{key}.{inner}"] = item
            else:
                wanted[key] = str(value).lower() if number % 2 and not isinstance(value, (dict, list)) else value
    return wanted


@settings(max_examples=250, deadline=None)
@given(
    stored=st.lists(objects, min_size=1, max_size=6),
    drawn=st.dictionaries(keys, values, max_size=1),
    parts=st.lists(st.integers(0, 9), max_size=3),
)
@example(stored=[{"a": {"b": 1}}, {"a.b": 1}, {"a": [{"b": "1"}]}, {"a": {"b": [2, 1]}}, {"a": {"b": 2}}], drawn={"a.b": "1"}, parts=[])
@example(stored=[{"a": [1, 2]}, {"a": [2]}, {"a": 1}], drawn={"a": [1, 2]}, parts=[])
@example(stored=[{"a": {}}, {"a": []}, {"a": None}, {}], drawn={"a": {}}, parts=[])
def test_filter_selects_what_the_rules_say(
    transactions: Transactions, stored: list[dict[str, Any]], drawn: dict[str, Any], parts: list[int]
) -> None:
    wanted = related(stored, drawn, parts)
    predicate = filters.to_jsonpath(wanted)
    # What went over the wire and back is what is compared.
    kept = [loads(dumps(metadata)) for metadata in stored]
    found = selected(transactions, kept, predicate) if predicate else kept
    assert found == [metadata for metadata in kept if matches(metadata, wanted)]


@settings(max_examples=60, deadline=None)
@given(stored=st.lists(objects, min_size=1, max_size=5), parts=st.lists(st.integers(0, 9), min_size=1, max_size=3))
def test_filter_selects_the_same_with_an_index_and_without(
    transactions: Transactions, stored: list[dict[str, Any]], parts: list[int]
) -> None:
    wanted = related(stored, {}, parts)
    page = Page(metadata_filter=filters.to_jsonpath(wanted), direction="asc")

    async def both(tx: Any, tenant: UUID) -> tuple[list[UUID], list[UUID], list[UUID]]:
        made = [await users.create(tx, tenant, CreateUserRequest(metadata=metadata)) for metadata in stored]
        await tx.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
        plain = [user.id for user in await users.list_(tx, tenant, page)]
        # Only the index by metadata is left to use.
        await tx.execute("SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = off; DROP INDEX users_listed, users_by_project")
        indexed = [user.id for user in await users.list_(tx, tenant, page)]
        return plain, indexed, [user.id for user in made if matches(user.metadata, wanted)]

    plain, indexed, expected = transactions.rolled_back(both)
    assert plain == indexed == expected


parameters = st.lists(
    st.tuples(
        st.one_of(
            keys.map(lambda key: f"metadata_filter.{key}"),
            keys.map(lambda key: f"metadata_filter[{key}]"),
            st.tuples(keys, keys).map(lambda pair: f"metadata_filter[{pair[0]}][{pair[1]}]"),
            st.just("metadata_filter"),
            st.text(max_size=3).map(lambda text: f"metadata_filter{text}"),
        ),
        st.one_of(st.sampled_from([*NUMERIC, *HOSTILE]), objects.map(lambda value: dumps(value).decode()), st.text(max_size=5)),
    ),
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(pairs=parameters)
@example(pairs=[("metadata_filter.a", "\x00")])
@example(pairs=[("metadata_filter.\x00", "1")])
@example(pairs=[("metadata_filter", '{"a\\u0000": "\\u0000"}')])
def test_query_string_is_a_filter_that_postgresql_takes_or_is_refused(transactions: Transactions, pairs: list[tuple[str, str]]) -> None:
    # As a server decodes what a client encodes.
    sent = urlencode([(name.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for name, text in pairs])
    predicate, refused = None, None
    try:
        wanted = filters.from_query(QueryParams(sent).multi_items())
        predicate = filters.to_jsonpath(wanted) if wanted else None
    except PydanticCustomError as error:
        refused = error.type
    assert refused in (None, "filter_invalid", "filter_too_large")
    if predicate:
        selected(transactions, [{}, {"a": 1}], predicate)


@settings(max_examples=60, deadline=None)
@given(stored=objects, pair=st.tuples(st.sampled_from("abc"), scalars.filter(lambda value: value is not None)))
def test_scalar_is_found_again_by_how_the_official_client_writes_it(
    transactions: Transactions, stored: dict[str, Any], pair: tuple[str, Any]
) -> None:
    key, value = pair
    written = str(value).lower() if isinstance(value, bool) else str(value)
    predicate = filters.to_jsonpath(filters.from_query([(f"metadata_filter.{key}", written)]) or {})
    assert predicate
    kept = {**stored, key: value}
    assert selected(transactions, [kept], predicate) == [kept]
