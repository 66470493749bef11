"""The laws of ranking: what fusion and the choice without repetition keep, whatever the scores are."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mentha.recall import rank

ROUNDING = 1e-6

keys = st.integers(0, 12)
word_scores = st.dictionaries(keys, st.floats(0, 1), max_size=12)
cosines = st.dictionaries(keys, st.floats(-1, 1), max_size=12)
alphas = st.floats(0, 1)
directions = st.lists(st.integers(-3, 3), min_size=4, max_size=4).filter(any)
strengths = st.floats(0, 0.99)
hits = st.lists(st.tuples(st.floats(-1, 1), st.one_of(st.none(), directions)), min_size=1, max_size=12)


laws = settings(max_examples=60, deadline=None)


def vector(numbers: Sequence[int] | None) -> bytes | None:
    """A vector of length 1 as the tables have it."""
    if numbers is None:
        return None
    length = math.hypot(*numbers)
    return np.array([number / length for number in numbers], ">f2").tobytes()


def order(scores: dict[int, float]) -> list[float]:
    """The scores of a list, best first."""
    return sorted(scores.values(), reverse=True)


@laws
@given(by_words=word_scores, by_vector=cosines, alpha=alphas)
def test_fusion_gives_each_key_once_best_first_with_scores_from_zero_to_one(
    by_words: dict[int, float], by_vector: dict[int, float], alpha: float
) -> None:
    fused = rank.fuse(by_words, by_vector, alpha=alpha)
    found = [hit.key for hit in fused]
    wanted = by_words if alpha == 0 else by_vector if alpha == 1 else {**by_words, **by_vector}
    assert sorted(found) == sorted(wanted)
    # A list alone keeps its own scores, cosines from minus one on.
    assert all((-1 if alpha == 1 else 0) <= hit.score <= 1 + ROUNDING for hit in fused)
    assert all(first.score >= second.score for first, second in pairwise(fused))


@laws
@given(by_words=word_scores, by_vector=cosines)
def test_fusion_with_alpha_of_zero_or_one_keeps_the_order_of_the_one_list(by_words: dict[int, float], by_vector: dict[int, float]) -> None:
    assert [by_words[hit.key] for hit in rank.fuse(by_words, by_vector, alpha=0)] == order(by_words)
    assert [by_vector[hit.key] for hit in rank.fuse(by_words, by_vector, alpha=1)] == order(by_vector)


@laws
@given(by_words=word_scores, by_vector=cosines)
def test_fusion_with_one_empty_list_keeps_the_order_of_the_other(by_words: dict[int, float], by_vector: dict[int, float]) -> None:
    for alpha in (0.3, 0.5, 0.9):
        assert [by_words[hit.key] for hit in rank.fuse(by_words, {}, alpha=alpha)] == pytest.approx(order(by_words), abs=ROUNDING)
        assert [by_vector[hit.key] for hit in rank.fuse({}, by_vector, alpha=alpha)] == pytest.approx(order(by_vector), abs=ROUNDING)


@laws
@given(by_words=word_scores, by_vector=cosines, alpha=st.floats(0.01, 0.99), best=st.integers(20, 30))
def test_fusion_puts_first_what_leads_both_lists(by_words: dict[int, float], by_vector: dict[int, float], alpha: float, best: int) -> None:
    fused = rank.fuse({**by_words, best: 1.0}, {**by_vector, best: 1.0}, alpha=alpha)
    assert fused[0].score - next(hit.score for hit in fused if hit.key == best) <= ROUNDING


@laws
@given(scores=st.dictionaries(keys, st.floats(-1, 1), max_size=12), least=st.floats(0, 0.2))
def test_scale_keeps_order_and_has_its_middle_at_one_half(scores: dict[int, float], least: float) -> None:
    scaled = rank.scaled(scores, spread_min=least)
    assert list(scaled) == list(scores)
    for one, less in scores.items():
        for other, more in scores.items():
            if less < more:
                assert scaled[one] <= scaled[other]
    assume(len(set(scores.values())) > 1 and max(scores.values()) - min(scores.values()) > 1e-3)
    assert math.fsum(scaled.values()) / len(scaled) == pytest.approx(0.5)


@laws
@given(hits=hits, limit=st.integers(1, 14), strength=strengths)
def test_choice_has_as_many_as_it_may_none_twice_and_the_most_relevant(
    hits: list[tuple[float, list[int] | None]], limit: int, strength: float
) -> None:
    relevance = [score for score, _ in hits]
    chosen = rank.diverse(relevance, [vector(numbers) for _, numbers in hits], limit=limit, strength=strength)
    assert len(chosen) == min(limit, len(hits))
    assert chosen == sorted(set(chosen))
    assert max(relevance[place] for place in chosen) == max(relevance)


@laws
@given(hits=hits, limit=st.integers(1, 14))
def test_choice_of_strength_zero_keeps_the_most_relevant_in_their_order(hits: list[tuple[float, list[int] | None]], limit: int) -> None:
    relevance = sorted((score for score, _ in hits), reverse=True)
    chosen = rank.diverse(relevance, [vector(numbers) for _, numbers in hits], limit=limit, strength=0)
    assert chosen == list(range(min(limit, len(hits))))


@laws
@given(hits=hits, limit=st.integers(2, 14), strength=st.floats(0.01, 0.99))
def test_choice_adds_what_is_most_relevant_less_its_likeness_to_the_chosen(
    hits: list[tuple[float, list[int] | None]], limit: int, strength: float
) -> None:
    """By the definition: with one place less, the choice is the same but for one hit, and that one is the best of the rest."""
    relevance = [score for score, _ in hits]
    vectors = [vector(numbers) for _, numbers in hits]
    larger = rank.diverse(relevance, vectors, limit=limit, strength=strength)
    smaller = rank.diverse(relevance, vectors, limit=limit - 1, strength=strength)
    assume(len(larger) == limit < len(hits))
    rows = [np.zeros(4) if raw is None else np.frombuffer(raw, ">f2").astype("f8") for raw in vectors]

    def worth(place: int) -> float:
        return (1 - strength) * relevance[place] - strength * max(cosine(rows[place], rows[other]) for other in smaller)

    (added,) = set(larger) - set(smaller)
    assert worth(added) >= max(worth(place) for place in range(len(hits)) if place not in smaller) - 1e-3


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / lengths if lengths else 0.0
