"""Mentha as an MCP server, met by the official SDK's client: in the protocol of today, and in that of before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import httpx2
import pytest
from julep import AsyncJulep
from mcp import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from mentha.core.config import Settings
from mentha.server.mcp import REQUESTS_OF_A_TENANT_MAX, McpEndpoint
from tests.support.docs import indexed
from tests.support.model_server import ModelServerHandle
from tests.support.sdk import Account, NewAccount, history_of
from tests.support.server import ServerProcess
from tests.support.talk import Client

HEADERS = {"Accept": "application/json, text/event-stream"}
PING: Any = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
SOME_ID = "0192f0c1-2a3b-7c4d-8e5f-60718293a4b5"


@asynccontextmanager
async def mcp(server: ServerProcess, account: Account, *, mode: str = "auto", path: str = "/mcp") -> AsyncIterator[McpClient]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {account.key}"}, verify=False, trust_env=False) as http:
        async with McpClient(streamable_http_client(server.url + path, http_client=http), mode=mode) as client:
            yield client


async def value(client: McpClient, tool: str, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def error(client: McpClient, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error
    return result.content[0].text  # type: ignore[union-attr]  # a text


@pytest.mark.parametrize(("mode", "path"), [("auto", "/mcp"), ("legacy", "/api/mcp")])
async def test_program_searches_chats_and_runs_tasks_over_mcp(
    mode: str, path: str, server: ServerProcess, sdk: AsyncJulep, raw: Client, account: Account, models: ModelServerHandle
) -> None:
    agent = (await sdk.agents.create(name="Mia", model="gpt-x")).id
    doc = await sdk.agents.docs.create(agent, title="Tea", content="Mint tea is made of fresh leaves.", metadata={})
    await indexed(sdk, doc)
    task = (await raw.post(f"/agents/{agent}/tasks", json={"name": "Sum", "main": [{"evaluate": {"n": "$ _.a + 1"}}]})).json()
    async with mcp(server, account, mode=mode, path=path) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert listed.keys() == {"list_agents", "list_sessions", "list_tasks", "search_docs", "chat", "run_task", "get_execution"}
        assert listed["list_agents"].annotations.read_only_hint  # type: ignore[union-attr]  # it has some
        assert (await value(client, "list_agents"))["agents"] == [{"id": agent, "name": "Mia", "about": "", "model": "gpt-x"}]
        found = (await value(client, "search_docs", agent_id=agent, text="mint leaves"))["docs"]
        assert [each["id"] for each in found] == [doc.id]
        said = await value(client, "chat", agent_id=agent, message="hi")
        assert (said["text"], said["finish_reason"]) == ("ok: hi", "stop")
        assert (await value(client, "chat", session_id=said["session_id"], message="on"))["text"] == "ok: on"
        assert [each["id"] for each in (await value(client, "list_sessions"))["sessions"]] == [said["session_id"]]
        assert [each["id"] for each in (await value(client, "list_tasks", agent_id=agent))["tasks"]] == [task["id"]]
        ran = await value(client, "run_task", task_id=task["id"], input={"a": 41})
        assert (ran["status"], ran["output"]) == ("succeeded", {"n": 42})
        assert await value(client, "get_execution", execution_id=ran["execution_id"]) == ran
    assert await history_of(sdk, said["session_id"]) == [("user", "hi"), ("assistant", "ok: hi"), ("user", "on"), ("assistant", "ok: on")]
    spent = (await raw.get("/usage", params={"group_by": ["key", "kind"], "kind": "chat"})).json()["groups"]
    assert [(group["key_id"] is not None, group["requests"]) for group in spent] == [(True, 2)]


async def test_another_tenants_things_are_not_found_over_mcp(
    server: ServerProcess, sdk: AsyncJulep, raw: Client, account: Account, new_account: NewAccount
) -> None:
    agent = (await sdk.agents.create(name="Mia", model="gpt-x")).id
    await indexed(sdk, await sdk.agents.docs.create(agent, title="Tea", content="mint", metadata={}))
    session = (await sdk.sessions.create(agent=agent)).id
    task = (await raw.post(f"/agents/{agent}/tasks", json={"name": "T", "main": [{"log": "x"}]})).json()["id"]
    ran = (await raw.post(f"/tasks/{task}/executions", json={"input": {}})).json()["id"]
    async with mcp(server, await new_account()) as client:
        assert await value(client, "list_agents") == {"agents": []}
        assert await value(client, "list_sessions") == {"sessions": []}
        assert await value(client, "search_docs", agent_id=agent, text="mint") == {"docs": []}
        for call in (
            ("chat", {"session_id": session, "message": "x"}),
            ("chat", {"agent_id": agent, "message": "x"}),
            ("list_tasks", {"agent_id": agent}),
            ("run_task", {"task_id": task}),
            ("get_execution", {"execution_id": ran}),
        ):
            told = (await error(client, call[0], **call[1])).lower()
            assert any(words in told for words in ("not found", "no agent", "not exist", "no such")), told
    async with mcp(server, account) as client:
        assert len((await value(client, "list_sessions"))["sessions"]) == 1


async def test_call_that_is_not_right_is_an_error_that_says_why(server: ServerProcess, account: Account) -> None:
    async with mcp(server, account) as client:
        assert "`message`" in await error(client, "chat")
        assert "`session_id`, or `agent_id`" in await error(client, "chat", message="x")
        assert "`agent_id` or `user_id`" in await error(client, "search_docs", text="x")
        assert "UUID" in await error(client, "get_execution", execution_id="x")
        assert "`limit`" in await error(client, "list_agents", limit=1_000)
        assert "`chat`" in await error(client, "nothing")


async def test_request_without_a_valid_key_or_from_a_strange_page_is_refused(raw: Client, server: ServerProcess) -> None:
    def sent(**headers: str) -> dict[str, str]:
        return {**HEADERS, **headers}

    for headers in (sent(Authorization="Bearer x"), sent(Authorization="")):
        answer = await raw.post("/mcp", json=PING, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["x-should-retry"] == "false"
    for origin in (
        "http://evil.example",
        "http://localhost.evil.example",
        "null",
        "http://127.0.0.1.evil.example:80",
        "http://[",
        "https://localhost",
    ):
        assert (await raw.post("/mcp", json=PING, headers=sent(Origin=origin))).status_code == 403, origin
    for origin in ("http://localhost", "http://localhost:5173", "http://127.0.0.1:1", "http://[::1]:9", "HTTP://LOCALHOST:5"):
        assert (await raw.post("/mcp", json=PING, headers=sent(Origin=origin))).status_code == 200, origin
    for method in ("GET", "DELETE", "PUT"):
        assert (await raw.request(method, "/mcp", headers=HEADERS)).status_code == 405
    assert "/mcp" not in (await raw.get("/openapi.json")).text
    assert 'route="/mcp"' in (await raw.get("/metrics")).text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
        b'{"jsonrpc":"2.0","id":1,"method":"x/y"}',
        b"\xff",
    ],
)
@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28", "1999-01-01", ""])
async def test_body_that_is_no_request_is_refused_and_breaks_nothing(raw: Client, server: ServerProcess, body: bytes, version: str) -> None:
    before = len(server.log)
    headers = {**HEADERS, "Content-Type": "application/json", **({"MCP-Protocol-Version": version} if version else {})}
    answer = await raw.post("/mcp", content=body, headers=headers)
    assert answer.status_code < 500
    assert "error" in answer.text or answer.status_code >= 400
    assert not [line for line in server.log[before:] if "raceback" in line]
    assert (await raw.post("/mcp", json=PING, headers=HEADERS)).status_code == 200


async def test_tenant_with_many_requests_at_once_leaves_places_for_others() -> None:
    held, tenants = asyncio.Event(), [UUID(int=1)] * (REQUESTS_OF_A_TENANT_MAX + 1) + [UUID(int=2)]
    statuses: list[int] = []

    class Asker:
        async def tenant(self, _headers: Any, scope: Any) -> UUID:
            return scope["who"]

    class Manager:
        async def handle_request(self, _scope: Any, _receive: Any, send: Any) -> None:
            await held.wait()
            await send({"type": "http.response.start", "status": 200})

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    endpoint: Any = McpEndpoint(Settings(), cast("Any", Asker()))
    endpoint._manager = Manager()
    scopes = [{"type": "http", "method": "POST", "headers": [], "who": who} for who in tenants]
    running = [asyncio.create_task(endpoint(scope, None, send)) for scope in scopes]
    done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), statuses) == (1, [503])
    held.set()
    await asyncio.gather(*running)
    assert statuses.count(200) == REQUESTS_OF_A_TENANT_MAX + 1
    assert not endpoint._requests
