"""JSON from clients: depth is limited, NUL is removed, and what is left is what was sent."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentha.core.json import (
    JSON_CONTAINERS_MAX,
    JSON_DEPTH_MAX_LEVELS,
    JSON_VALUES_MAX,
    JsonInvalid,
    dumps,
    loads,
    loads_hostile,
    refuse_many_values,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    return value


@given(values)
def test_value_of_a_client_comes_back_without_its_nul_characters(value: Any) -> None:
    assert loads_hostile(json.dumps(value).encode()) == without_nul(value)


@given(st.integers(1, 200))
def test_nesting_is_refused_above_the_limit_only(depth: int) -> None:
    raw = b"[" * depth + b"]" * depth
    if depth > JSON_DEPTH_MAX_LEVELS + 1:
        with pytest.raises(JsonInvalid, match="deeper"):
            loads_hostile(raw)
    else:
        loads_hostile(raw)


def test_wide_value_with_many_brackets_is_not_taken_for_a_deep_one() -> None:
    assert len(loads_hostile(dumps([[{}] for _ in range(10_000)]))) == 10_000


@pytest.mark.parametrize("raw", [b"", b"{", b'"\\ud800"', b"NaN", b"\xff", b"[" * 100_000])
def test_text_that_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(JsonInvalid):
        loads_hostile(raw)


MANY = JSON_CONTAINERS_MAX + 1


@pytest.mark.parametrize(
    "raw",
    [
        b"[" + b"[]," * MANY + b"0]",
        b'{"a":[' + b"{}," * MANY + b"0]}",
        b"[" + b"1," * JSON_VALUES_MAX + b"0]",
        # Texts that end in a backslash, or have a quotation mark, end where they end.
        rb'["\\",' + b"[]," * MANY + b"0]",
        rb'["\"",' + b"[]," * MANY + b"0]",
    ],
)
def test_json_of_very_many_values_is_refused_before_it_is_parsed(raw: bytes) -> None:
    with pytest.raises(JsonInvalid, match="more than"):
        refuse_many_values(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":"' + b"[{," * JSON_VALUES_MAX + b'"}',
        rb'{"a":"\"' + b"[{," * JSON_VALUES_MAX + rb'\\"}',
        b"[" + b"[]," * (JSON_CONTAINERS_MAX - 1) + b"0]",
    ],
)
def test_text_of_any_length_is_one_value(raw: bytes) -> None:
    refuse_many_values(raw)
    loads(raw)
