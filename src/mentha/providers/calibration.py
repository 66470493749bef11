"""What a cosine means: each embedder spreads its vectors differently, and a *confidence* makes them comparable. Pure.

With E5 two texts that have nothing in common have a cosine of 0.8, with the local model one near 0: a limit on the raw number would mean
something else with each. A confidence is a cosine on a scale with four fixed points, straight between them:

    cosine      -1   unrelated_at   related_at   1
    confidence  -1   0              0.5          1

So 0.5, the API's default, is the cut that best tells related from unrelated, whoever made the vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from mentha.core import lazy

if TYPE_CHECKING:
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[Any]"

CONFIDENCES = (-1.0, 0.0, 0.5, 1.0)
# Least distance between the fixed points of a measured scale: also a useless embedder gets one, on which little is related.
GAP = 0.01


@dataclass(frozen=True, slots=True)
class Calibration:
    """The scale of one embedder.

    Attributes:
        related_at: the cosine that best divides related pairs from unrelated ones.
        unrelated_at: the mean cosine of unrelated pairs; below `related_at`.
    """

    related_at: float
    unrelated_at: float

    def __post_init__(self) -> None:
        if not -1 < self.unrelated_at < self.related_at < 1:
            raise ValueError(f"no scale: unrelated at {self.unrelated_at}, related at {self.related_at}")

    @overload
    def confidence(self, cosine: float) -> float: ...
    @overload
    def confidence(self, cosine: Floats) -> Floats: ...
    def confidence(self, cosine: "float | Floats") -> "float | Floats":
        """The confidence of a cosine, or of each in an array; never falls as the cosine rises. Outside of -1 to 1 it stays at the end."""
        return _on_scale(cosine, self._cosines, CONFIDENCES)

    @overload
    def cosine(self, confidence: float) -> float: ...
    @overload
    def cosine(self, confidence: Floats) -> Floats: ...
    def cosine(self, confidence: "float | Floats") -> "float | Floats":
        """The cosine that has this confidence: the inverse of `confidence`."""
        return _on_scale(confidence, CONFIDENCES, self._cosines)

    @property
    def _cosines(self) -> tuple[float, ...]:
        return (-1.0, self.unrelated_at, self.related_at, 1.0)


def fit(related: Sequence[float], unrelated: Sequence[float]) -> Calibration:
    """The scale for an embedder that gave these cosines to pairs that are related, and to pairs that are not; at least one of each."""
    cut = _best_cut(related, unrelated)
    floor = min(max(sum(unrelated) / len(unrelated), GAP - 1), 1 - 2 * GAP)
    return Calibration(related_at=min(max(cut, floor + GAP), 1 - GAP), unrelated_at=floor)


def balanced_accuracy(related: Sequence[float], unrelated: Sequence[float], cut: float) -> float:
    """The share of pairs on their side of `cut`, both kinds weighing the same: 0.5 is chance, 1 is perfect."""
    above = sum(cosine >= cut for cosine in related) / len(related)
    below = sum(cosine < cut for cosine in unrelated) / len(unrelated)
    return (above + below) / 2


def _best_cut(related: Sequence[float], unrelated: Sequence[float]) -> float:
    """Halfway between two neighbouring cosines; where several cuts are equally good, the middle one, so that noise moves it little."""
    values = sorted({*related, *unrelated})
    cuts = [values[0], *((low + high) / 2 for low, high in pairwise(values))]
    scores = [balanced_accuracy(related, unrelated, cut) for cut in cuts]
    top = max(scores) - 1e-9
    best = [cut for cut, score in zip(cuts, scores, strict=True) if score > top]
    return best[len(best) // 2]


def _on_scale(value: "float | Floats", from_points: Sequence[float], to_points: Sequence[float]) -> "float | Floats":
    if not isinstance(value, (int, float)):
        return lazy.load("numpy").interp(value, from_points, to_points)
    at = min(max(float(value), from_points[0]), from_points[-1])
    # The piece that holds it; the last one ends at the last point.
    piece = next((index for index, point in enumerate(from_points[1:-1]) if at < point), len(from_points) - 2)
    low, high = from_points[piece], from_points[piece + 1]
    share = (at - low) / (high - low)
    return to_points[piece] + share * (to_points[piece + 1] - to_points[piece])
