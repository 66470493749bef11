"""The laws of dividing what a call of an embedder cost: nothing is lost, nobody is left out, and each pays for the length of its texts."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.recall.spent import shares

texts = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8_000)), min_size=1, max_size=60)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9), texts)
def test_shares_of_a_call_add_up_and_follow_the_length_of_the_texts(total: int, lengths: list[tuple[int, int]]) -> None:
    parts = shares(total, [payer for payer, _ in lengths], [chars for _, chars in lengths])
    assert sum(parts.values()) == total
    assert parts.keys() == {payer for payer, _ in lengths}
    whole = sum(chars for _, chars in lengths)
    for payer, part in parts.items():
        own = sum(chars for each, chars in lengths if each == payer)
        assert abs(part - (total * own / whole if whole else total / len(parts))) < 1
