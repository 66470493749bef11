"""Tools of MCP servers as an agent's own, in chat and in a task's prompt: offered, called, and gone without harm where a server is."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from julep import AsyncJulep, UnprocessableEntityError
from pydantic import Field

from mentha.core.redact import MARK
from tests.contract.test_sdk_tool_loop import ALL_SOURCES, ECHO, acting, results
from tests.support.mcp_server import McpServer, serving
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import Account, ask, asked
from tests.support.server import ServerProcess
from tests.support.talk import Client, until
from tests.support.wild_server import answer, saying, wild_server

# The SDK's servers, which run in this process, leave streams to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
KEY = "s3cr3t-of-the-mcp-server-4711"


@pytest.fixture
async def mcp() -> AsyncIterator[McpServer]:
    async with serving("http") as server:
        yield server


def tool(url: str, name: str = "web", **spec: Any) -> Any:
    setup = {"transport": "http", "http_url": url, "http_headers": {"Authorization": "Bearer {secrets.MCP_KEY}"}}
    return {"name": name, "type": "integration", "integration": {"provider": "mcp", "setup": setup, **spec}}


@pytest.fixture(autouse=True)
async def key(sdk: AsyncJulep) -> None:
    await sdk.secrets.create(name="MCP_KEY", value=KEY)


def offered(models: ModelServerHandle, request: int = -1) -> dict[str, Any]:
    return {each["function"]["name"]: each["function"] for each in asked(models)[request].get("tools", ())}


async def test_tools_of_a_server_are_offered_and_called_with_the_tenants_secret(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, mcp: McpServer
) -> None:
    session = await acting(sdk, tool(mcp.url), ECHO)
    calls = [
        ("web_add", {"a": 2, "b": 3}),
        ("web_draw", {}),
        ("web_fail", {"why": "x"}),
        ("web_add", {"a": "two"}),
        ("web_echo", {"text": KEY}),
    ]
    models.script("gpt-x", tool_calls(calls), text("five"))
    assert (await ask(sdk, session, "add")).choices[0].message.content == "five"
    functions = offered(models, 0)
    assert {"web_add", "web_echo", "web_with_odd_name", "echo"} <= functions.keys()
    assert "web" not in functions
    assert functions["web_add"]["description"] == "Add two numbers"
    assert functions["web_add"]["parameters"]["required"] == ["a", "b"]
    told = [message["content"] for message in asked(models)[1]["messages"] if message["role"] == "tool"]
    assert json.loads(told[0]) == {"result": 5}
    assert json.loads(told[1]) == ["a dot", {"type": "image", "mime_type": "image/png", "bytes": 72}]
    assert "fail" in json.loads(told[2])["error"]
    # What does not fit the server's schema is refused before it is asked.
    assert {fault["path"] for fault in json.loads(told[3])["faults"]} == {"", "/a"}
    assert mcp.calls == [("add", (2, 3)), ("echo", KEY)]
    assert {seen["authorization"] for seen in mcp.seen} == {f"Bearer {KEY}"}
    # What a server repeats of its key is not shown, also where the model has said it.
    assert told[4] == MARK
    assert "web_add" in (await raw.get(f"/sessions/{session}/history?{ALL_SOURCES}")).text


async def test_secret_that_a_server_repeats_in_its_list_is_not_shown_to_the_model(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, mcp: McpServer
) -> None:
    other = "0ther-secret-in-the-address-4712"
    await sdk.secrets.create(name="IN_URL", value=other)

    def leaky(text: Annotated[str, Field(description=f"Not {KEY} but {other}")] = KEY) -> str:
        return text

    mcp.made.add_tool(leaky, name="leaky", description=f"Seen: Bearer {KEY}, {other}")
    mcp.made.add_tool(leaky, name=f"x_{KEY}", description="Its name can't be shown")
    session = await acting(sdk, tool(f"{mcp.url}?key={{secrets.IN_URL}}"), ECHO)
    models.script("gpt-x", text("hi"))
    body = {"messages": [{"role": "user", "content": "x"}]}
    reply = (await raw.post(f"/sessions/{session}/chat", json=body)).raise_for_status().json()
    shown = offered(models)["web_leaky"]
    assert shown["description"] == f"Seen: {MARK}, {MARK}"
    assert shown["parameters"]["properties"]["text"]["description"] == f"Not {MARK} but {MARK}"
    assert [warning for warning in reply["warnings"] if "1 more tools" in warning]
    rendered = (await raw.post(f"/sessions/{session}/render", json=body)).text
    assert "web_leaky" in rendered
    assert not [each for each in (KEY, other) if each in rendered or each in str(asked(models)) or each in str(reply)]


async def test_list_of_a_server_is_asked_once_and_shown_by_render(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, mcp: McpServer
) -> None:
    session = await acting(sdk, tool(mcp.url))
    shown = (await raw.post(f"/sessions/{session}/render", json={"messages": [{"role": "user", "content": "x"}]})).json()
    assert {"web_add", "web_echo"} <= {each["name"] for each in shown["tools"]}
    assert KEY not in str(shown)
    requests = len(mcp.seen)
    for _ in range(3):
        await ask(sdk, session, "hi")
    assert len(mcp.seen) == requests
    assert offered(models).keys() >= {"web_add"}


async def test_server_that_fails_costs_its_tools_and_a_warning(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    refuses = answer("401 Unauthorized", f"wrong key {KEY}".encode())
    async with wild_server(saying(refuses)) as down:
        inside = tool("http://127.0.0.2:8000/mcp", "inside")
        nothing = {
            "name": "file",
            "type": "integration",
            "integration": {"provider": "mcp", "setup": {"transport": "stdio", "command": "sh"}},
        }
        session = await acting(sdk, tool(down.url(target="/mcp")), inside, nothing, ECHO)
        models.script("gpt-x", tool_calls([("echo", {"n": 1})]), text("done"))
        reply = (await raw.post(f"/sessions/{session}/chat", json={"messages": [{"role": "user", "content": "x"}]})).json()
    assert reply["choices"][0]["message"]["content"] == "done"
    assert offered(models).keys() == {"echo"}
    told = {warning.split("`")[1]: warning for warning in reply["warnings"]}
    assert "http_headers" in told["web"]
    assert "public" in told["inside"]
    assert "MENTHA_MCP_COMMANDS" in told["file"]
    assert KEY not in str(reply)


async def test_choice_of_a_server_is_any_of_its_tools_and_one_of_another_is_refused(
    sdk: AsyncJulep, models: ModelServerHandle, mcp: McpServer
) -> None:
    session = await acting(sdk, tool(mcp.url))
    for name, sent in (("web", "required"), ("web_add", {"type": "function", "function": {"name": "web_add"}})):
        await ask(sdk, session, "x", tool_choice={"type": "function", "function": {"name": name}})
        assert asked(models)[-1]["tool_choice"] == sent
    for name in ("web_nothing", "other"):
        with pytest.raises(UnprocessableEntityError):
            await ask(sdk, session, "x", tool_choice={"type": "function", "function": {"name": name}})


async def test_server_is_not_asked_where_the_client_runs_the_tools_or_one_thing_is_named(
    sdk: AsyncJulep, models: ModelServerHandle, mcp: McpServer
) -> None:
    session = await acting(sdk, tool(mcp.url), auto_run_tools=False)
    await ask(sdk, session, "x")
    assert offered(models).keys() == {"web"}
    assert mcp.seen == []
    one = tool(mcp.url, "sum", method="call_tool", arguments={"tool_name": "add", "timeout_seconds": 5})
    session = await acting(sdk, one, tool(mcp.url, "what", method="list_tools"))
    models.script("gpt-x", tool_calls([("sum", {"arguments": {"a": 1, "b": 1}}), ("what", {})]), text("two"))
    await ask(sdk, session, "x")
    assert offered(models).keys() == {"sum", "what"}
    assert results(models)[0]["structured"] == {"result": 2}
    assert {each["name"] for each in results(models)[1]["tools"]} >= {"add"}


async def test_prompt_of_a_task_is_offered_the_tools_of_a_server_and_calls_them(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, mcp: McpServer
) -> None:
    agent = (await sdk.agents.create(name="Mia", model="gpt-x")).id
    models.script("gpt-x", tool_calls([("web_add", {"a": 2, "b": 3})]), text("five"))
    main = [
        {"prompt": [{"role": "user", "content": "add"}], "auto_run_tools": True, "tools": "all"},
        {"tool": "sum", "arguments": {"tool_name": "add", "arguments": {"a": "$ 40", "b": 2}}},
    ]
    tools = [tool(mcp.url), tool(mcp.url, "sum", method="call_tool", arguments={"tool_name": "add"})]
    task = (await raw.post(f"/agents/{agent}/tasks", json={"name": "T", "main": main, "tools": tools})).json()
    made = (await raw.post(f"/tasks/{task['id']}/executions", json={"input": {}})).json()
    shown: Any = {}

    async def is_over() -> bool:
        shown.update((await raw.get(f"/executions/{made['id']}")).json())
        return shown["status"] in ("succeeded", "failed")

    await until(is_over)
    assert (shown["status"], shown["error"]) == ("succeeded", None)
    assert shown["output"]["structured"] == {"result": 42}
    assert {"web_add", "web_echo", "sum"} <= offered(models, 0).keys()
    assert results(models) == [{"result": 5}]
    assert mcp.calls == [("add", (2, 3)), ("add", (40, 2))]


async def test_server_that_calls_itself_over_mcp_ends_at_a_depth(
    sdk: AsyncJulep, server: ServerProcess, account: Account, models: ModelServerHandle
) -> None:
    setup = {"transport": "http", "http_url": f"{server.url}/mcp", "http_headers": {"Authorization": f"Bearer {account.key}"}}
    me: Any = {"name": "me", "type": "integration", "integration": {"provider": "mcp", "setup": setup}}
    session = await acting(sdk, me)
    models.script("gpt-x", *[tool_calls([("me_chat", {"session_id": session, "message": "again"})])] * 4, *[text("back")] * 4)
    assert (await ask(sdk, session)).choices[0].message.content == "back"
    assert len(asked(models)) == 8
    assert "goes no deeper than 3" in results(models, 4)[-1]["error"]
