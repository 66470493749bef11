"""How a server ends: running turns end first, the ones that don't are cut off, and PostgreSQL goes with the last server."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.model_server import ModelServerHandle, gated, hang, slow, text
from tests.support.server import KEY, ServerProcess, running
from tests.support.talk import assert_whole_turns, history, new_session, postmasters, say, talking, until

STOP_LIMIT_S = 30


async def ended(server: ServerProcess) -> int:
    """The exit code."""
    assert server.process
    return await asyncio.to_thread(server.process.wait, STOP_LIMIT_S)


async def terminated(server: ServerProcess) -> None:
    """Send SIGTERM and wait until the server acts on it."""
    os.kill(server.pid, signal.SIGTERM)
    await until(lambda: bool(logged(server, "server stopping")))


def logged(server: ServerProcess, event: str) -> list[dict[str, Any]]:
    """The log's lines of one event."""
    return [line for line in map(json.loads, server.log) if line["event"] == event]


def events(streamed: str) -> list[dict[str, Any]]:
    """The chunks of a stream."""
    return [json.loads(line[6:]) for line in streamed.split("\n") if line.startswith("data: ")]


async def test_sigterm_with_turns_running_answers_and_stores_them_and_exits_0(
    home: Path, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    texts = ["0", "1", "2", "3", "whose client left"]
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            session = await new_session(client)
            turns: list[asyncio.Task[Any]] = []
            for number, said in enumerate(texts):
                # One after the other, so that each gets its own answer.
                models.script(None, gated(text(f"ok: {said}")))
                turns.append(asyncio.create_task(say(client, session, said, stream=number % 2 == 1)))
                await models.until_held(number + 1)
            left = turns.pop()
            left.cancel()
            await terminated(server)
            models.release()
            assert [(await turn).status_code for turn in turns] == [201] * 4
        assert await ended(server) == 0
        assert logged(server, "server stopped")[0]["cut_off"] == 0
        assert postmasters(home) == []
        server.start()
        async with talking(server.url) as client:
            said = await history(client, session)
    assert_whole_turns(said)
    assert {content for role, content in said if role == "user"} == set(texts)


async def test_sigterm_with_turns_that_never_end_cuts_them_off_with_a_clear_error(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    with running(home=home, dsn=database_dsn, environ=provider, shutdown_grace_s="0.5") as server:
        async with talking(server.url) as client:
            session = await new_session(client)
            models.script(None, slow(text("one two three", chunks=3)))
            halfway = asyncio.create_task(say(client, session, "hello", stream=True))
            # Its role and a first piece of text.
            models.release(2)
            await models.until_held()
            models.script(None, hang(), hang())
            turns = [asyncio.create_task(say(client, session, "hello", stream=stream)) for stream in (False, True)]
            await models.until_held(3)
            await terminated(server)
            for answer in await asyncio.gather(*turns):
                assert answer.status_code == 503
                assert "stopping" in answer.json()["error"]["message"]
                assert answer.headers["retry-after"]
            answer = await halfway
            assert answer.status_code == 201
            last = events(answer.text)[-1]
            assert "stopping" in last["error"]["message"]
            assert last["choices"][0]["delta"]["role"] == "assistant"
        assert await ended(server) == 0
        assert logged(server, "server stopped")[0]["cut_off"] == 3
        server.start()
        async with talking(server.url) as client:
            assert await history(client, session) == []


async def test_second_signal_cuts_running_turns_off_at_once(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    models.script(None, hang())
    with running(home=home, dsn=database_dsn, environ=provider, shutdown_grace_s="600") as server:
        async with talking(server.url) as client:
            session = await new_session(client)
            turn = asyncio.create_task(say(client, session, "hello"))
            await models.until_held()
            await terminated(server)
            os.kill(server.pid, signal.SIGTERM)
            # Far below the grace period.
            assert await ended(server) == 0
            assert (await turn).status_code == 503
        assert logged(server, "server stopped")[0]["cut_off"] == 1


@pytest.mark.parametrize("first", [0, 1])
async def test_two_servers_on_one_embedded_database_either_may_stop_first(home: Path, first: int) -> None:
    with running(home=home) as one, running(home=home) as other:
        servers = (one, other)
        assert len(postmasters(home)) == 1
        async with talking(servers[1 - first].url) as client:
            session = await new_session(client, model="mentha/echo")
            assert servers[first].stop() == 0
            assert len(postmasters(home)) == 1
            assert (await say(client, session, "are you there?")).status_code == 201
            assert len(await history(client, session)) == 2
        assert servers[1 - first].stop() == 0
        assert postmasters(home) == []


async def test_server_that_shares_a_database_revives_it_after_the_starter_was_killed_with_it(home: Path) -> None:
    with running(home=home) as starter, running(home=home) as other:
        (postmaster,) = postmasters(home)
        starter.kill()
        os.kill(postmaster.pid, signal.SIGKILL)
        async with talking(other.url) as client:

            async def well() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await until(lambda: bool(logged(other, "database lost")))
            await until(well)
            assert (await say(client, await new_session(client, model="mentha/echo"), "hello")).status_code == 201


async def test_sigterm_while_the_database_starts_leaves_no_postgresql(home: Path) -> None:
    environ = {"MENTHA_HOME": str(home), "MENTHA_API_KEY": KEY}
    server = ServerProcess(environ)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    await until(lambda: bool(postmasters(home)))
    os.kill(server.pid, signal.SIGTERM)
    with pytest.raises(RuntimeError, match="the server ended with 130"):
        await starting
    assert postmasters(home) == []
