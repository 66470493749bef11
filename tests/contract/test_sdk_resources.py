"""Every method of the SDK for agents, users, projects and tools, with its status code: section 8.1 and 2.2 of the behaviour spec."""

from typing import Any
from uuid import uuid4

import pytest
from julep import AsyncJulep, Julep, NotFoundError

from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE
from tests.support.model_server import ModelServerHandle
from tests.support.talk import Client

FUNCTION: Any = {"parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


async def test_agent_create_gives_the_whole_agent_back(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(
        name="Mia",
        about="a poet",
        canonical_name="mia_the_poet",
        default_settings={"temperature": 0.5},
        default_system_template="You are {{ agent.name }}",
        instructions=["rhyme", "be short"],
        metadata={"a": 1},
        model="gpt-x",
        project="default",
    )
    assert (agent.name, agent.about, agent.canonical_name, agent.model, agent.project) == (
        "Mia",
        "a poet",
        "mia_the_poet",
        "gpt-x",
        "default",
    )
    assert agent.instructions == ["rhyme", "be short"]
    assert agent.metadata == {"a": 1}
    assert agent.default_system_template == "You are {{ agent.name }}"
    assert agent.default_settings == {"temperature": 0.5}
    assert agent.created_at == agent.updated_at
    assert agent.created_at.utcoffset() is not None
    assert await sdk.agents.get(agent.id) == agent


async def test_agent_created_with_a_name_only_has_the_documented_defaults(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia")
    assert (agent.about, agent.model, agent.instructions, agent.metadata, agent.project) == ("", "", [], {}, "default")
    assert agent.default_settings is None
    assert agent.default_system_template == DEFAULT_SYSTEM_TEMPLATE
    assert agent.canonical_name
    assert agent.canonical_name.replace("_", "").isalnum()


async def test_agent_instructions_given_as_a_string_come_back_as_a_list_of_one(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia", instructions="be kind")
    assert agent.instructions == ["be kind"]


async def test_agent_methods_answer_with_the_documented_status_codes(sdk: AsyncJulep) -> None:
    raw = sdk.agents.with_raw_response
    created = await raw.create(name="Mia")
    agent = await created.parse()
    assert created.status_code == 201
    assert (await raw.create_or_update(str(uuid4()), name="Ina")).status_code == 201
    assert (await raw.create_or_update(agent.id, name="Mia")).status_code == 201
    assert (await raw.get(agent.id)).status_code == 200
    assert (await raw.list()).status_code == 200
    assert (await raw.update(agent.id, about="x")).status_code == 200
    assert (await raw.reset(agent.id, name="Mia")).status_code == 200
    assert (await raw.list_models()).status_code == 200
    assert (await raw.delete(agent.id)).status_code == 202


async def test_agent_delete_tells_id_time_and_jobs_and_the_agent_is_gone(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia")
    deleted = await sdk.agents.delete(agent.id)
    assert (deleted.id, deleted.jobs) == (agent.id, [])
    assert deleted.deleted_at >= agent.created_at
    with pytest.raises(NotFoundError):
        await sdk.agents.get(agent.id)
    with pytest.raises(NotFoundError):
        await sdk.agents.delete(agent.id)


async def test_agent_list_models_gives_what_the_providers_list(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    ids = {model.id for model in (await sdk.agents.list_models()).models}
    assert {"gpt-x", "gpt-y", "mentha/echo"} <= ids


async def test_agent_list_models_with_a_custom_key_asks_with_that_key(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    assert (await sdk.agents.list_models(x_custom_api_key="sk-of-the-caller")).models
    (request,) = [request for request in models.requests if request.headers.get("authorization") == "Bearer sk-of-the-caller"]
    assert request.path.endswith("/models")


async def test_user_methods_work_and_answer_with_the_documented_status_codes(sdk: AsyncJulep) -> None:
    raw = sdk.users.with_raw_response
    created = await raw.create(name="Ann", about="a reader", metadata={"n": 1}, project="default")
    user = await created.parse()
    assert created.status_code == 201
    assert (user.name, user.about, user.metadata, user.project) == ("Ann", "a reader", {"n": 1}, "default")
    assert await sdk.users.get(user.id) == user
    assert (await raw.create_or_update(user.id, name="Ann")).status_code == 201
    assert (await raw.get(user.id)).status_code == 200
    assert (await raw.list()).status_code == 200
    assert (await raw.update(user.id, about="x")).status_code == 200
    assert (await raw.reset(user.id, name="Ann")).status_code == 200
    deleted = await raw.delete(user.id)
    assert deleted.status_code == 202
    assert (await deleted.parse()).id == user.id


async def test_user_created_with_nothing_has_the_documented_defaults(sdk: AsyncJulep) -> None:
    user = await sdk.users.create()
    assert (user.name, user.about, user.metadata, user.project) == ("", "", {}, "default")


async def test_project_create_and_list_work(sdk: AsyncJulep) -> None:
    created = await sdk.projects.with_raw_response.create(name="Books", canonical_name="books", metadata={"a": True})
    project = await created.parse()
    assert created.status_code == 201
    assert (project.name, project.canonical_name, project.metadata) == ("Books", "books", {"a": True})
    assert [each.canonical_name async for each in sdk.projects.list()] == ["books", "default"]


async def test_project_has_full_crud_beyond_the_sdk(raw: Client) -> None:
    project = (await raw.post("/projects", json={"name": "A", "metadata": {"x": 1}})).json()
    path = f"/projects/{project['id']}"
    assert (await raw.get(path)).json() == project
    patched = await raw.patch(path, json={"metadata": {"y": 2}})
    assert (patched.status_code, patched.json()["metadata"], patched.json()["name"]) == (200, {"x": 1, "y": 2}, "A")
    replaced = await raw.put(path, json={"name": "B"})
    assert (replaced.status_code, replaced.json()["metadata"], replaced.json()["name"]) == (200, {}, "B")
    assert replaced.json()["canonical_name"] == project["canonical_name"]
    upserted = await raw.post(f"/projects/{uuid4()}", json={"name": "C"})
    assert upserted.status_code == 201
    assert (await raw.delete(path)).status_code == 202
    assert (await raw.get(path)).status_code == 404


async def test_project_default_cannot_be_deleted_or_renamed(raw: Client) -> None:
    (default,) = (await raw.get("/projects")).json()["items"]
    deleted = await raw.delete(f"/projects/{default['id']}")
    assert (deleted.status_code, deleted.headers["x-should-retry"]) == (409, "false")
    assert (await raw.patch(f"/projects/{default['id']}", json={"canonical_name": "other"})).status_code == 409
    assert (await raw.patch(f"/projects/{default['id']}", json={"name": "Mine"})).json()["name"] == "Mine"


async def test_project_deleted_leaves_its_agents_and_users_in_default(sdk: AsyncJulep, raw: Client) -> None:
    project = await sdk.projects.create(name="A", canonical_name="a")
    agent, user = await sdk.agents.create(name="Mia", project="a"), await sdk.users.create(project="a")
    assert (agent.project, user.project) == ("a", "a")
    assert (await raw.delete(f"/projects/{project.id}")).status_code == 202
    assert (await sdk.agents.get(agent.id)).project == "default"
    assert (await sdk.users.get(user.id)).project == "default"


async def test_tool_create_list_and_delete_work_with_the_documented_status_codes(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia")
    raw = sdk.agents.tools.with_raw_response
    created = await raw.create(agent.id, name="weather", type="function", description="tells the weather", function=FUNCTION)
    tool = await created.parse()
    assert created.status_code == 201
    assert (tool.name, tool.type, tool.description) == ("weather", "function", "tells the weather")
    assert [each.id async for each in sdk.agents.tools.list(agent.id)] == [tool.id]
    deleted = await raw.delete(tool.id, agent_id=agent.id)
    assert deleted.status_code == 200
    assert (await deleted.parse()).id == tool.id
    assert [each async for each in sdk.agents.tools.list(agent.id)] == []


async def test_tool_of_type_function_lists_the_tools_name_and_description_inside(raw: Client) -> None:
    agent = (await raw.post("/agents", json={"name": "Mia"})).json()
    body = {"name": "weather", "type": "function", "description": "d", "function": {**FUNCTION, "name": "ignored"}}
    await raw.post(f"/agents/{agent['id']}/tools", json=body)
    (tool,) = (await raw.get(f"/agents/{agent['id']}/tools")).json()["items"]
    assert tool["function"] == {"name": "weather", "description": "d", **FUNCTION}


async def test_agent_created_with_tools_has_them(sdk: AsyncJulep) -> None:
    tools = [{"name": "weather", "type": "function", "function": FUNCTION}, {"name": "time", "type": "function", "function": {}}]
    agent = await sdk.agents.create(name="Mia", extra_body={"tools": tools})
    assert [tool.name async for tool in sdk.agents.tools.list(agent.id, direction="asc")] == ["weather", "time"]


async def test_job_that_does_not_exist_is_not_found(sdk: AsyncJulep) -> None:
    with pytest.raises(NotFoundError):
        await sdk.jobs.get(str(uuid4()))


async def test_health_is_told_with_the_documented_names(sdk: AsyncJulep) -> None:
    health: Any = await sdk.healthz.check()
    assert {name: health[name] for name in ("postgres", "temporal", "litellm", "integration_service")} == dict.fromkeys(
        ("postgres", "temporal", "litellm", "integration_service"), "ok"
    )


def test_blocking_client_goes_through_every_resource(blocking: Julep, models: ModelServerHandle) -> None:
    agent = blocking.agents.create(name="Mia", model="gpt-x")
    assert blocking.agents.update(agent.id, about="x").about == "x"
    assert blocking.agents.reset(agent.id, name="Mia", model="gpt-x").about == ""
    assert blocking.agents.create_or_update(agent.id, name="Mia", model="gpt-x").id == agent.id
    assert [each.id for each in blocking.agents.list()] == [agent.id]
    user = blocking.users.create(name="Ann")
    assert blocking.users.update(user.id, about="x").about == "x"
    assert blocking.users.reset(user.id, name="Ann").about == ""
    assert blocking.users.create_or_update(user.id, name="Ann").id == user.id
    assert [each.id for each in blocking.users.list()] == [user.id]
    assert blocking.projects.create(name="A").id
    tool = blocking.agents.tools.create(agent.id, name="weather", type="function", function=FUNCTION)
    assert [each.id for each in blocking.agents.tools.list(agent.id)] == [tool.id]
    blocking.agents.tools.delete(tool.id, agent_id=agent.id)
    session = blocking.sessions.create(agent=agent.id, user=user.id)
    assert blocking.sessions.update(session.id, situation="s").situation == "s"
    assert blocking.sessions.reset(session.id).situation is None
    assert blocking.sessions.create_or_update(session.id, agent=agent.id).id == session.id
    assert [each.id for each in blocking.sessions.list()] == [session.id]
    answer: Any = blocking.sessions.chat(session.id, messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "ok: hi"
    assert len(blocking.sessions.render(session.id, messages=[{"role": "user", "content": "x"}]).messages) == 4
    assert len(blocking.sessions.history(session.id).entries) == 2
    streamed: Any = blocking.sessions.chat(session.id, messages=[{"role": "user", "content": "on"}], stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "ok: on"
    assert blocking.sessions.delete(session.id).id == session.id
    assert blocking.users.delete(user.id).id == user.id
    assert blocking.agents.delete(agent.id).id == agent.id
    assert blocking.healthz.check()
    assert blocking.agents.list_models().models
