"""Messages as clients send them, made into those that providers take, and what is to be shown of them. Pure.

`content` keeps the client's own form where that differs (plain strings in a list, `tool_result` parts), so that a history can show it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mentha.core.json import JsonObject, JsonValue
from mentha.wire.chat import FilePart, ImagePart, Message, TextPart, ToolResultPart

NAME_CHARS_MAX = 64
NO_RESULT = "No result was given for this call."
_UNSENDABLE = re.compile(r"[^A-Za-z0-9_-]+")


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


def expanded(message: Message) -> list[Draft]:
    """What a message is sent as: one, or for results of tools in parts one for each result and one for the rest."""
    parts = message.content if isinstance(message.content, list) else None
    results = [part for part in parts or () if isinstance(part, ToolResultPart)]
    if not results:
        return [_draft(message, parts)]
    drafted = [draft for result in results for draft in _result(result)]
    rest = [part for part in parts or () if not isinstance(part, ToolResultPart)]
    return [*drafted, _draft(message, rest)] if rest else drafted


def sendable_name(name: str | None) -> str | None:
    """A name as every provider takes it: letters, digits, `_` and `-`; None where nothing is left of it."""
    return _UNSENDABLE.sub("_", name).strip("_")[:NAME_CHARS_MAX] or None if name else None


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
    if not sent:
        # Providers refuse an empty list, and histories have one where a message was nothing but calls.
        return None if message.tool_calls else "", None
    if len(sent) == 1 and sent[0]["type"] == "text":
        return sent[0]["text"], None
    if message.role == "tool" and all(part["type"] == "text" for part in sent):
        # Several providers take only a string as the result of a tool.
        return "\n".join(part["text"] for part in sent), sent
    return sent, None


def _part(part: str | TextPart | ImagePart | FilePart) -> JsonObject:
    if isinstance(part, ImagePart | FilePart):
        return part.model_dump(mode="json")
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
