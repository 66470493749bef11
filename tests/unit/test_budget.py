"""How large a budget is, when it is time to fold, and what a provider's count teaches; the laws of fitting are in tests/property."""

from typing import Any

import pytest

from mentha.chat import budget
from mentha.chat.budget import Budget, Fitted, Stored
from mentha.core.errors import BadRequest


def fitted(*, tokens: int = 1_000, history: int = 0, fixed: int = 100, new: int = 50, **stored: Any) -> Fitted:
    counts = [10] * (history // 10)
    kinds = ("ua" * len(counts))[: len(counts)]
    found = Stored(b"", [0] * len(counts), counts, kinds, list(range(1, len(counts) + 1)), len(counts), **stored)
    return budget.fit(found, Budget(tokens, 1.0), fixed, new=new)


@pytest.mark.parametrize(
    ("token_budget", "window", "answer", "tokens"),
    [
        (700, 8_000, 500, 700),
        (None, 8_000, 500, 7_500),
        (None, 8_000, None, 6_000),
        (None, 200_000, None, 200_000 - budget.ANSWER_TOKENS_DEFAULT),
        (None, 8_000, 9_000, 1),
        (None, None, 500, None),
        (2**63 - 1, None, None, budget.TOKENS_MAX),
    ],
)
def test_budget_is_the_sessions_else_what_the_window_leaves_beside_the_answer(
    token_budget: int | None, window: int | None, answer: int | None, tokens: int | None
) -> None:
    assert budget.tokens_of(token_budget=token_budget, window=window, answer=answer) == tokens


def test_refusal_names_what_is_needed_and_what_there_is() -> None:
    with pytest.raises(BadRequest, match=r"need about 1250 tokens, and the budget is 1000"):
        budget.fit(Stored(), Budget(1_000, 1.25), 1_000)


def test_everything_is_sent_where_no_budget_is_known() -> None:
    stored = Stored(b"{},{}", [2, 2], [10**6, 10**6], "ua", [3, 4], 4, 2, 2, b"{}", 5)
    result = budget.fit(stored, None, 7)
    assert (result.history, result.raw, result.left_out, result.summarised) == (b"{},{},{}", 2 * 10**6 + 12, 0, 2)


def test_summary_stays_before_older_turns_do() -> None:
    stored = Stored(b"11,22,33,44", [2] * 4, [100] * 4, "uaua", [3, 4, 5, 6], 6, 2, 2, b"{}", 50)
    result = budget.fit(stored, Budget(400, 1.0), 100)
    assert (result.history, result.raw, result.left_out, result.summarised) == (b"{},33,44", 350, 2, 2)
    # Only where it is what would be too much it goes.
    result = budget.fit(stored, Budget(140, 1.0), 100)
    assert (result.history, result.left_out, result.summarised) == (b"", 4, 0)


@pytest.mark.parametrize(
    ("history", "answered", "due"),
    [
        (600, 50, False),
        (600, 51, True),
        (690, 0, True),
        # More than fits: left out.
        (2_000, 0, True),
    ],
)
def test_folding_is_due_at_three_quarters_of_the_budget(history: int, answered: int, due: bool) -> None:
    assert budget.is_due(fitted(history=history), answered) is due


def test_folding_is_not_due_where_there_is_nothing_to_fold() -> None:
    assert not budget.is_due(fitted(history=0, fixed=900, new=20), 20)
    assert not budget.is_due(budget.fit(Stored(), None, 10**6), 10**6)


@pytest.mark.parametrize(("fixed", "keep"), [(0, 500), (100, 400), (450, 100), (2_000, 100)])
def test_half_of_the_budget_stays_when_a_session_is_folded(fixed: int, keep: int) -> None:
    assert budget.keep_tokens(Budget(1_000, 1.0), fixed) == keep


def test_step_of_folding_leaves_room_for_the_instruction_and_the_earlier_summary() -> None:
    assert budget.step_tokens(Budget(10_000, 1.0)) == 10_000 - budget.FOLD_OVERHEAD_TOKENS - 1_500
    assert budget.step_tokens(Budget(400, 1.0)) == 100


@pytest.mark.parametrize(
    ("raw", "reported", "seen"),
    [(100, 130, 1.3), (100, 10, 0.7), (100, 10_000, 4.0), (100, None, None), (100, 0, None), (31, 60, None)],
)
def test_sample_of_a_ratio_is_kept_within_reason(raw: int, reported: int | None, seen: float | None) -> None:
    assert budget.sample(raw, reported) == seen


@pytest.mark.parametrize(("seen", "teaches"), [(1.31, True), (1.3, False), (1.28, False), (1.2, True)])
def test_any_higher_sample_teaches_and_a_lower_one_that_is_clearly_so(seen: float, teaches: bool) -> None:
    assert budget.teaches(1.3, seen) is teaches


@pytest.mark.parametrize(
    ("kinds", "keep", "start"),
    [
        ("uauaua", 20, 4),
        ("uauaua", 1, 4),
        ("uauaua", 45, 2),
        ("uaucta", 40, 2),
        # A turn that does not fit is folded up to its last call.
        ("uaucta", 10, 3),
        ("uctctct", 10, 5),
        # The oldest is the result of a call that is older still.
        ("tta", 100, 2),
        ("", 10, 0),
    ],
)
def test_folding_leaves_the_newest_turn_and_the_last_call(kinds: str, keep: int, start: int) -> None:
    assert budget.fold_to([10] * len(kinds), kinds, keep) == start


@pytest.mark.parametrize(
    ("kinds", "step", "count"),
    [("uauaua", 45, 4), ("uauaua", 30, 2), ("uauaua", 1, 1), ("uctta", 20, 1), ("ctta", 10, 3), ("u" * 900, 10**6, 500)],
)
def test_step_of_folding_ends_with_a_turn_where_one_fits(kinds: str, step: int, count: int) -> None:
    assert budget.step_to([10] * len(kinds), kinds, step) == count
