"""Rounds that are shortened: they get as small as they have to, keep their calls and results paired, and lose the oldest first."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.chat.shorten import count, shortened

WORDS = "The parcel went to shelf nine, and nobody knows why it was opened before. "


def rounds_of(sizes: list[tuple[int, int]]) -> list[Any]:
    found: list[Any] = []
    for number, (said, result) in enumerate(sizes):
        arguments = json.dumps({"text": WORDS * said})
        call = {"id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": arguments}}
        found.append({"role": "assistant", "content": None, "tool_calls": [call]})
        found.append({"role": "tool", "content": WORDS * result, "tool_call_id": f"c{number}"})
    return found


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 300)), min_size=1, max_size=6), share=st.floats(0.01, 1.2))
def test_rounds_are_as_small_as_asked_or_as_they_can_be_and_keep_their_form(sizes: list[tuple[int, int]], share: float) -> None:
    messages = rounds_of(sizes)
    counts = [count(message) for message in messages]
    over = max(int(sum(counts) * (1 - share)), 0)
    made, left = shortened(messages, counts, over)
    assert left == [count(message) for message in made]
    assert [message["role"] for message in made] == [message["role"] for message in messages]
    for before, after in zip(messages, made, strict=True):
        assert before.keys() == after.keys()
        assert before.get("tool_call_id") == after.get("tool_call_id")
        for call in after.get("tool_calls") or ():
            json.loads(call["function"]["arguments"])
    # Reached, or nothing is left to take: notes, and bare calls.
    assert sum(left) <= sum(counts) - over or max(left) <= 45
    if over == 0:
        assert made == messages
    # Of results that are long, an older one is never longer than it was while a newer one had to give.
    cut = [at for at, (before, after) in enumerate(zip(messages, made, strict=True)) if before != after and before["role"] == "tool"]
    long = [at for at in range(1, len(messages), 2) if len(messages[at]["content"]) > 800]
    assert [at for at in long if at in cut] == long[: len([at for at in long if at in cut])]
    # It takes little more than it has to, where beginnings are enough.
    if cut and all("shortened" in made[at]["content"] for at in cut) and sum(left) < sum(counts) - over:
        assert sum(counts) - over - sum(left) <= max(counts[cut[-1]] * 0.3, 150)
