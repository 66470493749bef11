"""The rounds of one turn, made shorter where they alone would exceed its budget: results of tools above all, the oldest first. Pure.

Each is cut as far as it has to be: to its beginning, and where that is not enough of all of them, to a note that something stood there.
Then go the arguments of the model's calls, and last of all the newest results. Only what is sent is shorter; what is stored is whole.
"""

from collections.abc import Sequence

from mentha.chat.messages import countable
from mentha.core import tokens
from mentha.core.json import JsonObject, dumps

# What is left of a text at first.
HEAD_CHARS = 400
# Shorter arguments cost no more than what would stand in their place.
ARGUMENTS_CHARS_MIN = 80
# About what the note behind a beginning costs.
NOTE_TOKENS = 25
ATTEMPTS_MAX = 8


def shortened(messages: Sequence[JsonObject], counts: Sequence[int], over: int) -> tuple[list[JsonObject], list[int]]:
    """The messages with `over` raw tokens less, or with as many less as can be, and what each of them counts then.

    Args:
        counts: raw tokens of each message.
    """
    work = _Work(list(messages), list(counts), over)
    newest = max((at for at, message in enumerate(messages) if message["role"] != "tool"), default=0)
    everything = range(len(messages))
    stages = (
        (work.to_beginning, everything),
        (work.to_note, everything[:newest]),
        (work.without_arguments, everything),
        (work.to_note, everything[newest:]),
    )
    for change, places in stages:
        for at in places:
            if work.over <= 0:
                break
            change(at)
    return work.messages, work.counts


class _Work:
    def __init__(self, messages: list[JsonObject], counts: list[int], over: int) -> None:
        self.messages = messages
        self.counts = counts
        self.over = over

    def to_beginning(self, at: int) -> None:
        """Cut a result to as much of it as fits, at least to its head."""
        message = self.messages[at]
        text = message.get("content")
        if message["role"] != "tool" or not isinstance(text, str) or len(text) <= HEAD_CHARS:
            return
        fits = self.counts[at] - self.over
        chars = max(len(text) * (fits - NOTE_TOKENS) // self.counts[at], HEAD_CHARS)
        cut = _beginning(message, text, chars)
        for _ in range(ATTEMPTS_MAX):
            if chars == HEAD_CHARS or count(cut) <= fits:
                break
            chars = max(chars * 4 // 5, HEAD_CHARS)
            cut = _beginning(message, text, chars)
        self._put(at, cut)

    def to_note(self, at: int) -> None:
        """Leave nothing of a result but that there was one."""
        if self.messages[at]["role"] == "tool":
            self._put(at, {**self.messages[at], "content": "[left out to fit the token budget]"})

    def without_arguments(self, at: int) -> None:
        """Leave nothing of what the model said but which calls it made."""
        message = self.messages[at]
        if message["role"] != "tool":
            self._put(at, {**message, "content": None, "tool_calls": [_bare(call) for call in message.get("tool_calls") or ()]})

    def _put(self, at: int, message: JsonObject) -> None:
        size = count(message)
        if size < self.counts[at]:
            self.over -= self.counts[at] - size
            self.messages[at], self.counts[at] = message, size


def count(message: JsonObject) -> int:
    """Raw tokens of a message without images, its overhead included. The first call in a process takes some 0.3 s: see `tokens.count`."""
    return tokens.count(countable(message)[0]) + tokens.TOKENS_PER_MESSAGE


def _beginning(message: JsonObject, text: str, chars: int) -> JsonObject:
    return {**message, "content": f"{text[:chars]}\n[shortened to fit the token budget: the first {chars} of {len(text)} characters]"}


def _bare(call: JsonObject) -> JsonObject:
    arguments = call["function"]["arguments"] or ""
    if len(arguments) <= ARGUMENTS_CHARS_MIN:
        return call
    left = dumps({"left_out": f"{len(arguments)} characters"}).decode()
    return {**call, "function": {**call["function"], "arguments": left}}
