"""Tools of type `api_call`: one HTTP request, sent through the door for what tenants direct, and its answer for a model.

requests.py (pure) → outbound → answer
"""

import asyncio
import base64
import dataclasses
import re
from dataclasses import dataclass
from functools import partial

from mentha.core.errors import OutboundFailed
from mentha.core.json import JsonInvalid, JsonObject, JsonValue, loads_hostile
from mentha.tools import depth, offer
from mentha.tools.calls import IDEMPOTENT, ToolFailed
from mentha.tools.outbound import Outbound, OutboundCall, OutboundResponse
from mentha.tools.requests import PARTS, Request, request_of
from mentha.tools.system import Caller
from mentha.wire.api_calls import placeholders

# Source: section 5.4 of the tasks' spec; 425, 500 and 502 are ours.
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504, 524})
# Larger answers are read in a thread.
INLINE_BYTES_MAX = 100_000
_TEXTUAL = re.compile(r"text/|application/(?:.*[+/.-])?(?:xml|javascript|x-www-form-urlencoded|yaml|csv|x-ndjson)\b", re.IGNORECASE)
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class How:
    """How a call differs from those that models make.

    Attributes:
        by_parts: its arguments are the parts of a request, whatever the tool's schema says.
        content_always: the body stands in `content` in base64, JSON or not, as the original's tasks have it.
        key: sent as `Idempotency-Key`, unless the tool or the call sends one.
    """

    by_parts: bool = False
    content_always: bool = False
    key: str | None = None


def are_parts(tool: JsonObject, given: JsonObject) -> bool:
    """Whether an author gives the parts of a request (`json`, `params`, …), and not the fields that the tool's schema names."""
    fields = _fields(tool)
    names = set(given) - set(placeholders(tool["api_call"]["url"]))
    return names <= PARTS and not (names and names <= set(fields))


async def run(
    outbound: Outbound, caller: Caller, tool: JsonObject, filled: JsonObject, arguments: JsonObject, how: How | None = None
) -> JsonObject:
    """Send the request of a call.

    Args:
        tool: as it was offered.
        filled: its member with the secrets in place.

    Returns:
        `status_code`, `headers`, `json` (null where the body is none), and of another body `text`, or `content` in base64.

    Raises:
        ToolFailed: the arguments make no request, or the answer's status is not 2xx: its members have the answer.
        OutboundError: it was not sent, or not answered.
    """
    how = how or How()
    request = request_of(filled, {name: {} for name in PARTS} if how.by_parts else _fields(tool), arguments)
    response = await _answer(outbound, caller, request, how)
    read = partial(result_of, response, with_content=request.with_content, content_always=how.content_always)
    result = await asyncio.to_thread(read) if len(response.body) > INLINE_BYTES_MAX else read()
    if not 200 <= response.status < 300:
        raise ToolFailed(f"the server answered with status {response.status}", retry=response.status in RETRIED, more=result)
    return result


async def _answer(outbound: Outbound, caller: Caller, request: Request, how: How) -> OutboundResponse:
    keyed = {"idempotency-key": how.key} if how.key else {}
    call = OutboundCall(
        tenant=caller.tenant,
        method=request.method,
        url=request.url,
        # How deep it stands is not for a tool to say.
        headers={**keyed, **request.headers, **depth.told_to(request.url, request.method, caller)},
        body=request.body,
        follow_redirects=request.follow_redirects,
    )
    limits = outbound.limits
    if request.timeout_s is not None:
        limits = dataclasses.replace(limits, timeout_s=request.timeout_s)
    try:
        return await outbound.request(call, limits=limits)
    except OutboundFailed as error:
        if error.is_sent and request.method not in IDEMPOTENT:
            raise ToolFailed(f"{error.message}; the call may have had its effect") from None
        raise


def result_of(response: OutboundResponse, *, with_content: bool, content_always: bool = False) -> JsonObject:
    """An answer as a model gets it; a body that is JSON stands there once, parsed, unless its `content` is wanted too."""
    headers: dict[str, str] = {}
    for name, value in response.headers:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    result: JsonObject = {"status_code": response.status, "headers": headers, "json": _json(response.body)}
    if with_content and content_always:
        result["content"] = base64.b64encode(response.body).decode()
    elif with_content and response.body and result["json"] is None:
        result |= _content(response.body, headers.get("content-type", ""))
    return result


def _fields(tool: JsonObject) -> JsonObject:
    return offer.function_of(tool)["parameters"].get("properties") or {}


def _json(body: bytes) -> JsonValue:
    try:
        return loads_hostile(body) if body else None
    except JsonInvalid:
        return None


def _content(body: bytes, kind: str) -> JsonObject:
    charset = _CHARSET.search(kind)
    try:
        text = body.decode(charset[1] if charset else "utf-8")
    except (LookupError, ValueError):
        text = None
    if text is not None and "\x00" not in text and (not kind or charset or _TEXTUAL.match(kind)):
        return {"text": text}
    return {"content": base64.b64encode(body).decode()}
