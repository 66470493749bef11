"""Recall options: which of the three shapes is meant, and how a change merges."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mentha.wire.recall import SHAPES, HybridDocSearch, RecallOptions, TextOnlyDocSearch, VectorDocSearch, best_mode, merge

ADAPTER: TypeAdapter[Any] = TypeAdapter(RecallOptions)

fields: dict[str, st.SearchStrategy[Any]] = {
    "mode": st.sampled_from(sorted(SHAPES)),
    "limit": st.integers(1, 50),
    "lang": st.sampled_from(["en", "de-DE"]),
    "metadata_filter": st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)),
    "num_search_messages": st.integers(1, 50),
    "max_query_length": st.integers(100, 10_000),
    "include_embeddings": st.booleans(),
    "confidence": st.floats(-1, 1),
    "alpha": st.floats(0, 1),
    "mmr_strength": st.floats(0, 1, exclude_max=True),
    "trigram_similarity_threshold": st.floats(0, 1),
    "k_multiplier": st.integers(0, 50),
    "unknown": st.integers(),
}
options = st.fixed_dictionaries({}, optional=fields)
stored = st.none() | options.map(lambda given_: merge(None, given_))


@pytest.mark.parametrize(
    ("sent", "shape"),
    [
        ({}, VectorDocSearch),
        ({"limit": 3}, VectorDocSearch),
        ({"unknown": 1}, VectorDocSearch),
        ({"confidence": 0.5}, VectorDocSearch),
        ({"alpha": 0.5}, HybridDocSearch),
        ({"k_multiplier": 2, "limit": 1}, HybridDocSearch),
        ({"trigram_similarity_threshold": 0.3}, TextOnlyDocSearch),
        ({"trigram_similarity_threshold": 0.3, "confidence": 0.1}, HybridDocSearch),
        ({"mode": "text", "confidence": 0.1}, TextOnlyDocSearch),
        ({"mode": "vector", "alpha": 0.1}, VectorDocSearch),
    ],
)
def test_shape_is_that_of_the_mode_else_the_one_that_fits_best(sent: dict[str, Any], shape: type) -> None:
    assert type(ADAPTER.validate_python(sent)) is shape


@pytest.mark.parametrize("mode", ["", "Vector", None, 1, [], {}])
def test_mode_that_does_not_exist_is_refused(mode: Any) -> None:
    assert best_mode({"mode": mode}) is None
    with pytest.raises(ValidationError, match="'vector', 'text' or 'hybrid'"):
        ADAPTER.validate_python({"mode": mode})


@pytest.mark.parametrize("value", [None, [], "text", 1, object()])
def test_value_that_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        ADAPTER.validate_python(value)


@pytest.mark.parametrize("shape", SHAPES.values())
def test_options_that_are_made_already_pass_as_they_are(shape: type) -> None:
    made = shape()
    assert ADAPTER.validate_python(made) is made


@pytest.mark.parametrize("lang", ["en", "en-US", "zh-Hant-TW", "de-DE-1996"])
def test_language_tag_is_taken(lang: str) -> None:
    assert VectorDocSearch(lang=lang).lang == lang


@pytest.mark.parametrize("lang", ["", "e", "en_US", "en-", "-en", "englishlanguage", "en US", "en\n"])
def test_text_that_is_no_language_tag_is_refused(lang: str) -> None:
    with pytest.raises(ValidationError, match="language tag"):
        VectorDocSearch(lang=lang)


@given(given_=options)
def test_merge_with_nothing_is_what_was_sent_over_the_defaults(given_: dict[str, Any]) -> None:
    merged = merge(None, given_)
    shape = SHAPES[merged["mode"]]
    known = {key: value for key, value in given_.items() if key in shape.model_fields}
    assert merged == shape().model_dump() | known


@given(before=stored, given_=options)
def test_merge_keeps_other_keys_within_a_mode_and_nothing_across(before: dict[str, Any] | None, given_: dict[str, Any]) -> None:
    merged = merge(before, given_)
    shape = SHAPES[merged["mode"]]
    known = {key: value for key, value in given_.items() if key in shape.model_fields}
    same = before is not None and before["mode"] == merged["mode"]
    assert merged == (before if same and before else shape().model_dump()) | known
    if "mode" in given_:
        assert merged["mode"] == given_["mode"]


@given(before=stored, given_=options)
def test_merge_twice_is_merge_once(before: dict[str, Any] | None, given_: dict[str, Any]) -> None:
    once = merge(before, given_)
    assert merge(once, given_) == once


@given(before=stored.filter(bool))
def test_merge_of_nothing_changes_nothing(before: dict[str, Any]) -> None:
    assert merge(before, {}) == before


@given(before=stored.filter(bool), limit=st.integers(1, 50))
def test_merge_of_a_key_that_all_modes_have_keeps_the_mode(before: dict[str, Any], limit: int) -> None:
    assert merge(before, {"limit": limit}) == before | {"limit": limit}


def test_merge_that_breaks_a_bound_is_refused() -> None:
    with pytest.raises(ValidationError):
        merge(merge(None, {}), {"limit": 51})
