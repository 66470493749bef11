"""Which failures of steps are repeated by themselves."""

from typing import Any

import pytest

from mentha.core.errors import (
    BadRequest,
    ExpressionFailed,
    OutboundFailed,
    OutboundTimeout,
    ProviderRateLimited,
    ProviderTimeout,
    Unavailable,
)
from mentha.tools.calls import ToolFailed
from mentha.workflow import policy

TOOL: Any = {"name": "call", "api_call": {"method": "POST"}}


@pytest.mark.parametrize(
    ("error", "kind", "can_retry", "after_s"),
    [
        (ProviderRateLimited("slow", retry_after_s=7), "llm_rate_limited", True, 7),
        (ProviderTimeout("late"), "llm_timeout", False, 0),
        (OutboundFailed("refused"), "outbound_failed", True, 0),
        (OutboundTimeout("late"), "outbound_timeout", False, 0),
        (Unavailable("away"), "unavailable", True, 1),
        (BadRequest("no"), "bad_request", False, 0),
        (ExpressionFailed("no", "$ x", "undefined"), "expression", False, 0),
        (ProviderRateLimited("tomorrow", retry_after_s=90_000), "llm_rate_limited", False, 0),
    ],
)
def test_error_is_repeated_where_that_can_help_and_soon_enough(error: Any, kind: str, can_retry: bool, after_s: float) -> None:
    failure = policy.of_error(error)
    assert (failure.kind, failure.can_retry, failure.after_s) == (kind, can_retry, after_s)


def test_what_to_do_stands_in_the_message() -> None:
    assert policy.of_error(BadRequest("no model", fix="set `model`")).message == "no model: set `model`"


@pytest.mark.parametrize(
    ("status", "method", "expected"),
    [(503, "POST", True), (429, "PATCH", True), (504, "POST", False), (504, "GET", True), (500, "PUT", True), (404, "GET", False)],
)
def test_status_is_repeated_where_twice_is_not_two_effects(status: int, method: str, expected: bool) -> None:
    error = ToolFailed("it failed", retry=status in (429, 500, 503, 504), more={"status_code": status, "headers": {}, "json": {"why": "x"}})
    for tool, given in ((TOOL, {"method": method.lower()}), ({"name": "call", "api_call": {"method": method}}, {})):
        failure = policy.of_tool(error, tool, given, 0)
        assert (failure.can_retry, failure.kind, failure.message) == (expected, f"http_{status}", "the tool `call` failed: it failed")
        assert failure.metadata == {"status_code": status, "json": {"why": "x"}}


def test_tool_without_a_status_says_itself_whether_a_repetition_helps() -> None:
    assert [policy.of_tool(ToolFailed("x", retry=retry), {"name": "call"}, {}, 0).can_retry for retry in (True, False)] == [True, False]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7), ("0.5", 0.5), ("Thu, 01 Jan 1970 00:01:40 GMT", 40), ("Thu, 01 Jan 1970 00:00:00 GMT", 0), ("soon", 0), ("", 0), ("-3", 0)],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float) -> None:
    assert policy.retry_after_s({"retry-after": value}, 60) == expected
    assert policy.retry_after_s({}, 60) == 0
