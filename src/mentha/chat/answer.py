"""What a turn answers, as JSON: the whole answer, and the chunks of a stream. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from mentha.chat.budget import Fitted
from mentha.core.clock import iso
from mentha.core.json import JsonObject, dumps, loads
from mentha.providers.types import Completion, Usage


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of a turn repeats, and its whole answer has once."""

    id: UUID
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Notes:
    """What an answer tells of its context.

    Attributes:
        context: what of it was sent, None where all of it is.
        jobs: ids of background work that the turn has started, or that runs for its session.
    """

    context: JsonObject | None = None
    jobs: tuple[str, ...] = ()


NO_DOCS = b"[]"
NO_NOTES = Notes()


def context_of(fitted: Fitted | None) -> JsonObject | None:
    """What an answer tells of what was sent: how much of which budget, and what was not."""
    if fitted is None:
        return None
    return {
        "budget_tokens": fitted.budget.tokens if fitted.budget else None,
        "estimated_tokens": fitted.estimated,
        "left_out": fitted.left_out,
        "summarised": fitted.summarised,
    }


def whole(head: Head, completion: Completion, warnings: Sequence[str], docs: bytes = NO_DOCS, notes: Notes = NO_NOTES) -> bytes:
    """The body of an answer that is not streamed; it is also what is kept for replay.

    Args:
        docs: what was recalled, as a JSON list.
    """
    message = {
        "role": completion.role,
        "content": completion.content,
        "name": None,
        "tool_call_id": None,
        "tool_calls": completion.tool_calls,
        "id": None,
        "created_at": None,
    }
    choice = {
        "index": 0,
        "finish_reason": completion.finish_reason,
        "logprobs": completion.logprobs,
        "tool_calls": None,
        "message": message,
    }
    envelope = {"id": head.id, "created_at": iso(head.created_at), "jobs": notes.jobs}
    rest = {"usage": _usage(completion.usage), "choices": [choice], "warnings": list(warnings), "context": notes.context}
    return dumps(envelope)[:-1] + b',"docs":' + docs + b"," + dumps(rest)[1:]


class Writer(Protocol):
    """How the answer of one turn is written: its pieces as they come, and the whole. One for a turn."""

    def text(self, content: str) -> bytes:
        """A piece of text."""
        ...

    def tool_calls(self, calls: Sequence[JsonObject]) -> bytes:
        """All calls of a round; those that the server runs are marked `auto_run`."""
        ...

    def whole(self, completion: Completion, rounds: Sequence[str], warnings: Sequence[str], notes: Notes) -> bytes:
        """The body of the answer, which is also kept for replay.

        Args:
            rounds: what the model said before it called tools that the server ran.
        """
        ...

    def last(self, finish_reason: str, usage: Usage | None, warnings: Sequence[str], notes: Notes = NO_NOTES) -> bytes:
        """The end of a stream, once the turn is stored."""
        ...


class Chunks:
    """Writes the chunks of one stream. Every one has a choice and a role in its delta; only the first has `docs`, only the last `usage`."""

    def __init__(self, head: Head, docs: bytes = NO_DOCS) -> None:
        envelope = dumps({"id": head.id, "created_at": iso(head.created_at), "jobs": []})[:-1]
        self._head, self._docs = head, docs
        self._first = b"data: " + envelope + b',"docs":' + docs + b","
        self._later = b"data: " + envelope + b","
        self._begun = False

    def text(self, content: str) -> bytes:
        """A piece of text. Built from bytes: this is the hot path of a stream."""
        return (
            self._opening()
            + b'"usage":null,"choices":[{"index":0,"finish_reason":null,"logprobs":null,"tool_calls":null,'
            + b'"delta":{"role":"assistant","content":'
            + dumps(content)
            + b',"tool_calls":null}}]}\n\n'
        )

    def tool_calls(self, calls: Sequence[JsonObject]) -> bytes:
        """All calls, whole: clients of this API do not join pieces."""
        return self._event(None, {"role": "assistant", "content": None, "tool_calls": list(calls)}, None)

    def whole(self, completion: Completion, rounds: Sequence[str], warnings: Sequence[str], notes: Notes) -> bytes:
        """The body of an answer that is not streamed."""
        del rounds  # a chat's answer has only the last words
        return whole(self._head, completion, warnings, self._docs, notes)

    def last(self, finish_reason: str, usage: Usage | None, warnings: Sequence[str], notes: Notes = NO_NOTES) -> bytes:
        """The end of a turn that is stored."""
        if notes.jobs:
            jobs = b'"jobs":' + dumps(notes.jobs)
            self._first, self._later = (opening.replace(b'"jobs":[]', jobs, 1) for opening in (self._first, self._later))
        delta = {"role": "assistant", "content": "", "tool_calls": None}
        return self._event(finish_reason, delta, usage, warnings=list(warnings), context=notes.context)

    def _opening(self) -> bytes:
        if self._begun:
            return self._later
        self._begun = True
        return self._first

    def _event(self, finish_reason: str | None, delta: JsonObject, usage: Usage | None, **more: object) -> bytes:
        choice = {"index": 0, "finish_reason": finish_reason, "logprobs": None, "tool_calls": None, "delta": delta}
        return self._opening() + dumps({"usage": _usage(usage), "choices": [choice], **more})[1:] + b"\n\n"


def failed(head: Head, body: JsonObject) -> bytes:
    """The end of a stream whose turn failed after its first chunk; nothing of the turn is stored.

    Args:
        body: the body of an error, `{"error": {…}}`.
    """
    delta = {"role": "assistant", "content": "", "tool_calls": None}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None, "tool_calls": None, "delta": delta}
    envelope = {"id": head.id, "created_at": iso(head.created_at), "jobs": [], "usage": None, "choices": [choice]}
    return b"data: " + dumps({**envelope, **body}) + b"\n\n"


def replayed(answer: bytes) -> list[bytes]:
    """A kept answer as a stream: its text in one chunk, its calls in one, and the end."""
    kept = loads(answer)
    choice = kept["choices"][0]
    chunks = Chunks(Head(UUID(kept["id"]), datetime.fromisoformat(kept["created_at"])), dumps(kept["docs"]))
    usage = Usage(**kept["usage"]) if kept["usage"] else None
    events = [chunks.text(choice["message"]["content"])] if choice["message"]["content"] else []
    if choice["message"]["tool_calls"]:
        events.append(chunks.tool_calls(choice["message"]["tool_calls"]))
    # An answer that an older version kept has no context.
    notes = Notes(kept.get("context"), tuple(kept["jobs"]))
    return [*events, chunks.last(choice["finish_reason"], usage, kept["warnings"], notes)]


def _usage(usage: Usage | None) -> JsonObject | None:
    if usage is None:
        return None
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": usage.total_tokens}
