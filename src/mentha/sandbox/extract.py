"""Text out of PDFs, read by a process of its own each time: a broken or hostile file can use up its limits and nothing else.

At most `EXTRACTIONS_AT_ONCE_MAX` such processes (`sandbox/extract_worker.py`) run, `TENANT_EXTRACTIONS_MAX` of one tenant; each ends with
its file, or is killed when its time is over.
"""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast
from uuid import UUID

from mentha.core.config import Settings
from mentha.core.errors import FileInvalid, Unavailable
from mentha.core.json import JsonInvalid, JsonObject, dumps, loads
from mentha.sandbox.slots import Slots

EXTRACTIONS_AT_ONCE_MAX = 2
# One is left to the others: a hostile file holds its place until its time is over.
TENANT_EXTRACTIONS_MAX = 1
WAITING_MAX = 100
TENANT_WAITING_MAX = 25
WAIT_S = 30.0
# A process imports its library in 0.3 s; the rest is for a machine that is busy or cold. Its limit counts from its start.
START_S = 10.0
END_S = 5.0
PIECE_BYTES = 262_144
_ANSWER_BYTES_PER_CHAR_MAX = 6  # JSON writes a control character as an escape of six.
_ANSWER_BYTES_EXTRA = 1_000

_BOOT = """\
import sys
sys.path += sys.argv[2:]
from mentha.sandbox.extract_worker import main
main(sys.argv[1])
"""
_WORKER_NEEDS = ("mentha", "pypdf", "typing_extensions", "cryptography", "cffi", "_cffi_backend")
_FAULTS = {
    "encrypted": "the PDF is encrypted with a password",
    "broken": "the PDF is broken: no text could be read out of it",
    "memory": "reading the PDF takes too much memory",
}


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a file. `is_cut`: it had more characters than were wanted."""

    text: str
    is_cut: bool


class Extractor:
    """Reads texts out of PDFs. Starts nothing by itself; `close` it in the end. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._slots = Slots(
            EXTRACTIONS_AT_ONCE_MAX,
            waiting_max=WAITING_MAX,
            wait_s=WAIT_S,
            too_many="too many files are waiting to be read",
            all_busy="all processes that read files are busy",
            owner_max=TENANT_EXTRACTIONS_MAX,
            owner_waiting_max=TENANT_WAITING_MAX,
        )
        self._live: set[Process] = set()

    async def pdf(self, tenant: UUID, source: bytes | Callable[[], Awaitable[bytes]], *, chars_max: int) -> Extracted:
        """The text of a PDF, its pages divided by empty lines; empty where it has only images.

        Args:
            tenant: whose share of the processes is used.
            source: the file, or what gives it; that is asked once a process is free, so that files which wait take no memory.
            chars_max: what is beyond is cut off, and pages after that are not read.

        Raises:
            FileInvalid: it is encrypted or broken, or reading it broke a limit (`Settings.file_extract_*`).
            Unavailable: no process became free in time, or none could be started, or this object is closed.
            MenthaError: whatever `source` raises.
        """
        async with self._slots.taken(tenant):
            raw = source if isinstance(source, bytes) else await source()
            process = await self._start(chars_max)
            self._live.add(process)
            if self._slots.closed:
                _kill(process)
            try:
                async with asyncio.timeout(START_S + self._settings.file_extract_s):
                    answer = await _ask(process, raw, _ANSWER_BYTES_PER_CHAR_MAX * chars_max + _ANSWER_BYTES_EXTRA)
                    code = await process.wait()
            except TimeoutError:
                raise self._too_slow() from None
            finally:
                self._live.discard(process)
                await _end(process)
        if self._slots.closed:
            raise Unavailable("the server is stopping")
        return self._read(answer, code)

    async def close(self) -> None:
        """Kill what runs and wait until it is gone. Extractions in flight fail with `Unavailable`. A second call changes nothing."""
        if self._slots.closed:
            return
        self._slots.closed = True
        for process in self._live:
            _kill(process)
        await self._slots.drained(limit_s=END_S)

    async def _start(self, chars_max: int) -> Process:
        if self._slots.closed:
            raise Unavailable("the server is stopping")
        options = {
            "parent_pid": os.getpid(),
            "timeout_s": self._settings.file_extract_s,
            "memory_bytes_max": self._settings.file_extract_memory_bytes_max,
            "chars_max": chars_max,
        }
        python = (sys.executable, "-I", "-S", "-X", "utf8", "-W", "ignore", "-c", _BOOT)
        try:
            return await asyncio.create_subprocess_exec(
                *(*python, dumps(options).decode(), *_folders()), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env={}, start_new_session=True
            )
        except OSError as error:
            raise Unavailable("a process that reads files could not be started") from error

    def _read(self, answer: bytes, code: int) -> Extracted:
        if code == -signal.SIGXCPU:
            raise self._too_slow()
        try:
            found: JsonObject = loads(answer)
        except JsonInvalid:
            raise FileInvalid("the PDF crashed the process that read it: it takes too much memory, or is broken") from None
        if "text" in found:
            return Extracted(found["text"], found["is_cut"])
        raise FileInvalid(_FAULTS[found["failed"]])

    def _too_slow(self) -> FileInvalid:
        return FileInvalid(f"reading the PDF takes longer than {self._settings.file_extract_s:g} s")


async def _ask(process: Process, raw: bytes, answer_bytes_max: int) -> bytes:
    """Hand the file over and take the answer, what is too long of it not."""
    to, from_ = cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout)
    # A process that ended early does not take the whole file; what it answered tells why.
    with contextlib.suppress(ConnectionError):
        # In pieces: the event loop would copy a large file at once.
        for begin in range(0, len(raw), PIECE_BYTES):
            to.write(raw[begin : begin + PIECE_BYTES])
            await to.drain()
    to.close()
    pieces, left = list[bytes](), answer_bytes_max
    while left > 0 and (piece := await from_.read(min(left, PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        _kill(process)
    return b"".join(pieces)


async def _end(process: Process) -> None:
    _kill(process)
    # Reads what is left in the pipe, so that both its ends get closed.
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(END_S):
            await process.communicate()


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


@lru_cache(maxsize=1)
def _folders() -> tuple[str, ...]:
    """The folders that such a process imports from, besides the standard library's."""
    found = [find_spec(name) for name in _WORKER_NEEDS]
    return tuple(
        dict.fromkeys(
            str(Path(spec.origin).parent.parent if spec.submodule_search_locations else Path(spec.origin).parent)
            for spec in found
            if spec and spec.origin
        )
    )
