"""The loop of a model and its tools: ask, run what it asks for, ask again with the results, until it answers in words. Knows no sessions.

    ask ── calls of ours ──→ run all at once ──→ results ──→ ask …
     │ └── calls that the client runs ──→ ours of this round are run first, then the loop stops
     └── no calls ──→ the end

Laws: rounds are limited, and after the last one the model must answer without tools; a choice that forces a call counts once; every call
of ours has exactly one result, an error at worst; nothing here raises but what `ask` and the journal raise.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from mentha import observe
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.observe.events import ToolCalled, ToolLoopEnded
from mentha.providers.types import Completion, Usage
from mentha.tools.calls import Call, Result, ToolFailed, calls_of, failed, message_of, text_of

# Part of the time that is kept for the model's last answer: no call of a tool may take it.
ANSWER_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Limits:
    """What a loop may cost.

    Attributes:
        until_s: on the clock of `time.monotonic`, when the answer must be there.
        call_timeout_s: for one call.
    """

    rounds_max: int
    calls_at_once_max: int
    result_bytes_max: int
    call_timeout_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """One round: what the model said, with the calls that were run, and their results in order.

    Attributes:
        message: as a provider takes it.
        results: messages of role `tool`, one for each call of `message`.
    """

    message: JsonObject
    results: list[JsonObject]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a loop ended.

    Attributes:
        completion: the last answer, with the calls that are the client's to run, and the usage of all rounds.
    """

    completion: Completion
    rounds: list[Round]
    warnings: list[str]


class Ask(Protocol):
    """Asks the model: all messages as a JSON array, and which tool it must call (None: as the provider likes)."""

    def __call__(self, messages: bytes, choice: JsonValue) -> Awaitable[Completion]:
        """The model's whole answer; a stream is shown by whoever made this."""
        ...


class Runner(Protocol):
    """Runs calls on the server."""

    def is_ours(self, name: str) -> bool:
        """Whether a call of this name is for the server to run: false only for tools that the client runs."""
        ...

    async def run(self, call: Call, *, place: str) -> Result:
        """Run a call; whatever goes wrong is a result.

        Args:
            place: its round and its place in it: what tells it from all others of this loop, and is the same in a later run.
        """
        ...


class Journal(Protocol):
    """Remembers what was done, for a later run of the same request."""

    def completion(self, number: int) -> Completion | None:
        """What the model said in this round before, if it was asked."""
        ...

    async def begin(self, number: int, completion: Completion, calls: Sequence[Call]) -> Completion:
        """Write a round before its calls are made.

        Returns:
            What counts: another answer where another process wrote the round first.
        """
        ...

    def result(self, number: int, call: Call) -> str | None:
        """The text of a call that has ended before."""
        ...

    async def end(self, number: int, call: Call, text: str) -> None:
        """Write the result of a call."""
        ...


# Told of each round whose calls are run here: the words that nobody saw yet (of a round that is taken from the journal), and the calls.
Show = Callable[[str | None, list[JsonObject]], None]


def _show_nobody(_text: str | None, _calls: list[JsonObject]) -> None:
    return


class Loop:
    """One loop. Make it, then `run` it once."""

    def __init__(self, ask: Ask, runner: Runner, limits: Limits, *, journal: Journal | None = None, show: Show = _show_nobody) -> None:
        self._ask = ask
        self._runner = runner
        self._limits = limits
        self._journal = journal
        self._show = show
        self._free = asyncio.Semaphore(limits.calls_at_once_max)
        self._calls = 0

    async def run(self, messages: bytes, choice: JsonValue = None) -> Outcome:
        """Go on until the model answers, asks the client, or the limits are reached.

        Args:
            messages: a JSON array that is not empty.
            choice: `tool_choice` of the first round; a forced one is dropped after it.

        Raises:
            ProviderError, Unavailable: what `ask` and the journal raise.
        """
        began, rounds, usages = time.monotonic(), list[Round](), list[Usage | None]()
        last, ends = None, "answered"
        for number in range(self._limits.rounds_max):
            completion, is_replayed = await self._next(number, messages, choice)
            usages.append(completion.usage)
            ours = self._ours(completion)
            places = {call.position for call in ours}
            theirs = [call for place, call in enumerate(completion.tool_calls) if place not in places]
            if ours:
                done = await self._round(number, completion, ours, is_replayed=is_replayed, with_text=not theirs)
                rounds.append(done)
                messages = _extended(messages, done)
            if theirs or not ours:
                last, ends = replace(completion, tool_calls=theirs), "client" if theirs else "answered"
                break
            choice = None if choice != "none" else choice
            if self._is_late(began):
                ends = "time"
                break
        else:
            ends = "rounds"
        warnings = list[str]()
        if last is None:
            warnings.append(_cut_short(ends, self._limits))
            last = _without_calls(await self._ask(messages, "none"))
            usages.append(last.usage)
        observe.emit(ToolLoopEnded(rounds=len(rounds), calls=self._calls, ends=ends, took_s=time.monotonic() - began))
        return Outcome(replace(last, usage=summed(usages)), rounds, warnings)

    async def _next(self, number: int, messages: bytes, choice: JsonValue) -> tuple[Completion, bool]:
        """What the model says in a round, and whether it said so in an earlier run. Where calls of ours are in it, it is written down."""
        before = self._journal.completion(number) if self._journal else None
        if before is not None:
            return before, True
        completion = await self._ask(messages, choice)
        ours = self._ours(completion)
        return await self._journal.begin(number, completion, ours) if self._journal and ours else completion, False

    def _ours(self, completion: Completion) -> list[Call]:
        return [call for call in calls_of(completion.tool_calls) if self._runner.is_ours(call.name)]

    async def _round(self, number: int, completion: Completion, ours: list[Call], *, is_replayed: bool, with_text: bool) -> Round:
        """Run the calls of a round at the same time."""
        asked = [completion.tool_calls[call.position] for call in ours]
        self._show(completion.content if is_replayed else None, asked)
        self._calls += len(ours)
        texts = await asyncio.gather(*(self._one(number, call) for call in ours))
        # The text of a round that the client has to go on with belongs to the message that it gets.
        message: JsonObject = {"role": "assistant", "content": completion.content if with_text else None, "tool_calls": asked}
        return Round(message, [message_of(call, text) for call, text in zip(ours, texts, strict=True)])

    async def _one(self, number: int, call: Call) -> str:
        before = self._journal.result(number, call) if self._journal else None
        if before is not None:
            return before
        async with self._free:
            result = await self._timed(number, call)
        text = text_of(result.value, bytes_max=self._limits.result_bytes_max)
        if self._journal:
            await self._journal.end(number, call, text)
        return text

    async def _timed(self, number: int, call: Call) -> Result:
        began = time.monotonic()
        left_s = self._limits.until_s - began
        limit_s = min(self._limits.call_timeout_s, left_s * (1 - ANSWER_SHARE))
        try:
            async with asyncio.timeout(max(limit_s, 0)):
                result = await self._runner.run(call, place=f"{number}/{call.position}")
        except TimeoutError:
            result = failed(ToolFailed(f"the call did not end within {limit_s:.3g} s; it may have had its effect"))
        observe.emit(ToolCalled(kind=result.kind or "unknown", ok=result.ok, took_s=time.monotonic() - began))
        return result

    def _is_late(self, began: float) -> bool:
        whole_s = self._limits.until_s - began
        return self._limits.until_s - time.monotonic() <= whole_s * ANSWER_SHARE


def summed(usages: Sequence[Usage | None]) -> Usage | None:
    """The usage of all rounds; None where no round reported any."""
    known = [usage for usage in usages if usage]
    if not known:
        return None
    return Usage(
        sum(usage.prompt_tokens for usage in known),
        sum(usage.completion_tokens for usage in known),
        sum(usage.total_tokens for usage in known),
    )


def _extended(messages: bytes, done: Round) -> bytes:
    return messages[:-1] + b"".join(b"," + dumps(message) for message in (done.message, *done.results)) + b"]"


def _without_calls(completion: Completion) -> Completion:
    """An answer without the calls that a model makes although it was told not to."""
    if not completion.tool_calls:
        return completion
    return replace(completion, tool_calls=[], content=completion.content or "", finish_reason="stop")


def _cut_short(ends: str, limits: Limits) -> str:
    if ends == "time":
        return "the time for tools was over: the model had to answer with what it had"
    return f"the model asked for tools in {limits.rounds_max} rounds, which is the most: it had to answer with what it had"
