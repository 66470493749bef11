"""Prompts of tasks: what is sent to a real server that speaks a provider's API, and what comes out, tools of every kind included."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mentha.workflow.moves import Done
from tests.support.effects import Running, World, open_world
from tests.support.flow import evaluate, plan, step
from tests.support.model_server import ModelServer, error, hang, text, tool_calls
from tests.support.runs import new_task
from tests.support.wild_server import answer, saying, wild_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s3cret-value-of-a-tenant"
DUMMY: dict[str, Any] = {"name": "same", "description": "Gives back", "type": "integration", "integration": {"provider": "dummy"}}
MINE: dict[str, Any] = {"name": "mine", "description": None, "type": "function", "function": {"parameters": {"type": "object"}}}
OTHER = {**MINE, "name": "other"}


def prompt(said: Any, **members: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"tools": "all", "tool_choice": None, "settings": {}, "unwrap": False, "auto_run_tools": False}
    return step("prompt", **{"prompt": said, "disable_cache": False, **plain, **members})


def acting(*tools: dict[str, Any], said: Any = "go", **members: Any) -> dict[str, Any]:
    return {**plan(prompt(said, auto_run_tools=True, **members)), "tools": list(tools)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(worker_dsn: str, tmp_path_factory: Any) -> AsyncIterator[tuple[World, ModelServer]]:
    home: Path = tmp_path_factory.mktemp("home")
    async with ModelServer() as server, open_world(worker_dsn, home, server.base_url, tool_rounds_max=3) as world:
        yield world, server


@pytest.fixture
def world(opened: tuple[World, ModelServer]) -> World:
    return opened[0]


@pytest.fixture
def models(opened: tuple[World, ModelServer]) -> ModelServer:
    opened[1].reset()
    return opened[1]


async def test_text_is_one_message_of_a_user_and_the_completion_comes_out(world: World, models: ModelServer) -> None:
    settings = {"temperature": "$ _.t / 10", "max_tokens": 5, "response_format": {"type": "json_object"}, "unknown": 1, "stop": None}
    agent = await world.agent(await world.tenant(), default_settings={"temperature": 1, "top_p": 0.5}, instructions="Not sent.")
    ran = await world.run(plan(prompt("$ f'Hi {_.name}'", settings=settings)), {"name": "Ann", "t": 2}, agent=agent)
    (asked,) = [request.json for request in models.requests]
    assert asked["messages"] == [{"role": "user", "content": "Hi Ann"}]
    sent = {name: asked[name] for name in asked if name != "messages"}
    assert sent == {"model": "gpt-x", "temperature": 0.2, "top_p": 0.5, "max_tokens": 5, "response_format": {"type": "json_object"}}
    output = ran.output
    assert output["object"] == "chat.completion"
    assert output["choices"][0]["message"] == {"role": "assistant", "content": "ok: Hi Ann", "tool_calls": None}
    assert output["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert "messages" not in output
    metadata = ran.log[-1].metadata
    assert (metadata["model"], metadata["usage"]["total_tokens"]) == ("gpt-x", 10)


async def test_messages_take_every_form_and_their_contents_are_evaluated(world: World, models: ModelServer) -> None:
    image = {"type": "image_url", "image_url": {"url": "$ _.url"}}
    said = [
        {"role": "system", "content": ["Be {{_.how}}.", "Be short."]},
        {"role": "$ 'user'", "content": [{"type": "text", "text": "$ _.how"}, image], "name": "Ann Lee", "tool_calls": []},
        {"role": "user", "content": '{"json": {"stays": 1}}'},
    ]
    await world.run(plan(prompt(said)), {"how": "kind", "url": "https://a.example/i.png"})
    (first, second, third) = models.requests[0].json["messages"]
    assert [part["text"] for part in first["content"]] == ["Be kind.", "Be short."]
    assert second["name"] == "Ann_Lee"
    assert second["content"][1]["image_url"]["url"] == "https://a.example/i.png"
    assert third == {"role": "user", "content": '{"json": {"stays": 1}}'}
    for given, sent in (([{"role": "user", "content": "a"}], "a"), ({"k": 1}, '{"k":1}'), ([1, 2], "[1,2]")):
        models.reset()
        await world.run(plan(prompt("$ _")), given)
        assert models.requests[0].json["messages"] == [{"role": "user", "content": sent}]


async def test_unwrap_gives_the_text_and_refuses_calls(world: World, models: ModelServer) -> None:
    assert (await world.run(plan(prompt("hi", unwrap=True)))).output == "ok: hi"
    models.script("gpt-x", tool_calls([("same", {})]))
    assert (await world.run(plan(prompt("hi", unwrap=True, tools=[DUMMY])))).error.startswith("Tool calls cannot be unwrapped")


async def test_tools_are_offered_by_list_by_reference_and_all_where_they_are_run_or_chosen(world: World, models: ModelServer) -> None:
    agent = await world.agent(await world.tenant(), tools=[{**MINE, "name": "theirs"}])
    tools = [{**DUMMY, "id": "0190a6f0-0000-7000-8000-000000000001"}, MINE]

    async def offered(inherit: bool = True, **members: Any) -> list[str]:
        models.reset()
        whole = {**plan(prompt("hi", **members)), "tools": tools, "inherit_tools": inherit}
        await world.run(whole, agent=agent, tenant=await _owner(world, agent))
        return [tool["function"]["name"] for tool in models.requests[0].json.get("tools", [])]

    assert await offered() == []
    assert await offered(auto_run_tools=True) == ["same", "mine", "theirs"]
    assert await offered(tool_choice="required", inherit=False) == ["same", "mine"]
    assert models.requests[0].json["tool_choice"] == "required"
    refs = [{"ref": {"name": "theirs"}}, {"ref": {"id": tools[0]["id"]}}, OTHER]
    assert await offered(tools=refs, tool_choice={"function": {"name": "other"}}) == ["theirs", "same", "other"]
    assert models.requests[0].json["tool_choice"] == {"type": "function", "function": {"name": "other"}}
    ran = await world.run(plan(prompt("hi", tools=[{"ref": {"name": "gone"}}])))
    assert ran.error.startswith("Tool gone not found")


async def _owner(world: World, agent: dict[str, Any]) -> Any:
    async with world.runtime.database.connection() as connection:
        return await connection.fetchval("SELECT tenant_id FROM agents WHERE id = $1", agent["id"])


async def test_without_auto_run_the_calls_are_the_output(world: World, models: ModelServer) -> None:
    models.script("gpt-x", tool_calls([("same", {"a": 1})]))
    ran = await world.run(plan(prompt("hi", tools=[DUMMY])))
    choice = ran.output["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}


async def test_server_tools_are_run_until_the_model_answers(world: World, models: ModelServer) -> None:
    models.script("gpt-x", tool_calls([("same", {"a": 1})]), tool_calls([("same", {"a": 2}), ("no_such", {})]), text("done"))
    ran = await world.run({**acting(DUMMY), "workflows": {"main": [*acting(DUMMY)["workflows"]["main"], evaluate({"all": "$ _"})]}})
    output = ran.output["all"]
    assert output["choices"][0]["message"]["content"] == "done"
    assert output["usage"]["total_tokens"] == 30
    assert [message["role"] for message in output["messages"]] == ["user", "assistant", "tool", "assistant", "tool", "tool", "assistant"]
    assert json.loads(output["messages"][2]["content"]) == {"a": 1}
    assert "no such tool" in output["messages"][5]["content"]


async def test_rounds_are_limited_and_the_answer_comes_without_tools(world: World, models: ModelServer) -> None:
    models.script("gpt-x", *[tool_calls([("same", {})])] * 3, text("enough"))
    ran = await world.run(acting(DUMMY, unwrap=True))
    assert ran.output == "enough"
    assert models.requests[-1].json["tool_choice"] == "none"
    assert "rounds" in ran.log[-1].metadata["warnings"][0]


@pytest.mark.parametrize(
    "sent",
    [
        [{"tool_call_id": "call_1", "output": {"n": 2}}, {"tool_call_id": "call_0", "content": "one"}],
        {"tool_outputs": [{"tool_call_id": "call_1", "output": {"n": 2}}, {"tool_call_id": "call_0", "output": "one"}]},
        {"call_0": "one", "call_1": {"n": 2}},
    ],
)
async def test_client_tools_wait_and_the_model_goes_on_with_what_it_sends(world: World, models: ModelServer, sent: Any) -> None:
    models.script("gpt-x", tool_calls([("mine", {"a": 1}), ("other", {})]), tool_calls([("mine", {"b": 1})]), text("done"))
    ran = await world.run(acting(DUMMY, MINE, OTHER))
    waited = ran.log[-1]
    assert (waited.type, [call["id"] for call in waited.output]) == ("wait", ["call_0", "call_1"])
    await ran.resume(sent)
    results = [message for message in models.requests[-1].json["messages"] if message["role"] == "tool"]
    assert results == [
        {"role": "tool", "content": "one", "tool_call_id": "call_0"},
        {"role": "tool", "content": '{"n":2}', "tool_call_id": "call_1"},
    ]
    await ran.resume({"any": "object"})
    assert models.requests[-1].json["messages"][-1]["content"] == '{"any":"object"}'
    assert ran.output["choices"][0]["message"]["content"] == "done"
    assert ran.output["usage"]["total_tokens"] == 30


async def test_server_tools_of_a_mixed_round_are_run_before_the_client_is_asked(world: World, models: ModelServer) -> None:
    models.script("gpt-x", tool_calls([("same", {"a": 1}), ("mine", {})]), text("done"))
    ran = await world.run(acting(DUMMY, MINE))
    assert [call["function"]["name"] for call in ran.log[-1].output] == ["mine"]
    await ran.resume("here")
    roles = [(message["role"], message.get("content")) for message in models.requests[-1].json["messages"]]
    assert roles == [("user", "go"), ("assistant", None), ("tool", '{"a":1}'), ("assistant", None), ("tool", "here")]


async def test_answer_that_names_no_call_of_several_fails_with_the_forms_to_send(world: World, models: ModelServer) -> None:
    models.script("gpt-x", tool_calls([("mine", {}), ("other", {})]))
    ran = await (await world.run(acting(MINE, OTHER))).resume({"x": 1})
    assert "a list of {tool_call_id, content}" in ran.error


async def test_secret_reaches_the_model_and_its_tools_and_no_row_or_journal(world: World, models: ModelServer) -> None:
    tenant = await world.tenant(TOKEN=SECRET)
    models.script("gpt-x", tool_calls([("same", {"token": SECRET}), ("mine", {"t": SECRET})], content=SECRET), text(f"it is {SECRET}"))
    begun = await world.run(acting(DUMMY, MINE, said="$ 'use ' + secrets.TOKEN"), tenant=tenant)
    assert models.requests[0].json["messages"][0]["content"] == f"use {SECRET}"
    await begun.resume({"said": "ok"})
    assert models.requests[1].json["messages"][0]["content"] == f"use {SECRET}"
    assert begun.output["choices"][0]["message"]["content"].startswith("it is ‹secret:TOKEN:")
    assert SECRET not in begun.written
    async with world.runtime.database.connection() as connection:
        kept = await connection.fetch("SELECT message, result FROM tool_rounds JOIN tool_calls USING (tenant_id, run_id, round)")
    assert kept
    assert SECRET.encode() not in b"".join(row["message"] + (row["result"] or b"") for row in kept)


async def test_neither_another_attempt_nor_another_worker_repeats_a_call_that_has_ended(world: World, models: ModelServer) -> None:
    async with wild_server(saying(answer(body=b'{"ok":true}', content_type="application/json"))) as outside:
        spec = {"method": "POST", "url": outside.url()}
        post = {"name": "call", "description": None, "type": "api_call", "api_call": spec}
        models.script("gpt-x", tool_calls([("call", {"json": {"n": 1}})]), error(500, "broken"), text("done"), text("done once more"))
        ran = await world.begin(acting(post, unwrap=True))
        (command,) = ran.commands()
        assert (await ran.go()).output == "done"
        assert [row.type for row in ran.log] == ["init", "retry", "finish"]
        again = await world.effects.run(ran.context, (await _begun_again(world, ran)).state, command)
        assert isinstance(again, Done)
        assert again.value["output"] == "done once more"
        assert (len(outside.seen), len(models.requests)) == (1, 4)
        assert outside.seen[0].headers["idempotency-key"].startswith(f"{ran.context.execution_id}/")


async def test_call_of_a_prompt_that_is_made_again_starts_no_second_execution(world: World, models: ModelServer) -> None:
    """Two in one round and one in the next, then a crash before it was known how any of them ended."""
    tenant = await world.tenant()
    await world.agent(tenant)
    async with world.runtime.database.transaction() as tx:
        task = await new_task(tx, tenant, [])
    begin = {"name": "begin", "description": None, "type": "system", "system": {"resource": "execution", "operation": "create"}}
    call = ("begin", {"task_id": str(task)})
    models.script("gpt-x", tool_calls([call, call]), tool_calls([call]), text("once"), text("again"))
    ran = await world.begin(acting(begin), tenant=tenant)
    (command,) = ran.commands()
    made: list[Any] = []
    for _ in range(2):
        done = await asyncio.create_task(world.effects.run(ran.context, ran.state, command))
        assert isinstance(done, Done)
        made.append([json.loads(each["content"])["id"] for each in done.value["output"]["messages"] if each["role"] == "tool"])
        async with world.runtime.database.connection() as tx:
            await tx.execute("UPDATE tool_calls SET state = 'running', result = NULL WHERE tenant_id = $1", tenant)
    assert len(set(made[0])) == 3
    assert made[0] == made[1]


async def _begun_again(world: World, ran: Running) -> Running:
    """The execution as a worker finds it that knows nothing of the first attempt."""
    context = ran.context
    begun = await world.begin(context.plan, tenant=context.tenant, execution_id=context.execution_id)
    begun.commands()
    return begun


async def test_provider_that_is_busy_is_asked_again_when_it_says_and_one_that_refuses_is_not(world: World, models: ModelServer) -> None:
    models.script("gpt-x", error(429, "slow down", headers={"retry-after": "7"}))
    ran = await world.run(plan(prompt("hi", unwrap=True)))
    (retry,) = [row for row in ran.log if row.type == "retry"]
    assert retry.metadata["due_at"] - retry.at >= 7
    assert retry.metadata["error"]["kind"] == "llm_rate_limited"
    assert ran.output == "ok: hi"
    models.reset()
    models.script("gpt-x", error(400, "too long"))
    assert "too long" in (await world.run(plan(prompt("hi")))).error
    assert len(models.requests) == 1


async def test_tenants_own_key_is_used_for_its_provider(world: World, models: ModelServer) -> None:
    tenant = await world.tenant(OPENAI_API_KEY="sk-of-the-tenant-itself")
    await world.run(plan(prompt("hi")), tenant=tenant)
    assert models.requests[0].headers["authorization"] == "Bearer sk-of-the-tenant-itself"
    await world.run(plan(prompt("hi")))
    assert models.requests[1].headers["authorization"] == "Bearer sk-operator"


async def test_prompt_that_is_cancelled_closes_its_call(world: World, models: ModelServer) -> None:
    models.script("gpt-x", hang())
    ran = await world.begin(plan(prompt("hi")))
    (command,) = ran.commands()
    running = asyncio.create_task(world.effects.run(ran.context, ran.state, command))
    await models.until_held()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await models.until_disconnected()
