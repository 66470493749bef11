"""What steps of tasks do, by the real effects: expressions, secrets, and tools against servers of ours."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from mentha import observe
from mentha.observe.events import CommandBroke, Event
from mentha.tools.requests import QUERY_FIELDS_MAX
from mentha.tools.system import Caller
from mentha.workflow.moves import Done
from tests.support.effects import World, open_world
from tests.support.flow import evaluate, plan, step
from tests.support.model_server import ModelServer
from tests.support.runs import new_task
from tests.support.wild_server import Seen, WildServer, answer, saying, wild_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s3cret-value/of+a tenant"


def tool(name: str, arguments: Any = "_", **members: Any) -> dict[str, Any]:
    return step("tool_call", tool=name, arguments=arguments, **members)


def with_tools(tools: list[Any], *main: dict[str, Any], **more: Any) -> dict[str, Any]:
    shaped = [{"description": None, **one} for one in tools]
    return {**plan(*main), "tools": shaped, **more}


def api_call(outside: WildServer, target: str = "/x", *, method: str = "POST", **spec: Any) -> dict[str, Any]:
    return {"name": "call", "type": "api_call", "api_call": {"method": method, "url": outside.url(target=target), **spec}}


DUMMY: dict[str, Any] = {"name": "same", "type": "integration", "integration": {"provider": "dummy"}}


def mirror(seen: Seen) -> bytes:
    if seen.target == "/hangs-up":
        return b""
    if seen.target.startswith("/status/"):
        status = seen.target.split("/")[2]
        after = {"retry_after": seen.target.split("/")[3]} if seen.target.count("/") > 2 else {}
        return answer(f"{status} Odd", json.dumps(seen.headers).encode(), content_type="application/json", **after)
    shown = {"method": seen.method, "target": seen.target, "headers": seen.headers, "body": seen.body.decode("latin-1")}
    return answer(body=json.dumps(shown).encode(), content_type="application/json")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(worker_dsn: str, tmp_path_factory: Any) -> AsyncIterator[World]:
    home: Path = tmp_path_factory.mktemp("home")
    async with ModelServer() as models, open_world(worker_dsn, home, models.base_url, execution_call_timeout_s=5) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def outside() -> AsyncIterator[WildServer]:
    async with wild_server(saying(mirror)) as server:
        yield server


async def test_steps_see_each_others_outputs_by_number_and_by_label(world: World) -> None:
    main = [
        evaluate({"n": "$ _.a + 1", "deep": [{"x": "$ arguments['a'] * 10"}]}, label="first"),
        step("set", value={"kept": "$ steps['first'].output.n"}),
        evaluate({"all": "$ [state.kept, steps[0].output.n, outputs[0]['n'], inputs[0].a, agent.name]", "deep": "$ steps[0].output.deep"}),
    ]
    ran = await world.run(plan(*main), {"a": 1})
    assert ran.output == {"all": [2, 2, 2, 1, "Mia"], "deep": [{"x": 10}]}


async def test_conditions_cases_loops_and_folds_are_evaluated(world: World) -> None:
    body = step("if_else", condition="$ _ > 1", then=[evaluate("$ _ * 2")], **{"else": [evaluate(0)]})
    loop = step("map_reduce", over="$ range(_.n)", map=[body], reduce="results + [_ + 1]", initial=[], parallelism=None)
    cases = [{"case": "$ len(_) > 9", "then": [evaluate("long")]}, {"case": "_", "then": [evaluate("$ sum(_)")]}]
    ran = await world.run(plan(loop, step("switch", cases=cases)), {"n": 4})
    assert ran.output == 1 + 1 + 5 + 7


async def test_expression_that_fails_says_which_where_and_why(world: World) -> None:
    ran = await world.run(plan(evaluate(1), evaluate({"a": "$ no_such_name + 1"}, label="sums")))
    assert "no_such_name" in ran.error
    assert "step 1 of main, labelled `sums`" in ran.error
    metadata = ran.log[-1].metadata
    assert (metadata["expression"], metadata["error"]["kind"]) == ("$ no_such_name + 1", "expression")


async def test_secret_reaches_expressions_and_tools_and_no_row(world: World, outside: WildServer) -> None:
    tenant = await world.tenant(TOKEN=SECRET)
    main = [
        evaluate({"auth": "$ f'Bearer {secrets.TOKEN}'", "alone": "$ secrets.TOKEN"}),
        evaluate({"joined": "$ _.auth + '!'", "length": "$ len(_.alone)", "same": "$ _.alone == secrets['TOKEN']"}, label="made"),
        step("log", text="$ 'using ' + secrets.TOKEN"),
        tool("call", {"json": {"token": "$ _.joined"}, "headers": {"x-other": "$ secrets.TOKEN"}}),
    ]
    ran = await world.run(with_tools([api_call(outside, headers={"Authorization": "$ secrets.TOKEN"})], *main), tenant=tenant)
    seen = outside.seen[-1]
    assert json.loads(seen.body) == {"token": f"Bearer {SECRET}!"}
    assert (seen.headers["authorization"], seen.headers["x-other"]) == (SECRET, SECRET)
    made = next(row.output for row in ran.log if row.label == "made")
    assert (made["length"], made["same"]) == (len(SECRET), True)
    assert "‹secret:TOKEN:" in made["joined"]
    # The server has told all of it back, in a body that also stands there as base64.
    for form in (SECRET, SECRET.replace("/", "\\/"), base64.b64encode(SECRET.encode()).decode().rstrip("=")[:-1]):
        assert form not in ran.written
    assert "[secret]" in ran.output["content"]


async def test_failure_shows_no_secret(world: World, outside: WildServer) -> None:
    tenant = await world.tenant(TOKEN=SECRET)
    ran = await world.run(plan(step("error", message="$ 'no: ' + secrets.TOKEN")), tenant=tenant)
    assert "‹secret:TOKEN:" in ran.error
    ran = await world.run(plan(evaluate({"n": "$ int(secrets.TOKEN)"})), tenant=tenant)
    assert "int" in ran.error
    assert SECRET not in ran.written


async def test_mark_that_a_client_has_written_is_not_opened(world: World) -> None:
    tenant = await world.tenant(TOKEN=SECRET)
    main = [evaluate({"length": "$ len(_.text)", "first": "$ secrets.TOKEN"})]
    first = await world.run(plan(*main), {"text": "‹secret:TOKEN:AAAAAAAAAAAAAAAA›"}, tenant=tenant)
    assert first.output["length"] == 31
    # One that another execution has shown opens nothing either.
    other = await world.run(plan(*main), {"text": first.output["first"]}, tenant=tenant)
    assert other.output["length"] == 31


async def test_secret_that_does_not_exist_is_named(world: World) -> None:
    ran = await world.run(plan(evaluate({"a": "$ secrets.NOWHERE"})))
    assert "there is no secret `NOWHERE`: create it" in ran.error


async def test_api_call_gives_status_headers_content_and_json(world: World, outside: WildServer) -> None:
    spec: Any = {
        "headers": {"x-fixed": "1"},
        "params_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    }
    parts = {"params": {"q": "$ _.city"}, "headers": {"x-fixed": "2", "x-more": "3"}, "json": {"a": [1]}}
    ran = await world.run(with_tools([api_call(outside, **spec)], tool("call", parts)), {"city": "São Paulo"})
    seen = outside.seen[-1]
    assert (seen.target, seen.body) == ("/x?q=S%C3%A3o+Paulo", b'{"a":[1]}')
    assert (seen.headers["x-fixed"], seen.headers["x-more"]) == ("1", "3")
    assert (ran.output["status_code"], ran.output["headers"]["content-type"]) == (200, "application/json")
    assert json.loads(base64.b64decode(ran.output["content"])) == ran.output["json"]
    # Its schema's own fields are what a model would give: they are taken too, and checked.
    await world.run(with_tools([api_call(outside, method="GET", **spec)], tool("call", {"q": "x"})))
    assert outside.seen[-1].target == "/x?q=x"


async def test_query_of_a_call_may_be_written_as_in_an_address_and_has_a_limit(world: World, outside: WildServer) -> None:
    called = with_tools([api_call(outside, method="GET", params={"k": "fixed"})], tool("call", {"params": "?q={_.n}&q=b%20c&k=own&e="}))
    await world.run(called, {"n": 1})
    assert outside.seen[-1].target == "/x?k=fixed&q=1&q=b+c&e="
    many = "&".join("a=1" for _ in range(QUERY_FIELDS_MAX + 1))
    ran = await world.run(with_tools([api_call(outside, method="GET")], tool("call", {"params": many})))
    assert f"more than {QUERY_FIELDS_MAX} fields" in ran.error


async def test_idempotency_key_is_the_calls_own_and_yields_to_the_authors(world: World, outside: WildServer) -> None:
    call = tool("call", {"json": {}})
    twice = await world.run(with_tools([api_call(outside)], call, tool("call", {"json": {}})))
    keys = [seen.headers["idempotency-key"] for seen in outside.seen]
    assert len(set(keys)) == 2
    assert all(key.startswith(f"{twice.context.execution_id}/") for key in keys)
    again = await world.begin(twice.context.plan, execution_id=twice.context.execution_id, tenant=twice.context.tenant)
    await again.go()
    assert [seen.headers["idempotency-key"] for seen in outside.seen] == [*keys, *keys]
    own = tool("call", {"headers": {"Idempotency-Key": "mine"}})
    await world.run(with_tools([api_call(outside)], own))
    assert outside.seen[-1].headers["idempotency-key"] == "mine"


async def test_status_that_may_pass_is_repeated_and_others_are_not(world: World, outside: WildServer) -> None:
    busy = await world.run(with_tools([api_call(outside, "/status/503/7")], tool("call", {})))
    assert "status 503" in busy.error
    # Every attempt comes under the key of the first.
    assert len({seen.headers["idempotency-key"] for seen in outside.seen}) == 1
    retries = [row for row in busy.log if row.type == "retry"]
    assert len(retries) == 4
    assert all(row.metadata["due_at"] - row.at >= 7 for row in retries)
    for target, method, often in (("/status/500", "POST", 1), ("/status/500", "GET", 5), ("/status/404", "GET", 1)):
        before = len(outside.seen)
        await world.run(with_tools([api_call(outside, target, method=method)], tool("call", {})))
        assert (target, method, len(outside.seen) - before) == (target, method, often)


@pytest.mark.parametrize(("method", "often"), [("POST", 1), ("PATCH", 1), ("GET", 5)])
async def test_call_that_went_out_and_got_no_answer_is_repeated_only_where_twice_is_once(
    world: World, outside: WildServer, method: str, often: int
) -> None:
    ran = await world.run(with_tools([api_call(outside, "/hangs-up", method=method)], tool("call", {})))
    assert len(outside.seen) == often
    assert ("may have had its effect" in ran.error) == (often == 1)


async def test_text_of_tools_is_evaluated_and_json_and_places_in_it_stay(world: World, outside: WildServer) -> None:
    tenant = await world.tenant(KEY=SECRET)
    made = api_call(
        outside,
        "/{id}/{{_.where}}?k={secrets.KEY}",
        headers={"x-a": "$ 'n=' + str(_.n)", "x-b": "{secrets.own}"},
        secrets={"own": {"name": "KEY"}},
        json={"literal": '{"a": {"b": 1}}', "made": "$ _.n + 1", "nested": ["{{ _.n }} items"]},
    )
    hostile = "{secrets.KEY}"
    ran = await world.run(with_tools([made], tool("call", {"id": "a b"})), {"where": hostile, "n": 2}, tenant=tenant)
    seen = outside.seen[-1]
    assert seen.target == "/a%20b/%7Bsecrets.KEY%7D?k=s3cret-value%2Fof%2Ba%20tenant"
    assert (seen.headers["x-a"], seen.headers["x-b"]) == ("n=2", SECRET)
    assert json.loads(seen.body) == {"literal": '{"a": {"b": 1}}', "made": 3, "nested": ["2 items"]}
    assert "s3cret" not in ran.written


async def test_metadata_overrides_what_an_integration_is_called_with(world: World) -> None:
    agent = await world.agent(await world.tenant(), metadata={"x-integrations-args": {"same": {"a": 1, "b": 1}}})
    task = {"metadata": {"x-integrations-args": {"same": {"b": "$ _.n"}}}}
    ran = await world.run(with_tools([DUMMY], tool("same", {"c": 3})), {"n": 2}, agent=agent, task=task)
    assert ran.output == {"a": 1, "b": 2, "c": 3}


async def test_tools_of_the_agent_are_inherited_as_they_are_at_the_time(world: World) -> None:
    tenant = await world.tenant(TOKEN=SECRET)
    theirs = {**DUMMY, "integration": {"provider": "dummy", "arguments": {"key": "{secrets.TOKEN}", "who": "agent"}}}
    agent = await world.agent(tenant, tools=[theirs, {**theirs, "name": "more"}])
    mine = {**DUMMY, "integration": {"provider": "dummy", "arguments": {"who": "task"}}}
    both = with_tools([mine], tool("same", {}), tool("more", {"before": "$ _"}), inherit_tools=True)
    ran = await world.run(both, tenant=tenant, agent=agent)
    assert ran.output == {"before": {"who": "task"}, "key": "[secret]", "who": "agent"}
    ran = await world.run({**both, "inherit_tools": False}, tenant=tenant, agent=agent)
    assert ran.error.startswith("Tool more not found in the toolset")


@pytest.mark.parametrize("kind", ["function", "bash_20241022"])
async def test_tool_of_the_client_waits_for_it_and_gives_what_it_sends(world: World, kind: str) -> None:
    mine = {"name": "mine", "type": kind, kind: {}}
    ran = await world.run(with_tools([mine], tool("mine", {"n": "$ _.n"}), evaluate({"got": "$ _.answer"})), {"n": 1})
    waited = ran.log[-1]
    assert waited.type == "wait"
    assert waited.output["function"] == {"name": "mine", "arguments": {"n": 1}}
    assert (waited.output["type"], len(waited.output["id"])) == ("function", len("call_") + 24)
    assert (await ran.resume({"answer": 42})).output == {"got": 42}


async def test_system_tools_give_lists_bare_and_store_no_secret(world: World) -> None:
    tenant = await world.tenant(TOKEN=SECRET)
    agent = await world.agent(tenant)
    tools = [
        {"name": "make", "type": "system", "system": {"resource": "user", "operation": "create", "arguments": {"name": "$ agent.name"}}},
        {"name": "list", "type": "system", "system": {"resource": "user", "operation": "list"}},
    ]
    main = [tool("make", {"about": "$ secrets.TOKEN", "metadata": {"n": 1}}), tool("list", {"limit": 5})]
    ran = await world.run(with_tools(tools, *main), tenant=tenant, agent=agent)
    (user,) = ran.output
    assert (user["name"], user["metadata"]) == ("Mia", {"n": 1})
    async with world.runtime.database.connection() as connection:
        stored = await connection.fetchval("SELECT about FROM users WHERE tenant_id = $1", tenant)
    assert "‹secret:TOKEN:" in stored


BEGIN = {"name": "begin", "type": "system", "system": {"resource": "execution", "operation": "create"}}


async def child(world: World) -> tuple[UUID, UUID]:
    """A tenant, and a task of its own that steps can start."""
    tenant = await world.tenant()
    await world.agent(tenant)
    async with world.runtime.database.transaction() as tx:
        return tenant, await new_task(tx, tenant, [])


async def test_repetition_of_a_step_that_starts_an_execution_gets_the_same_one(world: World) -> None:
    """Also where its arguments are made anew, and are others."""
    tenant, task = await child(world)
    main = tool("begin", {"task_id": str(task), "input": {"n": "$ random.random()"}})
    ran = await world.begin(with_tools([BEGIN], main), tenant=tenant)
    (command,) = ran.commands()
    first, again = [await asyncio.create_task(world.effects.run(ran.context, ran.state, command)) for _ in range(2)]
    assert isinstance(first, Done)
    assert first == again


async def test_repetition_of_a_step_that_asks_for_a_turn_gets_the_answer_that_it_had(world: World) -> None:
    tenant = await world.tenant()
    agent = await world.agent(tenant, model="mentha/echo")
    operations = world.parts.tools.system
    made: Any = await operations["session.create"](Caller(tenant), {"agent": agent["id"]})
    say = {"name": "say", "type": "system", "system": {"resource": "session", "operation": "chat"}}
    main = tool("say", {"session_id": made["id"], "messages": [{"role": "user", "content": "$ str(random.random())"}]})
    ran = await world.begin(with_tools([say], main), tenant=tenant)
    (command,) = ran.commands()
    first, again = [await asyncio.create_task(world.effects.run(ran.context, ran.state, command)) for _ in range(2)]
    assert isinstance(first, Done)
    assert first == again
    history: Any = await operations["session.history"](Caller(tenant), {"session_id": made["id"]})
    assert [entry["role"] for entry in history["entries"]] == ["user", "assistant"]


async def test_loop_that_starts_executions_starts_one_in_each_iteration(world: World) -> None:
    tenant, task = await child(world)
    body = tool("begin", {"task_id": str(task), "input": {}})
    loop = step("map_reduce", over="$ range(3)", map=[body], reduce=None, initial=[], parallelism=None)
    ran = await world.run(with_tools([BEGIN], body, loop), tenant=tenant)
    first = ran.log[1].output["id"]
    assert len({first, *(each["id"] for each in ran.output)}) == 4


async def test_step_around_that_is_tried_again_starts_executions_anew(world: World) -> None:
    tenant, task = await child(world)
    once_more = {"attempts_max": 3, "delay_s": 0, "factor": 1, "delay_max_s": 0}
    body = [tool("begin", {"task_id": str(task), "input": {}}), step("error", message="it failed")]
    ran = await world.run(with_tools([BEGIN], step("foreach", **{"in": "$ [1]", "do": body, "retry": once_more})), tenant=tenant)
    assert "it failed" in ran.error
    assert len({row.output["id"] for row in ran.log if row.type == "step"}) == 3


async def test_documents_are_searched_and_texts_embedded(world: World) -> None:
    tenant = await world.tenant()
    agent = await world.agent(tenant)
    doc = {"name": "doc", "type": "system", "system": {"resource": "agent", "subresource": "doc", "operation": "create"}}
    main = [
        tool("doc", {"agent_id": "$ agent.id", "title": "Tea", "content": "Green tea is steeped at 70 degrees."}),
        step("search", owner="agent", owner_id=None, query={"text": "$ arguments.q", "mode": "text", "limit": "$ 1 + 1"}, label="found"),
        step("embed", text=["$ steps['found'].output.docs[0].snippet.content", "tea"]),
    ]
    ran = await world.run(with_tools([doc], *main), {"q": "green tea"}, tenant=tenant, agent=agent)
    assert [len(vector) for vector in ran.output["vectors"]] == [512, 512]
    bad = await world.run(
        plan(step("search", owner="agent", owner_id=None, query={"text": "x", "limit": 1000})), tenant=tenant, agent=agent
    )
    assert "limit" in bad.error


async def test_arguments_that_are_no_object_and_results_that_are_too_large_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a tool takes an object" in (await world.run(with_tools([DUMMY], tool("same")), [1])).error
    monkeypatch.setattr("mentha.workflow.effects.OUTPUT_BYTES_MAX", 1_000)
    ran = await world.run(plan(evaluate({"n": "$ 'x' * 2000"})))
    assert "at most 1000 are kept" in ran.error


async def test_fault_of_ours_fails_the_step_with_an_id_that_the_log_has(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    observe.subscribe(told.append)
    monkeypatch.setitem(world.parts.tools.system, "doc.embed", None)  # pyright: ignore[reportArgumentType]
    ran = await world.run(plan(step("embed", text="x")))
    observe.unsubscribe(told.append)
    (broke,) = [event for event in told if isinstance(event, CommandBroke)]
    assert broke.id in ran.error
    assert ran.log[-1].metadata["error"]["kind"] == "internal"


async def test_calls_at_once_and_the_time_of_each_are_limited(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    release, arrived = asyncio.Event(), asyncio.Event()
    held = 0

    async def hold(seen: Seen, writer: Any) -> None:
        nonlocal held
        held += 1
        if held == 2:
            arrived.set()
        await release.wait()
        writer.write(answer(body=b"{}"))
        await writer.drain()

    limited = world.parts.settings.model_copy(update={"execution_calls_at_once_max": 2})
    monkeypatch.setattr(world.effects, "_parts", replace(world.parts, settings=limited))
    async with wild_server(hold) as server:
        loop = step("map_reduce", over="$ range(5)", map=[tool("call", {})], reduce=None, initial=[], parallelism=None)
        running = asyncio.create_task(world.run(with_tools([api_call(server)], loop)))
        await arrived.wait()
        release.set()
        assert len((await running).output) == 5
        assert server.peak == 2
        hasty = limited.model_copy(update={"execution_call_timeout_s": 0.05})
        monkeypatch.setattr(world.effects, "_parts", replace(world.parts, settings=hasty))
        release.clear()
        ran = await world.run(with_tools([api_call(server)], tool("call", {})))
        assert "did not end within 0.05 s" in ran.error
