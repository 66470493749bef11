"""Processes that do background work: killed, frozen and stopped while they hold a job, and with a database that is restarted."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mentha.store import embedded, queue
from tests.support.server import ServerProcess, clean_environ, running
from tests.support.talk import talking, until
from tests.support.worker import KIND, TABLES, WorkerProcess, Workers, marked, open_gate, workers

LEASE_S = 2.0
STOP_LIMIT_S = 30
EMPTY = "SELECT count(*) = 0 FROM queue.pgqueuer"


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Any]:
    """A connection to the database of this test, with a job queued."""
    connection = await asyncpg.connect(database_dsn)
    try:
        await connection.execute(TABLES)
        await queue.enqueue(connection, KIND)
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def started(home: Path, database_dsn: str) -> Iterator[Workers]:
    """What starts workers on that database."""
    with workers(home, dsn=database_dsn, lease_s=LEASE_S) as some:
        yield some


async def ended(worker: ServerProcess) -> int:
    """The exit code."""
    assert worker.process
    return await asyncio.to_thread(worker.process.wait, STOP_LIMIT_S)


def given_back(worker: WorkerProcess) -> int:
    (line,) = [line for line in map(json.loads, worker.log) if line["event"] == "worker stopped"]
    return line["given_back"]


async def test_job_of_a_worker_that_is_killed_is_run_by_another_one(database: Any, started: Workers) -> None:
    first = await asyncio.to_thread(started.start)
    await marked(database, first, "begun")
    second = await asyncio.to_thread(started.start)
    first.kill()
    await marked(database, second, "begun")
    await open_gate(database, second)
    await until(lambda: database.fetchval(EMPTY))
    assert [tuple(row) for row in await database.fetch("SELECT pid, what FROM marks")] == [
        (first.pid, "begun"),
        (second.pid, "begun"),
        (second.pid, "ended"),
    ]


async def test_worker_that_was_frozen_does_not_end_a_job_that_another_one_has_taken_over(database: Any, started: Workers) -> None:
    frozen = await asyncio.to_thread(started.start)
    await marked(database, frozen, "begun")
    os.kill(frozen.pid, signal.SIGSTOP)
    other = await asyncio.to_thread(started.start)
    await marked(database, other, "begun")
    await open_gate(database, frozen)
    os.kill(frozen.pid, signal.SIGCONT)
    await marked(database, frozen, "ended")
    # What it has to say is said when it has stopped.
    os.kill(frozen.pid, signal.SIGTERM)
    assert await ended(frozen) == 0
    other.kill()
    third = await asyncio.to_thread(started.start)
    await marked(database, third, "begun")
    await open_gate(database, third)
    await until(lambda: database.fetchval(EMPTY))


async def test_worker_that_is_stopped_lets_its_job_end(database: Any, started: Workers) -> None:
    worker = await asyncio.to_thread(started.start)
    await marked(database, worker, "begun")
    os.kill(worker.pid, signal.SIGTERM)
    await open_gate(database, worker)
    assert await ended(worker) == 0
    assert given_back(worker) == 0
    assert await database.fetchval(EMPTY)


@pytest.mark.parametrize("signals", [1, 2], ids=["no grace", "second signal"])
async def test_job_that_does_not_end_in_time_goes_to_another_worker_at_once(
    database: Any, home: Path, database_dsn: str, signals: int
) -> None:
    grace_s = "0" if signals == 1 else "600"
    # The lease is longer than the test may take: it is not what brings the job back.
    with workers(home, dsn=database_dsn, lease_s=600) as started:
        worker = await asyncio.to_thread(started.start, shutdown_grace_s=grace_s)
        await marked(database, worker, "begun")
        for _ in range(signals):
            os.kill(worker.pid, signal.SIGTERM)
            await asyncio.to_thread(worker.wait_for_log, '"worker stopped"', limit_s=0.5)
        assert await ended(worker) == 0
        assert given_back(worker) == 1
        other = await asyncio.to_thread(started.start)
        await marked(database, other, "begun")


async def test_worker_goes_on_when_its_database_was_restarted(home: Path) -> None:
    external = await asyncio.to_thread(embedded.acquire, home.with_name("external"))
    try:
        with workers(home, dsn=external.dsn, lease_s=LEASE_S) as started:
            worker = await asyncio.to_thread(started.start)
            for count in (1, 2):
                database = await asyncpg.connect(external.dsn)
                if count == 1:
                    await database.execute(TABLES)
                await queue.enqueue(database, KIND)
                await marked(database, worker, "begun", count=count)
                await open_gate(database, worker)
                await until(lambda database=database: database.fetchval(EMPTY))
                await database.close()
                os.kill(external.pid, signal.SIGINT)
                assert await asyncio.to_thread(worker.wait_for_log, '"worker lost"')
                await asyncio.to_thread(external.revive)
                assert await asyncio.to_thread(worker.wait_for_log, '"worker resumed"')
    finally:
        await asyncio.to_thread(external.release)


async def test_mentha_worker_shares_the_embedded_database_with_a_server_and_stops_on_a_signal(home: Path) -> None:
    with running("--no-worker", home=home) as server:
        command = ["-m", "mentha", "worker", "--home", str(home)]
        worker = await _program(*command)
        assert worker.stdout
        assert (await worker.stdout.readline()).decode().strip() == "Mentha does background work"
        async with talking(server.url) as client:
            assert (await client.get("/healthz")).status_code == 200
        worker.send_signal(signal.SIGTERM)
        _, log = await worker.communicate()
        assert worker.returncode == 0
        told = [json.loads(line)["event"] for line in log.decode().splitlines()]
        assert [event for event in told if event.startswith("worker")] == ["worker started", "worker stopped"]
        assert "key made" not in told
    assert not any('"worker started"' in line for line in server.log)


async def test_server_does_background_work_beside_requests(home: Path) -> None:
    with running(home=home) as server:
        assert await asyncio.to_thread(server.wait_for_log, '"worker started"')
    assert [json.loads(line)["event"] for line in server.log][-2:] == ["server stopped", "database stopped"]
    assert any('"worker stopped"' in line for line in server.log)


async def _program(*command: str) -> asyncio.subprocess.Process:
    """A Python program with pipes."""
    environ = {**clean_environ(), "PYTHONUNBUFFERED": "1", "MENTHA_LOG_FORMAT": "json"}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, *command, env=environ, stdout=pipe, stderr=pipe)
