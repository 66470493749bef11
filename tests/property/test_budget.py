"""What fits into a budget, for any history: never too much, the newest, no call without its results, and again the same."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mentha.chat import budget
from mentha.chat.budget import Budget, Fitted, Stored
from mentha.core.errors import BadRequest
from mentha.core.json import dumps, loads

TURNS = st.lists(
    st.one_of(
        st.just("ua"),
        st.just("u"),
        st.just("uua"),
        st.just("a"),
        st.integers(1, 3).map(lambda calls: "uc" + "t" * calls + "a"),
        st.integers(1, 3).map(lambda rounds: "u" + "ctt" * rounds + "a"),
        # Client-run calls whose results come with the next request, after something else was said.
        st.just("ucuta"),
    ),
    max_size=12,
)
KINDS = TURNS.map("".join)


@st.composite
def histories(draw: st.DrawFn) -> Stored:
    kinds = draw(KINDS)
    counts = draw(st.lists(st.integers(1, 300), min_size=len(kinds), max_size=len(kinds)))
    messages = [dumps({"n": at, "kind": kind}) for at, kind in enumerate(kinds)]
    folded = draw(st.integers(0, 5))
    summary = draw(st.sampled_from([b"", b'{"summary":true}'])) if folded else b""
    return Stored(
        messages=b",".join(messages),
        sizes=[len(message) for message in messages],
        counts=counts,
        kinds=kinds,
        seqs=[folded + 1 + at for at in range(len(kinds))],
        last_seq=folded + len(kinds),
        folded_seq=folded,
        folded_count=folded if summary else 0,
        summary=summary,
        summary_tokens=draw(st.integers(3, 200)) if summary else 0,
    )


BUDGETS = st.builds(Budget, st.integers(1, 4_000), st.floats(0.7, 4.0, allow_nan=False))


def fitted(stored: Stored, given: Budget, fixed: int, **more: Any) -> Fitted | None:
    try:
        return budget.fit(stored, given, fixed, **more)
    except BadRequest:
        return None


def sent(result: Fitted) -> list[Any]:
    return loads(b"[" + result.history + b"]")


def kept(result: Fitted) -> list[int]:
    """The places of the messages that are sent."""
    return [message["n"] for message in sent(result) if "n" in message]


@given(histories(), BUDGETS, st.integers(0, 500))
def test_fitted_prompt_never_exceeds_its_budget(stored: Stored, given: Budget, fixed: int) -> None:
    result = fitted(stored, given, fixed)
    if result is None:
        assert given.estimate(fixed) > given.tokens
        return
    assert result.estimated <= given.tokens
    summary = stored.summary_tokens if {"summary": True} in sent(result) else 0
    assert result.raw == fixed + summary + sum(stored.counts[at] for at in kept(result))


@given(histories(), BUDGETS, st.integers(0, 500))
def test_fitted_history_is_its_newest_part_and_tells_how_many_are_older(stored: Stored, given: Budget, fixed: int) -> None:
    result = fitted(stored, given, fixed)
    if result is None:
        return
    places = kept(result)
    assert places == list(range(len(stored.kinds) - len(places), len(stored.kinds)))
    assert result.left_out == len(stored.kinds) - len(places)
    assert result.summarised == (stored.folded_count if {"summary": True} in sent(result) else 0)


@given(histories(), BUDGETS, st.integers(0, 500))
def test_fitted_history_never_begins_between_a_call_and_its_results(stored: Stored, given: Budget, fixed: int) -> None:
    result = fitted(stored, given, fixed)
    if result is None or not (places := kept(result)) or not result.left_out:
        return
    rest = stored.kinds[places[0] :].replace("u", "").replace("a", "")
    assert not rest.startswith("t")


@given(histories(), BUDGETS, st.integers(0, 500))
def test_fitted_history_begins_with_a_turn_unless_not_even_the_newest_turn_fits(stored: Stored, given: Budget, fixed: int) -> None:
    result = fitted(stored, given, fixed)
    if result is None or not (places := kept(result)) or not result.left_out:
        return
    begins = stored.kinds[places[0]] == "u"
    later = stored.kinds[places[0] + 1 :]
    assert begins or "u" not in later or "t" in later[later.rindex("u") :]


@given(histories(), BUDGETS, st.integers(0, 500))
def test_fitted_history_leaves_nothing_out_that_would_have_fitted_as_a_turn(stored: Stored, given: Budget, fixed: int) -> None:
    result = fitted(stored, given, fixed)
    if result is None or not result.left_out:
        return
    first = len(stored.kinds) - len(kept(result))
    summary = stored.summary_tokens if result.summarised else 0
    for at in range(first):
        is_turn = stored.kinds[at] == "u" and (at == 0 or stored.kinds[at - 1] != "u")
        rest = stored.kinds[at:].replace("u", "").replace("a", "")
        if is_turn and not rest.startswith("t"):
            assert given.estimate(fixed + summary + sum(stored.counts[at:])) > given.tokens


@given(histories(), BUDGETS, st.integers(0, 500))
def test_fitting_what_was_fitted_changes_nothing(stored: Stored, given: Budget, fixed: int) -> None:
    once = fitted(stored, given, fixed)
    if once is None:
        return
    start = len(stored.kinds) - len(kept(once))
    has_summary = {"summary": True} in sent(once)
    smaller = Stored(
        messages=b",".join(dumps(message) for message in sent(once) if "n" in message),
        sizes=stored.sizes[start:],
        counts=stored.counts[start:],
        kinds=stored.kinds[start:],
        seqs=stored.seqs[start:],
        last_seq=stored.last_seq,
        folded_seq=stored.folded_seq + start,
        folded_count=stored.folded_count,
        summary=stored.summary if has_summary else b"",
        summary_tokens=stored.summary_tokens if has_summary else 0,
    )
    again = budget.fit(smaller, given, fixed)
    assert (again.history, again.raw, again.left_out) == (once.history, once.raw, 0)


@given(histories(), BUDGETS, st.integers(0, 500))
def test_call_that_the_new_messages_answer_is_sent_or_the_turn_is_refused(stored: Stored, given: Budget, fixed: int) -> None:
    if "c" not in stored.kinds:
        return
    result = fitted(stored, given, fixed, open_calls=True)
    call = stored.kinds.rindex("c")
    if result is None:
        assert given.estimate(fixed + sum(stored.counts[call:])) > given.tokens
        return
    assert call in kept(result)
    assert result.estimated <= given.tokens


@given(histories(), BUDGETS, st.integers(0, 100), st.integers(0, 300))
def test_rounds_with_tools_make_room_in_the_history(stored: Stored, given: Budget, fixed: int, more: int) -> None:
    result = fitted(stored, given, fixed)
    if result is None:
        return
    try:
        later = budget.again(result, more)
    except BadRequest:
        assert given.estimate(fixed + more) > given.tokens
        return
    assert later.estimated <= given.tokens
    # Where the summary has to go as well, there may be more room for messages than before.
    if later.summarised == result.summarised:
        assert len(kept(later)) <= len(kept(result))


@given(st.integers(1, 300_000), st.floats(0.7, 4.0, allow_nan=False))
def test_room_is_the_most_that_an_estimate_allows(tokens: int, ratio: float) -> None:
    given_budget = Budget(tokens, ratio)
    assert given_budget.estimate(given_budget.room) <= tokens < given_budget.estimate(given_budget.room + 1)


@given(st.integers(32, 100_000), st.integers(1, 100_000), st.sampled_from([0.8, 1.0, 1.15, 1.3, 1.7, 2.5]))
def test_budget_is_kept_after_one_sample_of_a_provider_that_counts_by_another_rule(first: int, tokens: int, rule: float) -> None:
    seen = budget.sample(first, math.ceil(round(first * rule, 6)))
    assert seen is not None
    ratio = max(seen, budget.RATIO_START + budget.RATIO_FALL * (seen - budget.RATIO_START))
    room = Budget(tokens, ratio).room
    assert math.ceil(round(room * rule, 6)) <= tokens


# --- what is folded


@given(KINDS, st.data())
def test_folding_keeps_the_newest_and_parts_no_call_from_its_results(kinds: str, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 300), min_size=len(kinds), max_size=len(kinds)))
    keep = data.draw(st.integers(1, 2_000))
    kept_from = budget.fold_to(counts, kinds, keep)
    assert 0 <= kept_from <= len(kinds)
    assert not kinds[kept_from:].replace("u", "").replace("a", "").startswith("t")
    if "c" in kinds:
        assert kept_from <= kinds.rindex("c") or "u" in kinds[kinds.rindex("c") :]
    if kinds[-1:] in ("u", "a") and "u" in kinds and kinds.endswith("ua"):
        assert kept_from <= len(kinds) - 2


@given(KINDS.filter(bool), st.data())
def test_step_of_folding_ends_where_a_history_may_begin(kinds: str, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 300), min_size=len(kinds), max_size=len(kinds)))
    step = data.draw(st.integers(1, 2_000))
    count = budget.step_to(counts, kinds, step)
    assert 1 <= count <= len(kinds)
    assert not kinds[count:].replace("u", "").replace("a", "").startswith("t")
    # More than a step holds is taken only where less would part a call from its results, or be nothing.
    if sum(counts[:count]) > step:
        assert not any(
            sum(counts[:at]) <= step and not kinds[at:].replace("u", "").replace("a", "").startswith("t") for at in range(1, count)
        )
