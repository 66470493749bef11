"""Rendering of templates: plain text and the default template here, everything that a tenant wrote in worker processes.

    render → plain text: as it is | the default template: in this process | else: one request → a free worker → its texts

A worker (`sandbox/worker.py`) starts on demand, serves one request at a time, and is killed when a render takes too long, when it
served `RENDERS_MAX` requests, after an error that may have left something behind, and when it was idle. Invariant: at most
`template_workers_max` workers, because one starts only when none is idle and a free slot is held.
"""

import asyncio
import contextlib
import os
import re
import signal
import struct
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import TemplateFailed, Unavailable
from mentha.core.json import JsonInvalid, JsonObject, JsonValue, dumps, loads
from mentha.observe.events import TemplateWorkerEnded, TemplateWorkerStarted, emit
from mentha.sandbox.slots import Slots
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE

RENDERS_MAX = 500
REQUEST_BYTES_MAX = 16_000_000
# A worker imports Jinja2 in 0.1 s; the rest is for a machine that is busy or cold.
START_S = 15.0
# Renders take well below a millisecond, so a queue this long or slow means that templates are being misused.
WAITING_MAX = 500
WAIT_S = 5.0
END_S = 5.0
# Writing JSON holds the event loop; other work gets its turn after this much of it.
UNBROKEN_BYTES_MAX = 1_000_000

_READ_BYTES = 262_144
_TEXT_BYTES_PER_BYTE_MAX = 6  # JSON writes a control character as six.
_ANSWER_BYTES_EXTRA = 100_000

# Without OpenSSL, which only `hashlib` would load and nothing uses, a worker is 3.5 MB smaller.
_BOOT = """\
import sys
sys.path += sys.argv[3:]
from importlib.util import find_spec
if find_spec("_md5") and find_spec("_sha1"):
    sys.modules["_hashlib"] = None
from importlib import import_module
import_module(sys.argv.pop(1)).main(sys.argv[1])
"""
_WORKER_NEEDS = ("mentha", "jinja2", "markupsafe", "orjson", "yaml", "markdown_it", "mdurl")

_LINE_END = re.compile(r"\r\n|\r|\n")

_FAULTS = {
    "syntax": "Template syntax error: {text}",
    "undefined": "Template undefined variable: {text}",
    "refused": "Template refused: {text}",
    "error": "Template failed: {text}",
    "depth": "Template calls itself, or is nested, too deeply",
}


class Templates:
    """Renders templates. Starts nothing by itself; `close` it in the end. Belongs to one event loop.

    Args:
        worker: the module whose `main` is a worker. One that has functions serves `call` too.
    """

    def __init__(self, settings: Settings, *, worker: str = "mentha.sandbox.worker") -> None:
        self._settings = settings
        self._worker = worker
        self._slots = Slots(
            settings.template_workers_max,
            waiting_max=WAITING_MAX,
            wait_s=WAIT_S,
            too_many="too many templates are waiting to be rendered",
            all_busy="all processes that render templates are busy",
        )
        self._idle: list[_Worker] = []
        self._live: set[_Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()

    async def render(self, templates: Sequence[str], variables: JsonObject) -> list[str]:
        r"""The text of each template, in order, all made of the same variables.

        A text without `{{`, `{%` and `{#` needs no worker and comes back as Jinja2 would give it: one newline at its end removed, other
        line ends made `\n`. All that goes to a worker shares one time limit and one limit on output (`Settings.template_*`).

        Raises:
            TemplateFailed: a template is wrong or broke a limit. The message says which and where; `details["template"]` is its index in
                `templates`. It never quotes a variable's value.
            Unavailable: no worker became free in time, or none could be started, or this object is closed.
        """
        texts: list[str] = []
        foreign: list[int] = []
        for index, template in enumerate(templates):
            if template == DEFAULT_SYSTEM_TEMPLATE:
                texts.append(await _render_default(variables))
                continue
            if _is_template(template):
                foreign.append(index)
            texts.append(_plain(template))
        if foreign:
            for index, text in zip(foreign, await self._render_foreign([templates[i] for i in foreign], foreign, variables), strict=True):
                texts[index] = text
        return texts

    async def call(self, function: str, arguments: str) -> JsonValue:
        """What a function of the worker gives, under the limits of one render.

        Args:
            function: its name in the worker's table.
            arguments: JSON: a list of the positional arguments, and an object of the named ones.

        Raises:
            TemplateFailed: the function failed or broke a limit; unlike that of `render`, the message may quote the arguments.
            Unavailable: as in `render`.
        """
        body = b'{"call":%b,"arguments":%b}' % (dumps(function), arguments.encode())
        if len(body) > REQUEST_BYTES_MAX:
            raise TemplateFailed(f"{function} was given more than {REQUEST_BYTES_MAX // 1_000_000} MB")
        async with self._slots.taken():
            answer = await self._ask_twice(struct.pack("<I", len(body)) + body)
        if "result" in answer:
            return answer["result"]
        raise self._failure(answer, 0)

    async def close(self) -> None:
        """End all workers and wait until they are gone. Renders in flight fail with `Unavailable`. A second call changes nothing."""
        if self._slots.closed:
            return
        self._slots.closed = True
        for worker in self._idle:
            self._end(worker, "closed")
        self._idle.clear()
        for worker in self._live:
            worker.kill()
        # Renders in flight see their worker gone, end it, and give back their slots.
        await self._slots.drained(limit_s=START_S)
        if self._ending:
            await asyncio.wait(tuple(self._ending))

    async def _render_foreign(self, templates: list[str], indexes: list[int], variables: JsonObject) -> list[str]:
        request = await _request(templates, variables)
        async with self._slots.taken():
            answer = await self._ask_twice(request)
        if "texts" in answer:
            return answer["texts"]
        raise self._failure(answer, indexes[answer["template"]])

    async def _ask_twice(self, request: bytes) -> JsonObject:
        """Ask a worker; once more where somebody else killed it."""
        try:
            return await self._ask(request)
        except _KilledFromOutside:
            with contextlib.suppress(_KilledFromOutside):
                return await self._ask(request)
        raise TemplateFailed("The process that rendered the template was killed")

    async def _ask(self, request: bytes) -> JsonObject:
        worker = await self._take()
        # What stands here when the caller is cancelled: the answer is still to come, so nobody else may use this worker.
        why = "recycled"
        keep = False
        try:
            async with asyncio.timeout(self._settings.template_timeout_s):
                answer = await worker.ask(request)
            keep = not answer["last"] and worker.renders < RENDERS_MAX
        except TimeoutError:
            why = "timeout"
            raise self._too_slow() from None
        except (EOFError, OSError) as error:
            why = "closed" if self._slots.closed else "crashed"
            raise await self._broken(worker) from error
        else:
            return answer
        finally:
            if keep:
                self._put_back(worker)
            else:
                self._end(worker, why)

    async def _take(self) -> "_Worker":
        if self._slots.closed:
            raise Unavailable("the server is stopping")
        while self._idle:
            worker = self._idle.pop()
            worker.stop_idling()
            if worker.process.returncode is None:
                return worker
            self._end(worker, "crashed")
        return await self._start()

    async def _start(self) -> "_Worker":
        worker = await _start_worker(self._settings, self._worker)
        self._live.add(worker)
        emit(TemplateWorkerStarted(pid=worker.process.pid))
        try:
            async with asyncio.timeout(START_S):
                await worker.hear(_ANSWER_BYTES_EXTRA)
        except (TimeoutError, EOFError, OSError) as error:
            self._end(worker, "closed" if self._slots.closed else "crashed")
            raise Unavailable("a process that renders templates could not be started") from error
        except asyncio.CancelledError:
            self._end(worker, "recycled")
            raise
        if self._slots.closed:
            self._end(worker, "closed")
            raise Unavailable("the server is stopping")
        return worker

    def _put_back(self, worker: "_Worker") -> None:
        if self._slots.closed:
            self._end(worker, "closed")
            return
        self._idle.append(worker)
        worker.idle_until(self._settings.template_idle_s, lambda: self._expire(worker))

    def _expire(self, worker: "_Worker") -> None:
        self._idle.remove(worker)
        self._end(worker, "idle")

    def _end(self, worker: "_Worker", why: str) -> None:
        """Kill a worker, once; a task of ours waits until it is gone."""
        if worker not in self._live:
            return
        self._live.discard(worker)
        worker.stop_idling()
        task = asyncio.get_running_loop().create_task(worker.end(why))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _broken(self, worker: "_Worker") -> Exception:
        """Why a worker went silent before it answered."""
        if self._slots.closed:
            return Unavailable("the server is stopping")
        code = await worker.exit_code()
        if code == -signal.SIGKILL:
            return _KilledFromOutside()
        if code == -signal.SIGXCPU:
            return self._too_slow()
        return TemplateFailed("Template crashed the process that rendered it: it needs too much memory or is nested too deeply")

    def _too_slow(self) -> TemplateFailed:
        return TemplateFailed(f"Template took longer than {self._settings.template_timeout_s:g} s")

    def _failure(self, answer: JsonObject, index: int) -> TemplateFailed:
        line = answer["line"]
        if answer["failed"] == "memory":
            message = f"Template used more than {self._settings.template_memory_bytes_max // 1_000_000} MB"
        elif answer["failed"] == "output":
            message = f"Template made more than {self._settings.template_output_bytes_max} bytes"
        else:
            message = _FAULTS[answer["failed"]].format(text=answer["text"]) + (f" (line {line})" if line else "")
        return TemplateFailed(message, template=index)


class _KilledFromOutside(Exception):
    """Somebody killed a worker that had done nothing wrong so far."""


class _Worker:
    """One process, and the one exchange that it may have going. Hashed by identity."""

    def __init__(self, process: Process, answer_bytes_max: int) -> None:
        self.process = process
        self.renders = 0
        self._answer_bytes_max = answer_bytes_max
        self._idle_timer: asyncio.TimerHandle | None = None
        self._to = cast("asyncio.StreamWriter", process.stdin)
        self._from = cast("asyncio.StreamReader", process.stdout)

    async def ask(self, request: bytes) -> JsonObject:
        self.renders += 1
        self._to.write(request)
        await self._to.drain()
        return await self.hear(self._answer_bytes_max)

    async def hear(self, bytes_max: int) -> JsonObject:
        """The next frame.

        Raises:
            EOFError: the process ended, or was ended here because it does not keep to the protocol.
        """
        (length,) = struct.unpack("<I", await self._from.readexactly(4))
        if length <= bytes_max:
            with contextlib.suppress(JsonInvalid):
                return loads(await self._from.readexactly(length))
        self.kill()
        raise EOFError("not a frame of the protocol")

    def idle_until(self, idle_s: float, then: Callable[[], None]) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(idle_s, then)

    def stop_idling(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    async def exit_code(self) -> int | None:
        """The exit code of a process that closed its output, so that it ends at any moment; `None` where it does not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                return await self.process.wait()
        return None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    async def end(self, why: str) -> None:
        """Kill the process and wait until it is gone. Nobody may be in `ask` or `hear`."""
        self.kill()
        # Reads what is left in the pipe, so that both its ends get closed.
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(END_S):
                await self.process.communicate()
        emit(TemplateWorkerEnded(pid=self.process.pid, why=why))


async def _start_worker(settings: Settings, module: str) -> _Worker:
    options = {
        "parent_pid": os.getpid(),
        "timeout_s": settings.template_timeout_s,
        "memory_bytes_max": settings.template_memory_bytes_max,
        "output_bytes_max": settings.template_output_bytes_max,
    }
    python = (sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", "-c", _BOOT)
    try:
        process = await asyncio.create_subprocess_exec(
            *python,
            module,
            dumps(options).decode(),
            *_folders(),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            # Templates see one time zone on every machine.
            env={"TZ": "UTC0"},
            # A Ctrl-C on the terminal is the server's affair.
            start_new_session=True,
            limit=_READ_BYTES,
        )
    except OSError as error:
        raise Unavailable("a process that renders templates could not be started") from error
    return _Worker(process, _TEXT_BYTES_PER_BYTE_MAX * settings.template_output_bytes_max + _ANSWER_BYTES_EXTRA)


@lru_cache(maxsize=1)
def _folders() -> tuple[str, ...]:
    """The folders that a worker imports from, besides the standard library's."""
    found = [find_spec(name) for name in _WORKER_NEEDS]
    return tuple(dict.fromkeys(str(Path(spec.origin).parent.parent) for spec in found if spec and spec.origin))


async def _request(templates: list[str], variables: JsonObject) -> bytes:
    """One frame for a worker.

    Raises:
        TemplateFailed: it would be larger than `REQUEST_BYTES_MAX`.
    """
    pieces = [b'{"templates":', dumps(templates), b',"variables":{']
    size = unbroken = len(pieces[1])
    comma = b""
    for name, value in variables.items():
        pieces += (comma, dumps(name), b":", piece := dumps(value))
        comma = b","
        size += len(piece) + len(name)
        unbroken += len(piece)
        if size > REQUEST_BYTES_MAX:
            break
        if unbroken > UNBROKEN_BYTES_MAX:
            unbroken = 0
            await asyncio.sleep(0)
    if size > REQUEST_BYTES_MAX:
        raise TemplateFailed(f"Template and variables are larger than {REQUEST_BYTES_MAX // 1_000_000} MB")
    pieces.append(b"}}")
    body = b"".join(pieces)
    return struct.pack("<I", len(body)) + body


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


def _plain(text: str) -> str:
    """`text` as Jinja2 would give it where nothing is to be rendered. Source: `Lexer.tokeniter` of Jinja2 3.1."""
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    return text.removesuffix("\n")


async def _render_default(variables: JsonObject) -> str:
    # The template is ours, so only its data is foreign, and data cannot make it call anything or run long.
    if _default_template.cache_info().currsize == 0:
        await asyncio.to_thread(_default_template)
    return _default_template().render(variables)


@lru_cache(maxsize=1)
def _default_template() -> Any:
    jinja2: Any = lazy.load("jinja2")
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.ChainableUndefined)
    return environment.from_string(DEFAULT_SYSTEM_TEMPLATE)
