"""Errors as HTTP answers: the one place that renders them, in the original's shape, and for 422 in FastAPI's shape as well.

    {"error": {"message", "code", "type", "reason", "request_id", "fix"?}}          all but 422
    {"error": {…, "details": [{"loc", "msg", "type", "fix"?, "line"?}]}, "detail": [{"loc", "msg", "type"}]}

Values of the request are never echoed: they may be secrets.
"""

import math
import traceback
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from mentha import observe
from mentha.core.errors import (
    BodyTooLarge,
    ConstraintViolated,
    FieldInvalid,
    Forbidden,
    MenthaError,
    ProviderError,
    RangeNotSatisfiable,
    TaskInvalid,
    TemplateFailed,
)
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.observe.events import RequestFailed, request_id
from mentha.wire.common import CANONICAL_NAME
from mentha.wire.step_parts import STEP_LABEL
from mentha.wire.tools import TOOL_NAME

FAULTS_MAX = 50
# What to do about the faults that pydantic names; anything else says enough by itself.
_FIXES = {
    "missing": "add this field",
    "bool_type": "send true or false, not a string or a number",
    "json_invalid": "send valid JSON with the header Content-Type: application/json",
    "model_attributes_type": "send a JSON object with the header Content-Type: application/json",
    "uuid_parsing": "send a UUID like 0192f0c1-2a3b-7c4d-8e5f-60718293a4b5",
    "literal_error": "send one of the values that the message lists",
    "string_too_long": "shorten it",
    "too_long": "send fewer items",
}
# A pattern tells it only to those who read patterns.
_PATTERN_FIXES = {
    TOOL_NAME: "use letters, digits and underscores, no digit first",
    CANONICAL_NAME: "use letters from a to z, digits and underscores, a letter first",
    STEP_LABEL: "use a character that is no digit: steps are known by numbers already",
}
# How the parser tells of JSON that is valid, and too much of it.
_JSON_LIMITS = ("more than ", "nested deeper than ")
_OPENAI_ROUTES = ("/responses", "/conversations", "/chat/completions")
_CODES = {"llm_bad_request": "llm_bad_request", "llm_key_invalid": "llm_bad_request"}


def to_body(error: MenthaError) -> JsonObject:
    """The JSON body for an error of ours, also used for an error inside a stream."""
    if isinstance(error, FieldInvalid):
        return _validation_body([{"loc": list(error.loc), "msg": error.message, "type": error.kind}], fix=error.fix)
    if isinstance(error, Forbidden):
        # The documented body, to the letter.
        return {"error": {"message": error.message, "code": "http_403", "type": "http_error"}}
    code, kind = _code_of(error)
    body = _without_none(message=error.message, code=code, type=kind, reason=error.reason, fix=error.fix, request_id=request_id.get())
    if isinstance(error, TaskInvalid):
        body["details"] = {"issues": error.issues}
    return {"error": body}


def headers_of(error: MenthaError) -> dict[str, str]:
    """What tells a client whether to send the request again, and when."""
    headers: dict[str, str] = {}
    wait_s = error.retry_after_s
    if wait_s is None and error.retry and error.status in (429, 503):
        wait_s = 1.0
    if wait_s is not None:
        headers["Retry-After"] = str(max(0, math.ceil(wait_s)))
    if error.retry is not None:
        headers["x-should-retry"] = "true" if error.retry else "false"
    if isinstance(error, BodyTooLarge):
        # The rest of the body is not read, so the connection can't be used again.
        headers["Connection"] = "close"
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.details.get('size', 0)}"
    return headers


async def on_mentha_error(request: Request, error: Exception) -> Response:
    """Answer an error that was raised on purpose."""
    if not isinstance(error, MenthaError):
        raise TypeError from error
    return _json(error.status, _for_sdk(request, to_body(error)), headers_of(error))


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer a request whose fields are wrong: 422, each fault with its path, and nothing of its values."""
    if not isinstance(error, RequestValidationError):
        raise TypeError from error
    return _json(422, _for_sdk(request, _validation_body(_faults(error.errors()))), {"x-should-retry": "false"})


async def on_http_error(_: Request, error: Exception) -> Response:
    """Answer what the framework refuses: an unknown path (404) or method (405)."""
    if not isinstance(error, HTTPException):
        raise TypeError from error
    message = str(error.detail)
    allowed = (error.headers or {}).get("allow") or (error.headers or {}).get("Allow")
    fix = f"here works: {allowed}" if allowed else "/docs shows every operation" if error.status_code == HTTPStatus.NOT_FOUND else None
    fault = _without_none(message=message, code=f"http_{error.status_code}", type="http_error", fix=fix, request_id=request_id.get())
    return _json(error.status_code, {"error": fault, "detail": message}, {**(error.headers or {}), "x-should-retry": "false"})


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Answer a fault of ours: a 500 with an id that the log has too, and no word of what went wrong inside."""
    return _json(500, unexpected_body(error, route_of(request.scope)), {"x-should-retry": "false"})


def unexpected_body(error: BaseException, route: str) -> JsonObject:
    """Tell the log of a fault of ours; returns the body that names it by an id."""
    error_id = str(new_id())
    lines = "".join(traceback.format_exception(error))
    observe.emit(RequestFailed(error_id=error_id, route=route, exception=type(error).__name__, traceback=lines[-8_000:]))
    fault = {
        "message": f"Something went wrong in the server. Its log has the details under the id {error_id}.",
        "code": "http_500",
        "type": "internal_error",
        "reason": "internal",
        "id": error_id,
        "request_id": request_id.get(),
    }
    return {"error": fault}


def route_of(scope: Any) -> str:
    """The template of the path that was matched, like `/agents/{agent_id}`; `-` where none was."""
    return getattr(scope.get("route"), "path", "-")


def _for_sdk(request: Request, body: JsonObject) -> JsonObject:
    """OpenAI's SDKs show the message alone, so there it says which field is wrong; elsewhere it is the original's, to the letter."""
    error = body["error"]
    if "summary" in error and route_of(request.scope).startswith(_OPENAI_ROUTES):
        error["message"] = error["summary"]
    return body


def _json(status: int, body: JsonObject, headers: dict[str, str]) -> Response:
    return Response(dumps(body), status, headers, media_type="application/json")


def _code_of(error: MenthaError) -> tuple[str, str]:
    """Code and type as the original names them."""
    if isinstance(error, ProviderError):
        return _CODES.get(error.reason, "llm_api_error" if error.status >= 500 else error.reason), "llm_error"
    if isinstance(error, ConstraintViolated | TemplateFailed | TaskInvalid):
        return "http_400", "http_error"
    return f"http_{error.status}", "http_error"


def _validation_body(faults: Sequence[JsonObject], *, fix: str | None = None) -> JsonObject:
    # A fault of the whole body has an empty path, which stays in the answer.
    details = [
        {
            "type": f["type"],
            "msg": f["msg"],
            "loc": _dotted(f["loc"]),
            **_without_none(fix=fix or f.get("fix") or _fix(f["type"], f["msg"]), line=f.get("line")),
        }
        for f in faults
    ]
    first = details[0] if details else {"loc": "", "msg": "invalid"}
    error = {
        "message": "Validation error",
        "code": "validation_error",
        "type": "validation_error",
        "reason": "validation_error",
        "summary": f"{first['loc'] or 'body'}: {first['msg']}",
        "request_id": request_id.get(),
        "details": details,
    }
    return {"error": error, "detail": [{"loc": f["loc"], "msg": f["msg"], "type": f["type"]} for f in faults]}


def _faults(errors: Iterable[Any]) -> list[JsonObject]:
    faults: list[JsonObject] = []
    for error in errors:
        # Names of union branches begin with "~": they mean nothing to a client.
        loc = [part for part in error["loc"] if not (isinstance(part, str) and part.startswith("~"))]
        told = _without_none(fix=(error.get("ctx") or {}).get("fix"), line=error.get("line"))
        faults.append({"loc": loc, "msg": _message(error), "type": error["type"], **told})
        if len(faults) == FAULTS_MAX:
            break
    return faults


def _message(error: Any) -> str:
    if error["type"] == "json_invalid":
        return f"JSON decode error: {(error.get('ctx') or {}).get('error', 'invalid')}"
    return str(error["msg"]).removeprefix("Value error, ")


def _dotted(loc: Sequence[str | int]) -> str:
    """`("body", "a", 0, "b")` as `a[0].b`."""
    text = ""
    for part in loc[1:] if loc and loc[0] == "body" else loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _without_none(**fields: Any) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None and value != ""}


def _fix(kind: str, message: str) -> str | None:
    if kind == "string_pattern_mismatch":
        return next((fix for pattern, fix in _PATTERN_FIXES.items() if f"'{pattern}'" in message), None)
    if kind == "json_invalid" and any(limit in message for limit in _JSON_LIMITS):
        return "send less at once, and nest it less"
    return _FIXES.get(kind)
