"""The scale that makes cosines of different embedders mean the same."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentha.providers.calibration import Calibration, balanced_accuracy, fit
from mentha.providers.calibration_pairs import calibration_pairs

COSINES = st.floats(-1, 1)
SAMPLES = st.lists(COSINES, min_size=1, max_size=40)


@st.composite
def scales(draw: st.DrawFn) -> Calibration:
    unrelated_at = draw(st.floats(-0.98, 0.95))
    return Calibration(related_at=draw(st.floats(unrelated_at + 0.01, 0.98)), unrelated_at=unrelated_at)


@given(scales())
def test_confidence_at_the_fixed_points_is_what_they_stand_for(scale: Calibration) -> None:
    points = [-1.0, scale.unrelated_at, scale.related_at, 1.0]
    assert [scale.confidence(point) for point in points] == pytest.approx([-1, 0, 0.5, 1], abs=1e-9)


@given(scales(), COSINES, COSINES)
def test_confidence_never_falls_as_the_cosine_rises(scale: Calibration, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert scale.confidence(low) <= scale.confidence(high)


@given(scales(), st.floats(-1, 1))
def test_cosine_is_the_inverse_of_confidence(scale: Calibration, confidence: float) -> None:
    assert scale.confidence(scale.cosine(confidence)) == pytest.approx(confidence, abs=1e-9)


@given(scales(), st.lists(st.floats(-2, 2), min_size=1, max_size=20))
def test_confidence_of_an_array_is_that_of_each_number(scale: Calibration, values: list[float]) -> None:
    assert scale.confidence(np.array(values)) == pytest.approx([scale.confidence(value) for value in values], abs=1e-9)
    assert scale.cosine(np.array(values)) == pytest.approx([scale.cosine(value) for value in values], abs=1e-9)


def test_confidence_of_cosine_beyond_the_ends_stays_at_the_end() -> None:
    scale = Calibration(related_at=0.3, unrelated_at=0.1)
    assert (scale.confidence(1.0000002), scale.confidence(-1.5)) == (1.0, -1.0)


@pytest.mark.parametrize(("related_at", "unrelated_at"), [(0.1, 0.1), (0.1, 0.3), (1.0, 0.2), (0.5, -1.0), (math.nan, 0.1)])
def test_scale_whose_points_are_not_in_order_is_refused(related_at: float, unrelated_at: float) -> None:
    with pytest.raises(ValueError, match="no scale"):
        Calibration(related_at=related_at, unrelated_at=unrelated_at)


def test_fit_of_separate_samples_cuts_between_them() -> None:
    scale = fit([0.6, 0.7, 0.9], [0.1, 0.2, 0.3])
    assert (scale.related_at, scale.unrelated_at) == pytest.approx((0.45, 0.2))


@given(SAMPLES, SAMPLES)
def test_fit_of_any_samples_is_a_scale(related: list[float], unrelated: list[float]) -> None:
    scale = fit(related, unrelated)
    assert -1 < scale.unrelated_at < scale.related_at < 1


@given(SAMPLES, SAMPLES)
def test_fit_cuts_as_well_as_any_other_cut(related: list[float], unrelated: list[float]) -> None:
    scale = fit(related, unrelated)
    mean = sum(unrelated) / len(unrelated)
    if mean + 0.01 < scale.related_at < 0.99:  # else the cut was moved to make a scale at all
        others = [balanced_accuracy(related, unrelated, cut) for cut in np.linspace(-1, 1, 41)]
        assert balanced_accuracy(related, unrelated, scale.related_at) >= max(others) - 1e-9


def test_pairs_are_many_in_each_of_eight_languages() -> None:
    pairs = calibration_pairs()
    counts = {language: sum(pair.language == language for pair in pairs) for language in {pair.language for pair in pairs}}
    assert set(counts) == {"en", "de", "fr", "es", "pt", "it", "zh", "ja"}
    assert min(counts.values()) >= 10
    assert len(pairs) >= 60


def test_other_passage_of_a_pair_is_another_one_in_its_language() -> None:
    pairs = calibration_pairs()
    assert all(pairs[pair.other].language == pair.language for pair in pairs)
    assert all(pairs[pair.other].passage != pair.passage for pair in pairs)
    assert len({pair.passage for pair in pairs}) == len({pair.question for pair in pairs}) == len(pairs)
