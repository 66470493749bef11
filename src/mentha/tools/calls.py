"""A call of a tool and its result, as values: what a model asked for, and what it is told. Pure.

A result that is an error has two members: `error` says what is wrong, without secrets, and `retry` whether the same call may go well later.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from mentha.core.errors import MenthaError
from mentha.core.json import JSON_DEPTH_MAX_LEVELS, JsonInvalid, JsonObject, JsonValue, dumps, loads_hostile

# Methods that do the same when they do it twice (RFC 9110, section 9.2.2).
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
# Types whose calls the server runs; all others are the client's to run.
SERVER_TYPES = frozenset({"api_call", "integration", "system"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as the model made it.

    Attributes:
        position: its place among all calls of its round.
        arguments: JSON text, of which nobody knows yet whether it is any.
    """

    position: int
    id: str
    name: str
    arguments: str

    @property
    def digest(self) -> bytes:
        """What tells its arguments from others."""
        return hashlib.sha256(self.arguments.encode("utf-8", "surrogatepass")).digest()


class ToolFailed(Exception):
    """A call that failed in a way that the model should know.

    Args:
        message: what is wrong, and what to do; holds no secrets.
        retry: whether the same call may go well later.
        more: further members of the result, like the status and the body of an answer.
    """

    def __init__(self, message: str, *, retry: bool = False, more: Mapping[str, JsonValue] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry = retry
        self.more = dict(more or {})


@dataclass(frozen=True, slots=True)
class Result:
    """What a call gave: `value` is JSON, or text."""

    value: JsonValue
    ok: bool = True
    # For the log: what kind of tool it was; empty for an unknown one.
    kind: str = field(default="", compare=False)


def calls_of(tool_calls: list[JsonObject]) -> list[Call]:
    """The calls of an assistant's message."""
    found: list[Call] = []
    for position, call in enumerate(tool_calls):
        function = call.get("function") or {}
        found.append(
            Call(position, str(call.get("id") or f"call_{position}"), str(function.get("name")), str(function.get("arguments") or ""))
        )
    return found


def arguments_of(call: Call) -> JsonObject:
    """What a call is made with; no text at all is an empty object.

    Raises:
        ToolFailed: it is no JSON, or no object.
    """
    if not call.arguments.strip():
        return {}
    try:
        value = loads_hostile(call.arguments.encode("utf-8", "replace"), depth_max_levels=JSON_DEPTH_MAX_LEVELS)
    except JsonInvalid as error:
        raise ToolFailed(f"the arguments are not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ToolFailed("the arguments must be a JSON object")
    return value


def failed(error: ToolFailed, kind: str = "") -> Result:
    """A failure as a result."""
    return Result({"error": error.message, "retry": error.retry, **error.more}, ok=False, kind=kind)


def told(error: MenthaError) -> ToolFailed:
    """An error of ours as a failure of a call: its message and what to do about it hold no secrets."""
    message = f"{error.message}: {error.fix}" if error.fix else error.message
    return ToolFailed(message, retry=bool(error.retry))


def text_of(value: JsonValue, *, bytes_max: int) -> str:
    """A result as the text that a model gets: JSON but for what is text already, cut where it is too long, which it says."""
    whole = (value if isinstance(value, str) else dumps(value).decode()).replace("\x00", "")
    raw = whole.encode("utf-8", "replace")
    if len(raw) <= bytes_max:
        return raw.decode()
    note = f"\n[cut: these are the first {bytes_max} of {len(raw)} bytes]"
    return raw[:bytes_max].decode("utf-8", "ignore") + note


def message_of(call: Call, text: str) -> JsonObject:
    """The message that answers a call."""
    return {"role": "tool", "content": text, "tool_call_id": call.id}
