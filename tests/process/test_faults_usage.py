"""A server that is killed: every call of a provider that was answered is in the usage, and responses tell what came of them."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from tests.support.model_server import ModelServerHandle, gated, text
from tests.support.server import running
from tests.support.talk import Client, new_session, say, talking, until

HI = [{"role": "user", "content": "hi"}]


async def ask(client: Client, kind: str, session: str) -> bool:
    """One call of the model by one of the ways; whether it was answered whole."""
    if kind == "chat":
        return (await say(client, session, "hi")).status_code == 201
    if kind == "gateway":
        return (await client.post("/v1/chat/completions", json={"model": "gpt-x", "messages": HI})).status_code == 200
    if kind == "stream":
        body = {"model": "gpt-x", "messages": HI, "stream": True}
        return (await client.post("/v1/chat/completions", json=body)).text.endswith("data: [DONE]\n\n")
    return (await client.post("/v1/responses", json={"model": "gpt-x", "input": "hi"})).status_code == 200


async def test_server_killed_during_calls_has_recorded_every_one_that_was_answered(
    home: Path, provider: dict[str, str], database_dsn: str, rows: Any
) -> None:
    answered = {"chat": 0, "gateway": 0, "stream": 0, "response": 0}

    async def talk(client: Client, kind: str, session: str) -> None:
        try:
            while await ask(client, kind, session):
                answered[kind] += 1
        except httpx2.TransportError:
            return

    with running(home=home, dsn=database_dsn, environ=provider) as server:
        async with talking(server.url) as client:
            sessions = [await new_session(client) for _ in range(2)]
            talkers = [asyncio.create_task(talk(client, kind, session)) for kind in answered for session in sessions]
            await until(lambda: min(answered.values()) >= 5)
            server.kill()
            await asyncio.wait(talkers)
    counted = {row["kind"]: row["count"] for row in await rows.fetch("SELECT kind, count(*) FROM usage WHERE ok GROUP BY kind")}
    assert counted["chat"] >= answered["chat"]
    assert counted["gateway"] >= answered["gateway"] + answered["stream"]
    assert counted["response"] >= answered["response"]
    kept = await rows.fetchval("SELECT count(*) FROM responses WHERE status = 'completed'")
    assert kept == counted["response"]


async def test_background_response_of_a_server_that_was_killed_is_failed_and_can_be_made_again(
    home: Path, provider: dict[str, str], models: ModelServerHandle, database_dsn: str, rows: Any
) -> None:
    with running(home=home, dsn=database_dsn, environ=provider) as server:
        async with talking(server.url) as client:
            first = (await client.post("/responses", json={"model": "gpt-x", "input": "one"})).json()["id"]
            models.script("gpt-x", gated(text("never")))
            body = {"model": "gpt-x", "input": "two", "background": True, "previous_response_id": first}
            lost = (await client.post("/responses", json=body)).json()["id"]
            await models.until_held(1)
        server.kill()
        server.start()
        async with talking(server.url) as client:
            assert (await client.get(f"/responses/{lost}")).json()["status"] == "in_progress"
            # Nobody can still be working on it, by its age.
            await rows.execute("UPDATE responses SET created_at = now() - interval '1 hour' WHERE status = 'in_progress'")
            assert (await client.get(f"/responses/{lost}")).json()["status"] == "failed"
            again = await client.post("/responses", json={**body, "background": False})
            assert again.json()["output"][0]["content"][0]["text"] == "ok: two"
