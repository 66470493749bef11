"""What went wrong with a provider, as an error of ours: one place that knows status codes, error bodies and the libraries' exceptions.

Invariant: no text that leaves here holds the key that was used, or more than 500 characters of what the provider wrote.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, cast

from mentha.core import lazy
from mentha.core.clock import now
from mentha.core.errors import (
    ProviderError,
    ProviderKeyInvalid,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)
from mentha.core.json import JsonValue
from mentha.providers.answers import BadAnswer, ErrorAnswer
from mentha.providers.routing import shown
from mentha.providers.types import Route

WORDS_CHARS_MAX = 500
RETRY_AFTER_MAX_S = 60.0
# Where a 429 does not say how long: long enough to matter, short enough for a chat.
RETRY_AFTER_DEFAULT_S = 5.0
# A shorter key is no secret (local servers take any word), and cutting it out would garble the text.
KEY_CHARS_REDACTED_MIN = 4

# A key that the provider has masked itself still shows its ends: `sk-abc***xyz`.
MASKED = re.compile(r"\S*\*{3,}\S*")
TOO_LONG = re.compile(
    r"maximum context length|context[_ ](length|window|size)|prompt is too long|too many (input )?tokens|input token count"
    r"|reduce the length of the|maximum number of (input )?tokens",
    re.IGNORECASE,
)

# Error codes and types that stand in bodies without a status: in events of a stream, and under a status of 200.
STATUS_OF_CODE = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "insufficient_quota": 402,
    "model_not_found": 404,
    "not_found_error": 404,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 503,
    "timeout": 504,
}


def from_exception(error: BaseException, route: Route, *, timeout_s: float, hint: str) -> ProviderError:
    """The error of ours for whatever a call raised.

    Args:
        error: an exception of the SDK, of its HTTP library, of `answers`, or a `TimeoutError` of our own limit.
        timeout_s: the limit that was set, for the message.
        hint: what helps when the provider does not know the model.

    Raises:
        BaseException: `error` itself, where it is none of these: then it is a fault of ours and must be seen.
    """
    openai, httpx2 = lazy.load("openai"), lazy.load("httpx2")
    if isinstance(error, openai.APIStatusError):
        response = cast("Any", error).response
        return from_status(response.status_code, cast("Any", error).body, response.headers, route, hint=hint)
    if isinstance(error, ErrorAnswer):
        return from_payload(error.payload, route, hint=hint)
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
    # Not reaching the server within the connect timeout is no slow answer: nothing ran, and a retry may help.
    if isinstance(cause, (TimeoutError, httpx2.TimeoutException)) and not isinstance(cause, (httpx2.ConnectTimeout, httpx2.PoolTimeout)):
        return ProviderTimeout(
            f"the provider `{route.provider}` gave no complete answer of `{shown(route.model)}` within {timeout_s:.3g} s",
            fix="use a faster model, ask for less (`max_tokens`), or raise MENTHA_TURN_TIMEOUT_S",
            **_facts(route, "timeout"),
        )
    if isinstance(cause, (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.UnsupportedProtocol)):
        return _unavailable(route, "can't be reached", type(cause).__name__, fix="check its `base_url`, and that it is running")
    if isinstance(cause, (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, openai.APIConnectionError, OSError)):
        return _unavailable(route, "broke the connection off before its answer was complete", type(cause).__name__)
    if isinstance(cause, BadAnswer):
        return _unavailable(route, f"sent something unusable: {cause}", "bad answer")
    raise error


def from_status(status: int, body: JsonValue, headers: Mapping[str, str], route: Route, *, hint: str = "") -> ProviderError:
    """The error of ours for an HTTP status with its body: the parsed JSON, its `error` member, or a text."""
    words, code = _words_and_code(body, route)
    facts = _facts(route, f"HTTP {status}", status)
    says = f": {words}" if words else ""
    if status == 402 or code == "insufficient_quota":
        message = f"the account at the provider `{route.provider}` has no credit left{says}"
        return ProviderRefused(message, fix="add credit there, or use another key", **facts)
    if status == 429:
        message = f"the provider `{route.provider}` limits the rate of requests{says}"
        return ProviderRateLimited(message, fix="wait, then send it again", retry_after_s=retry_after_s(headers), **facts)
    if 400 <= status < 500 and (code == "context_length_exceeded" or TOO_LONG.search(words)):
        return _too_long(route, words, facts)
    if status == 404:
        return ProviderRefused(f"the provider `{route.provider}` has no model `{shown(route.model)}`{says}", fix=hint or None, **facts)
    return _by_status(status, route, says, facts)


def from_payload(payload: JsonValue, route: Route, *, hint: str = "") -> ProviderError:
    """The error of ours for an error object that came without a status of its own: in a stream, or under a 200."""
    error = _error_member(payload)
    for name in ("code", "status", "type"):
        value = error.get(name)
        if isinstance(value, int) and 400 <= value < 600:
            return from_status(value, error, {}, route, hint=hint)
        if isinstance(value, str) and value in STATUS_OF_CODE:
            return from_status(STATUS_OF_CODE[value], error, {}, route, hint=hint)
    words, _ = _words_and_code(error, route)
    if TOO_LONG.search(words):
        return _too_long(route, words, _facts(route, "error in the answer"))
    return _unavailable(route, f"broke its answer off with an error: {words}", "error in the answer")


def broke_off(route: Route) -> ProviderError:
    """The error for a stream that ended without saying that it was complete."""
    return _unavailable(route, "broke the stream off before the answer was complete", "stream broke off")


def too_large(route: Route, bytes_max: int) -> ProviderError:
    """The error for an answer over the limit."""
    return ProviderRefused(
        f"the answer of `{shown(route.model)}` is larger than {bytes_max} bytes",
        fix="ask for less (`max_tokens`), or raise MENTHA_ANSWER_BYTES_MAX",
        **_facts(route, "answer too large"),
    )


def retry_after_s(headers: Mapping[str, str]) -> float:
    """How long a 429 asks to wait: 0 to 60 s. Takes milliseconds, seconds and dates, as servers send all three."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    seconds = _number(milliseconds, scale=0.001)
    if seconds is None:
        seconds = _number(value, scale=1.0)
    if seconds is None and value:
        seconds = _seconds_until(value)
    return RETRY_AFTER_DEFAULT_S if seconds is None else min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def redact(words: str, route: Route) -> str:
    """`words` in one line without the key, cut to what may be shown."""
    key = route.api_key.get_secret_value() if route.api_key else ""
    if len(key) >= KEY_CHARS_REDACTED_MIN:
        words = words.replace(key, "[key]")
    # Cut first, so that the pattern never runs over a long text; cut again, since the first cut leaves room for what it removes.
    words = MASKED.sub("[key]", " ".join(words[: 2 * WORDS_CHARS_MAX].split()))
    return words if len(words) <= WORDS_CHARS_MAX else f"{words[: WORDS_CHARS_MAX - 1]}…"


def _by_status(status: int, route: Route, says: str, facts: dict[str, Any]) -> ProviderError:
    who = f"the provider `{route.provider}`"
    if status in (401, 403):
        return ProviderKeyInvalid(f"{who} does not accept the key (HTTP {status}){says}", fix=_key_fix(route), **facts)
    if status == 408:
        return ProviderTimeout(f"{who} gave up waiting (HTTP 408){says}", **facts)
    if status < 400:
        fix = "set `base_url` to the final address"
        return ProviderUnavailable(f"{who} redirects (HTTP {status}), which is not followed", fix=fix, **facts)
    if status < 500:
        return ProviderRefused(f"{who} refuses the request for `{shown(route.model)}` (HTTP {status}){says}", **facts)
    return ProviderUnavailable(f"{who} failed (HTTP {status}){says}", fix="try again, or use another model", **facts)


def _too_long(route: Route, words: str, facts: dict[str, Any]) -> ProviderRefused:
    return ProviderRefused(
        f"the prompt is too long for the model `{shown(route.model)}`{f': {words}' if words else ''}",
        fix="send fewer or shorter messages, give the session a `token_budget` with `context_overflow: truncate`, "
        "or use a model with a larger window",
        code="context_length_exceeded",
        **facts,
    )


def _unavailable(route: Route, what: str, cause: str, *, fix: str = "try again, or use another model") -> ProviderUnavailable:
    return ProviderUnavailable(f"the provider `{route.provider}` {what}", fix=fix, **_facts(route, cause))


def _facts(route: Route, cause: str, status: int | None = None) -> dict[str, Any]:
    facts: dict[str, Any] = {"provider": route.provider, "model": shown(route.model), "cause": cause}
    return facts if status is None else {**facts, "provider_status": status}


def _key_fix(route: Route) -> str:
    variable = f"{route.provider.upper()}_API_KEY (or `providers.{route.provider}.api_key`)"
    source = f"{variable}, the tenant's secret of that name, or the `X-Custom-Api-Key` of the request"
    return f"check {source}" if route.api_key else f"set {source}: none is set"


def _words_and_code(body: JsonValue, route: Route) -> tuple[str, str]:
    error = _error_member(body)
    message = error.get("message") or error.get("detail") or ""
    if not error and isinstance(body, str):
        # Not JSON: a proxy's page. Its markup would tell nobody anything.
        message = "" if body.lstrip().startswith("<") else body
    # Both are looked at, since OpenAI says `insufficient_quota` in either.
    codes = [value for value in (error.get("code"), error.get("type")) if isinstance(value, str)]
    code = next((value for value in codes if value in ("insufficient_quota", "context_length_exceeded")), "")
    return redact(message if isinstance(message, str) else str(message), route), code


def _error_member(body: JsonValue) -> dict[str, Any]:
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return {}
    inner = body.get("error", body)
    if isinstance(inner, str):
        return {"message": inner}
    return cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}


def _number(value: str | None, *, scale: float) -> float | None:
    try:
        seconds = float(value or "") * scale
    except ValueError:
        return None
    return None if math.isnan(seconds) else seconds


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (moment.replace(tzinfo=moment.tzinfo or UTC) - now()).total_seconds()
