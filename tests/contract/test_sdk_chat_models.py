"""Which provider a chat goes to and with which key: ruling 6, and section 4.4 on `X-Custom-Api-Key`."""

from typing import Any

import pytest
from julep import AsyncJulep, BadRequestError

from tests.support.model_server import ModelServerHandle
from tests.support.sdk import CHAT, OTHER_KEY, PROVIDER_KEY, ask, asked, session_of
from tests.support.server import ServerProcess

CALLERS_KEY = "sk-of-the-caller-0123456789"


@pytest.mark.parametrize(
    ("model", "path", "sent", "key"),
    [
        ("any-name-at-all", "/v1", "any-name-at-all", PROVIDER_KEY),
        ("some/model", "/v1", "some/model", PROVIDER_KEY),
        ("openai/gpt-x", "/v1", "gpt-x", PROVIDER_KEY),
        ("other/gpt-x", "/other/v1", "gpt-x", OTHER_KEY),
        ("oth-large", "/other/v1", "oth-large", OTHER_KEY),
        ("claude-3.5-sonnet", "/v1", "claude-3.5-sonnet", PROVIDER_KEY),
    ],
)
async def test_model_goes_to_the_provider_that_claims_it_with_that_providers_key(
    sdk: AsyncJulep, models: ModelServerHandle, model: str, path: str, sent: str, key: str
) -> None:
    await ask(sdk, await session_of(sdk, model=model))
    (request,) = models.requests
    assert (request.path, request.json["model"], request.headers["authorization"]) == (f"{path}{CHAT}", sent, f"Bearer {key}")


async def test_model_that_no_provider_serves_is_a_bad_request_that_lists_what_is_served(
    odd_sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    session = await session_of(odd_sdk, model="unheard-of")
    with pytest.raises(BadRequestError) as caught:
        await ask(odd_sdk, session)
    body: Any = caught.value.response.json()["error"]
    assert all(name in body["message"] for name in ("unheard-of", "fake/", "other/", "mentha/echo"))
    assert body["code"] == "llm_bad_request"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert asked(models) == []


async def test_model_name_of_an_agent_is_not_checked_before_a_chat(odd_sdk: AsyncJulep) -> None:
    agent = await odd_sdk.agents.create(name="Mia", model="unheard-of")
    assert (await odd_sdk.agents.update(agent.id, model="unheard-of-too")).model == "unheard-of-too"


async def test_model_echo_answers_without_a_provider(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    answer = await ask(sdk, await session_of(sdk, model="mentha/echo"), "hello there")
    assert "hello there" in answer.choices[0].message.content
    assert asked(models) == []


async def test_custom_key_is_used_for_that_call_only(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session, x_custom_api_key=CALLERS_KEY)
    await ask(sdk, session)
    assert [request.headers["authorization"] for request in models.requests] == [f"Bearer {CALLERS_KEY}", f"Bearer {PROVIDER_KEY}"]


async def test_custom_key_is_neither_stored_nor_logged(
    sdk: AsyncJulep, models: ModelServerHandle, rows: Any, server: ServerProcess
) -> None:
    await ask(sdk, await session_of(sdk), x_custom_api_key=CALLERS_KEY)
    tables = await rows.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for table in tables:
        held = await rows.fetchval(f'SELECT count(*) FROM "{table["tablename"]}" x WHERE x::text LIKE $1', f"%{CALLERS_KEY}%")
        # Bytes are shown in hexadecimal.
        hidden = await rows.fetchval(
            f'SELECT count(*) FROM "{table["tablename"]}" x WHERE x::text LIKE $1', f"%{CALLERS_KEY.encode().hex()}%"
        )
        assert (held, hidden) == (0, 0), table["tablename"]
    assert CALLERS_KEY not in "".join(server.log)


async def test_custom_key_that_cannot_be_one_is_a_bad_request_that_does_not_repeat_it(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    with pytest.raises(BadRequestError) as caught:
        await ask(sdk, session, x_custom_api_key="sk secret part")
    assert "secret" not in caught.value.response.text
    assert asked(models) == []
