"""The words of a query as text search takes them: quoting, stop words, beginnings, neighbours, and words that resemble others."""

from typing import Any

import pytest

from mentha.recall import query
from mentha.recall.query import Term

ENGLISH = "english"


def compose(words: dict[str, dict[str, list[str]]], **more: Any) -> query.Wording:
    return query.compose(list(words), list(words.values()), **{"owners": (), "own_configuration": ENGLISH, **more})


def english(*words: str) -> dict[str, dict[str, list[str]]]:
    """Words that are their own lexemes."""
    return {word: {ENGLISH: [word]} for word in words}


def test_word_matches_itself_and_its_beginnings() -> None:
    wording = compose({"running": {ENGLISH: ["run"]}})
    assert wording.terms == [Term("'run'", "'run':*", 1.0)]
    assert (wording.places, wording.pairs, wording.together, wording.anchor) == ([0], [], "('run')", "")


def test_word_of_several_languages_matches_by_the_lexemes_of_each_once() -> None:
    wording = compose({"autos": {"german": ["auto"], ENGLISH: ["auto"], "simple": ["autos"]}})
    assert wording.terms == [Term("'auto' | 'autos'", "'auto':* | 'autos':*")]


def test_word_of_several_lexemes_matches_all_of_them_and_is_no_beginning() -> None:
    wording = compose({"1e5x": {ENGLISH: ["1e5", "x"]}})
    assert wording.terms == [Term("('1e5' & 'x')", "('1e5' & 'x')")]


@pytest.mark.parametrize(
    ("lexeme", "shown"),
    [("it's", "'it''s'"), ("a\\", "'a\\\\'"), ("\\'", "'\\\\'''"), ("':*", "''':*'"), ("a & !b", "'a & !b'"), ("(", "'('")],
)
def test_lexeme_is_quoted_whatever_is_in_it(lexeme: str, shown: str) -> None:
    assert query.quoted(lexeme) == shown
    assert compose({"x": {ENGLISH: [lexeme]}}).terms[0].exact == shown


def test_stop_word_of_the_querys_language_makes_no_term_though_another_language_has_it_as_a_word() -> None:
    words = {"die": {"german": [], ENGLISH: ["die"]}, "katze": {"german": ["katz"], ENGLISH: ["katz"]}}
    assert [term.exact for term in compose(words, own_configuration="german").terms] == ["'katz'"]
    assert [term.exact for term in compose(words).terms] == ["'die'", "'katz'"]
    # An owner without texts in the query's language knows nothing of its stop words.
    assert [term.exact for term in compose(words, own_configuration="dutch").terms] == ["'die'", "'katz'"]
    assert [term.exact for term in compose(words, own_configuration=None).terms] == ["'die'", "'katz'"]


def test_word_without_a_lexeme_in_any_language_makes_no_term() -> None:
    wording = compose({"the": {ENGLISH: []}, "of": {}})
    assert (wording.terms, wording.places, wording.pairs, wording.together) == ([], [], [], "")


def test_neighbours_in_the_query_are_pairs_and_words_apart_are_none() -> None:
    wording = compose({**english("dark", "green"), "of": {ENGLISH: []}, **english("bicycle")})
    assert wording.places == [0, 1, 3]
    assert wording.pairs == [(0, 1, "('dark') <-> ('green')")]
    assert wording.together == "('dark') & ('green') & ('bicycle')"


def test_owners_are_the_anchor_of_every_match() -> None:
    wording = compose(english("a"), owners=("a1", "u2"))
    assert wording.anchor == "('#a1' | '#u2')"
    assert wording.together == "('#a1' | '#u2') & ('a')"


@pytest.mark.parametrize("word", ["ab", "1234"])
def test_short_words_and_numbers_are_no_beginnings(word: str) -> None:
    (term,) = compose(english(word)).terms
    assert term.exact == term.prefix


def test_single_letter_of_a_spaceless_script_begins_a_pair() -> None:
    (pair,) = compose({"北京": {ENGLISH: ["北京"]}}).terms
    assert pair == Term("'北京'", "'北京'")
    (single,) = compose({"北": {ENGLISH: ["北"]}}).terms
    assert single == Term("'北':*", "'北'")


def test_words_that_resemble_one_take_its_place_and_count_less() -> None:
    words = {**english("the", "kettel")}
    wording = compose(words, likes={1: ["kettl", "metal"]})
    assert wording.terms[1] == Term("'kettl' | 'metal'", "'kettl' | 'metal'", query.LIKE_WEIGHT)
    assert 0 < query.LIKE_WEIGHT < 0.5
    assert compose(words, likes={1: []}).places == [0]


@pytest.mark.parametrize(
    ("one", "other", "typos"),
    [
        ("kettle", "kettle", 0),
        ("kettle", "kettel", 1),
        ("kettle", "ketle", 1),
        ("kettle", "kettles", 1),
        ("kettle", "kattle", 1),
        ("kettle", "kattel", 2),
        ("", "ab", 2),
        ("ab", "", 2),
        ("", "", 0),
        ("ca", "abc", None),
        ("kettle", "bottle", 2),
        ("kettle", "window", None),
        ("a" * 64, "b" * 64, None),
    ],
)
def test_distance_counts_letters_that_are_added_dropped_replaced_or_swapped(one: str, other: str, typos: int | None) -> None:
    assert query.distance(one, other, limit=2) == typos
    assert query.distance(other, one, limit=2) == typos


@pytest.mark.parametrize("limit", [0, 1, 2, 3])
def test_distance_beyond_the_limit_is_none(limit: int) -> None:
    assert query.distance("abcdef", "abcxyz", limit=limit) == (3 if limit == 3 else None)


def test_longer_words_may_have_more_letters_wrong() -> None:
    def meant(word: str, other: str) -> bool:
        return bool(query.resembling({0: word}, [(0, other, 0.5)], None))

    assert meant("pupm", "pump")
    assert not meant("pxym", "pump")
    assert meant("descalnig", "descaling")
    assert meant("dscalnig", "descaling")
    assert not meant("dscalnigg", "descaling")
    assert meant("internationlaizaton", "internationalization")


def test_words_that_resemble_are_the_likeliest_few_first() -> None:
    similar = {"rescaling": 0.6, "descaling": 0.7, "descalin": 0.6, "descalinga": 0.55, "desealings": 0.5, "scaling": 0.65}
    meant = query.resembling({0: "descalnig"}, [(0, word, similarity) for word, similarity in similar.items()], None)
    # First by the letters that differ, then by what they share.
    assert meant == {0: ["descaling", "descalin", "rescaling", "descalinga"]}
    assert len(meant[0]) == query.LIKE_MAX


def test_threshold_in_place_of_letters_is_a_similarity_that_must_be_exceeded() -> None:
    found = [(0, "kettle", 0.4), (1, "window", 0.9)]
    assert query.resembling({0: "kettel", 1: "vvindovv"}, found, 0.3) == {0: ["kettle"], 1: ["window"]}
    assert query.resembling({0: "kettel", 1: "vvindovv"}, found, 0.4) == {1: ["window"]}
    assert query.resembling({0: "kettel", 1: "vvindovv"}, found, 1.0) == {}


@pytest.mark.parametrize(
    ("word", "may"),
    [("kettle", True), ("cat", False), ("x100", False), ("2024", False), ("北京大学", False), ("дом2", False), ("кошка", True)],
)
def test_only_words_of_letters_are_taken_for_misspelled(word: str, may: bool) -> None:
    assert query.may_be_misspelled(word) is may
