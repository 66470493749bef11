"""Secrets planted in tools in every way, used in chat against servers that repeat them in every way: nothing but sealed forms is left of them.

By value and by reference; in headers, queries, addresses, bodies, cookies, setups and the arguments of system tools; of agents and of requests;
streamed and not; in turns that succeed, fail, and are taken up again.
"""

import asyncio
import base64
import html
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import uuid4

import pytest

from mentha.core.redact import MARK
from tests.contract.test_sdk_tool_loop import ALL_SOURCES
from tests.support import planted
from tests.support.model_server import ModelServerHandle, error, text, tool_calls
from tests.support.sdk import Account, asked, said
from tests.support.server import ServerProcess
from tests.support.talk import Client
from tests.support.wild_server import Seen, WildServer, answer, wild_server

# One for each place, so that what is found tells where it leaked.
PLACES = "header ref_header query ref_query cookie path_query body ref_body request login setup argument ref_argument system"
ALL = {place: f'Sk-{place}/+"4&7%1' for place in PLACES.split()} | {
    place: f"Sk-{place}-a/b+47==" for place in ("header", "request", "cookie")
}
REFERRED = ("ref_header", "ref_query", "ref_body", "ref_argument")
# These are for no server of ours: a login in an address is refused, a service not served, an echo nobody's but ours.
NOT_SENT = ["login", "setup", "argument", "ref_argument", "system"]
# Fit for the name of a host.
HOST = "Sk-Named-4711"
MODES = ("echo", "401", "500", "redirect", "away", "named", "slow", "half", "bytes", "drop")


def parts_of(seen: Seen) -> dict[str, str]:
    """What a request had, with the credential of its header by itself."""
    token = seen.headers["authorization"].split(" ")[1]
    return {"token": token, **seen.headers, "target": seen.target, "body": seen.body.decode()}


async def repeat(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Answer in the way that the path says, with all that was asked."""
    parts, mode = parts_of(seen), seen.target.split("?")[0].strip("/").split("/")[0]
    told = json.dumps(parts)
    if mode == "slow":
        await asyncio.Event().wait()
    if mode == "drop":
        return
    if mode == "half":
        writer.write(answer(body=b"x" * 10_000 + told.encode())[:-20])
    elif mode == "401":
        body = f"the token {parts['token']} is not valid; base64 {base64.b64encode(told.encode()).decode()}".encode()
        writer.write(answer("401 Unauthorized", body, content_type="text/plain", www_authenticate=f"Bearer error={parts['token']}"))
    elif mode == "500":
        page = f"<p>{html.escape(told)}</p><a href='/?{quote(told)}&{quote_plus(parts['token'])}'>{told!r}</a>{told.encode().hex()}"
        writer.write(answer("500 Internal Server Error", page.encode(), content_type="text/html"))
    elif mode == "redirect":
        writer.write(answer("307 Temporary Redirect", location=f"/echo/{quote(parts['token'], safe='')}?{seen.target.partition('?')[2]}"))
    elif mode == "away":
        writer.write(answer("302 Found", location=f"http://127.0.0.2:1/{quote(told)}"))
    elif mode == "named":
        # A name of a host is shown in lower case.
        writer.write(answer("302 Found", location=f"http://{parts.get('x-api-key', 'nothing')}.invalid/{quote(told)}"))
    elif mode == "bytes":
        writer.write(answer(body=b"\xff\xfe\x00" + told.encode(), content_type="application/octet-stream"))
    else:
        writer.write(answer(body=told.encode(), content_type="application/json", x_seen=json.dumps(parts["token"])))
    await writer.drain()


@pytest.fixture
async def outside() -> AsyncIterator[WildServer]:
    async with wild_server(repeat) as server:
        yield server


def tools_of(outside: WildServer) -> list[Any]:
    """Calls with secrets in all their places, an echo, a service that is not served, and one that makes a tool."""
    spec = {
        "url": outside.url(target=f"/{{mode}}?api_key={quote(ALL['path_query'], safe='')}"),
        "headers": {"Authorization": f"Bearer {ALL['header']}", "X-Sign": "$ secrets.ref_header", "X-Both": "a {secrets.ref_header} b"},
        "cookies": {"sid": ALL["cookie"]},
        "params": {"token": ALL["query"], "q": "{{secrets.ref_query}}"},
        "params_schema": {"type": "object", "properties": {"more": {"type": "string"}}},
        "timeout": 1,
    }
    body = {"json": {"password": ALL["body"], "deep": [{"note": "$ f'x {secrets.ref_body} y'"}]}}
    login = outside.url(f"user:{quote(ALL['login'], safe='')}@127.0.0.1", "/echo")
    made = {"method": "GET", "url": outside.url(), "headers": {"X-Token": ALL["system"], "X-Ref": "{secrets.ref_header}"}}
    maker = {"resource": "agent", "subresource": "tool", "operation": "create", "arguments": {"type": "api_call", "api_call": made}}
    fixed = {"password": ALL["argument"], "note": "$ secrets.ref_argument"}
    return [
        {"name": "get", "type": "api_call", "api_call": {"method": "GET", **spec}},
        {"name": "post", "type": "api_call", "api_call": {"method": "POST", **spec, **body}},
        {"name": "login", "type": "api_call", "api_call": {"method": "GET", "url": login}},
        {"name": "echo", "type": "integration", "integration": {"provider": "dummy", "arguments": fixed}},
        {"name": "brave", "type": "integration", "integration": {"provider": "brave", "setup": {"brave_api_key": ALL["setup"]}}},
        {"name": "make", "type": "system", "system": maker},
    ]


@dataclass
class Told:
    """All that the server ever said."""

    client: Client
    texts: list[str] = field(default_factory=list)

    async def send(self, method: str, path: str, **more: Any) -> Any:
        got = await self.client.request(method, path, **more)
        self.texts.append(got.text + str(got.headers))
        return got


async def test_secrets_planted_in_tools_are_left_nowhere_but_sealed(
    server: ServerProcess, raw: Client, rows: Any, models: ModelServerHandle, outside: WildServer, account: Account
) -> None:
    told, began = Told(raw), await planted.now(rows)
    for name in REFERRED:
        assert (await told.send("POST", "/secrets", json={"name": name, "value": ALL[name]})).status_code == 201
    made = await told.send("POST", "/agents", json={"name": "Mia", "model": "gpt-x", "tools": tools_of(outside)})
    agent = made.json()["id"]
    for tool in (await told.send("GET", f"/agents/{agent}/tools")).json()["items"]:
        # What is refused is not repeated.
        for wrong in ({"type": "nothing"}, {tool["type"]: dict.fromkeys(("url", "provider", "resource"), ALL["header"])}):
            assert (await told.send("PATCH", f"/agents/{agent}/tools/{tool['id']}", json=wrong)).status_code == 422
        await told.send("PUT", f"/agents/{agent}/tools/{tool['id']}", json=tool)
    session = (await told.send("POST", "/sessions", json={"agent": agent, "auto_run_tools": True})).json()["id"]
    headers = {"Authorization": f"Token {ALL['request']}", "X-Api-Key": HOST}
    brought = {"method": "POST", "url": outside.url(target="/{mode}"), "headers": headers, "timeout": 1}
    chat = {"messages": [said("go")], "tools": [{"name": "brought", "type": "api_call", "api_call": brought}]}
    calls = [(name, {"mode": mode}) for mode in MODES for name in ("get", "post", "brought")]
    calls += [
        ("get", {"mode": "echo", "more": 1}),
        ("login", {}),
        ("echo", {"a": 1}),
        ("brave", {"query": "x"}),
        ("make", {"agent_id": "none"}),
    ]
    for stream in (False, True):
        # To wait for a time limit once is enough.
        calls = [call for call in calls if not (stream and call[1].get("mode") == "slow")]
        rounds = [tool_calls([*calls, ("make", {"agent_id": agent, "name": f"made_{stream}"})]), tool_calls([("echo", {"b": 2})])]
        models.script("gpt-x", *rounds, text("done"))
        assert (await told.send("POST", f"/sessions/{session}/chat", json={**chat, "stream": stream})).status_code == 201
    # A turn that fails after its tools have run leaves them in the journal; with the same key it goes on.
    key = {"Idempotency-Key": str(uuid4())}
    models.script("gpt-x", tool_calls(calls[:6]), error(400, "it failed"), text("done"))
    assert (await told.send("POST", f"/sessions/{session}/chat", json=chat, headers=key)).status_code == 400
    before = len(outside.seen)
    assert (await told.send("POST", f"/sessions/{session}/chat", json=chat, headers=key)).status_code == 201
    assert len(outside.seen) == before
    for path in (
        f"/sessions/{session}/history?{ALL_SOURCES}",
        f"/agents/{agent}",
        f"/agents/{agent}/tools",
        "/secrets",
        "/metrics",
        "/jobs",
    ):
        await told.send("GET", path)
    await told.send("POST", f"/sessions/{session}/render", json=chat)
    # They were really sent, and repeated; the model was told what was in their place.
    sent = "".join(str(seen.headers) + seen.target + seen.body.decode() for seen in outside.seen)
    assert [place for place, secret in ALL.items() if not planted.in_text([secret], sent)] == NOT_SENT
    results = [message["content"] for body in asked(models) for message in body["messages"] if message["role"] == "tool"]
    assert sum(MARK in result for result in results) > 50
    secrets = [*ALL.values(), HOST.lower()]
    everything = {"answers": "\n".join(told.texts), "log": "".join(server.log), "models": str([body["messages"] for body in asked(models)])}
    assert {where: planted.in_text(secrets, text) for where, text in everything.items()} == dict.fromkeys(everything, [])
    assert await planted.in_tables(secrets, rows, since=began) == []
    # What is no secret is found where it was left.
    assert {"agents", "sessions"} <= {table.rpartition(".")[2] for table, _ in await planted.in_tables(["Mia", session], rows, since=began)}
    specs = [str(row["spec"]) for row in await rows.fetch("SELECT spec FROM tools WHERE tenant_id = $1 ORDER BY name", account.id)]
    assert [spec.count("sealed.") for spec in specs] == [1, 1, 4, 1, 1, 1, 1, 5]


async def test_secret_that_an_earlier_turn_left_elsewhere_is_not_shown_by_a_tool_without_any(
    raw: Client, models: ModelServerHandle, outside: WildServer
) -> None:
    for name in REFERRED:
        assert (await raw.post("/secrets", json={"name": name, "value": ALL[name]})).status_code == 201
    made = await raw.post("/agents", json={"name": "Mia", "model": "gpt-x", "tools": tools_of(outside)})
    session = (await raw.post("/sessions", json={"agent": made.json()["id"], "auto_run_tools": True})).json()["id"]
    # The echo stands for the page, or the table, where they were left.
    left = [ALL["header"], ALL["cookie"], ALL["ref_header"], ALL["setup"]]
    models.script("gpt-x", tool_calls([("echo", {"found": left})]), text("done"))
    assert (await raw.post(f"/sessions/{session}/chat", json={"messages": [said("go")]})).status_code == 201
    (told,) = [message["content"] for message in asked(models)[1]["messages"] if message["role"] == "tool"]
    assert json.loads(told)["found"] == [MARK] * 4
