"""Prompts of tasks: what is sent to a model, what its answer looks like to later steps, and what clients answer to its calls. Pure."""

import hashlib
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.providers.types import Completion, Usage
from mentha.tools.messages import NO_RESULT, expanded
from mentha.wire.chat import Message
from mentha.workflow.moves import Fail

MESSAGES_MAX = 10_000
_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])
# Names that clients give to what a call has given, in the order in which they are looked for.
_RESULTS = ("content", "output", "result")


class PromptInvalid(ValueError):
    """What a prompt evaluated to, or what a client has sent, makes no messages. The text says why, without values."""


def to_evaluate(prompt: JsonValue) -> JsonValue:
    """What of a prompt has expressions: all of a text; of messages their roles and contents."""
    if not isinstance(prompt, list):
        return prompt
    return [{"role": message["role"], "content": message["content"]} for message in prompt]


def messages_of(prompt: JsonValue, evaluated: JsonValue) -> list[JsonObject]:
    """The messages that a prompt sends, as providers take them. A text may give a list of them; anything else is one of a user.

    Raises:
        PromptInvalid: they are no messages.
    """
    if isinstance(prompt, list):
        given = [_plain({**message, **made}) for message, made in zip(prompt, evaluated, strict=True)]
    elif isinstance(evaluated, list) and evaluated and all(isinstance(each, dict) and "role" in each for each in evaluated):
        given = [_plain(each) for each in evaluated]
    else:
        given = [{"role": "user", "content": _text(evaluated)}]
    if not given or len(given) > MESSAGES_MAX:
        raise PromptInvalid(f"a prompt has 1 to {MESSAGES_MAX} messages; this one has {len(given)}")
    try:
        return [draft.message for message in _MESSAGES.validate_python(given) for draft in expanded(message)]
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in fault["loc"] if not str(part).startswith("~"))
        raise PromptInvalid(f"the prompt's message {place}: {fault['msg']}") from None


def results_of(calls: list[JsonObject], given: JsonValue) -> list[JsonObject]:
    """The messages that answer a model's calls, of what a client has sent: one for each call, in order.

    A list of `{tool_call_id, content}` (or `output`), also under `tool_outputs`; an object by the ids of calls; or for a single call what
    it gave. A call that is left out gets a message that says so.

    Raises:
        PromptInvalid: it names none of the calls.
    """
    ids = [call["id"] for call in calls]
    by_id = _by_id(ids, given)
    if not by_id:
        if len(ids) != 1:
            raise PromptInvalid("the answer to several calls is a list of {tool_call_id, content}, or an object by the ids of the calls")
        by_id = {ids[0]: given}
    return [{"role": "tool", "content": _text(by_id.get(each, NO_RESULT)), "tool_call_id": each} for each in ids]


def completion_of(completion: Completion, usage: Usage | None, *, key: str, created_s: float) -> JsonObject:
    """An answer as OpenAI's API has it.

    Args:
        key: what its id is made of.
        created_s: since 1970.
    """
    message: JsonObject = {"role": completion.role, "content": completion.content, "tool_calls": completion.tool_calls or None}
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason, "logprobs": completion.logprobs}
    return {
        "id": f"chatcmpl-{hashlib.sha256(key.encode()).hexdigest()[:24]}",
        "object": "chat.completion",
        "created": int(created_s),
        "model": completion.model,
        "choices": [choice],
        "usage": usage_of(usage),
    }


def assistant_of(completion: Completion) -> JsonObject:
    """An answer as a message."""
    message: JsonObject = {"role": "assistant", "content": completion.content}
    return {**message, "tool_calls": completion.tool_calls} if completion.tool_calls else message


def usage_of(usage: Usage | None) -> JsonObject | None:
    """Tokens by name."""
    if usage is None:
        return None
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "total_tokens": usage.total_tokens}


def unwrapped(completion: Completion) -> str | Fail:
    """The text alone.

    Source: section 2.3 of the tasks' spec for the words.
    """
    if completion.tool_calls:
        return Fail("Tool calls cannot be unwrapped: set `unwrap: false`, or `auto_run_tools: true`", "tool_calls")
    return completion.content or ""


def _plain(message: JsonObject) -> JsonObject:
    """A message without members that say nothing: providers refuse an empty list of calls."""
    rest = {name: value for name, value in message.items() if value not in (None, [])}
    return {**rest, "content": _content(message.get("content"))}


def _content(value: JsonValue) -> JsonValue:
    """Text and parts as they are; any other JSON, which an expression may give, as text."""
    if value is None or isinstance(value, str):
        return value
    is_parts = (
        isinstance(value, list) and value and all(isinstance(part, str) or (isinstance(part, dict) and "type" in part) for part in value)
    )
    return value if is_parts else _text(value)


def _by_id(ids: list[str], given: JsonValue) -> dict[str, Any]:
    if isinstance(given, dict) and isinstance(given.get("tool_outputs"), list):
        given = given["tool_outputs"]
    if isinstance(given, dict) and given.get("tool_call_id") in ids:
        given = [given]
    if isinstance(given, dict):
        return {name: value for name, value in given.items() if name in ids}
    if not isinstance(given, list):
        return {}
    named = [(each.get("tool_call_id", each.get("id")), each) for each in given if isinstance(each, dict)]
    return {str(call_id): _result(each) for call_id, each in named if call_id in ids}


def _result(answer: JsonObject) -> JsonValue:
    return next((answer[name] for name in _RESULTS if name in answer), None)


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else dumps(value).decode()
