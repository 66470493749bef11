"""A turn with tools that a crash cuts short is taken up again by its retry, and runs no call twice that had ended."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.support.model_server import ModelServerHandle, hang, text, tool_calls
from tests.support.server import running
from tests.support.talk import Client, say, talking, until
from tests.support.wild_server import Seen, answer, wild_server

SOURCES = "?sources=api_request&sources=api_response&sources=tool_request&sources=tool_response"

TARGETS = ("/a", "/b", "/slow")


async def acting(client: Client, url: str) -> str:
    tool = {"name": "get", "type": "api_call", "api_call": {"method": "GET", "url": f"{url}{{id}}"}}
    agent = (await client.post("/agents", json={"name": "Mia", "model": "gpt-x", "tools": [tool]})).raise_for_status().json()
    return (await client.post("/sessions", json={"agent": agent["id"], "auto_run_tools": True})).raise_for_status().json()["id"]


async def sent_until_killed(client: Client, session: str, key: str | None) -> None:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"messages": [{"role": "user", "content": "go"}]}
    with pytest.raises(httpx2.TransportError):
        await client.post(f"/sessions/{session}/chat", json=body, headers=headers)


async def ended(dsn: str, count: int) -> bool:
    """Whether so many calls are known to have ended."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval("SELECT count(*) FROM tool_calls WHERE state = 'done'") == count
    finally:
        await connection.close()


@pytest.mark.parametrize("key", [None, "a-key"])
async def test_retry_after_a_crash_runs_no_ended_call_twice(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str], key: str | None
) -> None:
    held = asyncio.Event()

    async def serve(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/slow":
            await held.wait()
        writer.write(answer(body=f'{{"of":"{seen.target}"}}'.encode()))
        await writer.drain()

    async with wild_server(serve) as outside:
        with running(home=home, dsn=database_dsn, environ=provider, outbound_allow="127.0.0.1") as server:
            first = tool_calls([("get", {"id": "a"})])
            second = tool_calls([("get", {"id": "b"}), ("get", {"id": "slow"})])
            models.script("gpt-x", first, second)
            async with talking(server.url) as client:
                session = await acting(client, outside.url())
                turn = asyncio.create_task(sent_until_killed(client, session, key))
                await until(lambda: len(outside.seen) == 3)
                await until(lambda: ended(database_dsn, 2))
                server.kill()
                await turn
            held.set()
            server.start()
            models.script("gpt-x", text("all three"))
            async with talking(server.url) as client:
                reply = await _again(client, session, key)
                assert reply.json()["choices"][0]["message"]["content"] == "all three"
                assert sorted(seen.target for seen in outside.seen) == ["/a", "/b", "/slow", "/slow"]
                # The one that is made again is told by its key; no other has the same.
                keys = {target: {seen.headers["idempotency-key"] for seen in outside.seen if seen.target == target} for target in TARGETS}
                assert [len(keys[target]) for target in TARGETS] == [1, 1, 1]
                assert len(set.union(*keys.values())) == len(TARGETS)
                # The model was not asked again for what it had said: 2 rounds before the crash, the last one after it.
                asked = [request.json for request in models.requests if request.path.endswith("/chat/completions")]
                assert len(asked) == 3
                assert [message["role"] for message in asked[-1]["messages"][-6:]] == [
                    "user",
                    "assistant",
                    "tool",
                    "assistant",
                    "tool",
                    "tool",
                ]
                assert reply.json()["usage"]["total_tokens"] == 30
                entries = (await client.get(f"/sessions/{session}/history{SOURCES}")).json()["entries"]
                assert [entry["role"] for entry in entries] == ["user", "assistant", "tool", "assistant", "tool", "tool", "assistant"]
                assert (await _again(client, session, key)).json()["id"] == reply.json()["id"]
                assert len(outside.seen) == 4


BEGIN = {"name": "begin", "type": "system", "system": {"resource": "execution", "operation": "create"}}
CHILDREN = "SELECT id FROM executions ORDER BY id"


async def beginning(client: Client) -> tuple[str, str]:
    """A session whose agent can start a task, and the task."""
    agent = (await client.post("/agents", json={"name": "Mia", "model": "gpt-x", "tools": [BEGIN]})).raise_for_status().json()["id"]
    main = [{"evaluate": {"n": "$ 1"}}]
    task = (await client.post(f"/agents/{agent}/tasks", json={"name": "t", "main": main})).raise_for_status().json()["id"]
    session = (await client.post("/sessions", json={"agent": agent, "auto_run_tools": True})).raise_for_status().json()["id"]
    return session, task


async def test_call_that_a_crash_left_without_an_answer_starts_no_second_execution(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str], rows: Any
) -> None:
    with running(home=home, dsn=database_dsn, environ=provider) as server:
        async with talking(server.url) as client:
            session, task = await beginning(client)
            call = ("begin", {"task_id": task})
            models.script("gpt-x", tool_calls([call, call]), hang())
            turn = asyncio.create_task(sent_until_killed(client, session, None))
            await until(lambda: ended(database_dsn, 2))
            server.kill()
            await turn
        started = await rows.fetch(CHILDREN)
        # As if it had been killed right after both were started.
        await rows.execute("UPDATE tool_calls SET state = 'running', result = NULL")
        server.start()
        # The server may have been killed before it asked again, and left the answer that never comes.
        models.reset()
        models.script("gpt-x", text("both"))
        async with talking(server.url) as client:
            await _again(client, session, None)
    assert len(started) == 2
    assert await rows.fetch(CHILDREN) == started


async def test_key_of_a_client_is_never_that_of_a_call(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str], rows: Any
) -> None:
    with running(home=home, dsn=database_dsn, environ=provider) as server:
        async with talking(server.url) as client:
            session, task = await beginning(client)
            models.script("gpt-x", tool_calls([("begin", {"task_id": task})]), text("done"))
            (await say(client, session, "go")).raise_for_status()
            key = await rows.fetchval("SELECT idempotency_key FROM executions")
            made = await client.post(f"/tasks/{task}/executions", json={"input": {}}, headers={b"Idempotency-Key": key.encode()})
    assert made.status_code == 201
    assert await rows.fetchval("SELECT count(*) FROM executions") == 2


async def _again(client: Client, session: str, key: str | None) -> Any:
    if key is None:
        return (await say(client, session, "go", retry=1)).raise_for_status()
    body = {"messages": [{"role": "user", "content": "go"}]}
    return (await client.post(f"/sessions/{session}/chat", json=body, headers={"Idempotency-Key": key})).raise_for_status()
