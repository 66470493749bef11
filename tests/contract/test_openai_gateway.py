"""The official `openai` SDK against /chat/completions and /models, and what all calls of providers cost."""

from typing import Any

import julep
import openai
import pytest
from julep import AsyncJulep
from openai import AsyncOpenAI

from tests.support.model_server import ModelServerHandle, drop, error, garbage, slow, sse_error, text, tool_calls
from tests.support.model_server import raw as raw_reply
from tests.support.openai_sdk import client_of
from tests.support.sdk import PROVIDER_KEY, Account, NewAccount, ask, asked, async_sdk, raw_client, session_of
from tests.support.server import ServerProcess
from tests.support.talk import Client, until

HI: Any = [{"role": "user", "content": "hi"}]


async def usage_of(raw: Client, **query: Any) -> Any:
    return (await raw.get("/usage", params=query)).raise_for_status().json()


async def test_chat_completion_goes_through_with_all_its_fields_and_is_recorded(
    ai: AsyncOpenAI, raw: Client, models: ModelServerHandle
) -> None:
    models.script("gpt-x", tool_calls([("f", {"a": 1})], content="so"))
    made = await ai.chat.completions.create(model="gpt-x", messages=HI, seed=7, extra_body={"odd": {"x": None}})
    assert made.choices[0].message.tool_calls
    (request,) = models.requests
    assert request.json == {"model": "gpt-x", "messages": HI, "seed": 7, "odd": {"x": None}}
    assert request.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    total = (await usage_of(raw, kind="gateway"))["total"]
    assert (total["requests"], total["prompt_tokens"], total["completion_tokens"], total["unpriced"]) == (1, 7, 3, 1)


@pytest.mark.parametrize("wanted", [False, True])
async def test_streamed_completion_goes_through_and_tells_usage_only_to_who_asks(
    ai: AsyncOpenAI, raw: Client, models: ModelServerHandle, wanted: bool
) -> None:
    models.script("gpt-x", text("a b c d", chunks=4))
    options: Any = {"stream_options": {"include_usage": True}} if wanted else {}
    chunks = [chunk async for chunk in await ai.chat.completions.create(model="gpt-x", messages=HI, stream=True, **options)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "a b c d"
    assert any(chunk.usage for chunk in chunks) == wanted
    assert (await usage_of(raw))["total"]["total_tokens"] == 10


async def test_completion_of_the_model_that_calls_nobody_has_the_form_of_all_others(ai: AsyncOpenAI) -> None:
    whole = await ai.chat.completions.create(model="mentha/echo", messages=HI)
    chunks = [chunk async for chunk in await ai.chat.completions.create(model="mentha/echo", messages=HI, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content


async def test_field_that_is_wrong_is_named_where_the_sdk_shows_it(ai: AsyncOpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="messages"):
        await ai.chat.completions.create(model="mentha/echo", messages=[])


async def test_usage_that_no_provider_tells_is_counted_here(ai: AsyncOpenAI, raw: Client, models: ModelServerHandle) -> None:
    models.script("gpt-x", text("one two", usage=None), text("one two", usage=None, chunks=2))
    await ai.chat.completions.create(model="gpt-x", messages=HI)
    await ai.responses.create(model="gpt-x", input="hi")
    groups = (await usage_of(raw, group_by=["kind"]))["groups"]
    assert {group["kind"]: (group["estimated"], group["completion_tokens"]) for group in groups} == {"gateway": (1, 2), "response": (1, 2)}


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(429, "slow down", headers={"retry-after": "7"}), openai.RateLimitError),
        (error(401, "no"), openai.BadRequestError),
        (error(500, "no"), openai.InternalServerError),
        (garbage(), openai.InternalServerError),
        (drop(), openai.InternalServerError),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
@pytest.mark.parametrize("stream", [False, True])
async def test_failure_of_a_provider_has_its_status_and_is_recorded(
    ai: AsyncOpenAI, raw: Client, models: ModelServerHandle, reply: Any, kind: type[Exception], stream: bool
) -> None:
    models.script("gpt-x", reply)
    with pytest.raises(kind):
        await ai.chat.completions.create(model="gpt-x", messages=HI, stream=stream)

    async def is_recorded() -> bool:
        total = (await usage_of(raw))["total"]
        return (total["requests"], total["failed"], total["total_tokens"]) == (1, 1, 0)

    await until(is_recorded)


@pytest.mark.parametrize("reply", [sse_error("it broke", chunks=2), drop(after_chunks=3)], ids=["told", "dropped"])
async def test_stream_that_breaks_ends_with_an_error_and_is_recorded(
    ai: AsyncOpenAI, raw: Client, models: ModelServerHandle, reply: Any
) -> None:
    models.script("gpt-x", reply)
    with pytest.raises(openai.APIError):
        async for _ in await ai.chat.completions.create(model="gpt-x", messages=HI, stream=True):
            pass

    async def is_recorded() -> bool:
        total = (await usage_of(raw))["total"]
        return (total["requests"], total["failed"], total["estimated"]) == (1, 1, 1)

    await until(is_recorded)


async def test_stream_that_its_client_leaves_ends_at_the_provider_too_and_is_recorded(
    ai: AsyncOpenAI, raw: Client, models: ModelServerHandle
) -> None:
    models.script("gpt-x", slow(text("a b c d", chunks=4)))
    models.release(2)
    stream = await ai.chat.completions.create(model="gpt-x", messages=HI, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await models.until_disconnected()

    async def is_recorded() -> bool:
        return (await usage_of(raw))["total"]["requests"] == 1

    await until(is_recorded)


async def test_event_of_several_lines_goes_through_whole(ai: AsyncOpenAI, models: ModelServerHandle) -> None:
    piece = b'data: {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices":\n'
    piece += b'data: [{"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    models.script("gpt-x", raw_reply(piece, headers={"content-type": "text/event-stream"}))
    chunks = [chunk async for chunk in await ai.chat.completions.create(model="gpt-x", messages=HI, stream=True)]
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["ok"]


async def test_models_are_listed_and_found_by_name(ai: AsyncOpenAI) -> None:
    names = [model.id async for model in ai.models.list()]
    assert {"mentha/echo", "gpt-x", "other/oth-1"} <= set(names)
    assert (await ai.models.retrieve("other/oth-1")).owned_by == "other"
    with pytest.raises(openai.NotFoundError):
        await ai.models.retrieve("nobody")


async def test_usage_is_summed_by_what_it_was_for_and_priced_by_its_model(
    ai: AsyncOpenAI, sdk: AsyncJulep, raw: Client, models: ModelServerHandle, rows: Any, account: Account
) -> None:
    session = await session_of(sdk, model="gpt-4o-mini-2024-07-18")
    for _ in range(2):
        await ask(sdk, session)
    await ai.responses.create(model="gpt-4o", input="hi")
    by = await usage_of(raw, group_by=["model", "session"], session_id=session)
    (group,) = by["groups"]
    assert (group["model"], group["session_id"], group["requests"], group["unpriced"]) == ("gpt-4o-mini-2024-07-18", session, 2, 0)
    assert group["cost"] == pytest.approx(2 * (7 * 0.15 + 3 * 0.60) / 1e6)
    whole = await usage_of(raw, group_by=["kind", "day"])
    assert {group["kind"]: group["requests"] for group in whole["groups"]} == {"chat": 2, "response": 1}
    assert whole["total"]["cost"] == pytest.approx(group["cost"] + (7 * 2.5 + 3 * 10) / 1e6)
    key = await rows.fetchval("SELECT id FROM api_keys WHERE tenant_id = $1", account.id)
    assert (await usage_of(raw, key_id=str(key)))["total"]["requests"] == 3
    assert (await usage_of(raw, end="2020-01-01T00:00:00Z"))["total"]["requests"] == 0
    assert (await raw.get("/usage", params={"group_by": "nothing"})).status_code == 422
    assert "NUL" in (await raw.get("/usage", params={"model": "a\0"})).json()["error"]["message"]
    for name, moment in (("end", "0001-01-01T00:00:00Z"), ("start", "0001-01-01T00:00:00+14:00"), ("end", "9999-12-31T23:59:59-14:00")):
        answer = await raw.get("/usage", params={name: moment})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", name])
    assert len(asked(models)) == 3


async def test_usage_of_prompt_steps_is_told_by_execution_and_in_its_log(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, account: Account
) -> None:
    agent = await sdk.agents.create(name="a", model="gpt-4o")
    task = await sdk.tasks.create(agent.id, name="t", main=[{"prompt": "one"}, {"prompt": "two"}])
    execution = await sdk.executions.create(task.id, input={})
    *_, ended = [event async for event in await sdk.executions.status.stream(execution.id)]
    cost = (7 * 2.5 + 3 * 10) / 1e6
    assert (ended.prompt_tokens, ended.completion_tokens, ended.cost) == (14, 6, pytest.approx(2 * cost))
    usage = await usage_of(raw, group_by=["execution", "kind"], execution_id=execution.id)
    (group,) = usage["groups"]
    assert (group["execution_id"], group["kind"], group["requests"]) == (execution.id, "step", 2)
    assert group["cost"] == pytest.approx(2 * cost)
    steps = [line async for line in sdk.executions.transitions.list(execution.id, direction="asc") if "usage" in line.metadata]
    assert [line.metadata["cost"] for line in steps] == [pytest.approx(cost)] * 2


async def test_prompts_of_an_execution_count_for_the_key_that_began_it_or_made_its_schedule(
    sdk: AsyncJulep, raw: Client, rows: Any, models: ModelServerHandle, account: Account
) -> None:
    agent = await sdk.agents.create(name="a", model="gpt-4o")
    asking = await sdk.tasks.create(agent.id, name="asking", main=[{"prompt": "one"}])
    start: Any = {
        "name": "start",
        "type": "system",
        "system": {"resource": "execution", "operation": "create", "arguments": {"task_id": asking.id}},
    }
    chat: Any = {"name": "chat", "type": "system", "system": {"resource": "session", "operation": "chat"}}
    session = (await sdk.sessions.create(agent=agent.id)).id
    calling = await sdk.tasks.create(
        agent.id,
        name="calling",
        tools=[start, chat],
        main=[
            {"tool": "start", "arguments": {"input": {}}},
            {"tool": "chat", "arguments": {"session_id": f"$ '{session}'", "messages": [{"role": "$ 'user'", "content": "$ 'hi'"}]}},
        ],
    )
    begun = await sdk.executions.create(calling.id, input={})
    made = (await raw.post(f"/tasks/{asking.id}/schedules", json={"cron": "0 9 * * *"})).json()
    await rows.execute("UPDATE schedules SET next_at = now() WHERE id = $1", made["id"])
    await until(lambda: rows.fetchval("SELECT count(*) = 3 FROM usage WHERE tenant_id = $1", account.id))
    key = await rows.fetchval("SELECT id FROM api_keys WHERE tenant_id = $1", account.id)
    groups = (await usage_of(raw, key_id=str(key), group_by=["kind", "execution"]))["groups"]
    assert sorted((group["kind"], group["requests"]) for group in groups) == [("chat", 1), ("step", 1), ("step", 1)]
    # The turn that a step asked for is a part of what that execution cost.
    assert {group["execution_id"] for group in groups if group["kind"] == "chat"} == {begun.id}


async def test_execution_uses_up_the_tokens_of_the_key_that_began_it_and_goes_on(
    server: ServerProcess, new_account: NewAccount, rows: Any, models: ModelServerHandle
) -> None:
    account = await new_account()
    await rows.execute("UPDATE api_keys SET tokens_per_day_max = 15 WHERE tenant_id = $1", account.id)
    async with async_sdk(server.url, account.key) as sdk:
        agent = await sdk.agents.create(name="a", model="gpt-4o")
        task = await sdk.tasks.create(agent.id, name="asking", main=[{"prompt": "one"}, {"prompt": "two"}, {"prompt": "three"}])
        execution = await sdk.executions.create(task.id, input={})
        await until(lambda: rows.fetchval("SELECT finished_at IS NOT NULL FROM executions WHERE id = $1", execution.id))
        assert await rows.fetchval("SELECT status FROM executions WHERE id = $1", execution.id) == "succeeded"
        with pytest.raises(julep.RateLimitError, match="tokens a day"):
            await sdk.executions.get(execution.id)


async def test_usage_of_another_tenant_is_not_summed(
    ai: AsyncOpenAI, server: ServerProcess, new_account: NewAccount, models: ModelServerHandle
) -> None:
    await ai.chat.completions.create(model="gpt-x", messages=HI)
    async with client_of(server.url, (await new_account()).key) as other:
        answer: Any = await other.get("/usage", cast_to=object)
    assert answer["total"]["requests"] == 0


async def test_key_with_limits_is_told_what_is_left_and_refused_when_nothing_is(
    server: ServerProcess, new_account: NewAccount, rows: Any, models: ModelServerHandle
) -> None:
    account = await new_account()
    await rows.execute("UPDATE api_keys SET requests_per_minute_max = 1000, tokens_per_day_max = 15 WHERE tenant_id = $1", account.id)
    async with client_of(server.url, account.key) as ai:
        for used in (0, 10):
            answer = await ai.responses.with_raw_response.create(model="gpt-x", input="hi")
            assert answer.headers["x-ratelimit-limit-tokens"] == "15"
            assert answer.headers["x-ratelimit-remaining-tokens"] == str(15 - used)
            assert int(answer.headers["x-ratelimit-remaining-requests"]) < 1_000
        with pytest.raises(openai.RateLimitError, match="tokens a day") as refused:
            await ai.chat.completions.create(model="gpt-x", messages=HI)
        assert refused.value.response.headers["x-ratelimit-remaining-tokens"] == "0"
        assert 0 < int(refused.value.response.headers["retry-after"]) <= 86_400
    other = await new_account()
    await rows.execute("UPDATE api_keys SET requests_per_minute_max = 1 WHERE tenant_id = $1", other.id)
    async with raw_client(server.url, other.key) as client:
        answers = [await client.get("/v1/models") for _ in range(3)]
    # A minute may have begun between two of them.
    assert {answer.status_code for answer in answers} == {200, 429}
    refused_by_minute = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(refused_by_minute.headers["retry-after"]) <= 60
    assert refused_by_minute.json()["error"]["reason"] == "rate_limited"
    assert len(asked(models)) == 2
