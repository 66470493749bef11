"""Executions by the official SDK: every method, both streams, answers and cancellations, and who may do what."""

import asyncio
import json
from typing import Any

import httpx2
import julep
import pytest
from julep import AsyncJulep, Julep

from tests.support.sdk import Account, async_sdk, raw_client
from tests.support.server import ServerProcess
from tests.support.talk import Client, until

ADD = [{"evaluate": {"n": "$ _.n + 1"}}, {"evaluate": {"n": "$ _.n * 10"}, "label": "times"}]
ASK = [{"wait_for_input": {"info": {"question": "$ f'{_.who}?'"}}}, {"evaluate": {"said": "$ _.answer"}}]


async def task_of(sdk: AsyncJulep, main: Any, **more: Any) -> str:
    agent = await sdk.agents.create(name="Mia", model="mentha/echo")
    return (await sdk.tasks.create(agent.id, name="t", main=main, **more)).id


async def run(sdk: AsyncJulep, main: Any, given: Any, **more: Any) -> Any:
    return await sdk.executions.create(await task_of(sdk, main), input=given, **more)


async def until_is(sdk: AsyncJulep, execution_id: str, status: str) -> Any:
    async def is_so() -> bool:
        return (await sdk.executions.get(execution_id)).status == status

    await until(is_so)
    return await sdk.executions.get(execution_id)


async def test_execution_is_created_queued_with_its_job_and_ends_with_its_output(sdk: AsyncJulep) -> None:
    made = await run(sdk, ADD, {"n": 1}, metadata={"by": "me"})
    assert (made.status, made.input, made.output, made.transition_count) == ("queued", {"n": 1}, {}, 0)
    assert made.metadata["by"] == "me"  # type: ignore[index]  # an object
    (job,) = made.metadata["jobs"]  # type: ignore[index]  # likewise
    done = await until_is(sdk, made.id, "succeeded")
    assert (done.output, done.error, done.transition_count, done.metadata) == ({"n": 20}, None, 3, {"by": "me"})
    assert (await sdk.jobs.get(job)).state == "succeeded"
    assert (await sdk.executions.status.get(made.id)).status == "succeeded"


async def test_transitions_are_listed_newest_first_and_one_is_got_by_its_id(sdk: AsyncJulep) -> None:
    made = await run(sdk, ADD, {"n": 1})
    await until_is(sdk, made.id, "succeeded")
    newest_first = [each async for each in await sdk.executions.transitions.list(made.id)]
    assert [each.type for each in newest_first] == ["finish", "step", "init"]
    assert newest_first[0].step_label == "times"
    assert newest_first[2].next == newest_first[2].current.model_copy() or newest_first[2].next.step == 0  # type: ignore[union-attr]
    oldest_first = [each async for each in await sdk.executions.transitions.list(made.id, direction="asc", limit=1)]
    assert oldest_first == newest_first[::-1]
    scope = newest_first[0].current.scope_id
    assert len([each async for each in await sdk.executions.transitions.list(made.id, scope_id=scope)]) == 3
    got = await sdk.executions.transitions.retrieve(newest_first[1].id, execution_id=made.id)
    assert got == newest_first[1]
    with pytest.raises(julep.NotFoundError):
        await sdk.executions.transitions.retrieve(made.id, execution_id=made.id)


async def test_executions_are_listed_by_status_and_by_metadata(sdk: AsyncJulep) -> None:
    task = await task_of(sdk, [{"if": "$ _.wait", "then": {"wait_for_input": {"info": {}}}, "else": {"evaluate": {"a": 1}}}])
    ids = [(await sdk.executions.create(task, input={"wait": wait}, metadata={"wait": wait})).id for wait in (True, False)]
    await until_is(sdk, ids[0], "awaiting_input")
    await until_is(sdk, ids[1], "succeeded")
    listed = [each.id async for each in await sdk.executions.list(task)]
    assert listed == ids[::-1]
    assert [each.id async for each in await sdk.executions.list(task, extra_query={"status": "succeeded"})] == [ids[1]]
    assert [each.id async for each in await sdk.executions.list(task, extra_query={"metadata_filter": '{"wait": true}'})] == [ids[0]]


async def test_execution_that_waits_goes_on_with_the_answer(sdk: AsyncJulep) -> None:
    made = await run(sdk, ASK, {"who": "Ann"})
    waiting = await until_is(sdk, made.id, "awaiting_input")
    assert waiting.output == {"question": "Ann?"}
    answered: Any = await sdk.executions.change_status(made.id, status="running", input={"answer": "yes"})
    assert (answered["id"], answered["status"]) == (made.id, "running")
    assert (await until_is(sdk, made.id, "succeeded")).output == {"said": "yes"}
    with pytest.raises(julep.ConflictError, match="has ended"):
        await sdk.executions.change_status(made.id, input={"answer": "again"})


async def test_execution_that_does_not_wait_has_nothing_to_be_answered(sdk: AsyncJulep) -> None:
    made = await run(sdk, [{"sleep": {"hours": 1}}], {})
    with pytest.raises(julep.NotFoundError, match="waits for nothing"):
        await sdk.executions.change_status(made.id, input={})
    with pytest.raises(julep.UnprocessableEntityError):
        await sdk.executions.change_status(made.id, status="queued")  # type: ignore[call-overload]  # not a status to change to
    cancelled: Any = await sdk.executions.change_status(made.id, status="cancelled", reason="enough")
    assert cancelled["status"] == "cancelled"
    again: Any = await sdk.executions.change_status(made.id, status="cancelled")
    assert again == cancelled
    assert (await sdk.executions.get(made.id)).output == "Workflow Cancelled"
    assert (await sdk.jobs.get(made.id)).state == "aborted"


async def test_whoever_has_the_token_of_a_wait_can_answer_it_without_a_key(sdk: AsyncJulep, server: ServerProcess) -> None:
    made = await run(sdk, ASK, {"who": "Ann"}, metadata={"by": "me"})
    await until_is(sdk, made.id, "awaiting_input")
    (last, *_) = [each async for each in await sdk.executions.transitions.list(made.id)]
    token = last.metadata["task_token"]  # type: ignore[index]  # an object
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as anybody:
        wrong = await anybody.post("/executions", params={"task_token": token[:-3] + "abc"}, json={"input": {"answer": 1}})
        assert wrong.status_code == 404
        for _ in range(2):
            answer = await anybody.post("/executions", params={"task_token": token}, json={"status": "running", "input": {"answer": "t"}})
            assert answer.status_code == 200
            shown = answer.json()
            assert (shown["id"], shown["input"], shown["output"], shown["metadata"]) == (made.id, {}, None, {})
    assert (await until_is(sdk, made.id, "succeeded")).output == {"said": "t"}


async def test_input_that_does_not_fit_is_refused_with_its_place(sdk: AsyncJulep, raw: Client) -> None:
    task = await task_of(sdk, ADD, input_schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    with pytest.raises(julep.BadRequestError, match="at `/n`"):
        await sdk.executions.create(task, input={"n": "x"})
    assert (await raw.post(f"/tasks/{task}/executions", json={"input": [1]})).status_code == 422
    assert (await raw.post(f"/tasks/{task}/executions", json={})).status_code == 422


async def test_request_that_is_sent_again_with_its_key_starts_nothing_new(sdk: AsyncJulep) -> None:
    task = await task_of(sdk, ADD)
    first, second = [await sdk.executions.create(task, input={"n": 1}, extra_headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert first.id == second.id
    with pytest.raises(julep.ConflictError):
        await sdk.executions.create(task, input={"n": 2}, extra_headers={"Idempotency-Key": "k"})


async def test_failed_execution_tells_the_error(sdk: AsyncJulep) -> None:
    made = await run(sdk, [{"error": "$ 'no ' + _.what"}, {"evaluate": {"a": 1}}], {"what": "way"})
    failed = await until_is(sdk, made.id, "failed")
    assert failed.error == failed.output == "Error raised by ErrorWorkflowStep: no way"


async def test_status_stream_shows_the_execution_now_and_ends_with_it(sdk: AsyncJulep) -> None:
    made = await run(sdk, ASK, {"who": "Ann"})
    await until_is(sdk, made.id, "awaiting_input")
    seen: list[str] = []
    async for each in await sdk.executions.status.stream(made.id):
        assert each.id == made.id
        seen.append(each.status)
        if len(seen) == 1:
            await sdk.executions.change_status(made.id, input={"answer": 1})
    assert (seen[0], seen[-1]) == ("awaiting_input", "succeeded")
    ended = [each.status async for each in await sdk.executions.status.stream(made.id)]
    assert ended == ["succeeded"]


async def test_transitions_stream_shows_all_and_goes_on_after_a_token(
    sdk: AsyncJulep, raw: Client, server: ServerProcess, account: Account
) -> None:
    made = await run(sdk, ASK, {"who": "Ann"})
    async with raw.stream("GET", f"/executions/{made.id}/transitions.stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events: list[Any] = []
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line[6:]))
                if events[-1]["transition"]["type"] == "wait":
                    await sdk.executions.change_status(made.id, input={"answer": 1})
    assert [event["transition"]["type"] for event in events] == ["init", "wait", "resume", "step", "finish"]
    assert {event["transition"]["execution_id"] for event in events} == {made.id}
    # The method reads the stream to its end; a client that checks strictly refuses whatever is not JSON.
    async with async_sdk(server.url, account.key, _strict_response_validation=False) as lenient:
        text = str(await lenient.executions.transitions.stream(made.id, next_page_token=events[1]["next_page_token"]))
    rest = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert rest == events[2:]
    other = await raw.get(f"/executions/{made.id}/transitions.stream", params={"next_token": events[3]["next_page_token"]})
    assert other.text.count("data: ") == 1
    assert (await raw.get(f"/executions/{made.id}/transitions.stream", params={"next_token": "nonsense"})).status_code == 422


async def test_many_watchers_of_one_execution_all_see_its_end(sdk: AsyncJulep, raw: Client) -> None:
    made = await run(sdk, ASK, {"who": "Ann"})
    await until_is(sdk, made.id, "awaiting_input")
    watching = [asyncio.create_task(raw.get(f"/executions/{made.id}/status.stream")) for _ in range(20)]
    await sdk.executions.change_status(made.id, status="cancelled")
    for answer in await asyncio.gather(*watching):
        assert '"cancelled"' in answer.text


async def test_execution_of_another_tenant_is_not_found_and_without_a_key_forbidden(
    sdk: AsyncJulep, stranger: AsyncJulep, server: ServerProcess
) -> None:
    task = await task_of(sdk, ASK)
    made = await sdk.executions.create(task, input={"who": "Ann"})
    await until_is(sdk, made.id, "awaiting_input")
    async with raw_client(server.url, None) as nobody:
        for path in (
            f"/tasks/{task}/executions",
            f"/tasks/{task}/schedules",
            f"/executions/{made.id}",
            f"/executions/{made.id}/status.stream",
        ):
            assert (await nobody.get(path)).status_code == 403
        for path in (f"/tasks/{task}/executions", f"/tasks/{task}/schedules"):
            assert (await nobody.post(path, json={"input": {}, "cron": "* * * * *"})).status_code == 403
        assert (await nobody.put(f"/executions/{made.id}", json={"status": "cancelled"})).status_code == 403
    for attempt in (
        stranger.executions.create(task, input={}),
        stranger.executions.get(made.id),
        stranger.executions.change_status(made.id, input={}),
        stranger.executions.change_status(made.id, status="cancelled"),
        stranger.executions.transitions.list(made.id),
        stranger.executions.transitions.stream(made.id),
        stranger.executions.status.stream(made.id),
        stranger.executions.list(task),
    ):
        with pytest.raises(julep.NotFoundError):
            await attempt


async def test_execution_sees_the_session_and_the_user_that_it_was_given(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia", model="mentha/echo")
    user = await sdk.users.create(name="Ann", about="")
    task = await sdk.tasks.create(agent.id, name="t", main=[{"evaluate": {"u": "$ user.name", "a": "$ agent.name", "i": "$ execution.id"}}])
    made = await sdk.executions.create(task.id, input={}, extra_body={"user_id": user.id})
    assert (await until_is(sdk, made.id, "succeeded")).output == {"u": "Ann", "a": "Mia", "i": made.id}
    with pytest.raises(julep.NotFoundError):
        await sdk.executions.create(task.id, input={}, extra_body={"session_id": user.id})


def test_blocking_client_does_the_same(blocking: Julep) -> None:
    agent = blocking.agents.create(name="Mia", model="mentha/echo")
    main: Any = [{"workflow": "twice", "arguments": {"n": "$ _.n"}}]
    more: Any = {"twice": [{"return": {"n": "$ _.n * 2"}}]}
    task = blocking.tasks.create(agent.id, name="t", main=main, **more)
    made = blocking.executions.create(task.id, input={"n": 4})
    last = list(blocking.executions.status.stream(made.id))[-1]
    assert (last.status, last.output) == ("succeeded", {"n": 8})


async def test_schedule_is_made_changed_paused_and_deleted(sdk: AsyncJulep, raw: Client, stranger: AsyncJulep) -> None:
    path = f"/tasks/{await task_of(sdk, ADD)}/schedules"
    made = (await raw.post(path, json={"cron": "0 9 * * MON", "timezone": "Europe/Berlin", "input": {"n": 1}})).json()
    assert made["next_at"] is not None
    assert (await raw.get(path)).json()["items"] == [made]
    assert (await raw.get(f"{path}/{made['id']}")).json() == made
    assert (await raw.patch(f"{path}/{made['id']}", json={"name": "n"})).json()["next_at"] == made["next_at"]
    paused = (await raw.patch(f"{path}/{made['id']}", json={"paused": True})).json()
    assert (paused["paused"], paused["next_at"], paused["cron"]) == (True, None, "0 9 * * MON")
    replaced = (await raw.put(f"{path}/{made['id']}", json={"cron": "*/5 * * * *"})).json()
    assert (replaced["paused"], replaced["timezone"], replaced["input"]) == (False, "UTC", {})
    for wrong in ({"cron": "nonsense"}, {"cron": "* * * * *", "timezone": "Nowhere"}, {"timezone": "UTC"}):
        assert (await raw.post(path, json=wrong)).status_code == 422
    with pytest.raises(julep.NotFoundError):
        await stranger.get(path, cast_to=object)
    assert (await raw.delete(f"{path}/{made['id']}")).status_code == 202
    assert (await raw.get(f"{path}/{made['id']}")).status_code == 404
