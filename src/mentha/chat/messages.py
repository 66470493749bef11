"""New messages of a turn: what their calls and templates are, and how much they count. Their forms are in `tools/messages.py`. Pure."""

import math
from collections.abc import Sequence
from dataclasses import replace

from mentha.core.json import JsonObject
from mentha.core.tokens import TOKENS_PER_IMAGE
from mentha.tools.messages import NO_RESULT, Draft, expanded
from mentha.wire.chat import Message


def drafts(messages: Sequence[Message], open_calls: Sequence[str]) -> list[Draft]:
    """The new messages, after a stand-in result for each earlier call that they leave unanswered.

    Providers refuse a conversation with an unanswered call, so without the stand-ins one lost result would end the session for good.
    """
    new = [draft for message in messages for draft in expanded(message)]
    answered = {draft.message.get("tool_call_id") for draft in new}
    missing = [call for call in open_calls if call not in answered]
    return [*map(_stand_in, missing), *new]


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


def countable(message: JsonObject) -> tuple[str, int]:
    """The text of a message whose tokens count, and how many images are in it; a file counts as so many images as it has their tokens."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    for call in message.get("tool_calls") or ():
        texts += [call["function"]["name"], call["function"]["arguments"] or ""]
    return "\n".join(texts), sum(map(_images, parts))


def _images(part: JsonObject) -> int:
    if part["type"] == "file":
        return math.ceil(part["file"].get("tokens", 0) / TOKENS_PER_IMAGE)
    return part["type"] == "image_url"


def _stand_in(call: str) -> Draft:
    return Draft("tool", None, {"role": "tool", "content": NO_RESULT, "tool_call_id": call}, source="internal")
