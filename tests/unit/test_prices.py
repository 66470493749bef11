"""Prices: which models have one, and whose word counts."""

import pytest

from mentha.core.prices import cost, price_of


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o", (2.5, 10.0)),
        ("gpt-4o-2024-08-06", (2.5, 10.0)),
        ("gpt-4o-mini", (0.15, 0.6)),
        ("claude-3-5-sonnet-20241022", (3.0, 15.0)),
        ("gemini-1.5-pro-latest", (1.25, 5.0)),
        ("openai/gpt-4o-mini", (0.15, 0.6)),
        ("gpt-4o-audio-preview", None),
        ("gpt-5.5", None),
        ("unheard-of", None),
    ],
)
def test_price_of_a_model_is_that_of_its_name_or_of_a_version_of_it(model: str, price: tuple[float, float] | None) -> None:
    assert price_of("openai", model, model, {}) == price


@pytest.mark.parametrize("name", ["mine", "openai/gpt-4o", "gpt-4o"])
def test_price_of_the_operator_wins_under_any_name(name: str) -> None:
    assert price_of("openai", "gpt-4o", "mine", {name: (1.0, 2.0)}) == (1.0, 2.0)


def test_price_of_a_model_on_ones_own_machine_is_nothing() -> None:
    assert price_of("ollama", "unheard-of", "unheard-of", {}) == (0.0, 0.0)


def test_cost_is_by_the_million_and_unknown_without_a_price() -> None:
    assert cost((1.0, 2.0), 500_000, 250_000) == 1.0
    assert cost(None, 1, 1) is None
