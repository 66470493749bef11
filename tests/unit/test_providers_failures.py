"""What providers' errors mean."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from mentha.core.errors import ProviderKeyInvalid, ProviderRateLimited, ProviderRefused, ProviderTimeout, ProviderUnavailable
from mentha.providers import failures
from mentha.providers.types import Route

KEY = "sk-very-secret-0123456789"
ROUTE = Route("own", "http://host/v1", "gpt-x", "gpt-x", SecretStr(KEY))


def body(message: str = "it says why", **over: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "code": None, **over}}


@pytest.mark.parametrize(
    ("status", "expected", "http"),
    [
        (400, ProviderRefused, 400),
        (401, ProviderKeyInvalid, 400),
        (402, ProviderRefused, 400),
        (403, ProviderKeyInvalid, 400),
        (404, ProviderRefused, 400),
        (408, ProviderTimeout, 504),
        (413, ProviderRefused, 400),
        (422, ProviderRefused, 400),
        (429, ProviderRateLimited, 429),
        (307, ProviderUnavailable, 502),
        (500, ProviderUnavailable, 502),
        (503, ProviderUnavailable, 502),
        (529, ProviderUnavailable, 502),
    ],
)
def test_from_status_maps_each_status_to_its_class(status: int, expected: type[Exception], http: int) -> None:
    made = failures.from_status(status, body(), {}, ROUTE)
    assert type(made) is expected
    assert made.status == http
    assert made.details["provider_status"] == status


def test_from_status_shows_the_providers_words_and_names_provider_and_model() -> None:
    made = failures.from_status(422, body(), {}, ROUTE)
    assert "it says why" in made.message
    assert "`own`" in made.message
    assert "`gpt-x`" in made.message


@pytest.mark.parametrize(
    "given",
    [
        body("said so"),
        {"message": "said so"},
        [body("said so")],
        {"error": "said so"},
        {"detail": "said so"},
        "said so",
    ],
)
def test_from_status_finds_the_words_in_every_shape(given: object) -> None:
    assert "said so" in failures.from_status(400, given, {}, ROUTE).message


@pytest.mark.parametrize("given", ["<html><body>502 Bad Gateway</body></html>", "", None, 5, [], {}, {"error": None}, {"error": [1]}])
def test_from_status_without_words_has_a_message_all_the_same(given: object) -> None:
    made = failures.from_status(502, given, {}, ROUTE)
    assert "HTTP 502" in made.message
    assert "<html>" not in made.message


def test_from_status_of_an_unknown_model_names_it_and_the_way_to_the_list() -> None:
    made = failures.from_status(404, body(), {}, ROUTE, hint="set THIS_VARIABLE")
    assert "no model `gpt-x`" in made.message
    assert made.fix == "set THIS_VARIABLE"


@pytest.mark.parametrize(
    "given",
    [
        body("anything", code="context_length_exceeded"),
        body("This model's maximum context length is 8192 tokens"),
        body("prompt is too long: 210000 tokens > 200000 maximum"),
        body("The input token count (1200000) exceeds the maximum number of tokens allowed"),
        body("the request exceeds the available context size"),
    ],
)
def test_from_status_of_a_prompt_too_long_says_so_and_how_to_shorten_it(given: dict[str, Any]) -> None:
    made = failures.from_status(400, given, {}, ROUTE)
    assert type(made) is ProviderRefused
    assert "prompt is too long for the model `gpt-x`" in made.message
    assert "token_budget" in str(made.fix)
    assert made.details["code"] == "context_length_exceeded"


@pytest.mark.parametrize("where", ["code", "type"])
def test_from_status_of_a_used_up_quota_is_refused_and_not_retried(where: str) -> None:
    made = failures.from_status(429, body(**{where: "insufficient_quota"}), {"retry-after": "3"}, ROUTE)
    assert type(made) is ProviderRefused
    assert made.retry is False


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "3600"}, 60.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "nan"}, failures.RETRY_AFTER_DEFAULT_S),
        ({"retry-after": "inf"}, 60.0),
        ({"retry-after": "soon"}, failures.RETRY_AFTER_DEFAULT_S),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({}, failures.RETRY_AFTER_DEFAULT_S),
    ],
)
def test_retry_after_is_taken_in_every_form_and_bounded(headers: dict[str, str], expected: float) -> None:
    assert failures.retry_after_s(headers) == expected


def test_retry_after_as_a_date_is_the_time_until_then() -> None:
    due = datetime.now(UTC) + timedelta(seconds=30)
    assert 25 < failures.retry_after_s({"retry-after": format_datetime(due, usegmt=True)}) <= 30


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (body(code="rate_limit_exceeded"), ProviderRateLimited),
        (body(type="rate_limit_error"), ProviderRateLimited),
        (body(code=429), ProviderRateLimited),
        (body(code=502), ProviderUnavailable),
        (body(type="overloaded_error"), ProviderUnavailable),
        (body(type="authentication_error"), ProviderKeyInvalid),
        (body(code="insufficient_quota"), ProviderRefused),
        (body(code="context_length_exceeded"), ProviderRefused),
        (body("maximum context length is 5"), ProviderRefused),
        (body(type="invalid_request_error"), ProviderRefused),
        (body(), ProviderUnavailable),
        ({"error": "plain"}, ProviderUnavailable),
    ],
)
def test_from_payload_finds_the_class_in_code_or_type(payload: dict[str, Any], expected: type[Exception]) -> None:
    assert type(failures.from_payload(payload, ROUTE)) is expected


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_from_status_never_shows_the_key(status: int) -> None:
    made = failures.from_status(status, body(f"wrong key {KEY} in 'Bearer {KEY}'"), {}, ROUTE)
    assert KEY not in f"{made.message} {made.fix} {made.details}"
    assert "wrong key [key]" in made.message


def test_redact_removes_a_key_that_the_provider_masked_itself() -> None:
    assert failures.redact("Incorrect API key provided: sk-ab****6789.", ROUTE) == "Incorrect API key provided: [key]"


def test_redact_removes_a_key_at_the_cut() -> None:
    assert KEY[:8] not in failures.redact("x" * 490 + KEY, ROUTE)


def test_redact_cuts_long_words_and_joins_lines() -> None:
    cut = failures.redact("line\n\n  line " * 1_000, ROUTE)
    assert len(cut) <= 500
    assert "\n" not in cut


def test_redact_leaves_words_alone_where_the_key_is_no_secret() -> None:
    assert failures.redact("an x in the text", Route("own", "", "m", "m", SecretStr("x"))) == "an x in the text"


def test_from_exception_raises_what_it_does_not_know() -> None:
    with pytest.raises(ZeroDivisionError):
        failures.from_exception(ZeroDivisionError(), ROUTE, timeout_s=1, hint="")
