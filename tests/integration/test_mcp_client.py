"""Our client of MCP servers: against servers made with the official SDK over each transport, and against servers that mean ill."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mentha.core.config import McpCommand, Settings
from mentha.core.errors import MenthaError, OutboundError, OutboundRefused
from mentha.tools import integrations
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import Means
from mentha.tools.mcp import pool
from mentha.tools.mcp.servers import PAGES_MAX, Servers
from mentha.tools.mcp.target import Target
from mentha.tools.outbound import Outbound
from tests.support.mcp_server import PIXEL, McpServer, serving
from tests.support.wild_server import Answer, Seen, WildServer, answer, saying, wild_server

# The SDK's servers, which run in this process, leave streams to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
TENANT, OTHER = UUID(int=7), UUID(int=8)
ROOT = Path(__file__).resolve().parents[2]
KEY = "s3cr3t-value-of-a-header"
PROGRAM = McpCommand(argv=(sys.executable, "-m", "tests.support.mcp_server"), env=("PYTHONPATH", "TOKEN"))
TRANSPORTS = ("http", "sse", "stdio")
LIMIT_S = 20.0

Fault = (ToolFailed, MenthaError)


@asynccontextmanager
async def servers(**settings: Any) -> AsyncIterator[Servers]:
    """Connections as a server has them; in these tests 127.0.0.1 stands for the public internet."""
    given = Settings(**{"outbound_allow": ("127.0.0.1",), "mcp_commands": {"tests": PROGRAM}, **settings})
    made = Servers(given, Outbound(given))
    try:
        yield made
    finally:
        await made.close()


def target(server: McpServer, *, transport: str = "http", **headers: str) -> Target:
    return Target(transport, url=server.url, headers=tuple(headers.items()))  # type: ignore[arg-type]  # one of the three


async def fault(work: Any) -> ToolFailed | OutboundError:
    with pytest.raises(Fault) as failed:
        await work
    return failed.value  # type: ignore[return-value]  # one of the two


async def until(told: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not told():
            await asyncio.sleep(0.01)


# --- the documented methods, over each transport


@asynccontextmanager
async def calling(transport: str) -> AsyncIterator[tuple[Callable[..., Any], McpServer]]:
    """Calls the integration `mcp` as tools do, against a server over this transport."""

    async def none(*_: Any) -> dict[str, str]:
        return {}

    async with servers() as made:
        given = made._settings
        means = Means(given, Outbound(given), none, mcp=made)

        def caller(setup: Any) -> Callable[..., Any]:
            async def call(method: str, **arguments: Any) -> Any:
                spec = {"provider": "mcp", "method": method, "setup": setup}
                return await integrations.run(means, TENANT, spec, arguments)

            return call

        if transport == "stdio":
            paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
            yield caller({"transport": "stdio", "command": "tests", "env": {"PYTHONPATH": paths, "TOKEN": KEY}}), McpServer()
            return
        async with serving(transport) as server:
            yield caller({"transport": transport, "http_url": server.url, "http_headers": {"X-Key": KEY}}), server


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_method_gives_the_documented_results_over_each_transport(transport: str) -> None:
    async with calling(transport) as (call, server):
        listed = (await call("list_tools"))["tools"]
        assert {tool["name"] for tool in listed} >= {"add", "echo", "fail", "draw", "with.odd name"}
        assert listed[0].keys() == {"name", "description", "input_schema"}
        added = await call("call_tool", tool_name="add", arguments={"a": 1, "b": 2})
        assert added == {"text": "3", "structured": {"result": 3}, "content": [{"type": "text", "text": "3"}], "is_error": False}
        drawn = await call("call_tool", tool_name="draw")
        assert drawn["content"][1] == {"type": "image", "data": PIXEL, "mime_type": "image/png"}
        assert (drawn["text"], drawn["structured"]) == ("a dot", None)
        assert (await call("call_tool", tool_name="fail", arguments={"why": "x"}))["is_error"] is True
        resources = (await call("list_resources"))["resources"]
        assert resources == [{"uri": "notes://today", "name": "today", "description": "Notes of today", "mime_type": "text/plain"}]
        held = await call("read_resource", uri="notes://today")
        assert held == {"contents": [{"uri": "notes://today", "mime_type": "text/plain", "text": "buy mint"}]}
        prompts = (await call("list_prompts"))["prompts"]
        assert prompts[0]["name"] == "greet"
        assert prompts[0]["arguments"] == [{"name": "name", "description": None, "required": True}]
        filled = await call("get_prompt", name="greet", arguments={"name": "Mia"})
        assert filled["messages"] == [{"role": "user", "content": {"type": "text", "text": "Greet Mia."}}]
        # A key that comes back is not shown.
        assert KEY not in str(await call("call_tool", tool_name="echo", arguments={"text": f"I saw {KEY}"}))
        if transport == "stdio":
            assert (await call("call_tool", tool_name="environment", arguments={"name": "TOKEN"}))["text"] != "-"
            assert (await call("call_tool", tool_name="environment", arguments={"name": "MENTHA_TESTS_HOME"}))["text"] == "-"
        else:
            assert {each.get("x-key") for each in server.seen} == {KEY}


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_list_that_changed_is_read_again_and_else_kept(transport: str) -> None:
    async with servers() as made, serving(transport) as server:
        there = target(server, transport=transport)
        first = await made.catalogue(TENANT, there)
        assert await made.catalogue(TENANT, there) is first
        await made.call_tool(TENANT, there, "grow", {}, timeout_s=5)
        await until(lambda: not made._catalogues._known)
        assert {tool.name for tool in (await made.catalogue(TENANT, there)).tools} == {*(tool.name for tool in first.tools), "grown"}


# --- connections


async def test_connection_serves_one_tenant_and_one_set_of_headers() -> None:
    async with servers() as made, serving("http", stateless_http=False) as server:
        for tenant, key in ((TENANT, "a"), (TENANT, "a"), (OTHER, "a"), (TENANT, "b")):
            await made.call_tool(tenant, target(server, x_key=key), "echo", {"text": "x"}, timeout_s=5)
        assert len(made.pool) == 3


async def test_calls_at_the_same_time_share_a_connection_and_one_that_rests_too_long_is_closed() -> None:
    async with servers(mcp_idle_s=0.05) as made, serving("http") as server:
        there = target(server)
        found = await asyncio.gather(*(made.call_tool(TENANT, there, "add", {"a": n, "b": 1}, timeout_s=5) for n in range(8)))
        assert [each["structured"]["result"] for each in found] == list(range(1, 9))
        await until(lambda: len(made.pool) == 0)


async def test_connections_of_many_tenants_to_one_host_leave_room_for_others() -> None:
    """Each holds two places at the door, of which a host has 20."""
    async with servers() as made, serving("http") as server:
        for tenant in range(15):
            await made.call_tool(UUID(int=100 + tenant), target(server), "echo", {"text": "x"}, timeout_s=5)
        assert len(made.pool) == 6


async def test_connections_of_a_tenant_are_limited_and_resting_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "ROOM_TIMEOUT_S", 0.2)
    async with servers(mcp_connections_per_tenant_max=2) as made, serving("http") as server:
        for key in "abc":
            await made.call_tool(TENANT, target(server, x_key=key), "echo", {"text": "x"}, timeout_s=5)
        assert len(made.pool) == 2
        waiting = [asyncio.create_task(made.call_tool(TENANT, target(server, x_key=key), "wait", {}, timeout_s=5)) for key in "bc"]
        await until(lambda: all(place.users for place in made.pool._places.values()))
        error = await fault(made.call_tool(TENANT, target(server, x_key="d"), "echo", {"text": "x"}, timeout_s=5))
        assert error.retry is True
        await made.call_tool(OTHER, target(server, x_key="d"), "echo", {"text": "x"}, timeout_s=5)
        # One that gets free lets the next one in.
        last = asyncio.create_task(made.call_tool(TENANT, target(server, x_key="e"), "echo", {"text": "x"}, timeout_s=5))
        waiting[0].cancel()
        assert (await last)["text"] == "x"
        waiting[1].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_server_that_was_restarted_is_connected_to_again(transport: str) -> None:
    """Over streamable HTTP the server answers that it knows no such session: it took nothing, so the call is made again."""
    async with servers() as made:
        async with serving(transport) as server:
            there = target(server, transport=transport)
            await made.list_tools(TENANT, there, timeout_s=5)
            port = int(server.url.split(":")[2].split("/")[0])
        async with serving(transport, port=port) as server:
            assert (await made.list_tools(TENANT, there, timeout_s=5))["tools"]
            assert (await made.call_tool(TENANT, there, "echo", {"text": "x"}, timeout_s=5))["text"] == "x"


async def test_server_that_can_not_be_reached_is_not_asked_by_every_call() -> None:
    async with servers() as made:
        made.pool._wait = lambda _: asyncio.sleep(0)
        async with wild_server(saying(b"")) as gone:
            there = Target("http", url=gone.url(target="/mcp"))
        errors = [await fault(made.list_tools(TENANT, there, timeout_s=5)) for _ in range(3)]
        assert all(error.retry for error in errors)
        assert isinstance(errors[2], ToolFailed)
        assert "tried again in" in errors[2].message
        assert errors[2].more["retry_after_s"] > 0


async def test_call_that_is_slow_or_given_up_ends_at_the_server_too() -> None:
    async with servers() as made, serving("http") as server:
        there = target(server)
        error = await fault(made.call_tool(TENANT, there, "wait", {}, timeout_s=0.2))
        assert error.retry is False
        assert "may have had its effect" in error.message
        assert (await made.call_tool(TENANT, there, "echo", {"text": "on"}, timeout_s=5))["text"] == "on"


@pytest.mark.parametrize(
    ("whole", "is_open"), [(b"", True), (answer("500 Oops"), True), (answer("502 Oops"), True), (answer("503 Busy"), False)]
)
async def test_call_that_the_server_may_have_made_is_not_said_to_be_worth_a_repetition(whole: bytes, is_open: bool) -> None:
    def say(seen: Seen) -> bytes:
        return whole if b"tools/call" in seen.body else result_of(seen, {})

    async with wild(saying(say)) as (made, there, server):
        error = await fault(made.call_tool(TENANT, there, "pay", {}, timeout_s=5))
        assert (error.retry, "may have had its effect" in error.message) == (not is_open, is_open)
        assert sum(b"tools/call" in seen.body for seen in server.seen) == 1


async def test_program_that_is_not_there_or_dies_is_told_of() -> None:
    nothing = Target("stdio", argv=("/nonexistent/program",))
    dies = Target("stdio", argv=(sys.executable, "-c", "pass"))
    async with servers() as made:
        made.pool._wait = lambda _: asyncio.sleep(0)
        assert "MENTHA_MCP_COMMANDS" in (await fault(made.list_tools(TENANT, nothing, timeout_s=10))).message
        assert (await fault(made.list_tools(TENANT, dies, timeout_s=10))).retry is True


# --- servers that mean ill


def result_of(seen: Seen, results: dict[str, Any]) -> bytes:
    """The answer to a request of the protocol of 2025: what `results` has for its method, which may be made of its parameters."""
    asked = json.loads(seen.body or b"{}")
    if "id" not in asked:
        return answer("202 Accepted")
    greeting = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "wild", "version": "1"}}
    made = {"initialize": greeting, **results}.get(asked["method"])
    if made is None:
        told: Any = {"error": {"code": -32_601, "message": "no such method"}}
    else:
        told = {"result": made(asked.get("params")) if callable(made) else made}
    return answer(body=json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}).encode(), content_type="application/json")


@asynccontextmanager
async def wild(results: dict[str, Any] | Answer, **settings: Any) -> AsyncIterator[tuple[Servers, Target, WildServer]]:
    say = saying(lambda seen: result_of(seen, results)) if isinstance(results, dict) else results
    async with servers(**settings) as made, wild_server(say) as server:
        made.pool._wait = lambda _: asyncio.sleep(0)
        yield made, Target("http", url=server.url(target="/mcp"), headers=(("x-key", KEY),)), server


async def test_list_without_end_is_cut() -> None:
    pages = itertools.count()

    def page(_: Any) -> Any:
        number = next(pages)
        tools = [{"name": f"t{number}_{n}", "inputSchema": {"type": "object"}} for n in range(10)]
        return {"tools": tools, "nextCursor": f"c{number}"}

    async with wild({"tools/list": page}) as (made, there, _):
        listed = await made.list_tools(TENANT, there, timeout_s=10)
        assert listed["truncated"] is True
        assert len(listed["tools"]) == PAGES_MAX * 10
        found = await made.catalogue(TENANT, there)
        assert len(found.tools) == 64


@pytest.mark.parametrize(("text", "tools", "rule"), [("x" * 6_000_000, 1, "response_size"), ("x", 30_000, "response_objects")])
async def test_answer_that_is_too_large_is_refused_and_not_read_to_its_end(text: str, tools: int, rule: str) -> None:
    huge = {"tools": [{"name": "t", "description": text, "inputSchema": {"type": "object"}}] * tools}
    async with wild({"tools/list": huge}) as (made, there, _):
        error = await fault(made.list_tools(TENANT, there, timeout_s=10))
        assert isinstance(error, OutboundRefused)
        assert error.rule == rule


async def test_schema_of_results_is_never_run_and_never_fetched() -> None:
    """The SDK would check a result by it: a pattern that never ends, and an address inside of our network."""
    tools = {
        "tools": [
            {
                "name": "t",
                "inputSchema": {"type": "object"},
                "outputSchema": {
                    "type": "object",
                    "properties": {"x": {"type": "string", "pattern": "^(a+)+$"}, "y": {"$ref": "http://127.0.0.2/"}},
                },
            }
        ]
    }
    given = {"content": [], "structuredContent": {"x": "a" * 60 + "!", "y": 1}}
    async with wild({"tools/list": tools, "tools/call": given}) as (made, there, _):
        await made.catalogue(TENANT, there)
        assert (await made.call_tool(TENANT, there, "t", {}, timeout_s=5))["structured"]["y"] == 1


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_redirect_to_another_address_takes_nothing_there(status: str, transport: str) -> None:
    async with wild_server(saying(answer(body=b"secret of the inside")), host="127.0.0.2") as inner, servers() as made:
        made.pool._wait = lambda _: asyncio.sleep(0)
        leads = answer(status, location=inner.url("127.0.0.2", "/mcp"))
        async with wild_server(saying(leads)) as server:
            there = Target(transport, url=server.url(target="/mcp"), headers=(("x-key", KEY),))  # type: ignore[arg-type]  # as above
            error = await fault(made.list_tools(TENANT, there, timeout_s=5))
        assert KEY not in str(vars(error))
        assert inner.connections == 0


async def test_address_that_is_not_public_is_refused_over_each_transport() -> None:
    async with servers(outbound_allow=()) as made, serving("http") as server:
        for transport in ("http", "sse"):
            error = await fault(made.list_tools(TENANT, target(server, transport=transport), timeout_s=5))
            assert isinstance(error, OutboundRefused), transport
        assert server.seen == []


async def test_endpoint_of_the_older_transport_on_another_origin_is_not_used() -> None:
    async with wild_server(saying(answer(body=b"")), host="127.0.0.2") as inner, servers() as made:
        made.pool._wait = lambda _: asyncio.sleep(0)
        event = f"event: endpoint\r\ndata: {inner.url('127.0.0.2', '/post')}\r\n\r\n".encode()
        async with wild_server(saying(answer(body=event, content_type="text/event-stream"))) as server:
            there = Target("sse", url=server.url(target="/sse"), headers=(("x-key", KEY),))
            await fault(made.list_tools(TENANT, there, timeout_s=2))
        assert inner.connections == 0


async def test_header_that_frames_a_request_is_refused() -> None:
    async with servers() as made, serving("http") as server:
        for name, value in (("Host", "evil"), ("X-A", "b\r\nX-C: d"), ("Content-Length", "3")):
            there = Target("http", url=server.url, headers=((name, value),))
            assert isinstance(await fault(made.list_tools(TENANT, there, timeout_s=5)), OutboundRefused)
        assert server.seen == []


@pytest.mark.parametrize(
    ("whole", "message"),
    [
        (answer("401 Unauthorized", www_authenticate="Bearer"), "http_headers"),
        (answer("500 Oops", b"it broke"), "status 500"),
        (answer(body=b"not json", content_type="application/json"), ""),
        (answer(body=b"[" * 50_000, content_type="application/json"), ""),
        (answer(body=b"<html>", content_type="text/html"), ""),
        (answer(body=b"data: {}\r\n\r\n" * 2_000, content_type="text/event-stream"), ""),
        (answer(body=b'{"jsonrpc":"2.0","id":77,"result":{}}', content_type="application/json"), ""),
        (b"nonsense\r\n\r\n", ""),
        (b"", ""),
    ],
)
async def test_answer_that_is_none_is_a_failure_without_secrets_and_others_go_on(whole: bytes, message: str) -> None:
    async with wild(saying(whole)) as (made, there, _), serving("http") as good:
        bad, fine = await asyncio.gather(
            fault(made.list_tools(TENANT, there, timeout_s=3)), made.call_tool(TENANT, target(good), "echo", {"text": "x"}, timeout_s=10)
        )
        assert message in str(bad)
        assert KEY not in str(vars(bad))
        assert fine["text"] == "x"


async def test_server_that_says_nothing_costs_the_time_of_the_call_and_no_more() -> None:
    async def silent(_seen: Seen, _writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with wild(silent, mcp_discovery_timeout_s=0.3) as (made, there, server):
        error = await fault(made.catalogue(TENANT, there))
        assert "0.3 s" in str(error)
        # Those who come next are told at once, and nobody connects for them.
        connections = server.connections
        assert str(await fault(made.catalogue(TENANT, there))) == str(error)
        assert server.connections == connections


async def test_result_that_is_not_of_the_protocol_is_a_failure() -> None:
    async with wild({"tools/list": {"tools": 3}, "tools/call": {"content": [{"type": "nonsense"}]}}) as (made, there, _):
        assert "protocol" in str(await fault(made.list_tools(TENANT, there, timeout_s=5)))
        assert "protocol" in str(await fault(made.call_tool(TENANT, there, "x", {}, timeout_s=5)))
