"""What survives a crash: of the server, of PostgreSQL, and of PostgreSQL on another machine. Everything here runs with fsync."""

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from mentha.store import embedded
from tests.support.server import running
from tests.support.talk import Client, Talkers, assert_whole_turns, history, new_session, postmasters, say, talking, until

SESSIONS = 4
TALKERS_EACH = 4


async def talkers_of(client: Client) -> Talkers:
    return Talkers([await new_session(client) for _ in range(SESSIONS)])


async def questions(client: Client, session: str) -> set[str]:
    """What was asked in a session whose history is whole."""
    said = await history(client, session)
    assert_whole_turns(said)
    return {text for role, text in said if role == "user"}


def assert_retriable(refused: list[tuple[int, Mapping[str, str]]]) -> None:
    """Every refusal is one that a client waits out."""
    assert {status for status, _ in refused} <= {503}
    assert all("retry-after" in headers and headers["x-should-retry"] == "true" for _, headers in refused)


async def test_server_killed_during_turns_keeps_acknowledged_turns_and_stores_repeated_ones_once(
    home: Path, provider: dict[str, str]
) -> None:
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            talkers = await talkers_of(client)
            talkers.start(client, each=TALKERS_EACH, retry=False)
            await talkers.until(60)
            server.kill()
            await talkers.stop()
        server.start()
        async with talking(server.url) as client:
            for session in talkers.sessions:
                assert talkers.acknowledged[session] <= await questions(client, session)
            unanswered = [(session, text) for session, text in talkers.sent if text not in talkers.acknowledged[session]]
            assert unanswered
            await asyncio.gather(*(talkers.deliver(client, session, text, retry=True) for session, text in unanswered))
            assert {(session, text) for session in talkers.sessions for text in await questions(client, session)} == set(talkers.sent)


async def test_postmaster_killed_during_turns_is_revived_and_every_turn_is_stored_once(home: Path, provider: dict[str, str]) -> None:
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            talkers = await talkers_of(client)
            talkers.start(client, each=TALKERS_EACH, retry=True)
            await talkers.until(40)
            (postmaster,) = postmasters(home)
            os.kill(postmaster.pid, signal.SIGKILL)
            await until(lambda: bool(talkers.refused))
            await talkers.until(talkers.count + 40)
            await talkers.stop()
            assert_retriable(talkers.refused)
            assert talkers.broken == 0
            assert [process.pid for process in postmasters(home)] != [postmaster.pid]
            assert {(session, text) for session in talkers.sessions for text in await questions(client, session)} == set(talkers.sent)


async def test_answer_that_was_read_is_stored_when_server_and_postmaster_are_killed_at_once(home: Path, provider: dict[str, str]) -> None:
    with running(home=home, environ=provider) as server:
        async with talking(server.url) as client:
            session = await new_session(client)
            answer = await say(client, session, "remember this")
            (postmaster,) = postmasters(home)
            os.kill(server.pid, signal.SIGKILL)
            os.kill(postmaster.pid, signal.SIGKILL)
            assert answer.status_code == 201
        server.kill()
        server.start()
        async with talking(server.url) as client:
            assert await questions(client, session) == {"remember this"}


async def test_external_database_restarted_under_load_is_503_and_then_well_again(home: Path, provider: dict[str, str]) -> None:
    external = await asyncio.to_thread(embedded.acquire, home.with_name("external"))
    try:
        with running(home=home, dsn=external.dsn, environ=provider) as server:
            async with talking(server.url) as client:
                talkers = await talkers_of(client)
                talkers.start(client, each=TALKERS_EACH, retry=True)
                await talkers.until(40)
                os.kill(external.pid, signal.SIGINT)
                await until(lambda: not external.alive())
                refusals = len(talkers.refused)
                await until(lambda: len(talkers.refused) >= refusals + 20)
                assert (await client.get("/healthz")).status_code == 503
                assert (await client.get("/readyz")).status_code == 503
                await asyncio.to_thread(external.revive)
                await talkers.until(talkers.count + 40)
                await talkers.stop()
                assert_retriable(talkers.refused)
                assert (await client.get("/healthz")).status_code == 200
                assert {(session, text) for session in talkers.sessions for text in await questions(client, session)} == set(talkers.sent)
    finally:
        await asyncio.to_thread(external.release)
