"""Tools of every type by the official SDK: made, changed, replaced, listed, deleted; and no secret in any answer. Sections 2.5 and 3.6."""

from typing import Any

import pytest
from julep import AsyncJulep, ConflictError, NotFoundError, UnprocessableEntityError

from mentha.wire.masks import MARKER
from tests.support.model_server import ModelServerHandle
from tests.support.sdk import ask, asked, said, session_of
from tests.support.talk import Client

SECRET = "s3cret-0123456789"
PARAMETERS: Any = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
SPECS: dict[str, Any] = {
    "function": {"parameters": PARAMETERS},
    "integration": {"provider": "brave", "method": "search", "setup": {"brave_api_key": SECRET}},
    "system": {"resource": "agent", "subresource": "doc", "operation": "list", "arguments": {"limit": 3}},
    "api_call": {
        "method": "POST",
        "url": f"https://example.com/a?api_key={SECRET}&b=c",
        "headers": {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET, "Accept": "text/plain"},
        "cookies": {"session": SECRET},
        "params": {"token": SECRET, "units": "metric"},
        "json": {"auth": {"password": SECRET}, "kind": "x"},
        "params_schema": PARAMETERS,
        "timeout": 5,
    },
    "computer_20241022": {"type": "computer_20241022", "display_width_px": 800, "display_height_px": 600},
    "text_editor_20241022": {"type": "text_editor_20241022"},
    "bash_20241022": {"type": "bash_20241022"},
}
INTEGRATIONS: list[Any] = [
    {"provider": "dummy", "arguments": {"any": 1}},
    {"provider": "wikipedia", "arguments": {"query": "mint", "load_max_docs": 3}},
    {"provider": "weather", "setup": {"openweathermap_api_key": SECRET}},
    {"provider": "spider", "method": "links", "setup": {"spider_api_key": SECRET}, "arguments": {"url": "https://example.com"}},
    {"provider": "arxiv", "arguments": {"query": "mint", "sort_by": "submittedDate"}},
    {"provider": "email", "setup": {"host": "h", "port": 587, "user": "u", "password": SECRET}},
    {"provider": "mailgun", "method": "send_email", "setup": {"api_key": SECRET}},
    {"provider": "llama_parse", "setup": {"llamaparse_api_key": SECRET, "params": {"a": 1}}},
    {"provider": "unstructured", "setup": {"unstructured_api_key": SECRET, "timeout_ms": 900}},
    {"provider": "ffmpeg", "arguments": {"cmd": "ffmpeg -i a b"}},
    {
        "provider": "cloudinary",
        "method": "media_upload",
        "setup": {"cloudinary_api_key": SECRET, "cloudinary_api_secret": SECRET, "cloudinary_cloud_name": "c"},
    },
    {"provider": "algolia", "setup": {"algolia_application_id": "a", "algolia_api_key": SECRET}},
    {"provider": "browserbase", "method": "get_session", "setup": {"api_key": SECRET, "project_id": "p"}, "arguments": {"id": "i"}},
    {"provider": "remote_browser", "method": "perform_action", "setup": {"connect_url": f"wss://h?apiKey={SECRET}", "width": 800}},
    {"provider": "mcp", "method": "call_tool", "setup": {"transport": "http", "http_url": "https://h/mcp", "http_headers": {"X": SECRET}}},
    {"provider": "google_sheets", "method": "read_values", "setup": {"use_julep_service": False, "service_account_json": SECRET}},
]


@pytest.fixture
async def agent(sdk: AsyncJulep) -> str:
    """The id of an agent without tools."""
    return (await sdk.agents.create(name="Mia", model="gpt-x")).id


def body(kind: str, name: str = "t", **more: Any) -> Any:
    return {"name": name, "type": kind, kind: SPECS[kind], **more}


def seen(tool: Any) -> dict[str, Any]:
    """A tool as JSON: the SDK has another class for each operation."""
    return tool.to_dict(mode="json")


async def stored(rows: Any, tool_id: str) -> Any:
    return await rows.fetchval("SELECT spec::text FROM tools WHERE id = $1", tool_id)


@pytest.mark.parametrize("kind", SPECS)
async def test_tool_of_every_type_is_made_replaced_changed_listed_and_deleted(sdk: AsyncJulep, agent: str, kind: str) -> None:
    raw = sdk.agents.tools.with_raw_response
    created = await raw.create(agent, **body(kind, description="d"))
    made = await created.parse()
    assert (created.status_code, made.name, made.type, made.description) == (201, "t", kind, "d")
    renamed = await raw.update(made.id, agent_id=agent, name="renamed")
    changed = await renamed.parse()
    assert (renamed.status_code, changed.name, changed.type, changed.description) == (200, "renamed", kind, "d")
    assert changed.updated_at > made.updated_at
    if kind != "function":
        assert seen(changed)[kind] == seen(made)[kind]
    replaced = await raw.reset(made.id, agent_id=agent, **body(kind, "replaced"))
    anew = await replaced.parse()
    assert (replaced.status_code, anew.id, anew.name, anew.created_at) == (200, made.id, "replaced", made.created_at)
    assert anew.description is None
    assert [seen(tool) async for tool in sdk.agents.tools.list(agent)] == [seen(anew)]
    deleted = await raw.delete(made.id, agent_id=agent)
    assert (deleted.status_code, (await deleted.parse()).id) == (200, made.id)
    assert [tool async for tool in sdk.agents.tools.list(agent)] == []


async def test_agent_is_created_with_tools_of_every_type(sdk: AsyncJulep) -> None:
    made = await sdk.agents.create(name="Mia", extra_body={"tools": [body(kind, f"t{index}") for index, kind in enumerate(SPECS)]})
    assert [tool.type async for tool in sdk.agents.tools.list(made.id, direction="asc")] == list(SPECS)


@pytest.mark.parametrize("given", INTEGRATIONS, ids=lambda given: given["provider"])
async def test_integration_of_every_provider_comes_back_in_the_shape_of_the_sdk(
    sdk: AsyncJulep, raw: Client, agent: str, given: Any
) -> None:
    made = await sdk.agents.tools.create(agent, name="t", type="integration", integration=given)
    assert made.integration
    assert made.integration.provider == given["provider"]
    answer = (await raw.get(f"/agents/{agent}/tools/{made.id}")).json()["integration"]
    assert answer == {"method": None, "arguments": None, **given, "setup": masked(given.get("setup"))}


def masked(value: Any) -> Any:
    """The same with the marker in the place of the planted secret."""
    if isinstance(value, dict):
        return {name: masked(each) for name, each in value.items()}
    return value.replace(SECRET, MARKER) if isinstance(value, str) else value


async def test_single_tool_can_be_read_with_every_member_of_a_tool(raw: Client, agent: str) -> None:
    made = (await raw.post(f"/agents/{agent}/tools", json=body("api_call"))).json()
    answer = await raw.get(f"/agents/{agent}/tools/{made['id']}")
    assert (answer.status_code, answer.json()) == (200, made)
    assert {kind: made[kind] is None for kind in SPECS} == {kind: kind != "api_call" for kind in SPECS}
    assert made["api_call"]["include_response_content"] is True
    assert made["api_call"]["files"] is None


@pytest.mark.parametrize("kind", ["integration", "api_call"])
async def test_secret_of_a_tool_is_in_no_answer_and_survives_what_sends_it_back(
    sdk: AsyncJulep, raw: Client, agent: str, rows: Any, models: ModelServerHandle, kind: str
) -> None:
    answers = [created := await raw.post(f"/agents/{agent}/tools", json=body(kind))]
    made = created.json()
    path = f"/agents/{agent}/tools/{made['id']}"
    kept = await stored(rows, made["id"])
    assert SECRET not in kept
    assert kept.count("sealed.") == str(SPECS[kind]).count(SECRET)
    session = (await sdk.sessions.create(agent=agent, system_template="{{ tools }}")).id
    for method, url, sent in (
        ("GET", path, None),
        ("GET", f"/agents/{agent}/tools", None),
        ("PUT", path, made),
        ("PATCH", path, {kind: made[kind], "name": "renamed"}),
        ("PATCH", path, {"description": "d"}),
        ("POST", f"/sessions/{session}/render", {"messages": [said("hi")], "tools": [body(kind, "given")]}),
        ("POST", f"/sessions/{session}/chat", {"messages": [said("hi")], "tools": [body(kind, "given")]}),
    ):
        answers.append(await raw.request(method, url, json=sent))
        assert answers[-1].is_success, answers[-1].text
        assert await stored(rows, made["id"]) == kept, method
    for answer in answers:
        assert SECRET not in answer.text
    assert MARKER in answers[0].text
    assert SECRET not in str(asked(models))


async def test_secret_that_is_sent_anew_replaces_the_stored_one(raw: Client, agent: str, rows: Any) -> None:
    made = (await raw.post(f"/agents/{agent}/tools", json=body("integration"))).json()
    before = await stored(rows, made["id"])
    await raw.patch(f"/agents/{agent}/tools/{made['id']}", json={"integration": {"setup": {"brave_api_key": "another"}}})
    after = await stored(rows, made["id"])
    assert "sealed." in after
    assert after != before


async def test_marker_that_stands_for_nothing_is_unprocessable(sdk: AsyncJulep, agent: str) -> None:
    hollow: Any = {"provider": "brave", "setup": {"brave_api_key": MARKER}}
    with pytest.raises(UnprocessableEntityError, match="stands for a stored secret"):
        await sdk.agents.tools.create(agent, name="t", type="integration", integration=hollow)
    made = await sdk.agents.tools.create(agent, **body("function"))
    with pytest.raises(UnprocessableEntityError, match="stands for a stored secret"):
        await sdk.agents.tools.reset(made.id, agent_id=agent, name="t", type="integration", integration=hollow)


async def test_patch_keeps_the_fields_of_the_member_that_it_does_not_name(sdk: AsyncJulep, agent: str) -> None:
    made = await sdk.agents.tools.create(agent, **body("api_call"))
    changed = await sdk.agents.tools.update(made.id, agent_id=agent, api_call={"timeout": 9})
    assert seen(changed)["api_call"] == {**seen(made)["api_call"], "timeout": 9}


async def test_patch_to_another_type_needs_the_member_of_that_type(sdk: AsyncJulep, agent: str) -> None:
    made = await sdk.agents.tools.create(agent, **body("function"))
    with pytest.raises(UnprocessableEntityError, match="needs the field 'system'"):
        await sdk.agents.tools.update(made.id, agent_id=agent, type="system")
    with pytest.raises(UnprocessableEntityError, match="needs the field 'function'"):
        await sdk.agents.tools.update(made.id, agent_id=agent, system=SPECS["system"])
    changed = await sdk.agents.tools.update(made.id, agent_id=agent, type="system", system=SPECS["system"])
    assert (changed.type, changed.function) == ("system", None)


@pytest.mark.parametrize("kind", SPECS)
async def test_tool_without_the_member_of_its_type_is_unprocessable_and_names_it(sdk: AsyncJulep, agent: str, kind: Any) -> None:
    with pytest.raises(UnprocessableEntityError, match=f"needs the field '{kind}'"):
        await sdk.agents.tools.create(agent, name="t", type=kind)


async def test_taken_name_is_a_conflict_for_every_way_to_it(sdk: AsyncJulep, agent: str) -> None:
    await sdk.agents.tools.create(agent, **body("function", "taken"))
    other = await sdk.agents.tools.create(agent, **body("system", "other"))
    for work in (
        sdk.agents.tools.create(agent, **body("bash_20241022", "taken")),
        sdk.agents.tools.update(other.id, agent_id=agent, name="taken"),
        sdk.agents.tools.reset(other.id, agent_id=agent, **body("system", "taken")),
    ):
        with pytest.raises(ConflictError) as caught:
            await work
        assert caught.value.response.headers["x-should-retry"] == "false"


async def test_tool_that_is_not_there_is_not_found_for_every_operation(sdk: AsyncJulep, agent: str) -> None:
    made = await sdk.agents.tools.create(agent, **body("function"))
    other = (await sdk.agents.create(name="other")).id
    await sdk.agents.tools.delete(made.id, agent_id=agent)
    here = await sdk.agents.tools.create(agent, **body("function"))
    for tool_id, owner in ((made.id, agent), (here.id, other)):
        for work in (
            sdk.agents.tools.update(tool_id, agent_id=owner, name="x"),
            sdk.agents.tools.reset(tool_id, agent_id=owner, **body("function")),
            sdk.agents.tools.delete(tool_id, agent_id=owner),
        ):
            with pytest.raises(NotFoundError):
                await work


async def test_list_of_tools_is_paged_and_sorted_like_every_list(sdk: AsyncJulep, raw: Client, agent: str) -> None:
    for index in range(5):
        await sdk.agents.tools.create(agent, **body("bash_20241022", f"t{index}"))
    assert [tool.name async for tool in sdk.agents.tools.list(agent, limit=2)] == ["t4", "t3", "t2", "t1", "t0"]
    page = await raw.get(f"/agents/{agent}/tools", params={"limit": 2, "offset": 1, "direction": "asc"})
    assert [tool["name"] for tool in page.json()["items"]] == ["t1", "t2"]


@pytest.mark.parametrize(
    ("sent", "loc", "word"),
    [
        ({"type": "system", "system": {"resource": "session", "operation": "search"}}, "system", "session.chat"),
        ({"type": "integration", "integration": {"provider": "brave", "setup": {}}}, "integration.setup.brave_api_key", "required"),
        ({"type": "api_call", "api_call": {"method": "GET", "url": "example.com"}}, "api_call.url", "http://"),
        ({"type": "computer_20241022", "computer_20241022": {"display_width_px": 1}}, "computer_20241022.display_width_px", "600"),
        ({"type": "mcp", "mcp": {}}, "type", "integration"),
    ],
)
async def test_tool_that_breaks_a_rule_is_refused_at_the_field(raw: Client, agent: str, sent: Any, loc: str, word: str) -> None:
    for method, path in (("POST", f"/agents/{agent}/tools"), ("POST", "/agents")):
        tool = {"name": "t", **sent}
        answer = await raw.request(method, path, json=tool if path != "/agents" else {"name": "x", "tools": [tool]})
        assert answer.status_code == 422
        (fault, *_) = answer.json()["error"]["details"]
        assert fault["loc"] == (loc if path != "/agents" else f"tools[0].{loc}")
        assert word in fault["msg"]


async def test_tools_of_every_type_are_offered_as_functions_and_their_calls_come_back(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk, extra_body={"tools": [body(kind, f"t_{kind}") for kind in SPECS]})
    answer = await ask(sdk, session, tools=[body("system", "given")])
    (sent,) = asked(models)
    assert [tool["function"]["name"] for tool in sent["tools"]] == [*(f"t_{kind}" for kind in SPECS), "given"]
    assert all(tool["type"] == "function" for tool in sent["tools"])
    offers = {tool["function"]["name"]: tool["function"] for tool in sent["tools"]}
    assert offers["t_integration"]["parameters"]["required"] == ["query"]
    assert "limit" not in offers["t_system"]["parameters"]["properties"]
    assert offers["t_api_call"]["parameters"]["properties"] == PARAMETERS["properties"]
    assert "800 by 600" in offers["t_computer_20241022"]["description"]
    assert answer.warnings == []
