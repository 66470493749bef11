"""What services answer, read with care: JSON of the documented form, the message of an error, when to come again. Pure."""

import re
from datetime import datetime
from email.utils import parsedate_to_datetime

from mentha.core.json import JsonInvalid, JsonObject, JsonValue, loads_hostile
from mentha.tools.calls import ToolFailed
from mentha.tools.outbound.calls import OutboundResponse

MESSAGE_CHARS_MAX = 300
# Of an answer that says what is wrong; nobody looks for words in a larger one.
ERROR_BYTES_MAX = 100_000
# What it takes to read JSON depends on these more than on its bytes, and some services are where a tenant says.
OBJECTS_MAX = 50_000
# Where services put what went wrong, in the order in which it is looked for.
_MESSAGES = ("message", "detail", "error_description", "error", "errors", "msg", "info", "title")
_SPACE = re.compile(r"\s+")


def json_of(response: OutboundResponse, who: str) -> JsonValue:
    """The body, parsed.

    Raises:
        ToolFailed: it is no JSON, or has more than `OBJECTS_MAX` objects and lists.
    """
    if response.body.count(b"{") + response.body.count(b"[") > OBJECTS_MAX:
        raise ToolFailed(f"`{who}` answered with more than {OBJECTS_MAX:,} objects and lists: ask for less")
    try:
        return loads_hostile(response.body)
    except JsonInvalid:
        raise odd(who) from None


def object_of(response: OutboundResponse, who: str) -> JsonObject:
    """The body, which must be a JSON object.

    Raises:
        ToolFailed: it is none.
    """
    value = json_of(response, who)
    if not isinstance(value, dict):
        raise odd(who)
    return value


def odd(who: str) -> ToolFailed:
    """The failure of a service whose answer is not of the form that it documents."""
    return ToolFailed(f"`{who}` answered with something that is not of its documented form", retry=True)


def member(value: JsonValue, name: str) -> JsonObject:
    """The object under this name; an empty one where there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def objects(value: JsonValue) -> list[JsonObject]:
    """The objects of a list; none where it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def words(value: JsonValue) -> str:
    """A text; empty where it is none."""
    return value if isinstance(value, str) else ""


def message_of(response: OutboundResponse) -> str:
    """What the service says is wrong, in one line; empty where it says nothing that can be read. May repeat what it was sent."""
    try:
        found = _message(loads_hostile(response.body), depth=3) if len(response.body) <= ERROR_BYTES_MAX else ""
    except JsonInvalid:
        kind = response.header("content-type") or ""
        found = response.body[: 4 * MESSAGE_CHARS_MAX].decode("utf-8", "replace") if kind.startswith("text/plain") else ""
    return _SPACE.sub(" ", found).strip()


def _message(value: JsonValue, depth: int) -> str:
    if isinstance(value, str) or not depth:
        return words(value)
    if isinstance(value, list):
        return _message(value[0], depth - 1) if value else ""
    if isinstance(value, dict):
        found = (_message(value[name], depth - 1) for name in _MESSAGES if name in value)
        return next((each for each in found if each), "")
    return ""


def retry_after_s(response: OutboundResponse, now: datetime) -> float | None:
    """In how many seconds the service wants to be asked again; None where it does not say. Source: RFC 9110 section 10.2.3."""
    told = (response.header("retry-after") or "").strip()
    if told.isdigit():
        return float(told[:9])
    try:
        return max(0.0, (parsedate_to_datetime(told) - now).total_seconds()) if told else None
    except (TypeError, ValueError):
        return None
