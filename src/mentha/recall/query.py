"""The words of a query as text search takes them. Pure.

Words are ORed and ranked; all of them together, and neighbours as a phrase, count more (`store/chunks.py` has the formula). A word that
stands nowhere is looked for as the beginning of a word, and then among the words that resemble it.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from mentha.recall.words import is_spaceless

WORDS_MAX = 32
# Shorter beginnings match too much.
PREFIX_CHARS_MIN = 3
# What resembles a word of the query counts less than half of the word itself, so a typo costs a rank, and never gains one.
LIKE_WEIGHT = 0.45
# By the length of a word: how many letters may be wrong. Beyond that it is another word.
TYPO_CHARS_MIN = 4
TYPOS_MAX = ((4, 1), (7, 2), (12, 3))
# In a query of more terms misspelled ones are not looked for, unless the caller says how alike they must be.
TYPO_TERMS_MAX = 12
# What two words share of their trigrams at least, where the caller says nothing.
SIMILARITY_MIN = 0.3
SIMILAR_MAX = 8
LIKE_MAX = 4


class Term(NamedTuple):
    """One word of a query.

    Attributes:
        exact: a tsquery that matches the word itself.
        prefix: one that matches words that begin with it too; used where `exact` matches nothing.
        weight: 1, or less for words that only resemble the query's.
    """

    exact: str
    prefix: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Wording:
    """A query for `store.chunks.by_words`.

    Attributes:
        places: for each term, the place of its word in the query.
        anchor: the owners as a tsquery; empty where their chunks are most of all.
    """

    terms: list[Term]
    places: list[int]
    anchor: str
    together: str
    pairs: list[tuple[int, int, str]]


def compose(
    words: Sequence[str],
    lexemes: Sequence[Mapping[str, Sequence[str]]],
    *,
    owners: Sequence[str],
    own_configuration: str | None,
    likes: Mapping[int, Sequence[str]] | None = None,
) -> Wording:
    """Make terms of words; a word without a lexeme is a stop word and makes none.

    Args:
        lexemes: for each word, its lexemes by configuration.
        owners: what every match must have among its words; empty for none.
        own_configuration: that of the query's language: its stop words count as such also where other languages have the same word.
        likes: lexemes that resemble the word at a place, which none has itself.
    """
    terms: list[Term] = []
    places: list[int] = []
    for place, word in enumerate(words):
        term = _like(likes[place]) if likes and place in likes else _term(word, lexemes[place], own_configuration)
        if term is not None:
            terms.append(term)
            places.append(place)
    anchor = f"({' | '.join(quoted(f'#{owner}') for owner in owners)})" if owners else ""
    together = " & ".join([*([anchor] if anchor else []), *(f"({term.exact})" for term in terms)])
    pairs = [
        (at, at + 1, f"({first.exact}) <-> ({second.exact})")
        for at, (first, second) in enumerate(pairwise(terms))
        if places[at + 1] == places[at] + 1
    ]
    return Wording(terms, places, anchor, together, pairs)


def resembling(words: Mapping[int, str], found: Sequence[tuple[int, str, float]], threshold: float | None) -> dict[int, list[str]]:
    """Of words that share trigrams with words of a query, those that may be meant; the likeliest first, by the place of the query's word.

    Args:
        words: those of the query, by place.
        found: place, word, similarity.
        threshold: the least similarity; None judges by the letters that differ.
    """
    meant: dict[int, list[tuple[float, str]]] = {}
    for place, word, similarity in found:
        if threshold is None:
            typos = distance(words[place], word, limit=_typos_max(words[place]))
            if typos is None or similarity < SIMILARITY_MIN:
                continue
            meant.setdefault(place, []).append((typos - similarity, word))
        elif similarity > threshold:
            meant.setdefault(place, []).append((-similarity, word))
    return {place: [word for _, word in sorted(likely)[:LIKE_MAX]] for place, likely in meant.items()}


def may_be_misspelled(word: str) -> bool:
    """Whether to look for words like this one: not for numbers and codes, short words, and scripts without words."""
    return len(word) >= TYPO_CHARS_MIN and word.isalpha() and not is_spaceless(word)


def distance(word: str, other: str, *, limit: int) -> int | None:
    """Letters to insert, drop, replace or swap to get from one word to the other; None where it takes more than `limit`.

    Source: the optimal string alignment distance (Damerau, 1964).
    """
    if abs(len(word) - len(other)) > limit:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        current = [i]
        for j, its in enumerate(other, 1):
            cost = min(row[j] + 1, current[j - 1] + 1, row[j - 1] + (letter != its))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == its:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) > limit:
            return None
        before, row = row, current
    return row[-1] if row[-1] <= limit else None


def quoted(lexeme: str) -> str:
    """A lexeme as a tsquery has it, whatever is in it."""
    if lexeme.isalnum():
        return f"'{lexeme}'"
    return "'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'"


def _term(word: str, by_configuration: Mapping[str, Sequence[str]], own: str | None) -> Term | None:
    if own is not None and own in by_configuration and not by_configuration[own]:
        return None
    forms = dict.fromkeys(tuple(lexemes) for lexemes in by_configuration.values() if lexemes)
    if not forms:
        return None
    if len(forms) == 1 and len(only := next(iter(forms))) == 1 and not is_spaceless(word):
        # Nearly all words of most queries.
        exact = quoted(only[0])
        return Term(exact, f"{exact}:*" if len(word) >= PREFIX_CHARS_MIN and not word.isdecimal() else exact)
    exact = " | ".join(_all(form) for form in forms)
    begins = " | ".join(f"{quoted(form[0])}:*" for form in forms if len(form) == 1)
    if is_spaceless(word):
        # Texts of such scripts are stored as pairs of letters; a single letter is the beginning of a pair.
        return Term(begins if _is_letter(word) and begins else exact, exact)
    return Term(exact, begins if begins and len(word) >= PREFIX_CHARS_MIN and not word.isdecimal() else exact)


def _is_letter(word: str) -> bool:
    """Whether it is one letter, with its marks."""
    return all(unicodedata.category(mark).startswith("M") for mark in word[1:])


def _all(lexemes: Sequence[str]) -> str:
    return quoted(lexemes[0]) if len(lexemes) == 1 else f"({' & '.join(map(quoted, lexemes))})"


def _like(lexemes: Sequence[str]) -> Term | None:
    exact = " | ".join(map(quoted, lexemes))
    return Term(exact, exact, LIKE_WEIGHT) if lexemes else None


def _typos_max(word: str) -> int:
    return max((typos for chars, typos in TYPOS_MAX if len(word) >= chars), default=0)
