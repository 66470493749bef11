"""Wake-ups: there with their transaction, delivered until they are handled, and not lost by whatever happens to a worker or the database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from mentha import observe
from mentha.core import config
from mentha.observe.events import Event, JobFailed, JobFinished, JobPostponed, WorkerLost, WorkerStarted, WorkerStopped
from mentha.store import delivery, queue
from mentha.store.queue import Consumer, Job
from tests.support.talk import until


@pytest.fixture
def worker_dsn(database_dsn: str) -> str:
    """A database of each test's own: these look at rows of all tenants, and servers of other tests write into the one that is shared."""
    return database_dsn


QUEUED = "SELECT count(*) FROM queue.pgqueuer WHERE status = 'queued'"
LEFT = "SELECT count(*) FROM queue.pgqueuer"
# As a worker does.
TAKE = "SELECT id FROM queue.pgqueuer WHERE status = 'queued' FOR UPDATE SKIP LOCKED"
BACKEND = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'mentha %'"


class Handled:
    """A handler that remembers its jobs, and may fail or wait.

    Attributes:
        faults: what the next calls raise, in order; None is no fault.
        gate: while it is clear, calls wait after they were remembered.
    """

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.faults: list[Exception | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.at_once_max = 0

    async def __call__(self, job: Job) -> None:
        self.jobs.append(job)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Any]:
    """A connection to the database of this test."""
    connection = await asyncpg.connect(database_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def told() -> Iterator[list[Event]]:
    """All events of this test."""
    events: list[Event] = []
    observe.subscribe(events.append)
    yield events
    observe.unsubscribe(events.append)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for long."""
    monkeypatch.setattr(delivery, "RETRY_S", 0.01)
    monkeypatch.setattr(delivery, "CANCEL_S", 0.05)
    monkeypatch.setattr(queue, "LOOK_S", 0.2)
    monkeypatch.setattr(queue, "LOOK_WITHOUT_NOTICE_S", 0.05)
    monkeypatch.setattr(queue, "RESTART_S", 0.05)


@asynccontextmanager
async def consuming(dsn: str, *, lease_s: float = 15.0, settings: dict[str, Any] | None = None, **handlers: Any) -> AsyncIterator[Consumer]:
    consumer = Consumer(dsn, config.load(environ={}, flags=settings or {}), handlers, lease_s=lease_s)
    running = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        consumer.stop()
        await consumer.cut_off()
        async with asyncio.timeout(30):
            await running


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def test_wake_up_of_a_transaction_that_is_rolled_back_is_not_there(database: Any) -> None:
    async def fail(send: Any) -> None:
        async with database.transaction():
            await send(database, "x")
            raise KeyError

    for send in (queue.enqueue, queue.wake):
        with pytest.raises(KeyError):
            await fail(send)
    assert await database.fetchval(LEFT) == 0
    async with database.transaction():
        await queue.enqueue(database, "x")
    assert await database.fetchval(LEFT) == 1


async def test_wake_up_that_is_too_long_or_of_the_past_is_refused(connection: Any) -> None:
    for options in ({"payload": b"x" * 1_001}, {"delay_s": -1}):
        for send in (queue.enqueue, queue.wake):
            with pytest.raises(ValueError, match="at most 1000 bytes and no negative delay"):
                await send(connection, "x", **options)


async def test_wake_sends_nothing_while_the_same_is_queued(connection: Any) -> None:
    for _ in range(3):
        await queue.wake(connection, "x", payload=b"1")
    assert await connection.fetchval(LEFT) == 1


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ({}, {"payload": b"2"}, 2),
        ({"delay_s": 60}, {}, 2),
        ({}, {"delay_s": 60}, 1),
        ({"delay_s": 30}, {"delay_s": 60}, 1),
        ({"priority": 1}, {"priority": 2}, 2),
        ({"priority": 2}, {"priority": 1}, 1),
    ],
)
async def test_wake_leaves_to_another_one_only_what_comes_as_soon(
    connection: Any, first: dict[str, Any], second: dict[str, Any], count: int
) -> None:
    await queue.wake(connection, "x", **first)
    await queue.wake(connection, "x", **second)
    assert await connection.fetchval(LEFT) == count


async def test_wake_sends_another_one_when_the_first_is_taken(connection: Any) -> None:
    await queue.wake(connection, "x")
    await connection.execute("UPDATE queue.pgqueuer SET status = 'picked'")
    await queue.wake(connection, "x")
    assert await connection.fetchval(LEFT) == 2


async def test_wake_up_that_another_transaction_relies_on_is_not_taken_before_its_end(database_dsn: str, database: Any) -> None:
    """Otherwise a worker could look at the rows of the sender before they can be seen, and nobody would look again."""
    await queue.enqueue(database, "x")
    worker = await asyncpg.connect(database_dsn)
    try:
        async with database.transaction():
            await queue.wake(database, "x")
            assert await worker.fetch(TAKE) == []
            async with worker.transaction():
                await queue.wake(worker, "x")
                assert await worker.fetchval(QUEUED) == 2
        assert len(await worker.fetch(TAKE)) == 2
    finally:
        await worker.close()


async def test_wake_that_finds_one_queued_disturbs_no_worker(database_dsn: str, database: Any) -> None:
    """A notice costs a lock at commit that all transactions of the database share."""
    notices: list[str] = []
    listener = await asyncpg.connect(database_dsn)
    try:
        await listener.add_listener("ch_pgqueuer", lambda *notice: notices.append(notice[3]))
        await listener.add_listener("end", lambda *notice: notices.append("end"))
        await queue.enqueue(database, "x")
        async with database.transaction():
            await queue.wake(database, "x")
        await database.execute('NOTIFY "end"')
        await until(lambda: "end" in notices)
        assert len(notices) == 2
    finally:
        await listener.close()


async def test_job_is_handed_to_the_handler_of_its_kind_and_is_gone(database_dsn: str, database: Any, told: list[Event]) -> None:
    one, other = Handled(), Handled()
    await queue.enqueue(database, "one", payload=b"before")
    async with consuming(database_dsn, one=one, other=other):
        await until(lambda: len(one.jobs) == 1)
        await queue.enqueue(database, "other", payload=b"later")
        await queue.enqueue(database, "nobody's")
        await until(lambda: len(other.jobs) == 1)
        await until(lambda: database.fetchval("SELECT count(*) = 1 FROM queue.pgqueuer"))
    assert [(job.kind, job.payload, job.attempts) for job in one.jobs + other.jobs] == [("one", b"before", 0), ("other", b"later", 0)]
    assert await database.fetchval("SELECT entrypoint FROM queue.pgqueuer") == "nobody's"
    assert [event.kind for event in of(JobFinished, told)] == ["one", "other"]
    assert [(event.kinds, event.listening) for event in of(WorkerStarted, told)] == [("one other", True)]
    assert [event.given_back for event in of(WorkerStopped, told)] == [0]


async def test_jobs_run_at_once_up_to_the_limit_and_the_more_urgent_first(database_dsn: str, database: Any) -> None:
    handler = Handled()
    handler.gate.clear()
    async with database.transaction():
        for number in range(12):
            await queue.enqueue(database, "x", payload=b"%d" % number, priority=number)
    async with consuming(database_dsn, settings={"worker_jobs_at_once_max": 4}, x=handler):
        await until(lambda: handler.at_once == 4)
        assert sorted(int(job.payload) for job in handler.jobs) == [8, 9, 10, 11]
        handler.gate.set()
        await until(lambda: len(handler.jobs) == 12)
    assert handler.at_once_max == 4


async def test_job_that_asks_for_it_is_delivered_again_later_and_has_not_failed(
    database_dsn: str, database: Any, told: list[Event]
) -> None:
    handler = Handled()
    handler.faults = [queue.Retry(0.2, "not yet"), queue.Retry(0, "nor now")]
    await queue.enqueue(database, "x", payload=b"same")
    async with consuming(database_dsn, x=handler):
        await until(lambda: bool(of(JobFinished, told)))
    assert [(job.payload, job.attempts) for job in handler.jobs] == [(b"same", 0)] * 3
    assert [(event.reason, event.delay_s) for event in of(JobPostponed, told)] == [("not yet", 0.2), ("nor now", 0)]
    assert await database.fetchval(LEFT) == 0


@pytest.mark.usefixtures("quick")
async def test_job_that_fails_is_delivered_again_and_then_given_up(
    database_dsn: str, database: Any, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ATTEMPTS_MAX", 3)
    handler = Handled()
    handler.faults = [KeyError("a"), KeyError("b"), KeyError("c")]
    await queue.enqueue(database, "x")
    async with consuming(database_dsn, x=handler):
        await until(lambda: len(of(JobFailed, told)) == 3)
        await until(lambda: database.fetchval("SELECT count(*) = 0 FROM queue.pgqueuer"))
    assert [job.attempts for job in handler.jobs] == [0, 1, 2]
    assert [(event.kind, event.attempt, event.reason, event.will_retry) for event in of(JobFailed, told)] == [
        ("x", 1, "KeyError", True),
        ("x", 2, "KeyError", True),
        ("x", 3, "KeyError", False),
    ]


async def test_worker_that_stops_lets_its_jobs_end_and_begins_no_other(database_dsn: str, database: Any, told: list[Event]) -> None:
    handler = Handled()
    handler.gate.clear()
    await queue.enqueue(database, "x")
    async with consuming(database_dsn, x=handler) as consumer:
        await until(lambda: handler.at_once == 1)
        consumer.stop()
        await queue.enqueue(database, "x")
        handler.gate.set()
        await until(lambda: bool(of(WorkerStopped, told)))
    assert (len(handler.jobs), await database.fetchval(QUEUED)) == (1, 1)
    assert of(WorkerStopped, told)[0].given_back == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("obeys", [True, False], ids=["obeys", "ignores"])
async def test_job_of_a_worker_that_is_cut_off_goes_to_another_one(
    database_dsn: str, database: Any, told: list[Event], obeys: bool
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def stubborn(_: Job) -> None:
        begun.set()
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                if obeys:
                    raise

    other = Handled()
    await queue.enqueue(database, "x")
    async with consuming(database_dsn, x=stubborn) as consumer:
        await begun.wait()
        consumer.stop()
        await consumer.cut_off()
        await until(lambda: bool(of(WorkerStopped, told)))
    assert [event.given_back for event in of(WorkerStopped, told)] == [1]
    async with consuming(database_dsn, x=other):
        await until(lambda: len(other.jobs) == 1)
    assert other.jobs[0].attempts == 0
    may_end.set()


@pytest.mark.parametrize("fault", [None, KeyError("late"), queue.Retry(0, "late")], ids=["done", "failed", "postponed"])
async def test_job_that_another_worker_has_taken_over_is_left_to_it(
    database_dsn: str, database: Any, told: list[Event], fault: Exception | None
) -> None:
    """A worker that was frozen for longer than its lease wakes up, and must not delete what is no longer its own."""
    handler, other = Handled(), uuid4()
    handler.gate.clear()
    handler.faults = [fault]
    await queue.enqueue(database, "x")
    async with consuming(database_dsn, x=handler) as consumer:
        await until(lambda: handler.at_once == 1)
        await database.execute("UPDATE queue.pgqueuer SET queue_manager_id = $1, heartbeat = 'infinity'", other)
        handler.gate.set()
        await until(lambda: handler.at_once == 0)
        consumer.stop()
        await until(lambda: bool(of(WorkerStopped, told)))
    row = await database.fetchrow("SELECT status, queue_manager_id, attempts FROM queue.pgqueuer")
    assert tuple(row) == ("picked", other, 0)


@pytest.mark.usefixtures("quick")
async def test_job_of_a_worker_that_says_nothing_goes_to_another_one_when_its_lease_is_over(database_dsn: str, database: Any) -> None:
    handler = Handled()
    await queue.enqueue(database, "x")
    await database.execute("UPDATE queue.pgqueuer SET status = 'picked', queue_manager_id = $1", uuid4())
    async with consuming(database_dsn, lease_s=0.5, x=handler):
        await until(lambda: len(handler.jobs) == 1)


@pytest.mark.usefixtures("quick")
async def test_job_that_runs_for_longer_than_the_lease_keeps_its_worker(database_dsn: str, database: Any) -> None:
    handler, other = Handled(), Handled()
    handler.gate.clear()
    await queue.enqueue(database, "x")
    async with consuming(database_dsn, lease_s=1.0, x=handler):
        await until(lambda: handler.at_once == 1)
        async with consuming(database_dsn, lease_s=1.0, x=other):
            beaten = "SELECT heartbeat > updated + interval '1.5 s' FROM queue.pgqueuer"
            await until(lambda: database.fetchval(beaten))
            handler.gate.set()
            await until(lambda: database.fetchval("SELECT count(*) = 0 FROM queue.pgqueuer"))
    assert (len(handler.jobs), len(other.jobs)) == (1, 0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("listening", [True, False])
async def test_worker_whose_connection_is_lost_makes_another_and_goes_on(
    database_dsn: str, database: Any, told: list[Event], listening: bool
) -> None:
    handler, held = Handled(), Handled()
    held.gate.clear()
    settings = {} if listening else {"database_pooler": "transaction"}
    find = BACKEND if listening else BACKEND.replace("application_name LIKE 'mentha %'", "pid <> pg_backend_pid()")
    await queue.enqueue(database, "held")
    async with consuming(database_dsn, settings=settings, x=handler, held=held):
        await until(lambda: held.at_once == 1)
        for count in (1, 2):
            await database.execute(find)
            await queue.enqueue(database, "x")
            await until(lambda count=count: len(handler.jobs) == count)
        # The job that ran meanwhile is still this worker's, and its end is told over the new connection.
        held.gate.set()
        await until(lambda: database.fetchval("SELECT count(*) = 0 FROM queue.pgqueuer"))
    assert len(held.jobs) == 1
    assert [event.listening for event in of(WorkerStarted, told)] == [listening]


@pytest.mark.usefixtures("quick")
async def test_worker_begins_anew_after_a_fault_that_waiting_does_not_mend(database_dsn: str, database: Any, told: list[Event]) -> None:
    handler = Handled()
    await database.execute("ALTER TABLE queue.pgqueuer RENAME TO mislaid")
    async with consuming(database_dsn, x=handler):
        await until(lambda: len(of(WorkerLost, told)) == 2)
        await database.execute("ALTER TABLE queue.mislaid RENAME TO pgqueuer")
        await queue.enqueue(database, "x")
        await until(lambda: len(handler.jobs) == 1)


async def test_worker_stops_while_the_database_is_away(told: list[Event]) -> None:
    handler = Handled()
    async with consuming("postgresql://nobody@127.0.0.1:1/x", x=handler) as consumer:
        await until(lambda: bool(of(WorkerLost, told)))
        consumer.stop()
        await until(lambda: bool(of(WorkerStopped, told)))


async def test_worker_without_notices_finds_its_jobs_by_looking(database_dsn: str, database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LOOK_WITHOUT_NOTICE_S", 0.05)
    handler = Handled()
    handler.faults = [queue.Retry(0.1, "again")]
    async with consuming(database_dsn, settings={"database_pooler": "transaction"}, x=handler):
        await queue.enqueue(database, "x")
        await until(lambda: len(handler.jobs) == 1)
        await until(lambda: len(handler.jobs) == 2)
        listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        assert await database.fetchval(listening) == 0


async def test_purge_of_the_log_drops_only_what_is_old(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "PURGE_ROWS_MAX", 2)
    await connection.execute(
        "INSERT INTO queue.pgqueuer_log (job_id, status, priority, entrypoint, created) "
        "SELECT n, 'picked', 0, 'x', now() - make_interval(hours => n) FROM generate_series(0, 4) n"
    )
    assert [await queue.purge_log(connection, older_than_s=5_400) for _ in range(3)] == [2, 1, 0]
    assert await connection.fetchval("SELECT count(*) FROM queue.pgqueuer_log") == 2
