"""One delivery of a job to its handler, and what follows from how it ended: done, given back, or given up.

Handlers run in tasks of their own, so that a worker that stops can cancel them and still give their jobs back.
"""

import asyncio
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from mentha import observe
from mentha.core.errors import MenthaError
from mentha.observe.events import JobFailed, JobFinished, JobPostponed

ATTEMPTS_MAX = 20
RETRY_S = 1.0
RETRY_S_MAX = 300.0
# A handler that was cancelled has this long to end; then it is left behind.
CANCEL_S = 5.0
DETAIL_CHARS_MAX = 8_000


@dataclass(frozen=True, slots=True)
class Job:
    """A wake-up as a handler gets it. `attempts` is how often it has failed so far."""

    id: int
    kind: str
    payload: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The job goes back to the queue, due in `delay_s` seconds, with this many failures."""

    delay_s: float
    attempts: int


Handler = Callable[[Job], Coroutine[Any, Any, None]]


class Retry(Exception):
    """Raised by a handler that wants its job delivered again, which counts as no failure. One that lost its fence raises it too.

    Attributes:
        delay_s: seconds until then; 0 or more.
        reason: a few words for the log, without anything secret.
    """

    def __init__(self, delay_s: float, reason: str) -> None:
        super().__init__(reason)
        self.delay_s = delay_s
        self.reason = reason


class Deliveries:
    """The running handlers of one worker. Made inside of the event loop."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._running: set[asyncio.Task[None]] = set()
        self._closed = self._cut = False
        self._left_behind = asyncio.get_running_loop().create_future()
        self.given_back = 0

    async def run(self, job: Job) -> GiveBack | None:
        """Have the job handled.

        Returns:
            None where the job is done, or is given up after 20 failures.
        """
        if self._closed:
            return self._back(job)
        began = time.perf_counter()
        task = asyncio.create_task(self._handlers[job.kind](job))
        self._running.add(task)
        try:
            await asyncio.wait((task, self._left_behind), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._running.discard(task)
            task.cancel()
        if not task.done():
            task.add_done_callback(_error)
            return self._back(job)
        error = _error(task)
        if error is None:
            observe.emit(JobFinished(kind=job.kind, took_s=time.perf_counter() - began))
            return None
        return self._back(job) if self._cut else _after(job, error)

    def close(self) -> None:
        """Begin no more; jobs that still come are given back at once."""
        self._closed = True

    async def cut_off(self) -> None:
        """Cancel the handlers that run, and give their jobs back; after `close`. One that does not end within 5 s is left behind."""
        self._cut = True
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=CANCEL_S)
        if not self._left_behind.done():
            self._left_behind.set_result(None)

    def _back(self, job: Job) -> GiveBack:
        self.given_back += 1
        return GiveBack(0, job.attempts)


def reason_of(error: BaseException) -> tuple[str, str]:
    """An error for the log: its documented name and message or, for a fault of ours, its class and where it was raised."""
    if isinstance(error, MenthaError):
        return error.reason, error.message
    return type(error).__name__, "".join(traceback.format_exception(error))[-DETAIL_CHARS_MAX:]


def _after(job: Job, error: BaseException) -> GiveBack | None:
    if isinstance(error, Retry):
        observe.emit(JobPostponed(kind=job.kind, reason=error.reason, delay_s=error.delay_s))
        return GiveBack(max(0.0, error.delay_s), job.attempts)
    attempt = job.attempts + 1
    will_retry = attempt < ATTEMPTS_MAX
    reason, detail = reason_of(error)
    observe.emit(JobFailed(kind=job.kind, attempt=attempt, reason=reason, detail=detail, will_retry=will_retry))
    return GiveBack(min(RETRY_S * 2**job.attempts, RETRY_S_MAX), attempt) if will_retry else None


def _error(task: asyncio.Task[None]) -> BaseException | None:
    return asyncio.CancelledError("the handler was cancelled") if task.cancelled() else task.exception()
