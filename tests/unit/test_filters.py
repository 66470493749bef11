"""Metadata filters: from a query string to a predicate, within limits."""

from typing import Any

import pytest
from pydantic_core import PydanticCustomError

from mentha.core.json import dumps
from mentha.wire import filters
from mentha.wire.filters import FILTER_CHARS_MAX, PATH_PARTS_MAX, from_query, to_jsonpath


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([], None),
        ([("limit", "5"), ("metadata", "x")], None),
        ([("metadata_filter.a", "1")], {"a": "1"}),
        ([("metadata_filter.a.b", "1")], {"a.b": "1"}),
        ([("metadata_filter[a]", "1")], {"a": "1"}),
        ([("metadata_filter[a][b]", "1")], {"a.b": "1"}),
        ([("metadata_filter[a", "1"), ("metadata_filters", "1")], None),
        ([("metadata_filter", '{"a": {"b": 1}}')], {"a": {"b": 1}}),
        ([("metadata_filter", ""), ("metadata_filter", " null ")], None),
        ([("metadata_filter", "{}")], None),
        ([("metadata_filter.a", "1"), ("metadata_filter.a", "2")], {"a": ["1", "2"]}),
        ([("metadata_filter.a", "1"), ("metadata_filter.a", "2"), ("metadata_filter.a", "3")], {"a": ["1", "2", "3"]}),
        ([("metadata_filter", '{"a": 1}'), ("metadata_filter.b", "2")], {"a": 1, "b": "2"}),
        ([("metadata_filter.a\x00", "x\x00y")], {"a": "xy"}),
    ],
)
def test_query_string_is_collected_in_every_form_that_clients_write(pairs: list[tuple[str, str]], found: dict[str, Any] | None) -> None:
    assert from_query(pairs) == found


@pytest.mark.parametrize("text", ["{", "[]", "1", '"x"', "true", "{'a': 1}", "\ud800", '{"a": "\\ud800"}', '{"a":' * 70 + "1" + "}" * 70])
def test_whole_filter_that_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="must be a JSON object"):
        from_query([("metadata_filter", text)])


def test_filter_of_too_many_characters_is_refused() -> None:
    with pytest.raises(PydanticCustomError, match=str(FILTER_CHARS_MAX)):
        from_query([("metadata_filter.a", "x" * FILTER_CHARS_MAX)])
    half = "x" * (FILTER_CHARS_MAX // 2)
    with pytest.raises(PydanticCustomError):
        from_query([("metadata_filter.a", half), ("metadata_filter.b", half)])


def test_filter_of_too_many_conditions_is_refused() -> None:
    assert to_jsonpath({str(number): 1 for number in range(64)})
    for wanted in ({str(number): 1 for number in range(65)}, {"a": list(range(65))}, {"a": {str(number): 1 for number in range(65)}}):
        with pytest.raises(PydanticCustomError, match="64 conditions"):
            to_jsonpath(wanted)


def nested(levels: int) -> dict[str, Any]:
    wanted: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        wanted = {"a": wanted}
    return wanted


def test_filter_that_nests_too_deeply_is_refused() -> None:
    assert to_jsonpath(nested(PATH_PARTS_MAX))
    with pytest.raises(PydanticCustomError, match=f"{PATH_PARTS_MAX} levels"):
        to_jsonpath(nested(PATH_PARTS_MAX + 1))


def test_dotted_key_of_very_many_parts_is_read_only_as_it_is() -> None:
    key = ".".join("a" * (PATH_PARTS_MAX + 1))
    assert to_jsonpath({key: None}) == f'(($."{key}" == null))'


@pytest.mark.parametrize(
    ("wanted", "predicate"),
    [
        ({}, None),
        ({"a": "x"}, '(($."a" == "x"))'),
        ({"a": "5"}, '(($."a" == "5") || ($."a" == 5))'),
        ({"a": "5.50"}, '(($."a" == "5.50") || ($."a" == 5.5))'),
        ({"a": 5}, '(($."a" == 5) || ($."a" == "5"))'),
        ({"a": 1.5}, '(($."a" == 1.5) || ($."a" == "1.5"))'),
        ({"a": "true"}, '(($."a" == "true") || ($."a" == true))'),
        ({"a": False}, '(($."a" == false) || ($."a" == "false"))'),
        ({"a": None}, '(($."a" == null))'),
        ({"a": {}}, '(($."a".type() == "object"))'),
        ({"a": []}, '(($."a".type() == "array"))'),
        ({"a": {"b": "x"}}, '(($."a"."b" == "x"))'),
        ({"a.b": "x"}, '(($."a.b" == "x") || ($."a"."b" == "x"))'),
        ({"a..b": "x"}, '(($."a..b" == "x"))'),
        ({"a": ["x", "y"]}, '(($."a" == "x")) && (($."a" == "y"))'),
        ({"a": "x", "b": "y"}, '(($."a" == "x")) && (($."b" == "y"))'),
        ({'q"': 'v"\\'}, '(($."q\\"" == "v\\"\\\\"))'),
    ],
)
def test_filter_becomes_this_predicate(wanted: dict[str, Any], predicate: str | None) -> None:
    assert to_jsonpath(wanted) == predicate


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e400", "1_0", " 5", "5\n", "0x10", "", "five"])
def test_text_that_only_looks_like_a_number_matches_as_text_alone(text: str) -> None:
    assert to_jsonpath({"a": text}) == f'(($."a" == {dumps(text).decode()}))'


def test_prefix_is_what_the_official_client_sends() -> None:
    assert filters.PREFIX == "metadata_filter"
