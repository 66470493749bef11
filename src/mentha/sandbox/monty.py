"""The one module that knows Monty, the sandbox that runs expressions: worker processes of a library, and one snippet in one of them.

A snippet gets a session of its own, so nothing of one evaluation is left for the next. Data goes in and comes out as JSON text: what a
tenant makes is never built as objects in the server. Monty has no files, no network, no environment and no way to import; a process of
it may be killed at any time, and is when its caller gives up.
"""

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable
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

_KINDS = {"MemoryError": "memory", "TimeoutError": "time", "RecursionError": "depth", "LookupError": "undefined", "NameError": "undefined"}

Host = Callable[[str, str], Awaitable[str]]


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


class Monty:
    """Up to `processes_max` processes, started on demand, all ended after `idle_s` without work. Belongs to one event loop."""

    def __init__(self, *, processes_max: int, bounds: Bounds, idle_s: float) -> None:
        self._processes_max = processes_max
        self._bounds = bounds
        self._idle_s = idle_s
        self._opening = asyncio.Lock()
        self._pool: Any = None
        self._running = 0
        self._idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Future[None]] = set()
        self._limited: set[int] = set()

    async def run(self, code: str, inputs: dict[str, Any], host: Host | None = None) -> Any:
        """The value of the last line of `code`.

        Args:
            inputs: names of the snippet; text, numbers and dictionaries of them.
            host: answers `__host(name, text)` in the snippet. What it raises ends the snippet, as it is.

        Raises:
            SnippetFailed: it raised or broke a limit.
            Unavailable: no process could be started.
        """
        self._running += 1
        self._stop_idling()
        try:
            pool = await self._opened()
            return await self._in_session(pool, code, inputs, host)
        finally:
            self._running -= 1
            if not self._running and self._pool is not None:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._end)

    async def close(self) -> None:
        """End all processes. Nothing may run any more."""
        self._stop_idling()
        self._end()
        if self._ending:
            await asyncio.wait(tuple(self._ending))

    async def _in_session(self, pool: Any, code: str, inputs: dict[str, Any], host: Host | None) -> Any:
        library: Any = lazy.load("pydantic_monty")
        try:
            async with self._checkout(pool) as session:
                self._limit(session.worker_pid)
                turn = await session.feed_start(code, inputs=inputs, print_callback=_drop)
                while not isinstance(turn, library.MontyComplete):
                    turn = await self._answered(library, turn, host)
                return turn.output
        except library.MontyCrashedError as error:
            if error.timed_out:
                raise SnippetFailed("time", f"took longer than {self._bounds.time_s:g} s") from None
            raise SnippetFailed("memory", "used too much memory, or was nested too deeply: its process crashed") from None
        except library.MontyError as error:
            raise _failure(error, self._bounds) from None

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

    async def _answered(self, library: Any, turn: Any, host: Host | None) -> Any:
        """The next turn of a snippet that waits for the host."""
        if isinstance(turn, library.AsyncFunctionSnapshot) and not turn.is_os_function and turn.function_name == "__host" and host:
            return await turn.resume({"return_value": await host(*turn.args)})
        if isinstance(turn, library.AsyncFunctionSnapshot):
            return await turn.resume({"exc_type": "PermissionError", "message": f"{turn.function_name} is not available"})
        # A name that nothing defines: the library raises NameError for it.
        return await turn.resume_auto()

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                library: Any = lazy.load("pydantic_monty")
                pool = library.AsyncMonty(
                    min_processes=0,
                    max_processes=self._processes_max,
                    request_timeout=self._bounds.time_s + GRACE_S,
                    feed_duration_limit_grace=GRACE_S,
                    max_checkouts_per_worker=SNIPPETS_MAX,
                )
                try:
                    self._pool = await pool.__aenter__()
                except (OSError, RuntimeError) as error:
                    raise Unavailable("the processes that evaluate expressions could not be started") from error
            return self._pool

    def _stop_idling(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            self._limited.clear()
            task = asyncio.ensure_future(pool.__aexit__(None, None, None))
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
    elif kind == "error":
        text = f"{name}: {text}" if text else name
    return SnippetFailed(kind, text, line)


def _drop(_stream: str, _text: str) -> None:
    """Nothing is printed for a tenant."""
