"""Summaries in the background with workers that are killed, frozen and stopped, and with several at once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from mentha.chat import summarise
from mentha.store import queue
from tests.support.model_server import ModelServerHandle, gated, text
from tests.support.server import ServerProcess, running
from tests.support.talk import Client, say, talking, until

MODEL = "gpt-x1.3"
SUMMARISER = "facts-1"
WORDS = "The report of the second quarter is ready: revenue grew by four percent, costs by two, and the team hired nine people."
IDLE = "SELECT count(*) = 0 FROM sessions WHERE fold_job_id IS NOT NULL"
# What must hold of every session, whatever happened to those who worked on it: what is folded is the oldest part, each entry once, and one
# summary stands for all of it.
FAULTY = """
SELECT s.id FROM sessions s
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE e.seq > 0 AND r.head IS NOT NULL) AS folded, max(e.seq) FILTER (WHERE r.head IS NOT NULL) AS last,
        count(*) FILTER (WHERE e.seq < 0) AS summaries, count(*) FILTER (WHERE e.seq < 0 AND r.head IS NULL) AS live,
        min(e.seq) FILTER (WHERE e.seq < 0 AND r.head IS NULL) AS at
    FROM entries e LEFT JOIN entry_relations r ON r.tenant_id = e.tenant_id AND r.head = e.id
    WHERE e.tenant_id = s.tenant_id AND e.session_id = s.id) x
WHERE (s.folded_seq, s.folded_count) <> (x.folded, x.folded) OR (s.folded_seq > 0 AND (x.last, x.live, x.at) <> (s.folded_seq, 1, -s.folded_seq))
    OR (s.folded_seq = 0) <> (x.summaries = 0)
"""


@pytest.fixture
async def rows(database_dsn: str) -> AsyncIterator[Any]:
    """A connection to the database of this test."""
    connection = await asyncpg.connect(database_dsn)
    try:
        yield connection
    finally:
        await connection.close()


class Servers:
    """Starts servers on the database of this test, each of which does background work."""

    def __init__(self, stack: ExitStack, home: Path, dsn: str, provider: dict[str, str]) -> None:
        self._stack, self._home, self._dsn, self._provider = stack, home, dsn, provider

    async def start(self, name: str, *arguments: str, **settings: str) -> ServerProcess:
        """One more."""
        settings = {"summary_model": SUMMARISER, **settings}
        entered = running(*arguments, home=self._home / name, dsn=self._dsn, environ=self._provider, **settings)
        return await asyncio.to_thread(self._stack.enter_context, entered)


@pytest.fixture
def servers(home: Path, database_dsn: str, provider: dict[str, str]) -> Iterator[Servers]:
    """What starts servers."""
    with ExitStack() as stack:
        yield Servers(stack, home, database_dsn, provider)


async def adaptive(client: Client) -> str:
    """The id of a new session that is summarised."""
    agent = (await client.post("/agents", json={"name": "Mia", "model": MODEL})).raise_for_status().json()
    body = {"agent": agent["id"], "context_overflow": "adaptive", "token_budget": 1_500}
    return (await client.post("/sessions", json=body)).raise_for_status().json()["id"]


async def until_named(client: Client, session: str) -> UUID:
    """Talk until an answer names a job; gives it."""
    for number in range(40):
        answer = (await say(client, session, f"{number}: {WORDS}")).raise_for_status().json()
        if answer["jobs"]:
            return UUID(answer["jobs"][0])
    raise AssertionError("no turn had the session summarised")


async def end_leases(rows: Any) -> None:
    """What a lease of a dead worker is to others once its time is over, and the look at it that regular work takes."""
    await rows.execute("UPDATE sessions SET fold_due_at = now() WHERE fold_due_at IS NOT NULL")
    await queue.wake(rows, summarise.KIND)


async def states(rows: Any, job: UUID) -> tuple[str, bool]:
    """The job's state, and whether every session is whole."""
    return await rows.fetchval("SELECT state FROM jobs WHERE id = $1", job), await rows.fetch(FAULTY) == []


async def test_summary_of_a_server_that_is_killed_is_made_by_another_one(servers: Servers, models: ModelServerHandle, rows: Any) -> None:
    dying = await servers.start("a")
    async with talking(dying.url) as client:
        session = await adaptive(client)
        models.script(SUMMARISER, gated(text("never stored")), *[text("stored")] * 5)
        job = await until_named(client, session)
        await models.until_held()
    dying.kill()
    assert await states(rows, job) == ("in_progress", True)
    other = await servers.start("b")
    await end_leases(rows)
    await until(lambda: rows.fetchval(IDLE))
    assert await states(rows, job) == ("succeeded", True)
    async with talking(other.url) as client:
        assert (await client.get(f"/sessions/{session}")).json()["summary"] == "stored"
        answer = (await say(client, session, "go on")).json()
        assert (answer["context"]["left_out"], answer["warnings"]) == (0, [])
        assert answer["context"]["summarised"] > 0


async def test_worker_that_was_frozen_stores_no_second_summary(servers: Servers, models: ModelServerHandle, rows: Any) -> None:
    frozen, other = await servers.start("a"), await servers.start("b", "--no-worker")
    async with talking(frozen.url) as client:
        session = await adaptive(client)
        models.script(SUMMARISER, gated(text("too late")), *[text("in time")] * 5)
        job = await until_named(client, session)
        await models.until_held()
    os.kill(frozen.pid, signal.SIGSTOP)
    taking_over = await servers.start("c")
    await end_leases(rows)
    await until(lambda: rows.fetchval(IDLE))
    before = await rows.fetchrow("SELECT folded_seq, summary FROM sessions")
    models.release()
    os.kill(frozen.pid, signal.SIGCONT)
    # It has tried to store its summary when it has stopped.
    assert await asyncio.to_thread(frozen.stop) == 0
    assert await rows.fetchrow("SELECT folded_seq, summary FROM sessions") == before
    assert before["summary"] == "in time"
    assert await states(rows, job) == ("succeeded", True)
    assert not any('"session summarised"' in line for line in frozen.log)
    assert any('"session summarised"' in line for line in taking_over.log)
    async with talking(other.url) as client:
        assert (await say(client, session, "go on")).status_code == 201


async def test_server_that_stops_gives_its_summary_to_another_one_at_once(servers: Servers, models: ModelServerHandle, rows: Any) -> None:
    stopping = await servers.start("a", shutdown_grace_s="0")
    async with talking(stopping.url) as client:
        session = await adaptive(client)
        models.script(SUMMARISER, gated(text("given up")), *[text("stored")] * 5)
        job = await until_named(client, session)
        await models.until_held()
    assert await asyncio.to_thread(stopping.stop) == 0
    assert await rows.fetchval("SELECT fold_claim IS NULL AND fold_due_at <= now() FROM sessions")
    await servers.start("b")
    await until(lambda: rows.fetchval(IDLE))
    assert await states(rows, job) == ("succeeded", True)


async def test_sessions_are_each_summarised_by_one_of_several_servers_while_they_go_on(
    servers: Servers, models: ModelServerHandle, rows: Any
) -> None:
    processes = [await servers.start("a"), await servers.start("b")]
    async with talking(processes[0].url) as one, talking(processes[1].url) as two:
        sessions = [await adaptive(one) for _ in range(6)]

        async def go_on(session: str) -> set[str]:
            jobs: set[str] = set()
            for number in range(40):
                client = (one, two)[number % 2]
                fact = f" Fact {number}: code {number * 7919}." if number % 8 == 3 else ""
                answer = (await say(client, session, f"{number}: {WORDS}{fact}")).raise_for_status().json()
                assert answer["context"]["estimated_tokens"] <= 1_500
                jobs |= set(answer["jobs"])
            return jobs

        jobs = set().union(*await asyncio.gather(*map(go_on, sessions)))
        await until(lambda: rows.fetchval(IDLE))
        assert await rows.fetch(FAULTY) == []
        assert await rows.fetchval("SELECT count(*) FROM sessions WHERE folded_seq > 0") == len(sessions)
        assert {row["state"] for row in await rows.fetch("SELECT state FROM jobs WHERE id = ANY ($1)", [UUID(j) for j in jobs])} == {
            "succeeded"
        }
        for session in sessions:
            await say(one, session, "what do you know?")
            # The last turn's: a summary that it set off may have been asked for since.
            turns = [
                request.json["messages"] for request in models.requests if request.json["messages"][-1]["content"] == "what do you know?"
            ]
            sent = "\n".join(message["content"] for message in turns[-1])
            known = sent + " ".join(
                row["summary"] or "" for row in await rows.fetch("SELECT summary FROM sessions WHERE id = $1", UUID(session))
            )
            assert [number for number in range(3, 40, 8) if f"code {number * 7919}." not in known] == []
