"""Background work: one table says what handles which wake-up, another what is done at regular times; a `Worker` does both in this process.

Any number of workers may run on one database: a wake-up goes to one of them, and regular work that several do at once does no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from mentha import observe
from mentha.chat import summarise
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import Unavailable
from mentha.observe.events import SweepFailed
from mentha.recall import index
from mentha.server import clearing, signals
from mentha.server.runtime import Runtime, open_runtime
from mentha.store import delivery, maintenance, queue
from mentha.store.pool import Tx
from mentha.store.queue import Consumer, Job
from mentha.workflow import runs, schedules

Handler = Callable[[Runtime, Job], Coroutine[Any, Any, None]]

# The wake-ups of `store.queue.enqueue` by kind. A handler reads what there is to do from its own rows, and may be called once too often.
HANDLERS: dict[str, Handler] = {
    index.KIND: index.handle,
    index.INDEX_KIND: index.build,
    summarise.KIND: summarise.handle,
    runs.KIND: runs.handle,
}


@dataclass(frozen=True, slots=True)
class Sweep:
    """A piece of regular work, done every `every_s` seconds in each worker."""

    every_s: float
    work: Callable[[Runtime], Awaitable[None]]


# The first round of a sweep that is done rarely: some processes don't live for long.
FIRST_S = 60.0
# Of 5,000 rows each.
PURGE_ROUNDS_MAX = 100
LOG_KEEP_S = 3_600.0
# After the grace period, and after the handlers were cancelled: for telling the database.
END_S = 5.0


async def _purge_turns(runtime: Runtime) -> None:
    """Drop kept answers, and what turns did with tools, that nobody will ask for any more."""
    await _purge(runtime, lambda tx: maintenance.purge_turns(tx, older_than_s=runtime.settings.turn_replay_s))
    await _purge(runtime, lambda tx: maintenance.purge_tool_runs(tx, older_than_s=runtime.settings.turn_replay_s))


async def _purge_jobs(runtime: Runtime) -> None:
    await _purge(runtime, lambda tx: maintenance.purge_jobs(tx, older_than_s=runtime.settings.jobs_keep_s))


async def _purge_usage(runtime: Runtime) -> None:
    await _purge(runtime, lambda tx: maintenance.purge_usage(tx, older_than_s=runtime.settings.usage_keep_s))


async def _purge_executions(runtime: Runtime) -> None:
    keep_s = runtime.settings.executions_keep_s
    if keep_s:
        await _purge(runtime, lambda tx: maintenance.purge_executions(tx, older_than_s=keep_s))


async def _purge_log(runtime: Runtime) -> None:
    await _purge(runtime, lambda tx: queue.purge_log(tx, older_than_s=LOG_KEEP_S))


SWEEPS: dict[str, Sweep] = {
    "documents to index": Sweep(2.0, index.sweep),
    "sessions to summarise": Sweep(5.0, summarise.sweep),
    "schedules": Sweep(1.0, schedules.sweep),
    "purge answers": Sweep(60.0, _purge_turns),
    "purge jobs": Sweep(3_600.0, _purge_jobs),
    "purge usage": Sweep(3_600.0, _purge_usage),
    "blobs to delete": Sweep(30.0, lambda runtime: clearing.clear(runtime.database, runtime.blobs)),
    "purge executions": Sweep(60.0, _purge_executions),
    "purge queue log": Sweep(300.0, _purge_log),
}


class Worker:
    """Does background work from `start` until its block ends.

    Args:
        runtime: what the handlers work with; it outlives the worker.
        lease_s: how long a worker that is dead or frozen keeps its jobs.
    """

    def __init__(self, runtime: Runtime, *, handlers: Mapping[str, Handler], lease_s: float = queue.LEASE_S) -> None:
        self._runtime = runtime
        bound = {kind: _bound(handler, runtime) for kind, handler in handlers.items()}
        self._consumer = Consumer(runtime.place.direct_dsn, runtime.settings, bound, lease_s=lease_s)
        self._taking: asyncio.Task[None] | None = None
        self._sweeping: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        self._cut = asyncio.Event()
        self._lease_s = lease_s

    def start(self) -> None:
        """Begin, in tasks of its own; after `stop` this does nothing."""
        if self._ending is None and self._taking is None:
            self._taking = asyncio.create_task(self._consumer.run())
            self._runtime.runs.start(lease_s=self._lease_s)
            self._sweeping = [asyncio.create_task(_sweep(self._runtime, name, sweep)) for name, sweep in SWEEPS.items()]

    def stop(self) -> None:
        """Begin nothing more. Handlers that run get the grace period of the settings; then their jobs go to other workers."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())

    def cut_off(self) -> None:
        """End the grace period."""
        self._cut.set()

    async def ended(self) -> None:
        """Wait until all work of this worker has ended, after `stop`, or was left behind: at most the grace period and some seconds."""
        if self._taking is not None:
            await asyncio.wait([self._taking])
        if self._ending is not None:
            await self._ending

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        await self.ended()

    async def _end(self) -> None:
        for task in self._sweeping:
            task.cancel()
        self._consumer.stop()
        if self._taking is None:
            return
        cut = asyncio.create_task(self._cut.wait())
        running = asyncio.create_task(self._runtime.runs.stop(cut, self._runtime.settings.shutdown_grace_s))
        await asyncio.wait((self._taking, cut), timeout=self._runtime.settings.shutdown_grace_s, return_when=asyncio.FIRST_COMPLETED)
        await running
        cut.cancel()
        await self._consumer.cut_off()
        # A database that is away can't be told; the jobs are delivered again when the lease is over.
        await asyncio.wait([self._taking], timeout=END_S)
        self._taking.cancel()


async def work(
    settings: Settings, *, ready: Callable[[], None], handlers: Mapping[str, Handler] = HANDLERS, lease_s: float = queue.LEASE_S
) -> None:
    """Do background work and nothing else until SIGTERM or SIGINT; a second signal cuts running jobs off.

    Args:
        ready: called once, when work begins.

    Raises:
        ConfigInvalid, Unavailable: as `open_runtime`.
    """
    signals.end_task()
    async with open_runtime(settings, serves=False) as runtime, Worker(runtime, handlers=handlers, lease_s=lease_s) as worker:
        signals.call(lambda _, again: worker.cut_off() if again else worker.stop())
        worker.start()
        lazy.keep()
        ready()
        await worker.ended()


def _bound(handler: Handler, runtime: Runtime) -> queue.Handler:
    return lambda job: handler(runtime, job)


async def _sweep(runtime: Runtime, name: str, sweep: Sweep) -> None:
    wait_s = min(sweep.every_s, FIRST_S)
    while True:
        await asyncio.sleep(wait_s)
        wait_s = sweep.every_s
        try:
            await sweep.work(runtime)
        except Unavailable:
            pass  # the database is away, which others tell; the next round does it
        except Exception as error:  # noqa: BLE001 - one fault must not end what is to happen regularly
            reason, detail = delivery.reason_of(error)
            observe.emit(SweepFailed(name=name, reason=reason, detail=detail))


async def _purge(runtime: Runtime, purge: Callable[[Tx], Awaitable[int]]) -> None:
    for _ in range(PURGE_ROUNDS_MAX):
        async with runtime.database.transaction() as tx:
            if not await purge(tx):
                return
