"""What of a history fits into a budget of tokens. Pure; `fit.py` reads what this decides about.

System message, tools and the new messages are fixed. Of the history the summary stays, where there is one, and the newest messages, from
the begin of a turn on; a call of tools is never parted from its results. Tokens are counted as `core/tokens.py` does ("raw"); a provider
counts by another rule, so raw tokens times a running ratio are what is compared with the budget.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from mentha.core.errors import BadRequest

# Before a model's provider has reported any usage. Most tokenizers need more tokens than the one that counts here.
RATIO_START = 1.15
# What a sample can say at most: a provider that reports nonsense must not make a budget meaningless.
RATIO_MIN, RATIO_MAX = 0.7, 4.0
# How far a lower sample draws the ratio down.
RATIO_FALL = 0.1
# In a shorter prompt a provider's own overheads say more than the words.
SAMPLE_TOKENS_MIN = 32
# A lower sample within this share is not worth writing down.
RATIO_TOLERANCE = 0.02
# No model takes more; beyond it, floats would no longer count exactly.
TOKENS_MAX = 10**9
# Of a model's window, for the answer, where the request does not say how long that may get: a quarter, at most this.
ANSWER_TOKENS_DEFAULT = 8_192
# What OpenAI's chat format adds before the answer; the published rule of thumb of its cookbook.
PRIMING_TOKENS = 3
# Folding begins at this share of the budget, and leaves this one.
FOLD_AT, FOLD_TO = 0.75, 0.5
# However large system message and tools are, this share of the budget is for messages that stay as they are.
KEEP_MIN = 0.1
SUMMARY_SHARE, SUMMARY_TOKENS_MIN, SUMMARY_TOKENS_MAX = 0.15, 100, 2_000
# What a model is told beside the messages that it summarises.
FOLD_OVERHEAD_TOKENS = 400
# Messages that are folded at once.
STEP_ENTRIES_MAX = 500

# Kinds of messages, one letter each: calls tools, belongs to what was called before, said by a user or system, anything else.
CALLS, RESULT, INPUT, OTHER = "ctua"
_TURN = re.compile("(?<!u)u")


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens a prompt may have, by its provider's count, and how many of these a raw token is."""

    tokens: int
    ratio: float = RATIO_START

    def estimate(self, raw: int) -> int:
        """Raw tokens as the provider is expected to count them."""
        return math.ceil(round(raw * self.ratio, 6))

    @property
    def room(self) -> int:
        """The most raw tokens that fit."""
        room = int(self.tokens / self.ratio) + 1
        while room > 0 and self.estimate(room) > self.tokens:
            room -= 1
        return room


@dataclass(frozen=True, slots=True)
class Stored:
    """The newest part of a history, as far back as could fit, oldest first.

    Attributes:
        messages: comma-joined JSON, `sizes` bytes each.
        counts: raw tokens of each.
        kinds: a letter for each.
        seqs: the number of each in its session, where each number is taken.
        last_seq: the number of the session's last entry.
        folded_seq: entries up to this number are folded.
        folded_count: how many the summary stands for.
        summary: its message, b"" for none.
    """

    messages: bytes = b""
    sizes: Sequence[int] = ()
    counts: Sequence[int] = ()
    kinds: str = ""
    seqs: Sequence[int] = ()
    last_seq: int = 0
    folded_seq: int = 0
    folded_count: int = 0
    summary: bytes = b""
    summary_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is sent of a history.

    Attributes:
        budget: None where it is not known: then everything is sent.
        model: the name that the ratio is kept under.
        stored: what there was to choose from.
        fixed: raw tokens of all but the history.
        new: those of the new messages among them.
        open_calls: whether the new messages answer calls at the end of the history.
        history: comma-joined JSON messages, the summary first; b"" for none.
        raw: raw tokens of the whole prompt.
        left_out: entries older than the oldest one that is sent, without those that are folded.
        summarised: entries that the summary stands for, where it is sent.
    """

    budget: Budget | None
    model: str
    stored: Stored
    fixed: int
    new: int
    open_calls: bool
    history: bytes
    raw: int
    left_out: int
    summarised: int

    @property
    def estimated(self) -> int:
        """Tokens of the prompt as the provider is expected to count them."""
        return (self.budget or Budget(0)).estimate(self.raw)


def tokens_of(*, token_budget: int | None, window: int | None, answer: int | None) -> int | None:
    """The most tokens of a prompt: the session's budget, else what a model's window leaves beside the answer. None where none is known."""
    if token_budget is not None:
        return min(token_budget, TOKENS_MAX)
    if window is None:
        return None
    window = min(window, TOKENS_MAX)
    return max(1, window - (answer or min(window // 4, ANSWER_TOKENS_DEFAULT)))


def fit(stored: Stored, budget: Budget | None, fixed: int, *, new: int = 0, model: str = "", open_calls: bool = False) -> Fitted:
    """Choose what of a history is sent.

    Args:
        fixed: raw tokens of all but the history.
        new: those of the new messages among them.
        model: the name that the ratio is kept under.
        open_calls: whether the new messages answer calls at the end of the history.

    Raises:
        BadRequest: not even what has to be sent fits.
    """
    counts, kinds = stored.counts, stored.kinds
    summary, start = stored.summary, 0
    # The calls that the new messages answer can't be left out.
    needed = max(kinds.rfind(CALLS), 0) if open_calls else len(counts)
    if budget is not None:
        room = budget.room - fixed
        least = sum(counts[needed:])
        if room < least:
            raise _too_small(budget, fixed + least)
        if stored.summary_tokens > room - least:
            summary = b""
        room -= stored.summary_tokens if summary else 0
        start = min(cut(counts, kinds, room), needed)
    raw = fixed + sum(counts[start:]) + (stored.summary_tokens if summary else 0)
    history = b",".join(part for part in (summary, _from(stored, start)) if part)
    summarised = stored.folded_count if summary else 0
    return Fitted(budget, model, stored, fixed, new, open_calls, history, raw, _left_out(stored, start), summarised)


def counting(fitted: Fitted, ratio: float) -> Fitted:
    """The same with what is known by now of how the provider counts; nothing is chosen anew."""
    return replace(fitted, budget=Budget(fitted.budget.tokens, ratio)) if fitted.budget and ratio != fitted.budget.ratio else fitted


def spare(fitted: Fitted) -> int:
    """The most raw tokens that further messages may have, if all of the history makes room for them that can."""
    if fitted.budget is None:
        return TOKENS_MAX
    stored = fitted.stored
    least = sum(stored.counts[max(stored.kinds.rfind(CALLS), 0) :]) if fitted.open_calls else 0
    return fitted.budget.room - fitted.fixed - least


def again(fitted: Fitted, more: int) -> Fitted:
    """The same with `more` raw tokens of further messages that have to be sent: those of rounds with tools.

    Raises:
        BadRequest: not even what has to be sent fits.
    """
    fixed, new = fitted.fixed + more, fitted.new + more
    return fit(fitted.stored, fitted.budget, fixed, new=new, model=fitted.model, open_calls=fitted.open_calls)


def cut(counts: Sequence[int], kinds: str, room: int) -> int:
    """Where what stays begins: at the oldest turn from which on everything fits; where no turn does, at the oldest message.

    Never between a call of tools and its results. Gives the number of messages where none fits.
    """
    length = len(counts)
    first = length - bisect_right(list(accumulate(reversed(counts))), max(room, 0))
    if first == 0:
        return 0
    turn = next((match.start() for match in _TURN.finditer(kinds, first) if _parts_nothing(kinds, match.start())), length)
    return turn if turn < length else next((at for at in range(first, length) if _parts_nothing(kinds, at)), length)


def fold_to(counts: Sequence[int], kinds: str, keep: int) -> int:
    """Where what is not folded begins: the newest `keep` raw tokens stay, and the newest turn or the last call of tools in any case."""
    length = len(kinds)
    turns = (at for at in range(length - 1, -1, -1) if kinds[at] == INPUT and (at == 0 or kinds[at - 1] != INPUT))
    newest = next((at for at in turns if _parts_nothing(kinds, at)), 0)
    start = min(cut(counts, kinds, keep), max(newest, kinds.rfind(CALLS)))
    # The oldest message here can be the result of a call that is older still.
    return next((at for at in range(start, length) if _parts_nothing(kinds, at)), length)


def step_to(counts: Sequence[int], kinds: str, step: int) -> int:
    """How many of the oldest messages are folded at once: up to `step` raw tokens, to the end of a turn; at least one with its results.

    Args:
        counts: of more than 500 messages, where there are more.
    """
    most = min(max(bisect_right(list(accumulate(counts)), step), 1), STEP_ENTRIES_MAX)
    ends = [at for at in range(1, most + 1) if at == len(kinds) or _parts_nothing(kinds, at)]
    turns = [at for at in ends if at == len(kinds) or (kinds[at] == INPUT and kinds[at - 1] != INPUT)]
    if turns or ends:
        return (turns or ends)[-1]
    return next((at for at in range(most, len(kinds)) if _parts_nothing(kinds, at)), len(kinds))


def keep_tokens(budget: Budget, fixed: int) -> int:
    """Raw tokens of messages that stay when a session is folded."""
    return max(int(budget.room * FOLD_TO) - fixed, int(budget.room * KEEP_MIN), 1)


def step_tokens(budget: Budget) -> int:
    """Raw tokens of messages that a summary is made from at once: as many as fit beside the instruction and the earlier summary."""
    room = budget.room
    return max(room - FOLD_OVERHEAD_TOKENS - summary_tokens(room), room // 4, 1)


def summary_tokens(room: int) -> int:
    """How long a summary may be, in raw tokens, where `room` of them fit into the budget."""
    return max(min(int(room * SUMMARY_SHARE), SUMMARY_TOKENS_MAX), SUMMARY_TOKENS_MIN)


def is_due(fitted: Fitted, answered: int) -> bool:
    """Whether it is time to fold: the budget is nearly reached, and there is more than what stays.

    Args:
        answered: raw tokens of the answer.
    """
    budget = fitted.budget
    if budget is None:
        return False
    nearly = fitted.left_out > 0 or budget.estimate(fitted.raw + answered) > FOLD_AT * budget.tokens
    return nearly and sum(fitted.stored.counts) + fitted.new + answered > keep_tokens(budget, fitted.fixed - fitted.new)


def sample(raw: int, reported: int | None) -> float | None:
    """What a provider's count of a prompt says about the ratio; None where that is nothing to go by."""
    if not reported or reported <= 0 or raw < SAMPLE_TOKENS_MIN:
        return None
    return min(max(reported / raw, RATIO_MIN), RATIO_MAX)


def teaches(ratio: float, seen: float) -> bool:
    """Whether a sample changes the ratio: any higher one does."""
    return seen > ratio or seen < ratio * (1 - RATIO_TOLERANCE)


def _parts_nothing(kinds: str, at: int) -> bool:
    """Whether a history may begin at this message: the next result, if any, comes after the call that it belongs to."""
    result = kinds.find(RESULT, at)
    return result < 0 or 0 <= kinds.find(CALLS, at) < result


def _from(stored: Stored, start: int) -> bytes:
    if start == 0:
        return stored.messages
    if start >= len(stored.sizes):
        return b""
    return stored.messages[sum(stored.sizes[:start]) + start :]


def _left_out(stored: Stored, start: int) -> int:
    if start == 0:
        return 0
    first = stored.seqs[start] if start < len(stored.seqs) else stored.last_seq + 1
    return max(first - 1 - stored.folded_seq, 0)


def _too_small(budget: Budget, least: int) -> BadRequest:
    return BadRequest(
        f"system message, tools and new messages need about {budget.estimate(least)} tokens, and the budget is {budget.tokens}",
        fix="send less, shorten the system template, offer fewer tools, or raise the session's `token_budget`",
    )
