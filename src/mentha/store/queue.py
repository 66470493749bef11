"""Wake-ups for background work: sent inside a transaction, delivered by the library pgqueuer to a handler in any worker.

A wake-up says only that there may be something to do. What there is to do stands in the rows of whoever sent it: a handler reads those, may
be called once too often, and finds nothing then. Sending one is a plain statement of ours on the library's table; the library is loaded where
wake-ups are taken.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

from mentha import observe
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.observe.events import WorkerLost, WorkerStarted, WorkerStopped
from mentha.store.delivery import Deliveries, Handler, Job, Retry
from mentha.store.direct import DirectConnection
from mentha.store.pool import Tx

__all__ = ["Consumer", "Handler", "Job", "Retry", "enqueue", "purge_log", "wake"]

# A wake-up names rows; it does not carry data.
PAYLOAD_BYTES_MAX = 1_000
# A worker that says nothing for this long has lost its jobs to the others. It says something twice in this time.
LEASE_S = 15.0
# How often a worker looks for work that no notice told it of: what a dead worker left, or all of it where it can't listen.
LOOK_S = 5.0
LOOK_WITHOUT_NOTICE_S = 1.0
# After a fault that waiting for the database does not mend.
RESTART_S = 5.0
PURGE_ROWS_MAX = 5_000

# The names in migration 0005. All of them are given, because the library takes those that are not from the environment.
NAMES = {
    "db_schema": "queue",
    "prefix": "",
    "channel": "ch_pgqueuer",
    "function": "fn_pgqueuer_changed",
    "statistics_table": "pgqueuer_statistics",
    "queue_status_type": "pgqueuer_status",
    "queue_table": "pgqueuer",
    "queue_table_log": "pgqueuer_log",
    "trigger": "tg_pgqueuer_changed",
    "schedules_table": "pgqueuer_schedules",
    "durability": "durable",
}
# What the library tells itself when it should look again.
NOTICE = (
    '{"channel": "ch_pgqueuer", "operation": "update", "sent_at": "2000-01-01T00:00:00Z", '
    '"table": "pgqueuer", "type": "table_changed_event"}'
)

ENQUEUE = """
INSERT INTO queue.pgqueuer (priority, status, entrypoint, payload, execute_after)
VALUES ($1, 'queued', $2, $3, now() + make_interval(secs => $4))
"""
# The lock keeps workers from taking the wake-up before the sender's rows can be seen; one that somebody else has locked counts as taken.
PENDING = """
SELECT id FROM queue.pgqueuer
WHERE status = 'queued' AND entrypoint = $2 AND payload = $3 AND priority >= $1 AND execute_after <= now() + make_interval(secs => $4)
LIMIT 1 FOR UPDATE SKIP LOCKED
"""
# In place of the library's own three, which do not ask who holds the job: a worker that was frozen for longer than its lease would delete
# what another one has taken over.
FINISH = "DELETE FROM queue.pgqueuer WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2"
BEAT = "UPDATE queue.pgqueuer SET heartbeat = now() WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2"
GIVE_BACK = """
UPDATE queue.pgqueuer
SET status = 'queued', execute_after = now() + $3::interval, attempts = $4, updated = now(), queue_manager_id = NULL
WHERE id = $1 AND queue_manager_id = $2
"""
PURGE_LOG = """
DELETE FROM queue.pgqueuer_log WHERE id IN (
    SELECT id FROM queue.pgqueuer_log WHERE created < now() - make_interval(secs => $1) ORDER BY created LIMIT $2)
"""


async def enqueue(tx: Tx, kind: str, *, payload: bytes = b"", delay_s: float = 0, priority: int = 0) -> None:
    """Send a wake-up, which is there when the caller's transaction is committed, and not where it is rolled back.

    Args:
        kind: names the handler. A wake-up that no worker has a handler for waits for one that does.
        payload: what the handler gets, at most 1,000 bytes.
        delay_s: seconds from the transaction's begin until it is due; 0 or more.
        priority: higher ones are delivered first.

    Raises:
        ValueError: the payload is too long, or the delay negative. A fault of the caller.
    """
    _check(payload, delay_s)
    await tx.execute(ENQUEUE, priority, kind, payload, float(delay_s))


async def wake(tx: Tx, kind: str, *, payload: bytes = b"", delay_s: float = 0, priority: int = 0) -> None:
    """`enqueue`, unless a wake-up with this kind and payload is queued already that no worker has taken and that is due by then.

    That one is then held until the caller's transaction ends, so that whoever handles it sees what the transaction wrote: no wake-up is lost
    between the two. Transactions at the same time may send one each. Looks through the queued wake-ups of the kind, 0.2 ms a thousand: where
    each has a payload of its own, `enqueue` is cheaper.

    Raises:
        ValueError: as `enqueue`.
    """
    _check(payload, delay_s)
    # Two statements: a single one would send its notice, which costs a lock at commit, without having inserted anything.
    if await tx.fetchval(PENDING, priority, kind, payload, float(delay_s)) is None:
        await tx.execute(ENQUEUE, priority, kind, payload, float(delay_s))


async def purge_log(tx: Tx, *, older_than_s: float) -> int:
    """Drop what the library noted of jobs that were taken that long ago; at most 5,000 rows at a time. Returns how many."""
    done: str = await tx.execute(PURGE_LOG, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


class Consumer:
    """Takes wake-ups and hands each to the handler of its kind, a limited number at once. Made inside of the event loop.

    A job is delivered at least once: again when its worker died, was frozen for longer than `lease_s`, or ended before the job did.

    Args:
        dsn: a way to the database past a pooler, where there is one.
        handlers: kind → what handles it.
        lease_s: how long a worker that says nothing keeps its jobs.
    """

    def __init__(self, dsn: str, settings: Settings, handlers: Mapping[str, Handler], *, lease_s: float = LEASE_S) -> None:
        self._dsn = dsn
        self._settings = settings
        self._kinds = sorted(handlers)
        self._lease_s = lease_s
        self._listens = settings.database_pooler == "none" or settings.database_url_direct is not None
        self._deliveries = Deliveries(handlers)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Take wake-ups until `stop`. No fault ends it: it waits for a database that is away, and begins anew after anything else."""
        library = await asyncio.to_thread(lazy.load, "pgqueuer")
        observe.emit(WorkerStarted(kinds=" ".join(self._kinds), listening=self._listens))
        while not self._stopping.is_set():
            try:
                await self._take(library)
            except Exception as error:  # noqa: BLE001 - whatever it is, background work must go on some time
                if not self._stopping.is_set():
                    observe.emit(WorkerLost(detail=f"{type(error).__name__}: {error}"))
                    await _limited(self._stopping.wait(), RESTART_S)
        observe.emit(WorkerStopped(given_back=self._deliveries.given_back))

    def stop(self) -> None:
        """Take no more; `run` ends when the handlers that run have ended."""
        self._deliveries.close()
        self._stopping.set()

    async def cut_off(self) -> None:
        """After `stop`: cancel the handlers that run, and give their jobs back."""
        await self._deliveries.cut_off()

    async def _take(self, library: ModuleType) -> None:
        connection = DirectConnection(self._dsn, self._settings, listens=self._listens)
        manager = _manager(library, connection)
        deliver = self._delivery(library)
        for kind in self._kinds:
            manager.entrypoint(kind, accepts_context=False)(deliver)
        ending = asyncio.create_task(self._end(manager, connection))
        at_once = self._settings.worker_jobs_at_once_max
        try:
            await manager.run(
                dequeue_timeout=timedelta(seconds=LOOK_S if self._listens else LOOK_WITHOUT_NOTICE_S),
                # The library wants room for two batches.
                batch_size=at_once // 2,
                max_concurrent_tasks=at_once,
                heartbeat_timeout=timedelta(seconds=self._lease_s),
                # Its statistics are not used.
                log_aggregation_interval=timedelta(0),
            )
        finally:
            ending.cancel()
            await connection.close()

    def _delivery(self, library: ModuleType) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def deliver(taken: Any) -> None:
            back = await self._deliveries.run(Job(taken.id, taken.entrypoint, taken.payload or b"", taken.attempts))
            if back is not None:
                taken.attempts = back.attempts
                raise library.RetryRequested(timedelta(seconds=back.delay_s))

        return deliver

    async def _end(self, manager: Any, connection: DirectConnection) -> None:
        await self._stopping.wait()
        manager.shutdown.set()
        connection.hurry()


class _Fenced:
    """The library's queries, but for those that must ask who holds a job."""

    def __init__(self, queries: Any, connection: DirectConnection) -> None:
        self._queries = queries
        self._connection = connection
        self.worker: UUID | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queries, name)

    async def dequeue(self, **options: Any) -> Any:
        self._connection.rearm()
        return await self._queries.dequeue(**options)

    async def update_heartbeat(self, job_ids: Sequence[int]) -> None:
        await self._connection.execute(BEAT, list(set(job_ids)), self.worker)

    async def log_jobs(self, ended: Sequence[tuple[Any, str, object]]) -> None:
        # What ended in another way was cut off together with this worker, and is delivered again when its lease is over.
        if done := [job.id for job, status, _ in ended if status == "successful"]:
            await self._connection.execute(FINISH, done, self.worker)

    async def retry_job(self, job: Any, delay: timedelta, _: object) -> None:
        await self._connection.execute(GIVE_BACK, job.id, self.worker, delay, job.attempts)
        # The table tells nobody of an update: this worker, at least, looks when it will be due.
        await self._connection.notify(NAMES["channel"], NOTICE)


def _manager(library: ModuleType, connection: DirectConnection) -> Any:
    names = lazy.load("pgqueuer.domain.settings").DBSettings(**NAMES)
    builders = lazy.load("pgqueuer.adapters.persistence.qb")
    queries = library.Queries(
        connection,
        qbe=builders.QueryBuilderEnvironment(names),
        qbq=builders.QueryQueueBuilder(names),
        qbs=builders.QuerySchedulerBuilder(names),
    )
    fenced = _Fenced(queries, connection)
    manager = library.QueueManager(fenced, channel=names.channel)
    fenced.worker = manager.queue_manager_id
    return manager


async def _limited(work: Coroutine[Any, Any, object], limit_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await work


def _check(payload: bytes, delay_s: float) -> None:
    if len(payload) > PAYLOAD_BYTES_MAX or delay_s < 0:
        raise ValueError(f"a wake-up has at most {PAYLOAD_BYTES_MAX} bytes and no negative delay")
