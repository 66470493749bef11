"""From hits by words and by vectors to an order: fusion, and a choice that avoids repetition. Pure."""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Generic, TypeVar

from mentha.core import lazy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

K = TypeVar("K", bound=Hashable)

# Scores by words are shares of the query, 0 to 1. Without this, a list of chunks that all have next to nothing of the query would weigh as
# much as one with a chunk that has all of it: the distribution alone does not tell them apart.
WORDS_SPREAD_MIN = 0.08


@dataclass(frozen=True, slots=True)
class Ranked(Generic[K]):
    """A hit and how good it is; what `score` means is told by whoever made it."""

    key: K
    score: float


def fuse(by_words: Mapping[K, float], by_vector: Mapping[K, float], *, alpha: float) -> list[Ranked[K]]:
    """Join scores by words and by vectors, best first; scores of the result are 0 to 1, or with one of the two alone its own.

    Each list is put on a common scale by its own distribution (the mean is 0.5, three standard deviations above it 1), then the two are
    added with weights 1 - alpha and alpha. Words that a chunk lacks score 0, a vector that it lacks as the farthest there is.

    Args:
        by_words: scores; the higher, the better.
        by_vector: likewise.
        alpha: 0 for words alone, 1 for vectors alone: then the order is that list's own, and nothing else is in the result.
    """
    if alpha in (0, 1):
        alone = by_vector if alpha else by_words
        return _sorted(alone, tiebreak=alone)
    keys = dict.fromkeys([*by_vector, *by_words])
    farthest = min(by_vector.values(), default=0.0)
    words = scaled({key: by_words.get(key, 0.0) for key in keys}, spread_min=WORDS_SPREAD_MIN)
    vectors = scaled({key: by_vector.get(key, farthest) for key in keys})
    return _sorted({key: min(max((1 - alpha) * words[key] + alpha * vectors[key], 0.0), 1.0) for key in keys}, tiebreak=by_vector)


def scaled(scores: Mapping[K, float], *, spread_min: float = 0.0) -> dict[K, float]:
    """Scores on the scale of their own distribution: (score - (mean - 3 sd)) / 6 sd; as they are where they don't differ.

    Args:
        spread_min: the least standard deviation that counts: scores that hardly differ stay so.

    Source: distribution-based score fusion, as the original had it (section 5.4 of the behaviour spec), but for `spread_min`.
    """
    if len(scores) < 2:
        return dict(scores)
    mean = fmean(scores.values())
    deviation = max(_deviation(scores.values(), mean), spread_min)
    if deviation == 0:
        return dict(scores)
    low = mean - 3 * deviation
    return {key: (score - low) / (6 * deviation) for key, score in scores.items()}


def diverse(relevance: Sequence[float], vectors: "Sequence[bytes | None]", *, limit: int, strength: float) -> list[int]:
    """Which of the hits to keep so that they don't repeat each other; places in the order given.

    Maximal marginal relevance: the most relevant first, then again and again the one of which (1 - strength) times its relevance, less
    strength times its greatest likeness to those chosen, is greatest. Source: Carbonell and Goldstein, 1998.

    Args:
        relevance: of each hit, about on the scale of a cosine.
        vectors: of each hit, as `store/pool.py` has them; one without resembles none.
        limit: how many to keep, at least 1.
        strength: 0 keeps the most relevant; below 1.
    """
    order = sorted(range(len(relevance)), key=lambda place: -relevance[place])
    if strength <= 0 or len(order) <= limit:
        return sorted(order[:limit])
    likeness = _likeness(vectors)
    chosen = [order[0]]
    left = order[1:]
    nearest = {place: float(likeness[place, chosen[0]]) for place in left}
    while len(chosen) < limit:
        best = max(left, key=lambda place: (1 - strength) * relevance[place] - strength * nearest[place])
        left.remove(best)
        chosen.append(best)
        for place in left:
            nearest[place] = max(nearest[place], float(likeness[place, best]))
    return sorted(chosen)


def _deviation(values: Collection[float], mean: float) -> float:
    """The standard deviation of a sample; in floats, since `statistics.stdev` takes fractions, which cost a tenth of a search."""
    if min(values) == max(values):  # the mean may be off by its last bit
        return 0.0
    return math.sqrt(sum([(value - mean) ** 2 for value in values]) / (len(values) - 1))


def _likeness(vectors: "Sequence[bytes | None]") -> "NDArray[np.float32]":
    numpy = lazy.load("numpy")
    size = max((len(vector) for vector in vectors if vector), default=2)
    rows = numpy.stack([numpy.frombuffer(vector or bytes(size), ">f2").astype("f4") for vector in vectors])
    lengths = numpy.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / numpy.where(lengths == 0, 1, lengths)
    return rows @ rows.T


def _sorted(scores: Mapping[K, float], *, tiebreak: Mapping[K, float]) -> list[Ranked[K]]:
    """Best first; equal ones by the other score, then in the order given."""
    ranked = [Ranked(key, score) for key, score in scores.items()]
    return sorted(ranked, key=lambda each: (-each.score, -tiebreak.get(each.key, -2.0)))
