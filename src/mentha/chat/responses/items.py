"""Items of OpenAI's Responses and Conversations, and the messages that they are here. Pure.

An entry is one message. It is one item, but for an assistant's message with calls, which is an item for its text and one for each call. An
item's id says which entry it is, and which call: `msg_<hex>`, `fc_<hex>_<n>`, `fco_<hex>`.
"""

import re
from collections.abc import Sequence
from uuid import UUID

from mentha.core.errors import BadRequest
from mentha.core.json import JsonObject, JsonValue
from mentha.wire.chat import FunctionCall, ImagePart, ImageUrl, Message, TextPart, ToolCall
from mentha.wire.responses import FunctionCallItem, FunctionOutputItem, Item, MessageItem, RefusalPart, parts, unsupported
from mentha.wire.responses import ImagePart as InputImage

_ITEM_ID = re.compile(r"(?:msg|fc|fco)_([0-9a-f]{32})(?:_(\d{1,4}))?")
_ID = re.compile(r"(?:resp|conv)_([0-9a-f]{32})")


def messages_of(items: Sequence[Item], where: str = "input") -> list[Message]:
    """The messages of a turn, in order. Calls that stand together are one message, with the text before them.

    Args:
        where: the field of the request that has them, for what is told of faults.

    Raises:
        BadRequest: content that is not supported.
    """
    found = list[Message]()
    for place, item in enumerate(items):
        if isinstance(item, FunctionCallItem):
            call = ToolCall(id=item.call_id, function=FunctionCall(name=item.name, arguments=item.arguments))
            if found and found[-1].role == "assistant":
                found[-1] = found[-1].model_copy(update={"tool_calls": [*(found[-1].tool_calls or ()), call]})
            else:
                found.append(Message(role="assistant", name=None, tool_calls=[call]))
        elif isinstance(item, FunctionOutputItem):
            found.append(
                Message(
                    role="tool",
                    name=None,
                    tool_calls=None,
                    tool_call_id=item.call_id,
                    content=_text(item.output, (where, place), "an output"),
                )
            )
        else:
            found.append(_message(item, (where, place)))
    return found


def items_of(entry_id: UUID, message: JsonObject) -> list[JsonObject]:
    """The items that a stored message is; at least one."""
    role = message["role"]
    if role == "tool":
        output = _joined(message.get("content"))
        return [
            {
                "id": f"fco_{entry_id.hex}",
                "type": "function_call_output",
                "call_id": message.get("tool_call_id") or "",
                "output": output,
                "status": "completed",
            }
        ]
    if role != "assistant":
        content = [_input_part(part) for part in _parts(message.get("content"))]
        return [{"id": message_id(entry_id), "type": "message", "role": role, "status": "completed", "content": content}]
    calls = message.get("tool_calls") or ()
    text = _joined(message.get("content"))
    said = [output_message(message_id(entry_id), text)] if text or not calls else []
    return [*said, *(function_call(call_item_id(entry_id, place), call) for place, call in enumerate(calls))]


def output_message(item_id: str, text: str, status: str = "completed") -> JsonObject:
    """What the assistant said, as an item."""
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": [output_text(text)]}


def output_text(text: str) -> JsonObject:
    """The one part of what the assistant said."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def function_call(item_id: str, call: JsonObject, status: str = "completed") -> JsonObject:
    """A call as an item."""
    function = call["function"]
    return {
        "id": item_id,
        "type": "function_call",
        "call_id": call.get("id") or "",
        "name": function["name"],
        "arguments": function.get("arguments") or "",
        "status": status,
    }


def message_id(entry_id: UUID) -> str:
    """The id of the text of an entry."""
    return f"msg_{entry_id.hex}"


def call_item_id(entry_id: UUID, place: int) -> str:
    """The id of one call of an entry."""
    return f"fc_{entry_id.hex}_{place}"


def entry_of(item_id: str) -> UUID | None:
    """The entry that an item is of; None where it is no id of an item."""
    found = _ITEM_ID.fullmatch(item_id)
    return UUID(found[1]) if found else None


def id_of(shown: str) -> UUID | None:
    """The id in that of a response or of a conversation (any session, by its own id too); None where it is neither."""
    found = _ID.fullmatch(shown)
    try:
        return UUID(found[1] if found else shown)
    except ValueError:
        return None


def _message(item: MessageItem, where: tuple[str, int]) -> Message:
    role = "system" if item.role == "developer" else item.role
    if role == "assistant":
        return Message(role="assistant", name=None, tool_calls=None, content=_text(item.content, where, "an assistant's message"))
    said = parts(item.content, where)
    if all(not isinstance(part, InputImage) for part in said):
        texts = [_said(part) for part in said]
        return Message(
            role=role, name=None, tool_calls=None, content=texts[0] if len(texts) == 1 else [TextPart(text=text) for text in texts]
        )
    if role == "system":
        raise BadRequest(f"{where[0]}[{where[1]}]: only a user's message may have images")
    return Message(role="user", name=None, tool_calls=None, content=[_part(part) for part in said])


def _part(part: object) -> TextPart | ImagePart:
    if isinstance(part, InputImage):
        return ImagePart(image_url=ImageUrl(url=part.image_url, detail=part.detail or "auto"))
    return TextPart(text=_said(part))


def _said(part: object) -> str:
    return part.refusal if isinstance(part, RefusalPart) else str(getattr(part, "text", ""))


def _text(content: str | list[JsonObject], where: tuple[str, int], of: str) -> str:
    said = parts(content, where)
    if any(isinstance(part, InputImage) for part in said):
        raise unsupported(f"{where[0]}[{where[1]}]", f"an image in {of}")
    return "\n".join(_said(part) for part in said)


def _parts(content: JsonValue) -> list[JsonObject]:
    return content if isinstance(content, list) else [{"type": "text", "text": content or ""}]


def _joined(content: JsonValue) -> str:
    return "\n".join(part["text"] for part in _parts(content) if part.get("type") == "text")


def _input_part(part: JsonObject) -> JsonObject:
    if part["type"] == "image_url":
        return {
            "type": "input_image",
            "image_url": part["image_url"]["url"],
            "detail": part["image_url"].get("detail") or "auto",
            "file_id": None,
        }
    if part["type"] == "file":
        return {"type": "input_file", "file_id": part["file"]["file_id"], "filename": part["file"].get("name")}
    return {"type": "input_text", "text": part["text"]}
