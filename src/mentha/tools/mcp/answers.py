"""What an MCP server says, as the API has it. Pure; nothing of it is believed to be of its form.

Source: section 5.5 of the tasks' spec for the members, the specification of MCP (2025-11-25) for where they come from.
"""

from typing import Any

from mentha.core.json import JsonObject, JsonValue


def tool_of(listed: JsonValue) -> JsonObject | None:
    """A tool of a list: `name`, `description`, `input_schema`; None for what is none."""
    if not isinstance(listed, dict) or not isinstance(listed.get("name"), str) or not listed["name"]:
        return None
    schema = listed.get("inputSchema")
    told = _text(listed.get("description")) or _text(listed.get("title"))
    return {"name": listed["name"], "description": told, "input_schema": schema if isinstance(schema, dict) else {"type": "object"}}


def result_of(result: JsonObject) -> JsonObject:
    """What a tool gave: `text` (all texts in it), `structured`, `content` (its parts), `is_error`."""
    content = _objects(result.get("content"))
    texts = [each["text"] for each in content if each.get("type") == "text" and isinstance(each.get("text"), str)]
    return {
        "text": "\n".join(texts) if texts else None,
        "structured": result.get("structuredContent"),
        "content": [_plain(each) for each in content],
        "is_error": result.get("isError") is True,
    }


def for_model(result: JsonObject) -> JsonValue:
    """What a model is shown of `result_of`: the structured value, else the texts; what is neither is told by its type and size."""
    if result["structured"] is not None:
        return result["structured"]
    content: list[JsonObject] = result["content"]
    if all(each.get("type") == "text" for each in content):
        return result["text"] or ""
    return [each["text"] if each.get("type") == "text" else _brief(each) for each in content]


def resource_of(listed: JsonValue) -> JsonObject | None:
    """A resource of a list: `uri`, `name`, `description`, `mime_type`; None for what is none."""
    if not isinstance(listed, dict) or not isinstance(listed.get("uri"), str):
        return None
    found = {"uri": listed["uri"], "name": _text(listed.get("name")), "description": _text(listed.get("description"))}
    return {**found, "mime_type": _text(listed.get("mimeType"))}


def contents_of(result: JsonObject) -> JsonObject:
    """What a resource holds: `contents`, each with `uri`, `mime_type`, and `text` or `blob` (base64)."""
    return {"contents": [_plain(each) for each in _objects(result.get("contents"))]}


def prompt_of(listed: JsonValue) -> JsonObject | None:
    """A prompt of a list: `name`, `description`, `arguments` (each with `name`, `description`, `required`); None for what is none."""
    if not isinstance(listed, dict) or not isinstance(listed.get("name"), str):
        return None
    arguments = [
        {"name": _text(each.get("name")), "description": _text(each.get("description")), "required": each.get("required") is True}
        for each in _objects(listed.get("arguments"))
    ]
    return {"name": listed["name"], "description": _text(listed.get("description")), "arguments": arguments}


def messages_of(result: JsonObject) -> JsonObject:
    """A prompt, filled in: `description`, and `messages`, each with `role` and `content`."""
    messages: list[JsonObject] = []
    for each in _objects(result.get("messages")):
        content = each.get("content")
        messages.append({"role": _text(each.get("role")), "content": _plain(content) if isinstance(content, dict) else content})
    return {"description": _text(result.get("description")), "messages": messages}


def _plain(part: JsonObject) -> JsonObject:
    """A part of an answer, its names written like ours, without what is for the protocol alone."""
    renamed = {"mimeType": "mime_type"}
    return {renamed.get(name, name): _plain(value) if isinstance(value, dict) else value for name, value in part.items() if name != "_meta"}


def _brief(part: JsonObject) -> JsonObject:
    """A part without its bytes, which no model can read."""
    brief: JsonObject = {}
    for name, value in part.items():
        if isinstance(value, dict):
            brief[name] = _brief(value)
        elif name in ("data", "blob") and isinstance(value, str):
            brief["bytes"] = len(value) * 3 // 4
        else:
            brief[name] = value
    return brief


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _objects(value: Any) -> list[JsonObject]:
    found: list[Any] = value if isinstance(value, list) else []
    return [each for each in found if isinstance(each, dict)]
