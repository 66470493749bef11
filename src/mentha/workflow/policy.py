"""Which failures of a step may be repeated without being asked for, and how soon. Pure.

A repetition must be able to help, and must not do anything twice: what may have had an effect is repeated only where its method says that
twice is the same as once. How often, and after which pauses, is the interpreter's to say, or the step's own `retry`.

Source: section 4.6 of the tasks' spec, whose original repeated everything for an hour, POST requests included.
"""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from mentha.core.errors import ExpressionFailed, MenthaError
from mentha.core.json import JsonObject, dumps
from mentha.tools.calls import IDEMPOTENT, ToolFailed
from mentha.workflow.moves import Fail

# A server that asks for more patience than this is not asked again by itself.
AFTER_MAX_S = 3_600.0
# What an answer says of its error, where it is JSON and short enough to be kept beside the message.
ANSWER_SHOWN_BYTES_MAX = 10_000
# Statuses that say: not done, come again.
NOT_DONE = frozenset({408, 425, 429, 503})


def of_error(error: MenthaError) -> Fail:
    """What an error of ours means for a step."""
    message = f"{error.message}: {error.fix}" if error.fix else error.message
    kind = "expression" if isinstance(error, ExpressionFailed) else error.reason
    return _patient(Fail(message, kind, can_retry=bool(error.retry), after_s=error.retry_after_s or 0.0))


def of_tool(error: ToolFailed, tool: JsonObject, given: Mapping[str, Any], now_s: float) -> Fail:
    """What a failed call of a tool means for its step.

    Args:
        given: the arguments of the call: those of an HTTP request may choose the method.
        now_s: since 1970; for servers that name a date.
    """
    message = f"the tool `{tool['name']}` failed: {error.message}"
    status = error.more.get("status_code")
    if not isinstance(status, int):
        return _patient(Fail(message, "tool_failed", can_retry=error.retry, after_s=float(error.more.get("retry_after_s") or 0.0)))
    method = str(given.get("method") or tool["api_call"]["method"]).upper()
    can_retry = error.retry and (status in NOT_DONE or method in IDEMPOTENT)
    after_s = retry_after_s(error.more.get("headers") or {}, now_s)
    says = error.more.get("json")
    told = {"status_code": status, **({"json": says} if says is not None and len(dumps(says)) <= ANSWER_SHOWN_BYTES_MAX else {})}
    return _patient(Fail(message, f"http_{status}", can_retry=can_retry, after_s=after_s, metadata=told))


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float:
    """For how long a server wants to be left alone, 0 where it does not say: seconds, or a date. Names of headers are lower-case."""
    text = headers.get("retry-after", "").strip()
    try:
        return max(float(text), 0.0) if text[:1].isdigit() else max(_date_s(text) - now_s, 0.0)
    except ValueError:
        return 0.0


def _date_s(text: str) -> float:
    found = parsedate_to_datetime(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _patient(failure: Fail) -> Fail:
    if failure.after_s <= AFTER_MAX_S:
        return failure
    return Fail(failure.message, failure.kind, metadata=failure.metadata)
