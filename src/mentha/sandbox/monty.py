"""The one module that knows Monty, the sandbox that runs expressions: worker processes of a library, and one snippet in one of them.

A snippet gets a session of its own, so nothing of one evaluation is left for the next. Data goes in and comes out as JSON text: what a
tenant makes is never built as objects in the server. Monty has no files, no network, no environment and no way to import; a process of
it may be killed at any time, and is when its caller gives up.
"""

import asyncio
import contextlib
import os
import resource
import signal
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mentha.core import lazy
from mentha.core.errors import Unavailable

# How much longer than its limit a process may run before it is killed: the limit is looked at between steps only.
GRACE_S = 1.0
SNIPPETS_MAX = 2_000
# The address space that a process may take beyond the memory counted by the sandbox: code, stacks, what one copy of the data needs.
_ADDRESS_BYTES_EXTRA = 400_000_000
_MESSAGE_CHARS_MAX = 500
_FROM_HOST = "host: "

_KINDS = {"MemoryError": "memory", "TimeoutError": "time", "RecursionError": "depth", "LookupError": "undefined", "NameError": "undefined"}

Host = Callable[[str, str], Coroutine[Any, Any, str]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one snippet may use.

    Attributes:
        time_s: processor time of the interpreter, without waiting for the host.
        memory_bytes_max: its heap.
        depth_max_levels: calls within calls.
        calls_max: questions to the host.
    """

    time_s: float
    memory_bytes_max: int
    depth_max_levels: int
    calls_max: int


class SnippetFailed(Exception):
    """A snippet raised, or broke a limit.

    Attributes:
        kind: as in `ExpressionFailed`.
        line: the line of the snippet at fault, 0 where that is not known.
    """

    def __init__(self, kind: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.line = line


class _Run:
    """One snippet on its way, seen from two threads: the one that waits for its process, and the event loop, which may give it up."""

    def __init__(self, code: str, inputs: dict[str, Any], host: Host | None, loop: asyncio.AbstractEventLoop) -> None:
        self.code = code
        self.inputs = inputs
        self._host = host
        self._loop = loop
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._asked: Future[str] | None = None
        self._is_abandoned = False

    @contextlib.contextmanager
    def on(self, pid: int | None) -> Generator[None]:
        """While the snippet has this process, `abandon` kills it; afterwards it may be another tenant's."""
        with self._lock:
            if self._is_abandoned:
                raise Unavailable("nobody waits for this expression any more")
            self._pid = pid
        try:
            yield
        finally:
            with self._lock:
                self._pid = None

    def ask(self, arguments: tuple[str, str]) -> str:
        """The host's answer. It is made on the event loop; this thread waits."""
        with self._lock:
            if self._is_abandoned or self._host is None:
                raise Unavailable("nobody waits for this expression any more")
            self._asked = asyncio.run_coroutine_threadsafe(self._host(*arguments), self._loop)
        return self._asked.result()

    def abandon(self) -> None:
        """Kill the process; the thread sees it crash and is free."""
        with self._lock:
            self._is_abandoned = True
            if self._pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            if self._asked is not None:
                self._asked.cancel()


class Monty:
    """Up to `processes_max` processes, started on demand, all ended after `idle_s` without work. Belongs to one event loop.

    A thread waits for each process: the library's asynchronous side costs twice as much, and aborts an interpreter that ends soon
    after its last snippet.
    """

    def __init__(self, *, processes_max: int, bounds: Bounds, idle_s: float) -> None:
        self._processes_max = processes_max
        self._bounds = bounds
        self._idle_s = idle_s
        self._pool: Any = None
        self._threads = ThreadPoolExecutor(processes_max, thread_name_prefix="expressions")
        self._running: set[_Run] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self._limited: set[int] = set()

    async def run(self, code: str, inputs: dict[str, Any], host: Host | None = None) -> Any:
        """The value of the last line of `code`. Cancelling kills the process that runs it.

        Args:
            inputs: names of the snippet; text, numbers and dictionaries of them.
            host: answers `__host(name, text)` in the snippet. `SnippetFailed` of it fails the snippet there; all else ends it, as it is.

        Raises:
            SnippetFailed: it raised or broke a limit.
            Unavailable: no process could be started.
        """
        loop = asyncio.get_running_loop()
        run = _Run(code, inputs, host, loop)
        self._running.add(run)
        self._stop_idling()
        try:
            return await loop.run_in_executor(self._threads, self._work, self._opened(), run)
        except asyncio.CancelledError:
            run.abandon()
            raise
        finally:
            self._running.discard(run)
            if not self._running and self._pool is not None:
                self._idle = loop.call_later(self._idle_s, self._end)

    async def close(self) -> None:
        """End all processes. What still runs fails."""
        self._stop_idling()
        for run in self._running:
            run.abandon()
        self._end()
        if self._ending:
            await asyncio.wait(tuple(self._ending))
        self._threads.shutdown(wait=False)

    def _work(self, pool: Any, run: _Run) -> Any:
        """What a thread does."""
        library: Any = lazy.load("pydantic_monty")
        try:
            with self._checkout(pool) as session:
                pid = session.worker_pid
                self._limit(pid)
                with run.on(pid):
                    turn = session.feed_start(run.code, inputs=run.inputs, print_callback=_drop)
                    while not isinstance(turn, library.MontyComplete):
                        turn = _answered(library, turn, run)
                    return turn.output
        except library.MontyCrashedError as error:
            if error.timed_out:
                raise SnippetFailed("time", f"took longer than {self._bounds.time_s:g} s") from None
            raise SnippetFailed("memory", "used too much memory, or was nested too deeply: its process crashed") from None
        except library.MontyError as error:
            raise _failure(error, self._bounds) from None
        except OSError as error:
            raise Unavailable("a process that evaluates expressions could not be started") from error

    def _checkout(self, pool: Any) -> Any:
        bounds = self._bounds
        limits = {
            "max_feed_duration_secs": bounds.time_s,
            "max_memory": bounds.memory_bytes_max,
            "max_recursion_depth": bounds.depth_max_levels,
            "max_suspensions": bounds.calls_max,
            "max_total_sleep_secs": 0.0,
        }
        return pool.checkout(script_name="expression", limits=limits)

    def _opened(self) -> Any:
        if self._pool is None:
            library: Any = lazy.load("pydantic_monty")
            self._pool = library.Monty(
                min_processes=0,
                max_processes=self._processes_max,
                request_timeout=self._bounds.time_s + GRACE_S,
                feed_duration_limit_grace=GRACE_S,
                max_checkouts_per_worker=SNIPPETS_MAX,
            )
            self._pool.__enter__()
        return self._pool

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            self._limited.clear()
            task = asyncio.get_running_loop().run_in_executor(self._threads, pool.__exit__, None, None, None)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _limit(self, pid: int | None) -> None:
        """Cap what the system gives a process, once, where the system lets us (Linux): a second wall behind the sandbox's own."""
        if pid is None or pid in self._limited:
            return
        if len(self._limited) > SNIPPETS_MAX:
            self._limited.clear()
        self._limited.add(pid)
        if not hasattr(resource, "prlimit"):
            return
        most = 2 * self._bounds.memory_bytes_max + _ADDRESS_BYTES_EXTRA
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
            for which in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
                resource.prlimit(pid, which, (0, 0))


def _answered(library: Any, turn: Any, run: _Run) -> Any:
    """The next turn of a snippet that waits for the host."""
    if isinstance(turn, library.FunctionSnapshot):
        if turn.function_name == "__host" and not turn.is_os_function:
            try:
                answer = run.ask(turn.args)
            except SnippetFailed as error:
                # Raised again where it was asked, so that its line is told.
                return turn.resume({"exc_type": "RuntimeError", "message": _FROM_HOST + error.message})
            return turn.resume({"return_value": answer})
        return turn.resume({"exc_type": "PermissionError", "message": f"{turn.function_name} is not available"})
    # A name that nothing defines: the library raises NameError for it.
    return turn.resume_auto()


def _failure(error: Any, bounds: Bounds) -> SnippetFailed:
    frames = error.traceback() if hasattr(error, "traceback") else []
    line = frames[0].line if frames else 0
    name, _, text = error.display("type-msg").partition(": ")
    text = text[:_MESSAGE_CHARS_MAX]
    kind = _KINDS.get(name, "error")
    if kind == "memory":
        text = f"used more than {bounds.memory_bytes_max // 1_000_000} MB"
    elif kind == "time":
        text = f"took longer than {bounds.time_s:g} s"
    elif kind == "depth":
        text = "calls itself, or is nested, too deeply"
    elif name == "RuntimeError" and "suspension limit" in text:
        kind, text = "calls", f"calls functions of the server more than {bounds.calls_max} times"
    elif name == "RuntimeError" and text.startswith(_FROM_HOST):
        text = text.removeprefix(_FROM_HOST)
    elif kind == "error":
        text = f"{name}: {text}" if text else name
    return SnippetFailed(kind, text, line)


def _drop(_stream: str, _text: str) -> None:
    """Nothing is printed for a tenant."""
