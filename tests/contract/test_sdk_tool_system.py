"""Tools of type `system`, run in chat: every call of the table, within the tenant, with presets that win. Section 5.3 of the tasks' spec."""

from typing import Any
from uuid import uuid4

import pytest
from julep import AsyncJulep

from mentha.wire.system_calls import CALLS
from tests.contract.test_sdk_tool_loop import acting, results
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import ask, asked, session_of


def tool_of(call: str, **spec: Any) -> Any:
    parts = call.split(".")
    system = {"resource": parts[0], "operation": parts[-1], **({"subresource": parts[1]} if len(parts) == 3 else {}), **spec}
    return {"name": call.replace(".", "_"), "type": "system", "system": system}


async def called(sdk: AsyncJulep, models: ModelServerHandle, call: str, arguments: Any = None, **spec: Any) -> Any:
    """What the model was told about its one call."""
    models.script("gpt-x", tool_calls([(call.replace(".", "_"), arguments or {})]), text("done"))
    await ask(sdk, await acting(sdk, tool_of(call, **spec)))
    return results(models)[-1]


@pytest.mark.parametrize("call", CALLS)
async def test_every_call_of_the_table_is_served(sdk: AsyncJulep, models: ModelServerHandle, call: str) -> None:
    arguments = {name: str(uuid4()) for name in CALLS[call].required if name.endswith("_id")}
    got = await called(sdk, models, call, arguments)
    told = got.get("error", "") if isinstance(got, dict) else ""
    assert "not served" not in told
    assert "failed in the server" not in told


async def test_task_that_a_model_gives_an_agent_can_be_run_and_looked_at(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = await sdk.agents.create(name="other")
    given = {"agent_id": agent.id, "name": "double", "main": [{"evaluate": {"n": "$ _.n * 2"}}]}
    task = await called(sdk, models, "task.create", given)
    started = await called(sdk, models, "task.execution.create", {"task_id": task["id"], "input": {"n": 4}})
    assert started["status"] == "queued"
    events = await sdk.executions.status.stream(started["id"])
    assert [event.status async for event in events][-1] == "succeeded"
    assert (await called(sdk, models, "execution.get", {"execution_id": started["id"]}))["output"] == {"n": 8}
    lines = await called(sdk, models, "execution.transition.list", {"execution_id": started["id"]})
    assert [line["type"] for line in lines] == ["finish", "init"]
    assert [each["id"] for each in await called(sdk, models, "task.execution.list", {"task_id": task["id"]})] == [started["id"]]
    waiting = {"agent_id": agent.id, "task_id": task["id"], "name": "ask", "main": [{"wait_for_input": {"info": {}}}]}
    assert (await called(sdk, models, "task.update", waiting))["name"] == "ask"
    asked = await called(sdk, models, "execution.create", {"task_id": task["id"]})
    stopped = await called(sdk, models, "execution.change_status", {"execution_id": asked["id"], "status": "cancelled", "reason": "no"})
    assert stopped["status"] == "cancelled"
    assert (await called(sdk, models, "task.delete", {"task_id": task["id"]}))["id"] == task["id"]


async def test_execution_that_starts_itself_without_end_is_stopped_by_its_depth(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="endless")
    again = {"name": "again", "type": "system", "system": {"resource": "execution", "operation": "create"}}
    main = [{"tool": "again", "arguments": {"task_id": "$ task.id"}}]
    task = await sdk.tasks.create(agent.id, name="again", main=main, tools=[again])
    execution = await sdk.executions.create(task.id, input={})
    while True:
        async for event in await sdk.executions.status.stream(execution.id):
            ended = event
        if ended.status == "failed":
            break
        assert ended.status == "succeeded"
        execution = await sdk.executions.get(ended.output["id"])
    assert "no deeper than 10 levels" in ended.error
    started = [each async for each in sdk.executions.list(task.id)]
    assert len(started) == 10


@pytest.mark.parametrize("kind", ["agent", "user", "session"])
async def test_resource_is_made_read_changed_listed_and_deleted(sdk: AsyncJulep, models: ModelServerHandle, kind: str) -> None:
    agent = (await sdk.agents.create(name="Other")).id
    fields = {"agent": agent, "situation": "a"} if kind == "session" else {"name": "A", "about": "a"}
    text_field = "situation" if kind == "session" else "about"
    made = await called(sdk, models, f"{kind}.create", {"data": fields, "metadata": {"k": 1}})
    key = {f"{kind}_id": made["id"]}
    assert (await called(sdk, models, f"{kind}.get", key))[text_field] == "a"
    patched = await called(sdk, models, f"{kind}.patch", {**key, text_field: "b"})
    assert (patched[text_field], patched["metadata"]) == ("b", {"k": 1})
    assert (await called(sdk, models, f"{kind}.update", {**key, **fields, text_field: "c"}))[text_field] == "c"
    upserted = await called(sdk, models, f"{kind}.create_or_update", {f"{kind}_id": str(uuid4()), **fields, "metadata": {"k": 2}})
    (listed,) = await called(sdk, models, f"{kind}.list", {"metadata_filter": {"k": 2}, "limit": 5})
    assert listed["id"] == upserted["id"]
    assert (await called(sdk, models, f"{kind}.delete", key))["id"] == made["id"]
    assert "not found" in (await called(sdk, models, f"{kind}.get", key))["error"].lower()


@pytest.mark.parametrize("kind", ["agent", "user"])
async def test_documents_are_made_searched_listed_read_and_deleted(sdk: AsyncJulep, models: ModelServerHandle, kind: str) -> None:
    owner = (await getattr(sdk, f"{kind}s").create(name="Owner")).id
    key = {f"{kind}_id": owner}
    made = await called(sdk, models, f"{kind}.doc.create", {**key, "title": "Tea", "content": "Green tea is steeped at 70 degrees."})
    found = await called(sdk, models, f"{kind}.doc.search", {"text": "green tea"}, resource_id=owner)
    assert found["docs"][0]["id"] == made["id"]
    assert not found["docs"][0]["snippet"].get("embedding")
    (vector,) = (await called(sdk, models, "doc.embed", {"text": "green tea"}))["vectors"]
    by_meaning = await called(sdk, models, f"{kind}.doc.search", {"search_params": {"vector": vector}, **key})
    assert [doc["id"] for doc in by_meaning["docs"]] == [made["id"]]
    assert "`text`, or `vector`" in (await called(sdk, models, f"{kind}.doc.search", key))["error"]
    assert [doc["id"] for doc in await called(sdk, models, f"{kind}.doc.list", key)] == [made["id"]]
    assert (await called(sdk, models, f"{kind}.doc.get", {**key, "doc_id": made["id"]}))["title"] == "Tea"
    assert (await called(sdk, models, "doc.get", {"doc_id": made["id"]}))["title"] == "Tea"
    assert (await called(sdk, models, f"{kind}.doc.delete", {**key, "doc_id": made["id"]}))["id"] == made["id"]


async def test_tools_of_an_agent_are_made_changed_and_taken_away(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    key = {"agent_id": (await sdk.agents.create(name="Owner")).id}
    made = await called(sdk, models, "agent.tool.create", {**key, "name": "f", "type": "function", "function": {"description": "d"}})
    both = {**key, "tool_id": made["id"]}
    assert (await called(sdk, models, "agent.tool.patch", {**both, "name": "g"}))["name"] == "g"
    assert (await called(sdk, models, "agent.tool.update", {**both, "name": "h", "type": "function", "function": {}}))["name"] == "h"
    assert (await called(sdk, models, "agent.tool.get", both))["name"] == "h"
    assert len(await called(sdk, models, "agent.tool.list", key)) == 1
    assert (await called(sdk, models, "agent.tool.delete", both))["id"] == made["id"]


async def test_vectors_are_made_of_texts(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    assert len((await called(sdk, models, "doc.embed", {"text": "words"}))["vectors"]) == 1


async def test_presets_win_over_the_arguments_of_a_call(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    own = (await sdk.users.create(name="Own")).id
    other = (await sdk.users.create(name="Other")).id
    tool = tool_of("user.patch", resource_id=own, arguments={"about": "a"})
    models.script("gpt-x", tool_calls([("user_patch", {"user_id": other, "about": "b", "name": "N"})]), text("done"))
    await ask(sdk, await acting(sdk, tool))
    (got,) = results(models)
    assert (got["id"], got["about"], got["name"]) == (own, "a", "N")


async def test_resources_of_other_tenants_are_out_of_reach(sdk: AsyncJulep, stranger: AsyncJulep, models: ModelServerHandle) -> None:
    theirs = (await stranger.users.create(name="Theirs")).id
    assert "not found" in (await called(sdk, models, "user.get", {"user_id": theirs}))["error"].lower()
    assert "not found" in (await called(sdk, models, "user.delete", {}, resource_id=theirs))["error"].lower()
    assert await called(sdk, models, "user.list") == []


@pytest.mark.parametrize(
    ("call", "arguments", "told"),
    [
        ("user.get", {}, "these arguments are missing: `user_id`"),
        ("user.get", {"user_id": "nobody"}, "`user_id` must be a UUID"),
        ("user.list", {"limit": "many"}, "do not fit the tool's schema: `limit`"),
        ("user.list", {"limit": None}, ""),
        ("user.list", {"metadata_filter": {"$or": [1]}}, ""),
        ("agent.create", {"name": ""}, "`name`"),
    ],
)
async def test_wrong_arguments_are_told_to_the_model(
    sdk: AsyncJulep, models: ModelServerHandle, call: str, arguments: Any, told: str
) -> None:
    got = await called(sdk, models, call, arguments)
    if told:
        assert told in got["error"]
    else:
        assert "failed in the server" not in str(got)


async def test_agent_talks_to_another_session_and_reads_its_history(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    other = await session_of(sdk, model="gpt-y")
    said = {"messages": [{"role": "user", "content": "hello you"}], "session_id": other}
    got = await called(sdk, models, "session.chat", said)
    assert got["choices"][0]["message"]["content"] == "ok: hello you"
    history = await called(sdk, models, "session.history", {}, resource_id=other)
    assert [entry["role"] for entry in history["entries"]] == ["user", "assistant"]


async def test_chat_within_a_chat_ends_at_a_depth(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    agent = await sdk.agents.create(name="Mia", model="gpt-x")
    session = (await sdk.sessions.create(agent=agent.id, auto_run_tools=True)).id
    fixed = {"arguments": {"messages": [{"role": "user", "content": "again"}]}}
    await sdk.agents.tools.create(agent.id, **tool_of("session.chat", resource_id=session, **fixed))
    models.script("gpt-x", *[tool_calls([("session_chat", {})])] * 4, *[text("back")] * 4)
    assert (await ask(sdk, session)).choices[0].message.content == "back"
    assert len(asked(models)) == 8
    assert "goes no deeper than 3" in results(models, 4)[-1]["error"]
