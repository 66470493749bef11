"""What the database does to requests: a commit that fails, connections that are few, locked or ended, clients that leave or read slowly."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.databases import Cluster
from tests.support.model_server import ModelServerHandle, gated, text
from tests.support.server import KEY, ServerProcess, running
from tests.support.talk import Client, history, new_session, say, talking, until

HANGUPS = 50
HELD_TURNS = 20

# What happens at the very end of a transaction, after every statement of it went well.
ENDINGS = {"refused": "RAISE EXCEPTION 'refused at commit'", "terminated": "PERFORM pg_terminate_backend(pg_backend_pid())"}
BROKEN_COMMIT = """
CREATE OR REPLACE FUNCTION break_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {ending}; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER commits_break AFTER INSERT OR UPDATE OR DELETE ON {table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION break_commit();
"""
BODIES = {"agents": {"name": "Mia"}, "users": {"name": "Ann"}, "projects": {"name": "Work"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="module")
def dsn(cluster: Cluster) -> Iterator[str]:
    with cluster.cloned() as address:
        yield address


@pytest.fixture(scope="module")
def server(dsn: str, folder: Path) -> Iterator[ServerProcess]:
    """A server with a connection or two, that gives up on a statement after a second."""
    with running(home=folder / "shared", dsn=dsn, database_connections_max="2", database_statement_s="1", database_wait_s="0.5") as process:
        yield process


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    async with talking(server.url) as talked:
        yield talked


@pytest.fixture
async def direct(dsn: str) -> AsyncIterator[Any]:
    """A connection of the test's own."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def broken_commits(direct: Any, table: str, ending: str) -> AsyncIterator[None]:
    await direct.execute(BROKEN_COMMIT.format(table=table, ending=ENDINGS[ending]))
    try:
        yield
    finally:
        await direct.execute(f"DROP TRIGGER commits_break ON {table}")


def assert_failed(answer: Any, ending: str) -> None:
    error = answer.json()["error"]
    if ending == "terminated":
        assert (answer.status_code, answer.headers["x-should-retry"]) == (503, "true")
        assert answer.headers["retry-after"]
    else:
        assert (answer.status_code, answer.headers["x-should-retry"]) == (500, "false")
        assert error["id"]
        assert "refused at commit" not in answer.text


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("table", BODIES)
async def test_write_whose_commit_fails_is_an_error_and_changes_nothing(client: Client, direct: Any, table: str, ending: str) -> None:
    kept = (await client.post(f"/{table}", json=BODIES[table])).raise_for_status().json()
    before = (await client.get(f"/{table}")).json()
    async with broken_commits(direct, table, ending):
        new = {"name": "Changed"}
        assert_failed(await client.post(f"/{table}", json=BODIES[table]), ending)
        assert_failed(await client.post(f"/{table}/{kept['id']}", json=new), ending)
        assert_failed(await client.put(f"/{table}/{kept['id']}", json=new), ending)
        assert_failed(await client.patch(f"/{table}/{kept['id']}", json=new), ending)
        assert_failed(await client.delete(f"/{table}/{kept['id']}"), ending)
    assert (await client.get(f"/{table}")).json() == before


@pytest.mark.parametrize("ending", ENDINGS)
async def test_session_whose_commit_fails_is_an_error_and_is_not_there(client: Client, direct: Any, ending: str) -> None:
    session = await new_session(client, model="mentha/echo")
    agent = (await client.get(f"/sessions/{session}")).json()["agents"][0]
    before = (await client.get("/sessions")).json()
    async with broken_commits(direct, "sessions", ending):
        assert_failed(await client.post("/sessions", json={"agent": agent}), ending)
        assert_failed(await client.put(f"/sessions/{session}", json={"situation": "x"}), ending)
        assert_failed(await client.patch(f"/sessions/{session}", json={"situation": "x"}), ending)
        assert_failed(await client.delete(f"/sessions/{session}"), ending)
    assert (await client.get("/sessions")).json() == before


@pytest.mark.parametrize("ending", ENDINGS)
async def test_turn_whose_commit_fails_is_an_error_and_is_not_stored(client: Client, direct: Any, ending: str) -> None:
    session = await new_session(client, model="mentha/echo")
    async with broken_commits(direct, "entries", ending):
        assert_failed(await say(client, session, "hello"), ending)
        streamed = await say(client, session, "hello", stream=True)
    # The stream had begun: its end tells, and no chunk says that the turn is done.
    chunks = [json.loads(line[6:]) for line in streamed.text.split("\n") if line.startswith("data: ")]
    assert "error" in chunks[-1]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    assert await history(client, session) == []


async def test_statement_that_waits_for_a_lock_is_503_and_the_next_one_works(client: Client, direct: Any) -> None:
    async with direct.transaction():
        await direct.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        answer = await client.get("/users")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    assert (await client.get("/users")).status_code == 200


async def test_request_that_finds_every_connection_busy_is_503(client: Client, direct: Any) -> None:
    async with direct.transaction():
        await direct.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        # The first two hold the connections until their statements time out; the others wait for one in vain.
        answers = await asyncio.gather(*(client.get("/users") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {503}
    assert any("busy" in answer.json()["error"]["message"] for answer in answers)
    assert (await client.get("/agents")).status_code == 200


async def test_clients_that_hang_up_give_their_connections_back(client: Client, direct: Any, server: ServerProcess) -> None:
    session = await new_session(client, model="mentha/echo")
    head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
    message = b'{"messages": [{"role": "user", "content": "hi"}], "stream": true}'
    requests = [
        f"GET /users {head}\r\n".encode(),
        f"POST /users {head}Content-Length: 2\r\n\r\n{{}}".encode(),
        # Half a body: the client leaves before the request is whole.
        f"POST /users {head}Content-Length: 200\r\n\r\n{{".encode(),
        f"POST /sessions/{session}/chat {head}Content-Length: {len(message)}\r\n\r\n".encode() + message,
    ]
    async with direct.transaction():
        await direct.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        await _send_and_leave(server, requests[0])
        await until(lambda: _locked_out(direct))
        for number in range(HANGUPS):
            await _send_and_leave(server, requests[number % len(requests)])

    async def works() -> bool:
        answers = await asyncio.gather(*(client.get(path) for path in ("/users", "/agents", "/sessions", "/projects")))
        return {answer.status_code for answer in answers} == {200}

    await until(works)
    # Other tests of the run use the same PostgreSQL with databases of their own.
    held = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = current_database()"

    async def none_held() -> bool:
        return await direct.fetchval(held) == 0

    # The last of them may still be at work on what nobody waits for any more.
    await until(none_held)


async def test_backend_that_is_terminated_between_requests_is_replaced(client: Client, direct: Any) -> None:
    await client.get("/agents")
    # Only those of this test's database: other tests of the run have theirs in the same PostgreSQL.
    ours = "application_name LIKE 'mentha %' AND datname = current_database()"
    await direct.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")

    async def works() -> bool:
        return (await client.get("/agents")).status_code == 200

    await until(works)


async def test_no_connection_is_held_while_models_are_asked(
    dsn: str, folder: Path, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    models.script(None, *(gated(text("ok: hi")) for _ in range(HELD_TURNS)))
    with running(home=folder / "one", dsn=dsn, environ=provider, database_connections_max="1") as server:
        async with talking(server.url) as client:
            session = await new_session(client)
            turns = [asyncio.create_task(say(client, session, "hi", stream=number % 2 == 0)) for number in range(HELD_TURNS)]
            await models.until_held(HELD_TURNS)
            assert (await client.get(f"/sessions/{session}")).status_code == 200
            models.release()
            assert {answer.status_code for answer in await asyncio.gather(*turns)} == {201}
            assert len(await history(client, session)) == 2 * HELD_TURNS


async def test_slow_reader_of_a_long_history_holds_no_connection(dsn: str, folder: Path, direct: Any) -> None:
    with running(home=folder / "one", dsn=dsn, database_connections_max="1") as server:
        async with talking(server.url) as client:
            session = await new_session(client, model="mentha/echo")
            await _fill(direct, session, entries=4_000, chars=10_000)
            host, port = _place(server)
            reader, writer = await asyncio.open_connection(host, port, limit=1_000)
            writer.write(f"GET /sessions/{session}/history HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode())
            # The answer has begun and is not read on: far more is left than sockets hold.
            await reader.readexactly(20)
            assert (await client.get("/agents")).status_code == 200
            writer.close()


LOCKED_OUT = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name LIKE 'mentha %' AND datname = current_database()
"""


async def _locked_out(direct: Any) -> bool:
    """Whether a statement of the server waits for a lock."""
    # Inside a transaction, PostgreSQL shows the activity as it was at the first look.
    await direct.execute("SELECT pg_stat_clear_snapshot()")
    return await direct.fetchval(LOCKED_OUT) > 0


def _place(server: ServerProcess) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port


async def _send_and_leave(server: ServerProcess, request: bytes) -> None:
    _, writer = await asyncio.open_connection(*_place(server))
    writer.write(request)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


FILL = """
INSERT INTO entries (tenant_id, id, session_id, seq, turn_id, source, role, message, has_calls, model, tokenizer, token_count)
SELECT tenant_id, gen_random_uuid(), id, n, id, 'api_request', 'user',
    json_build_object('role', 'user', 'content', repeat('x', $3)), false, 'm', 't', 1
FROM sessions, generate_series(1, $2) n WHERE id = $1::uuid
"""


async def _fill(direct: Any, session: str, *, entries: int, chars: int) -> None:
    await direct.execute(FILL, session, entries, chars)
    await direct.execute("UPDATE sessions SET last_seq = $2 WHERE id = $1::uuid", session, entries)
