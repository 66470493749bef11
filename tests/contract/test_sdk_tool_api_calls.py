"""Tools of type `api_call`, run in chat against an HTTP server of ours. Section 5.4 of the tasks' spec and ruling 17."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from julep import AsyncJulep

from tests.contract.test_sdk_tool_loop import ALL_SOURCES, acting, results
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import Account, ask, asked
from tests.support.server import ServerProcess
from tests.support.talk import Client
from tests.support.wild_server import Seen, WildServer, answer, saying, wild_server

SECRET = "s3cret-value-of-a-tenant/&+"


def mirror(seen: Seen) -> bytes:
    """What was asked, told back."""
    if seen.target.startswith("/moved"):
        return answer("302 Found", location="/there")
    if seen.target.startswith("/fails"):
        return answer("503 Service Unavailable", b'{"why":"busy"}', content_type="application/json")
    if seen.target.startswith("/text"):
        return answer(body=b"plain words", content_type="text/plain")
    if seen.target.startswith("/bytes"):
        return answer(body=b"\x89PNG\x00", content_type="image/png")
    shown = {"method": seen.method, "target": seen.target, "headers": seen.headers, "body": seen.body.decode("latin-1")}
    return answer(body=json.dumps(shown).encode(), content_type="application/json")


@pytest.fixture
async def outside() -> AsyncIterator[WildServer]:
    async with wild_server(saying(mirror)) as server:
        yield server


def tool_of(outside: WildServer, *, target: str = "/x", method: str = "GET", **spec: Any) -> Any:
    return {"name": "call", "type": "api_call", "api_call": {"method": method, "url": outside.url(target=target), **spec}}


async def called(sdk: AsyncJulep, models: ModelServerHandle, tool: Any, arguments: Any) -> Any:
    """What the model was told about its one call."""
    models.script("gpt-x", tool_calls([("call", arguments)]), text("done"))
    await ask(sdk, await acting(sdk, tool))
    return results(models)[-1]


async def test_agent_that_calls_its_own_chat_over_http_ends_at_a_depth(
    sdk: AsyncJulep, models: ModelServerHandle, server: ServerProcess, account: Account
) -> None:
    agent = await sdk.agents.create(name="Mia", model="gpt-x")
    session = (await sdk.sessions.create(agent=agent.id, auto_run_tools=True)).id
    # What a tool says of its depth does not count.
    headers = {"Authorization": account.key, "Mentha-Depth": "0,0"}
    spec: Any = {
        "method": "POST",
        "url": f"{server.url}/sessions/{session}/chat",
        "json": {"messages": [{"role": "user", "content": "again"}]},
        "headers": headers,
    }
    await sdk.agents.tools.create(agent.id, name="call", type="api_call", api_call=spec)
    models.script("gpt-x", *[tool_calls([("call", {})])] * 4, *[text("back")] * 4)
    assert (await ask(sdk, session)).choices[0].message.content == "back"
    assert len(asked(models)) == 8
    refused = results(models, 4)[-1]
    assert refused["status_code"] == 422
    assert refused["json"]["detail"][0]["loc"] == ["header", "Mentha-Depth"]


async def test_response_that_stands_too_deep_is_refused(raw: Client, models: ModelServerHandle) -> None:
    models.script("gpt-x", text("hi"))
    answers = [
        (await raw.post("/responses", json={"model": "gpt-x", "input": "x"}, headers={"Mentha-Depth": depth})).status_code
        for depth in ("2,0", "3,0")
    ]
    assert answers == [200, 422]


async def test_execution_that_starts_itself_over_http_is_refused_at_its_depth(sdk: AsyncJulep, raw: Client) -> None:
    agent = await sdk.agents.create(name="Mia", model="gpt-x")
    task = await sdk.tasks.create(agent.id, name="a", main=[{"evaluate": {"x": "1"}}])

    async def started(depth: str) -> int:
        return (await raw.post(f"/tasks/{task.id}/executions", json={"input": {}}, headers={"Mentha-Depth": depth})).status_code

    # What can't be read says nothing.
    assert [await started(depth) for depth in ("0,9", "0,10", "0,999", "0,-1", "x", "9999,9999")] == [201, 422, 422, 201, 201, 201]


async def test_depth_is_told_to_nobody_but_who_may_be_a_mentha(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    for target, method in (("/x", "POST"), ("/sessions/a/chat", "GET"), ("/sessions/a/chats", "POST"), ("/tasks/a/executions", "POST")):
        await called(sdk, models, tool_of(outside, target=target, method=method), {})
    assert [seen.headers.get("mentha-depth") for seen in outside.seen] == [None, None, None, "0,0"]
    # Another for each call.
    assert len({seen.headers["idempotency-key"] for seen in outside.seen}) == 4


async def test_fields_of_a_schema_go_to_path_query_and_body(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}, "required": ["q"]}
    got = await called(sdk, models, tool_of(outside, target="/items/{id}", params_schema=schema), {"id": "a/b c", "q": "x&y", "n": 2})
    assert got["json"]["target"] == "/items/a%2Fb%20c?q=x%26y&n=2"
    got = await called(sdk, models, tool_of(outside, method="POST", params_schema=schema), {"q": "x"})
    assert (json.loads(got["json"]["body"]), got["json"]["headers"]["content-type"]) == ({"q": "x"}, "application/json")
    got = await called(sdk, models, tool_of(outside, method="POST", params_schema=schema, data={"fixed": "1"}), {"q": "a b"})
    assert parse_qs(got["json"]["body"]) == {"q": ["a b"], "fixed": ["1"]}
    assert (got["status_code"], got["headers"]["content-type"]) == (200, "application/json")


async def test_arguments_that_do_not_fit_the_schema_are_told_by_their_path_and_nothing_is_sent(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer
) -> None:
    schema: Any = {"type": "object", "properties": {"q": {"type": "object", "properties": {"n": {"type": "integer"}}}}, "required": ["q"]}
    got = await called(sdk, models, tool_of(outside, params_schema=schema), {"q": {"n": "many"}})
    assert [fault["path"] for fault in got["faults"]] == ["/q/n"]
    assert "`q.n`: " in got["error"]
    assert (got["retry"], outside.seen) == (False, [])
    # One that does not compile checks nothing.
    schema["properties"]["q"] = {"$ref": outside.url()}
    assert (await called(sdk, models, tool_of(outside, params_schema=schema), {"q": "x"}))["status_code"] == 200
    assert [seen.target for seen in outside.seen] == ["/x?q=x"]


async def test_parts_of_a_request_join_the_presets_which_win(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    tool = tool_of(outside, method="POST", target="/x?at=home", params={"k": "fixed"}, json={"a": 1}, headers={"X-Own": "mine"})
    got = await called(sdk, models, tool, {"params": {"k": "other", "at": "away", "p": [1, 2], "t": True}, "json": {"a": 2, "b": 3}})
    assert got["json"]["target"] == "/x?at=home&k=fixed&p=1&p=2&t=true"
    assert json.loads(got["json"]["body"]) == {"a": 1, "b": 3}
    assert got["json"]["headers"]["x-own"] == "mine"


async def test_headers_and_cookies_of_the_tool_win_over_those_of_a_call(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer
) -> None:
    schema = {"type": "object", "properties": {"headers": {"type": "object"}, "cookies": {"type": "object"}}}
    tool = tool_of(outside, schema=schema, headers={"Authorization": "Bearer own"}, cookies={"sid": "own"})
    got = await called(sdk, models, tool, {"headers": {"authorization": "Bearer theirs", "x-b": "c"}, "cookies": {"sid": "no", "t": "u"}})
    assert got["json"]["headers"]["x-b"] == "c"
    sent = outside.seen[-1].headers
    assert (sent["authorization"], sent["cookie"]) == ("Bearer own", "sid=own; t=u")


async def test_address_of_a_call_stays_within_the_origin_of_the_tool(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer
) -> None:
    tool = tool_of(outside, schema={"type": "object", "properties": {"url": {"type": "string"}, "params": {"type": "object"}}})
    got = await called(sdk, models, tool, {"url": outside.url(target="/other")})
    assert got["json"]["target"] == "/other"
    for url in (
        "http://127.0.0.1:1/",
        f"http://evil.example:{outside.port}/",
        f"//evil.example/{outside.port}",
        f"https://127.0.0.1:{outside.port}/",
    ):
        assert "`url` must be a text, and stay within" in (await called(sdk, models, tool, {"url": url}))["error"]
    assert "`url`" in (await called(sdk, models, tool_of(outside), {"url": outside.url(target="/other")}))["error"]


async def test_files_and_content_are_sent_as_they_are(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    file = {"filename": "a.txt", "content": base64.b64encode(b"hello").decode(), "content_type": "text/plain"}
    got = await called(sdk, models, tool_of(outside, method="POST", files={"doc": file}, data={"k": "v"}), {})
    body = got["json"]["body"]
    assert got["json"]["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    assert 'name="doc"; filename="a.txt"\r\ncontent-type: text/plain\r\n\r\nhello\r\n' in body
    assert 'name="k"\r\n\r\nv\r\n' in body
    got = await called(sdk, models, tool_of(outside, method="PUT", content=base64.b64encode(b"raw").decode()), {})
    assert got["json"]["body"] == "raw"


async def test_answer_that_is_no_success_is_an_error_with_its_body(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    got = await called(sdk, models, tool_of(outside, target="/fails"), {})
    assert (got["error"], got["retry"], got["json"]) == ("the server answered with status 503", True, {"why": "busy"})


async def test_redirects_are_followed_unless_the_tool_says_no(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    assert (await called(sdk, models, tool_of(outside, target="/moved"), {}))["json"]["target"] == "/there"
    got = await called(sdk, models, tool_of(outside, target="/moved", follow_redirects=False), {})
    assert (got["status_code"], got["headers"]["location"]) == (302, "/there")


async def test_body_that_is_no_json_is_given_as_text_or_base64(sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer) -> None:
    got = await called(sdk, models, tool_of(outside, target="/text"), {})
    assert (got["json"], got["text"]) == (None, "plain words")
    assert base64.b64decode((await called(sdk, models, tool_of(outside, target="/bytes"), {}))["content"]) == b"\x89PNG\x00"
    assert "text" not in await called(sdk, models, tool_of(outside, target="/text", include_response_content=False), {})


async def test_secrets_are_filled_in_where_the_tool_refers_to_them_and_shown_nowhere(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, outside: WildServer, account: Account, rows: Any
) -> None:
    await sdk.secrets.create(name="THE_TOKEN", value=SECRET)
    tool = tool_of(
        outside,
        target="/x/{secrets.token}?t={{secrets.THE_TOKEN}}",
        headers={"X-Plain": "Bearer {secrets.token}", "Authorization": "$ secrets.token"},
        params={"q": "$ f'a {secrets.token}'"},
        secrets={"token": {"name": "THE_TOKEN"}},
    )
    session = await acting(sdk, tool)
    models.script("gpt-x", tool_calls([("call", {"params": {"mine": "{secrets.token}"}})]), text("done"))
    await ask(sdk, session)
    sent = outside.seen[-1]
    parts = urlsplit(sent.target)
    assert parts.path == "/x/s3cret-value-of-a-tenant%2F%26%2B"
    assert parse_qs(parts.query) == {"t": [SECRET], "q": [f"a {SECRET}"], "mine": ["{secrets.token}"]}
    assert (sent.headers["x-plain"], sent.headers["authorization"]) == (f"Bearer {SECRET}", SECRET)
    # The server told all of it back; neither the model nor the history got it.
    assert results(models)[0]["json"]["headers"]["authorization"] == "[secret]"
    seen = json.dumps(asked(models)) + (await raw.get(f"/sessions/{session}/history?{ALL_SOURCES}")).text
    kept = str(await rows.fetch("SELECT result FROM tool_calls WHERE tenant_id = $1", account.id))
    for where in (seen, kept):
        assert "s3cret-value" not in where


async def test_secret_that_does_not_exist_is_an_error_that_names_it(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer
) -> None:
    got = await called(sdk, models, tool_of(outside, headers={"X-A": "{secrets.NOT_THERE}"}), {})
    assert "`NOT_THERE`" in got["error"]
    assert outside.seen == []


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://169.254.169.254/", "http://[::1]/", "http://10.0.0.1/"])
async def test_address_that_is_not_public_is_an_error_that_the_model_gets(sdk: AsyncJulep, models: ModelServerHandle, url: str) -> None:
    tool = {"name": "call", "type": "api_call", "api_call": {"method": "GET", "url": url}}
    got = await called(sdk, models, tool, {})
    assert "error" in got
    assert got["retry"] is False


async def test_server_that_is_not_there_is_an_error_that_may_be_tried_again(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    async with wild_server(saying(b"")) as gone:
        tool = tool_of(gone)
    assert (await called(sdk, models, tool, {}))["retry"] is True
