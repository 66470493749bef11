"""`mentha/echo`: a model that calls nobody and needs no key, for a first try, for examples and for tests of a whole installation.

It is deterministic and says in every answer what it is. It tells how many earlier messages it was given, so that memory can be seen to
work. It calls a tool when the last user message is `call:NAME {json}` and a tool of that name is offered; the arguments may be left out.
Streams and whole answers hold the same text.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, cast

from mentha.core import clock, tokens
from mentha.core.errors import ProviderRefused
from mentha.core.ids import new_id
from mentha.core.json import JsonInvalid, JsonObject, dumps, loads
from mentha.providers.types import ECHO_MODEL, Completion, Delta, Usage

QUOTED_CHARS_MAX = 2_000
CHUNKS_MAX = 16
CHUNK_CHARS_MIN = 12
CALL = re.compile(r"\s*call:(?P<name>[\w.-]{1,120})\s*(?P<arguments>\{.*\})?\s*", re.DOTALL)


async def complete(body: bytes) -> Completion:
    """The whole answer to the body of a chat request.

    Raises:
        ProviderRefused: the body is no chat request.
    """
    asked = _parse(body)
    messages = cast("list[JsonObject]", asked["messages"])
    call = _tool_call(asked, messages)
    content = None if call else _say(messages)
    counted = await _usage(messages, content or dumps(call).decode())
    return Completion("assistant", content, [call] if call else [], "tool_calls" if call else "stop", None, counted, ECHO_MODEL)


async def stream(body: bytes) -> AsyncIterator[Delta]:
    """The same answer in several deltas; the last one has the usage.

    Raises:
        ProviderRefused: the body is no chat request.
    """
    answer = await complete(body)
    for part in _parts(answer.content or ""):
        yield Delta(content=part, model=ECHO_MODEL)
    if answer.tool_calls:
        yield Delta(tool_calls=[{**call, "index": index} for index, call in enumerate(answer.tool_calls)], model=ECHO_MODEL)
    yield Delta(finish_reason=answer.finish_reason, model=ECHO_MODEL)
    yield Delta(usage=answer.usage, model=ECHO_MODEL)


def _parse(body: bytes) -> JsonObject:
    try:
        asked = loads(body)
    except JsonInvalid:
        asked = None
    request = cast("JsonObject", asked) if isinstance(asked, dict) else {}
    if not _are_objects(request.get("messages")):
        raise _refused("the request has no list of messages")
    for message in request["messages"]:
        content = message.get("content")
        if content is not None and not isinstance(content, str) and not _are_objects(content):
            raise _refused("the content of a message is neither text nor a list of parts")
    if not all(isinstance(tool.get("function"), dict | None) for tool in _tools(request)):
        raise _refused("a tool's function is no object")
    return request


def _tools(asked: JsonObject) -> list[JsonObject]:
    tools = asked.get("tools") or []
    if not _are_objects(tools):
        raise _refused("the tools are no list of objects")
    return tools


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in cast("list[Any]", value))


def _refused(why: str) -> ProviderRefused:
    return ProviderRefused(f"{ECHO_MODEL}: {why}", provider="mentha", model=ECHO_MODEL)


def _say(messages: list[JsonObject]) -> str:
    name = f"{ECHO_MODEL} (no model: it only repeats)"
    if messages and messages[-1].get("role") == "tool":
        return f"{name}. The tool answered: «{_quote(messages[-1])}»."
    talk = [message for message in messages if message.get("role") != "system"]
    users = [message for message in talk if message.get("role") == "user"]
    if not users:
        return f"{name}. There is no message of a user."
    said = f"{name}. You said: «{_quote(users[-1])}»."
    last = max(index for index, message in enumerate(talk) if message.get("role") == "user")
    if last == 0:
        return f"{said} I remember no earlier message."
    earlier = f"{last} earlier message{'' if last == 1 else 's'}"
    first = f"; the first user message was «{_quote(users[0])}»" if len(users) > 1 else ""
    return f"{said} I remember {earlier}{first}."


def _tool_call(asked: JsonObject, messages: list[JsonObject]) -> JsonObject | None:
    if not messages or messages[-1].get("role") != "user":
        return None
    found = CALL.fullmatch(_text(messages[-1]))
    offered = [(tool.get("function") or {}).get("name") for tool in _tools(asked)]
    if not found or found["name"] not in offered:
        return None
    return {
        "id": f"call_echo_{len(messages)}",
        "type": "function",
        "function": {"name": found["name"], "arguments": found["arguments"] or "{}"},
    }


def shown(answer: Completion) -> JsonObject:
    """An answer in the form of OpenAI's chat API."""
    message = {"role": "assistant", "content": answer.content, **({"tool_calls": answer.tool_calls} if answer.tool_calls else {})}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return {**_head("chat.completion"), "choices": [choice], "usage": asdict(answer.usage) if answer.usage else None}


async def events(body: bytes) -> list[bytes]:
    """The same answer as the data of the events of a stream.

    Raises:
        ProviderRefused: the body is no chat request.
    """
    head, made = _head("chat.completion.chunk"), list[bytes]()
    async for delta in stream(body):
        if delta.usage:
            made.append(dumps({**head, "choices": [], "usage": asdict(delta.usage)}))
            continue
        change: JsonObject = (
            {"role": "assistant", "content": delta.content or ""} if delta.tool_calls is None else {"tool_calls": delta.tool_calls}
        )
        choice = {"index": 0, "delta": change, "logprobs": None, "finish_reason": delta.finish_reason}
        made.append(dumps({**head, "choices": [choice]}))
    return made


def _head(kind: str) -> JsonObject:
    return {"id": f"chatcmpl-{new_id().hex}", "object": kind, "created": int(clock.now().timestamp()), "model": ECHO_MODEL}


def _parts(content: str) -> list[str]:
    size = max(CHUNK_CHARS_MIN, -(-len(content) // CHUNKS_MAX))
    return [content[at : at + size] for at in range(0, len(content), size)]


async def _usage(messages: list[JsonObject], said: str) -> Usage:
    *prompt, completed = await tokens.count_many([*map(_text, messages), said])
    total = sum(prompt) + tokens.TOKENS_PER_MESSAGE * len(messages)
    return Usage(total, completed, total + completed)


def _quote(message: JsonObject) -> str:
    text = _text(message)
    return text if len(text) <= QUOTED_CHARS_MAX else f"{text[:QUOTED_CHARS_MAX]}…"


def _text(message: JsonObject) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = cast("list[JsonObject]", content)
        return "".join(str(part.get("text", "")) if part.get("type") == "text" else "[image]" for part in parts)
    return content if isinstance(content, str) else ""
