"""The worker inside of a process: its tables, regular work, and its end. What happens to whole processes is in tests/process/test_worker.py."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mentha import observe
from mentha.core import config
from mentha.core.errors import Unavailable
from mentha.observe.events import Event, SweepFailed, WorkerStarted, WorkerStopped
from mentha.server import worker
from mentha.server.runtime import Runtime, open_runtime
from mentha.server.worker import SWEEPS, Sweep, Worker
from mentha.store import queue
from mentha.store.queue import Job
from tests.support.talk import until

PURGED = {"purge answers": "turns", "purge jobs": "jobs", "purge queue log": "queue.pgqueuer_log"}
OLD_ROWS = """
WITH tenant AS (SELECT id FROM tenants WHERE name = 'default'), old AS (SELECT now() - interval '1 y' AS day FROM generate_series(1, 3)),
session AS (
    INSERT INTO sessions (tenant_id, id, render_templates, auto_run_tools, forward_tool_calls) SELECT id, id, true, true, true FROM tenant
), turn AS (
    INSERT INTO turns (tenant_id, id, session_id, fingerprint, retried, answer, created_at)
    SELECT id, gen_random_uuid(), id, '', false, '', day FROM tenant, old
), job AS (
    INSERT INTO jobs (tenant_id, id, kind, state, created_at) SELECT id, gen_random_uuid(), 'x', 'failed', day FROM tenant, old
)
INSERT INTO queue.pgqueuer_log (job_id, status, priority, entrypoint, created) SELECT 1, 'picked', 0, 'x', day FROM old
"""


@pytest.fixture
async def runtime(database_dsn: str, tmp_path: Path) -> AsyncIterator[Runtime]:
    """A runtime on a database of this test."""
    settings = config.load(environ={"DATABASE_URL": database_dsn}, flags={"home": tmp_path})
    async with open_runtime(settings, serves=False) as opened:
        yield opened


@pytest.fixture
def told() -> Iterator[list[Event]]:
    """All events of this test."""
    events: list[Event] = []
    observe.subscribe(events.append)
    yield events
    observe.unsubscribe(events.append)


async def test_handler_gets_the_runtime_and_the_job(runtime: Runtime) -> None:
    got: asyncio.Queue[tuple[Runtime, Job]] = asyncio.Queue()

    async def handle(runtime: Runtime, job: Job) -> None:
        got.put_nowait((runtime, job))

    async with Worker(runtime, handlers={"x": handle}) as working:
        working.start()
        async with runtime.database.transaction() as tx:
            await queue.enqueue(tx, "x", payload=b"p")
        gave, job = await got.get()
    assert gave is runtime
    assert (job.kind, job.payload) == ("x", b"p")


async def test_regular_work_goes_on_after_a_round_that_failed(runtime: Runtime, told: list[Event], monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[Exception | None] = [Unavailable("away"), KeyError("ours"), None]
    done = asyncio.Event()

    async def work(_: Runtime) -> None:
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault
        done.set()

    monkeypatch.setattr(worker, "SWEEPS", {"tidy": Sweep(0.01, work)})
    async with Worker(runtime, handlers={}) as working:
        working.start()
        await done.wait()
    failed = [event for event in told if isinstance(event, SweepFailed)]
    assert [(event.name, event.reason) for event in failed] == [("tidy", "KeyError")]


@pytest.mark.parametrize("name", PURGED)
async def test_purge_drops_what_is_old_and_nothing_else(runtime: Runtime, name: str) -> None:
    async with runtime.database.transaction() as tx:
        await tx.execute(OLD_ROWS)
    await SWEEPS[name].work(runtime)
    async with runtime.database.connection() as tx:
        left = {table: await tx.fetchval(f"SELECT count(*) FROM {table}") for table in PURGED.values()}
    assert left == {table: 0 if table == PURGED[name] else 3 for table in PURGED.values()}


async def test_worker_that_is_told_to_stop_before_its_start_does_not_start(runtime: Runtime, told: list[Event]) -> None:
    async with Worker(runtime, handlers={}) as working:
        working.stop()
        working.start()
        await working.ended()
    assert not [event for event in told if isinstance(event, WorkerStarted)]


async def test_worker_ends_with_its_block(runtime: Runtime, told: list[Event]) -> None:
    async with Worker(runtime, handlers={}) as working:
        working.start()
        await until(lambda: any(isinstance(event, WorkerStarted) for event in told))
    assert [event.given_back for event in told if isinstance(event, WorkerStopped)] == [0]
