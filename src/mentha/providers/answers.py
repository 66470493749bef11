"""What a provider's JSON means: whole answers and stream chunks into `Completion` and `Delta`. Pure.

Providers vary: unknown reasons to finish, content in parts, tool calls without ids or indexes, arguments as objects. Whatever has one
clear meaning is taken; anything else is `BadAnswer`, never a wrong answer.
"""

from collections.abc import Mapping
from typing import Any, cast

from mentha.core.ids import new_id
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.providers.types import Completion, Delta, FinishReason, Usage

TOOL_CALLS_MAX = 128
# No model takes or says so many; sums of what is recorded stay within what the database can count.
TOKENS_MAX = 1_000_000_000

# What providers say besides OpenAI's four words. Anything not listed counts as `stop`: the answer is complete, whatever they call it.
FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}


class BadAnswer(Exception):
    """The payload has no clear meaning. The text says what is wrong with it and quotes nothing of it."""


class ErrorAnswer(Exception):
    """The payload is an error object in place of an answer."""

    def __init__(self, payload: JsonValue) -> None:
        super().__init__("the provider sent an error in place of an answer")
        self.payload = payload


def completion(payload: JsonValue, sent_model: str) -> Completion:
    """A whole answer out of the body of a `chat.completion`.

    Raises:
        BadAnswer: no choices, or a message that makes no sense.
        ErrorAnswer: the body is an error, although the status said 200.
    """
    body = _object(payload)
    choices = body.get("choices")
    if not choices:
        raise BadAnswer("the answer has no choices")
    choice = _object(choices[0] if isinstance(choices, list) else None)
    message = _object(choice.get("message"))
    calls = [_whole_call(call) for call in _calls(message)]
    role = message.get("role")
    return Completion(
        role=role if isinstance(role, str) and role else "assistant",
        content=_content(message),
        tool_calls=calls,
        finish_reason=_finish_reason(choice.get("finish_reason"), called=bool(calls)) or ("tool_calls" if calls else "stop"),
        logprobs=choice.get("logprobs"),
        usage=usage(body.get("usage")),
        model=_text(body.get("model")) or sent_model,
    )


class Chunks:
    """Turns the chunks of one stream into deltas, and knows whether the stream has said that it is complete.

    Attributes:
        finished: a chunk had a reason to finish.
    """

    __slots__ = ("_calls", "_ids", "finished")

    def __init__(self) -> None:
        self.finished = False
        self._calls: set[int] = set()
        self._ids: dict[str, int] = {}

    def delta(self, payload: JsonValue) -> Delta | None:
        """The delta of one chunk; `None` where it says nothing (a role alone, a filter's report).

        Raises:
            BadAnswer: the chunk makes no sense, or there are more than `TOOL_CALLS_MAX` tool calls.
            ErrorAnswer: the chunk is an error object.
        """
        body = _object(payload)
        choices = body.get("choices")
        counted = usage(body["usage"]) if body.get("usage") else None
        if not choices:
            return Delta(usage=counted, model=_text(body.get("model"))) if counted else None
        choice = _object(choices[0] if isinstance(choices, list) else None)
        change = _object(choice.get("delta") or {})
        content = _content(change)
        calls = self._indexed(_calls(change)) if change.get("tool_calls") else None
        reason = None
        if choice.get("finish_reason") and not self.finished:
            reason = _finish_reason(choice["finish_reason"], called=bool(self._calls))
            self.finished = True
        logprobs = choice.get("logprobs")
        if content or calls or reason or counted or logprobs:
            return Delta(content or None, calls, reason, counted, _text(body.get("model")), logprobs)
        return None

    def close(self) -> Delta | None:
        """The last delta of a stream that ended with `[DONE]` and gave no reason to finish; `None` where it gave one."""
        if self.finished:
            return None
        self.finished = True
        return Delta(finish_reason="tool_calls" if self._calls else "stop")

    def _indexed(self, calls: list[JsonObject]) -> list[JsonObject]:
        """Give every entry an index. Gemini's endpoint sends whole calls without one, so a new id there is a new call."""
        for call in calls:
            if not isinstance(call.get("function") or {}, dict):
                raise BadAnswer("a tool call of the answer has a function that is no object")
            index = call.get("index")
            if not isinstance(index, int):
                index = self._index_for(_text(call.get("id")))
                call["index"] = index
            self._calls.add(index)
        if len(self._calls) > TOOL_CALLS_MAX:
            raise BadAnswer(f"the answer has more than {TOOL_CALLS_MAX} tool calls")
        return calls

    def _index_for(self, call_id: str | None) -> int:
        latest = max(self._calls, default=-1)
        if call_id is None:
            return max(latest, 0)
        return self._ids.setdefault(call_id, latest + 1)


def chunk(payload: JsonValue) -> JsonObject:
    """A chunk of a stream as it is, once it is one: an object whose choices, where it has any, are objects.

    Raises:
        BadAnswer: it is none.
        ErrorAnswer: it is an error object.
    """
    body = _object(payload)
    choices = body.get("choices") or []
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in cast("list[Any]", choices)):
        raise BadAnswer("the choices of a chunk are no list of objects")
    return body


def usage(value: JsonValue) -> Usage | None:
    """Token counts, where the provider gave them as numbers that can be true; a missing total is the sum."""
    if not isinstance(value, dict):
        return None
    prompt, completed, total = (_tokens(value.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if prompt is None:
        return None
    return Usage(prompt, completed or 0, prompt + (completed or 0) if total is None else total)


def model_names(payload: JsonValue) -> list[str]:
    """The ids in the body of `GET /models`, in its order.

    Raises:
        BadAnswer: it is no list of models.
    """
    rows = payload.get("data") if isinstance(payload, dict) else payload
    if not isinstance(rows, list):
        raise BadAnswer("the list of models is no list")
    names = (row.get("id") for row in cast("list[Any]", rows) if isinstance(row, dict))
    # Gemini's endpoint lists `models/gemini-…` and takes `gemini-…`.
    return [name.removeprefix("models/") for name in names if isinstance(name, str) and name]


def _object(value: JsonValue) -> JsonObject:
    # Gemini's endpoint wraps its errors in a list.
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        raise BadAnswer("the answer is not what the chat API describes")
    if value.get("error"):
        raise ErrorAnswer(value)
    return cast("JsonObject", value)


def _content(message: JsonObject) -> str | None:
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content
    if isinstance(content, list):
        # Mistral's reasoning models answer in parts, of which only those of the type `text` are the answer.
        parts = (part.get("text") for part in cast("list[Any]", content) if isinstance(part, dict) and part.get("type") == "text")
        return "".join(part for part in parts if isinstance(part, str))
    raise BadAnswer("the content of the answer is neither text nor parts")


def _calls(message: JsonObject) -> list[JsonObject]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in cast("list[Any]", calls)):
        raise BadAnswer("the tool calls of the answer are no list of objects")
    if len(cast("list[Any]", calls)) > TOOL_CALLS_MAX:
        raise BadAnswer(f"the answer has more than {TOOL_CALLS_MAX} tool calls")
    return cast("list[JsonObject]", calls)


def _whole_call(call: JsonObject) -> JsonObject:
    function = call.get("function")
    if not isinstance(function, Mapping) or not _text(function.get("name")):
        raise BadAnswer("a tool call of the answer names no function")
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        # Some local servers send the arguments as an object.
        arguments = dumps(arguments or {}).decode()
    return {
        "id": _text(call.get("id")) or f"call_{new_id().hex}",
        "type": "function",
        "function": {"name": function["name"], "arguments": arguments},
    }


def _finish_reason(value: JsonValue, *, called: bool) -> FinishReason | None:
    if not value:
        return None
    reason = FINISH_REASONS.get(value.lower(), "stop") if isinstance(value, str) else "stop"
    # With a forced tool choice OpenAI itself says `stop`; who reads the answer should not have to know.
    return "tool_calls" if called and reason == "stop" else reason


def _tokens(value: JsonValue) -> int | None:
    return value if type(value) is int and 0 <= value <= TOKENS_MAX else None


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None
