"""Providers that fail: the status, the advice to try again, and that nothing of the turn is stored. Ruling 11, section 2.3."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from julep import APIStatusError, AsyncJulep

from tests.support.model_server import ModelServerHandle, Reply, drop, error, garbage, hang, sse_error
from tests.support.sdk import PROVIDER_KEY, ask, history_of, session_of
from tests.support.server import ServerProcess

TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."


@dataclass(frozen=True)
class Expected:
    """What a failure must look like to a client."""

    status: int
    code: str
    retry: str
    words: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)


CASES: dict[str, tuple[Reply, Expected]] = {
    "rate limit": (
        error(429, "slow down", headers={"retry-after": "7"}),
        Expected(429, "llm_rate_limited", "true", ("slow down",), {"retry-after": "7"}),
    ),
    "rate limit without advice": (error(429, "slow down"), Expected(429, "llm_rate_limited", "true", (), {"retry-after": "5"})),
    "no credit": (error(429, "no money", code="insufficient_quota"), Expected(400, "llm_bad_request", "false", ("credit",))),
    "failure": (error(500, "oh no"), Expected(502, "llm_api_error", "true", ("oh no",))),
    "overload": (error(503, "busy"), Expected(502, "llm_api_error", "true")),
    "bad request": (error(400, "logprobs are not for you"), Expected(400, "llm_bad_request", "false", ("logprobs are not for you",))),
    "too long": (error(400, TOO_LONG, code="context_length_exceeded"), Expected(400, "llm_bad_request", "false", ("too long", "8192"))),
    "bad key": (
        error(401, f"Incorrect API key provided: {PROVIDER_KEY}."),
        Expected(400, "llm_bad_request", "false", ("does not accept the key",)),
    ),
    "unknown model": (error(404, "no such model", code="model_not_found"), Expected(400, "llm_bad_request", "false", ("gpt-x",))),
    "not JSON": (garbage(), Expected(502, "llm_api_error", "true")),
    "hang-up": (drop(), Expected(502, "llm_api_error", "true")),
    "error under 200": (sse_error("it broke"), Expected(502, "llm_api_error", "true", ("it broke",))),
}


async def assert_fails(sdk: AsyncJulep, session: str, expected: Expected, **options: Any) -> None:
    """A turn fails as expected, and the session has nothing of it."""
    with pytest.raises(APIStatusError) as caught:
        await ask(sdk, session, **options)
    response = caught.value.response
    fault = response.json()["error"]
    assert (response.status_code, fault["code"], response.headers["x-should-retry"]) == (expected.status, expected.code, expected.retry)
    assert fault["type"] == "llm_error"
    for words in expected.words:
        assert words in fault["message"]
    for name, value in expected.headers.items():
        assert response.headers[name] == value
    assert PROVIDER_KEY not in response.text
    assert await history_of(sdk, session) == []


@pytest.mark.parametrize("case", CASES)
async def test_provider_failure_gives_status_and_advice_and_stores_nothing(sdk: AsyncJulep, models: ModelServerHandle, case: str) -> None:
    reply, expected = CASES[case]
    models.script("gpt-x", reply)
    await assert_fails(sdk, await session_of(sdk), expected)


@pytest.mark.parametrize("case", [name for name, (reply, _) in CASES.items() if reply.kind == "error" or name == "hang-up"])
async def test_provider_failure_before_the_first_chunk_of_a_stream_keeps_its_status(
    sdk: AsyncJulep, models: ModelServerHandle, case: str
) -> None:
    reply, expected = CASES[case]
    models.script("gpt-x", reply)
    await assert_fails(sdk, await session_of(sdk), expected, stream=True)


async def test_provider_that_breaks_its_answer_off_in_the_middle_is_a_bad_gateway(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", drop(after_chunks=1))
    await assert_fails(sdk, await session_of(sdk), Expected(502, "llm_api_error", "true"))


async def test_provider_that_cannot_be_reached_is_a_bad_gateway(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    await assert_fails(sdk, await session_of(sdk, model="gone/x"), Expected(502, "llm_api_error", "true", ("`gone`", "can't be reached")))


async def test_provider_that_is_too_slow_is_a_gateway_timeout_that_is_not_sent_again(
    odd_sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    models.script("gpt-x", hang())
    await assert_fails(
        odd_sdk, await session_of(odd_sdk, model="fake/gpt-x"), Expected(504, "llm_api_error", "false", ("no complete answer",))
    )


async def test_provider_that_failed_is_asked_again_in_the_next_turn(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", error(500))
    await assert_fails(sdk, session, Expected(502, "llm_api_error", "true"))
    assert (await ask(sdk, session)).choices[0].message.content == "ok: hi"
    assert await history_of(sdk, session) == [("user", "hi"), ("assistant", "ok: hi")]


async def test_provider_is_asked_once_for_each_request(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    models.script("gpt-x", error(503))
    await assert_fails(sdk, await session_of(sdk), Expected(502, "llm_api_error", "true"))
    assert len(models.requests) == 1


async def test_keys_and_messages_never_stand_in_the_log(sdk: AsyncJulep, models: ModelServerHandle, server: ServerProcess) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", error(401, f"Incorrect API key provided: {PROVIDER_KEY}."), error(400, "no"))
    for _ in range(2):
        with pytest.raises(APIStatusError):
            await ask(sdk, session, "words of a person in private")
    log = "".join(server.log)
    assert "provider" in log
    assert PROVIDER_KEY not in log
    assert sdk.api_key not in log
    assert "words of a person in private" not in log
