"""Errors as HTTP answers: both shapes, advice for clients that send requests again, and never a value of the request."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from mentha.api import errors
from mentha.core import errors as core
from mentha.core.errors import MenthaError
from mentha.core.json import loads
from mentha.observe.events import Event, RequestFailed, request_id, subscribe, unsubscribe

REQUEST = Request({"type": "http"})


def classes(root: type[MenthaError] = MenthaError) -> list[type[MenthaError]]:
    """Every class of the tree that is raised."""
    found = [each for child in root.__subclasses__() for each in [child, *classes(child)]]
    return sorted(set(found), key=lambda each: each.__name__)


def made(kind: type[MenthaError]) -> MenthaError:
    return kind("what", loc=("body", "x")) if issubclass(kind, core.FieldInvalid) else kind("what")


@pytest.fixture(autouse=True)
def in_a_request() -> Any:
    token = request_id.set("request-1")
    yield
    request_id.reset(token)


# --- errors of ours


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
async def test_every_error_of_ours_is_answered_with_its_status_reason_and_advice(kind: type[MenthaError]) -> None:
    answer = await errors.on_mentha_error(REQUEST, made(kind))
    error = loads(answer.body)["error"]
    assert answer.status_code == kind.status
    assert answer.headers["x-should-retry"] == ("true" if kind.retry else "false")
    if kind is core.Forbidden:
        assert error == {"message": "what", "code": "http_403", "type": "http_error"}
        return
    assert (error["reason"], error["request_id"]) == (kind.reason, "request-1")
    assert error["code"]
    assert error["type"] in ("http_error", "llm_error", "validation_error")


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_error_that_asks_for_patience_says_for_how_long(kind: type[MenthaError]) -> None:
    headers = errors.headers_of(made(kind))
    assert ("Retry-After" in headers) == (kind.status in (429, 503))
    assert ("Connection" in headers) == (kind is core.BodyTooLarge)


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, "0"), (0.2, "1"), (1.0, "1"), (1.2, "2"), (30.0, "30"), (-5.0, "0")])
def test_wait_is_rounded_up_to_whole_seconds(wait_s: float, header: str) -> None:
    assert errors.headers_of(core.ProviderRateLimited("x", retry_after_s=wait_s))["Retry-After"] == header


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (core.NotFound("x"), "http_404", "http_error"),
        (core.ParticipantInvalid("x"), "http_400", "http_error"),
        (core.ConstraintViolated("x"), "http_400", "http_error"),
        (core.ProviderRefused("x"), "llm_bad_request", "llm_error"),
        (core.ProviderKeyInvalid("x"), "llm_bad_request", "llm_error"),
        (core.ProviderUnavailable("x"), "llm_api_error", "llm_error"),
        (core.ProviderTimeout("x"), "llm_api_error", "llm_error"),
        (core.ProviderRateLimited("x"), "llm_rate_limited", "llm_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MenthaError) else None,
)
def test_code_and_type_are_the_originals(error: MenthaError, code: str, kind: str) -> None:
    body = errors.to_body(error)["error"]
    assert (body["code"], body["type"]) == (code, kind)


def test_fix_is_shown_where_there_is_one() -> None:
    assert errors.to_body(core.Conflict("x", fix="do y"))["error"]["fix"] == "do y"
    assert "fix" not in errors.to_body(core.Conflict("x"))["error"]


def test_details_of_an_error_are_not_shown() -> None:
    assert "s3cret" not in str(errors.to_body(core.ProviderUnavailable("x", body="s3cret")))


def test_invalid_field_is_rendered_like_every_other_422() -> None:
    error = core.FieldInvalid("no tool 'x'", loc=("body", "tools", 0, "name"), kind="unknown_tool", fix="send it")
    body = errors.to_body(error)
    assert body["detail"] == [{"loc": ["body", "tools", 0, "name"], "msg": "no tool 'x'", "type": "unknown_tool"}]
    assert body["error"]["details"] == [{"loc": "tools[0].name", "msg": "no tool 'x'", "type": "unknown_tool", "fix": "send it"}]
    assert body["error"]["summary"] == "tools[0].name: no tool 'x'"


# --- faults of fields


async def validation(*faults: dict[str, Any]) -> dict[str, Any]:
    answer = await errors.on_validation_error(REQUEST, RequestValidationError(list(faults)))
    assert (answer.status_code, answer.headers["x-should-retry"]) == (422, "false")
    return loads(answer.body)


def fault(*loc: str | int, kind: str = "missing", msg: str = "Field required", **more: Any) -> dict[str, Any]:
    return {"loc": loc, "msg": msg, "type": kind, **more}


async def test_faults_are_listed_in_both_shapes_without_values() -> None:
    body = await validation(fault("body", "a", "b", 0, "c", input="s3cret", ctx={"x": "s3cret"}, url="https://x"), fault("query", "limit"))
    assert body["detail"][0] == {"loc": ["body", "a", "b", 0, "c"], "msg": "Field required", "type": "missing"}
    assert [each["loc"] for each in body["error"]["details"]] == ["a.b[0].c", "query.limit"]
    assert body["error"]["details"][0]["fix"] == "add this field"
    assert body["error"]["summary"] == "a.b[0].c: Field required"
    assert "s3cret" not in str(body)


async def test_fault_of_the_whole_body_has_an_empty_path() -> None:
    body = await validation(fault("body"))
    assert body["error"]["details"][0]["loc"] == ""
    assert body["error"]["summary"] == "body: Field required"


async def test_names_of_union_branches_are_not_shown() -> None:
    body = await validation(fault("body", "messages", 0, "content", "~parts", 1, "~text", "text"))
    assert body["detail"][0]["loc"] == ["body", "messages", 0, "content", 1, "text"]


async def test_no_more_than_fifty_faults_are_shown_and_none_at_all_is_no_fault_of_ours() -> None:
    assert len((await validation(*[fault("body", number) for number in range(200)]))["detail"]) == 50
    assert (await validation())["detail"] == []


async def test_broken_json_says_what_is_wrong_with_it() -> None:
    body = await validation(fault("body", 3, kind="json_invalid", msg="JSON decode error", ctx={"error": "unexpected end"}))
    assert body["detail"][0]["msg"] == "JSON decode error: unexpected end"
    bare = await validation(fault("body", 3, kind="json_invalid", msg="JSON decode error"))
    assert bare["detail"][0]["msg"] == "JSON decode error: invalid"


async def test_message_of_a_validator_stands_without_its_prefix() -> None:
    assert (await validation(fault("body", msg="Value error, must be even", kind="value_error")))["detail"][0]["msg"] == "must be even"


# --- what the framework refuses, and faults of ours


async def test_unknown_path_is_answered_in_both_shapes() -> None:
    answer = await errors.on_http_error(REQUEST, HTTPException(404))
    body = loads(answer.body)
    assert body == {
        "error": {
            "message": "Not Found",
            "code": "http_404",
            "type": "http_error",
            "fix": "/docs shows every operation",
            "request_id": "request-1",
        },
        "detail": "Not Found",
    }
    assert answer.headers["x-should-retry"] == "false"


async def test_headers_of_the_framework_stay() -> None:
    answer = await errors.on_http_error(REQUEST, HTTPException(405, headers={"Allow": "GET"}))
    assert answer.headers["allow"] == "GET"


async def test_unexpected_fault_is_a_500_with_an_id_that_the_log_has_and_no_word_of_its_cause() -> None:
    seen: list[Event] = []
    subscribe(seen.append)
    try:
        answer = await errors.on_unexpected(REQUEST, KeyError("s3cret"))
    finally:
        unsubscribe(seen.append)
    error = loads(answer.body)["error"]
    assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
    assert "s3cret" not in str(error)
    assert error["id"] in error["message"]
    (event,) = seen
    assert isinstance(event, RequestFailed)
    assert (event.error_id, event.exception, event.route) == (error["id"], "KeyError", "-")
    assert "s3cret" in event.traceback


def test_route_is_the_template_of_the_path() -> None:
    class Route:
        path = "/agents/{agent_id}"

    assert errors.route_of({"route": Route()}) == "/agents/{agent_id}"
    assert errors.route_of({}) == "-"


@pytest.mark.parametrize("handler", [errors.on_mentha_error, errors.on_validation_error, errors.on_http_error])
async def test_handler_of_another_kind_of_error_raises(handler: Any) -> None:
    with pytest.raises(TypeError):
        await handler(REQUEST, KeyError())
