"""Words of documents and queries, over generated text: what a document is stored with, a query for it asks for."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.recall.words import WORD_CHARS_MAX, is_spaceless, query_words, searchable

# Anything, and the characters that fold, join, vanish or run on: one of them is rare among all.
tricky = st.sampled_from([*"aZß9_'-. \n\0", *"éÉİıŁæйиІґς", "\u0301", "\u0308", "\u0306", "\u0316", "\u200b", "\u200c", "\u200d", "\u00ad"])
foreign = st.sampled_from(
    [*"北京大学カがーｶﾞ한국", *"ไทน้ำ", *"हिन्दी", *"سلامَـ", *"שָׁ", "ﷺ", "½", "™", "\ud800", "\udfff", "😀", "\u1112\u1161"]
)
texts = st.lists(st.one_of(st.text(max_size=8), tricky, foreign), max_size=60).map("".join)


@settings(deadline=None)
@given(texts)
def test_searchable_text_is_words_with_single_spaces(text: str) -> None:
    seen = searchable(text)
    assert seen == " ".join(seen.split())
    for word in seen.split(" ") if seen else []:
        assert word[0].isalnum()
        assert all(unicodedata.category(char)[0] in "LMN" for char in word)
        assert is_spaceless(word) or len(word) <= WORD_CHARS_MAX


@settings(deadline=None)
@given(texts)
def test_searchable_text_put_in_again_comes_out_the_same(text: str) -> None:
    """But for pairs: of those more are made each time."""
    seen = " ".join(word for word in searchable(text).split() if not is_spaceless(word))
    assert searchable(seen) == seen


@settings(deadline=None)
@given(texts)
def test_case_of_a_text_makes_no_difference(text: str) -> None:
    assert searchable(text.casefold()) == searchable(text)


@settings(deadline=None)
@given(texts, st.integers(1, 40))
def test_query_asks_for_words_that_the_same_document_has(text: str, words_max: int) -> None:
    stored, asked = searchable(text).split(), query_words(text, words_max=words_max)
    assert len(asked) == len(set(asked)) <= words_max
    assert set(asked) <= set(stored)
    rest = iter(stored)
    assert all(word in rest for word in asked), "in the order of the document"
    assert bool(asked) == bool(stored)


@settings(deadline=None)
@given(texts, texts)
def test_words_of_two_texts_are_those_of_both_apart(first: str, second: str) -> None:
    assert searchable(f"{first}\n{second}").split() == searchable(first).split() + searchable(second).split()
