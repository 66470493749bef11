"""New messages of a turn: from the client's forms to a provider's JSON, and to what is stored. Pure.

A message of ours is what a provider takes. `content` keeps the client's own form where that differs (plain strings in a list, `tool_result`
parts), so that the history can show it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mentha.core.json import JsonObject, JsonValue
from mentha.wire.chat import ImagePart, Message, TextPart, ToolResultPart

NAME_CHARS_MAX = 64
_UNSENDABLE = re.compile(r"[^A-Za-z0-9_-]+")
NO_RESULT = "No result was given for this call."


@dataclass(frozen=True, slots=True)
class Draft:
    """One message to send and to store.

    Attributes:
        name: as the client gave it; `message` has a form of it that every provider takes.
        message: role, content and the rest, as a provider takes it.
        content: the parts to show in the history, None where they follow from `message`.
        source: how it is stored.
    """

    role: str
    name: str | None
    message: JsonObject
    content: list[JsonValue] | None = None
    source: str = "api_request"


def drafts(messages: Sequence[Message], open_calls: Sequence[str]) -> list[Draft]:
    """The new messages, after a stand-in result for each earlier call that they leave unanswered.

    Providers refuse a conversation with an unanswered call, so without the stand-ins one lost result would end the session for good.
    """
    expanded = [draft for message in messages for draft in _expand(message)]
    answered = {draft.message.get("tool_call_id") for draft in expanded}
    missing = [call for call in open_calls if call not in answered]
    return [*map(_stand_in, missing), *expanded]


def templates_of(draft: Draft) -> list[str]:
    """The texts of a message that are templates: those of system and assistant. A user's text never is."""
    if draft.role not in ("system", "assistant"):
        return []
    content = draft.message["content"]
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if part["type"] == "text"]


def with_texts(draft: Draft, texts: Sequence[str]) -> Draft:
    """The same message with its templates replaced, in order, by what they rendered to."""
    content = draft.message["content"]
    if isinstance(content, str):
        return replace(draft, message={**draft.message, "content": texts[0]})
    left = iter(texts)
    parts = [{**part, "text": next(left)} if part["type"] == "text" else part for part in content or ()]
    return replace(draft, message={**draft.message, "content": parts})


def sendable_name(name: str | None) -> str | None:
    """A name as every provider takes it: letters, digits, `_` and `-`; None where nothing is left of it."""
    return _UNSENDABLE.sub("_", name).strip("_")[:NAME_CHARS_MAX] or None if name else None


def countable(message: JsonObject) -> tuple[str, int]:
    """The text of a message whose tokens count, and how many images are in it."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    for call in message.get("tool_calls") or ():
        texts += [call["function"]["name"], call["function"]["arguments"] or ""]
    return "\n".join(texts), sum(part["type"] == "image_url" for part in parts)


def _stand_in(call: str) -> Draft:
    return Draft("tool", None, {"role": "tool", "content": NO_RESULT, "tool_call_id": call}, source="internal")


def _expand(message: Message) -> list[Draft]:
    """One draft, or for results of tools in parts one for each result and one for the rest."""
    parts = message.content if isinstance(message.content, list) else None
    results = [part for part in parts or () if isinstance(part, ToolResultPart)]
    if not results:
        return [_draft(message, parts)]
    drafted = [draft for result in results for draft in _result(result)]
    rest = [part for part in parts or () if not isinstance(part, ToolResultPart)]
    return [*drafted, _draft(message, rest)] if rest else drafted


def _draft(message: Message, parts: Sequence[Any] | None) -> Draft:
    content, shown = _content(message, parts)
    sent: JsonObject = {"role": message.role, "content": content}
    if message.role == "tool":
        sent["tool_call_id"] = message.tool_call_id
    elif name := sendable_name(message.name):
        sent["name"] = name
    if message.tool_calls:
        sent["tool_calls"] = [
            _call(call.id, call.function.name, call.function.arguments, place) for place, call in enumerate(message.tool_calls)
        ]
    return Draft(message.role, message.name, sent, shown)


def _content(message: Message, parts: Sequence[Any] | None) -> tuple[JsonValue, list[JsonValue] | None]:
    """What is sent, and what is shown where that does not follow from it."""
    if parts is None:
        return message.content, None
    sent = [_part(part) for part in parts]
    if len(sent) == 1 and sent[0]["type"] == "text":
        return sent[0]["text"], None
    if message.role == "tool" and all(part["type"] == "text" for part in sent):
        # Several providers take only a string as the result of a tool.
        return "\n".join(part["text"] for part in sent), sent
    return sent, None


def _part(part: str | TextPart | ImagePart) -> JsonObject:
    if isinstance(part, ImagePart):
        return part.model_dump()
    return {"type": "text", "text": part if isinstance(part, str) else part.text}


def _result(result: ToolResultPart) -> list[Draft]:
    texts = [part.text for part in result.content if isinstance(part, TextPart)]
    images = [part for part in result.content if not isinstance(part, TextPart)]
    shown = [result.model_dump(mode="json")]
    text = "\n".join(texts) or ("The result is the image in the next message." if images else "")
    tool = Draft("tool", None, {"role": "tool", "content": text, "tool_call_id": result.tool_use_id}, shown)
    if not images:
        return [tool]
    urls = [f"data:{image.source.media_type};base64,{image.source.data}" for image in images]
    attached = [{"type": "image_url", "image_url": {"url": url, "detail": "auto"}} for url in urls]
    # The history shows the result once, with its images, where the client put it.
    return [tool, Draft("user", None, {"role": "user", "content": attached}, source="internal")]


def _call(call_id: str | None, name: str, arguments: str | None, place: int) -> JsonObject:
    return {"id": call_id or f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments or "{}"}}
