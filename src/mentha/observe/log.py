"""Log lines, made from events: one line each, for people (text) or for machines (JSON). Times are UTC.

Libraries that use Python's own logging or warnings come out in the same form, from warnings up. A slow or absent reader of the log never
holds up the server: what the stream can't take waits in a bounded backlog, and lines beyond it are counted instead of written.
"""

import contextlib
import logging
import os
import re
import select
import threading
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import IO, Any, Literal

from mentha.core.clock import now
from mentha.core.json import dumps
from mentha.observe import events
from mentha.observe.events import Event

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
VALUE_CHARS_MAX = 8_000
BACKLOG_BYTES_MAX = 1_000_000
END_WAIT_S = 1.0
# A pipe that says it is writable takes this many bytes without blocking: PIPE_BUF of POSIX is 512, of Linux 4,096.
PIECE_BYTES = select.PIPE_BUF
# Line breaks of every kind, terminal controls and marks that turn the direction of text: in a value they would let a client write lines of
# its own into the log, or move what a person reads.
_UNSAFE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_QUOTED = re.compile(r'[ "=]|^$')
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def install(*, fmt: Literal["text", "json"], level: str, stream: IO[str]) -> Callable[[], None]:
    """Write a line to `stream` for each event from now on that is at least as important as `level`.

    Returns:
        What ends it; it waits at most a second for the rest to be written.
    """
    line = _text if fmt == "text" else _json
    least = LEVELS[level]

    def lost(count: int) -> str:
        return line(now(), "warning", "log lines lost", "", {"count": count})

    writer = _Writer(stream, lost)

    def show(event: Event) -> None:
        if LEVELS[event.level] >= least:
            writer.write(line(now(), event.level, _name(type(event)), events.request_id.get(), _values(event)))

    def show_record(record: logging.LogRecord) -> None:
        important = "error" if record.levelno >= logging.ERROR else "warning"
        writer.write(line(now(), important, record.name, events.request_id.get(), _of_record(record)))

    handler = _Handler(max(least, logging.WARNING), show_record)
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(capture=True)
    events.subscribe(show)

    def end() -> None:
        events.unsubscribe(show)
        logging.captureWarnings(capture=False)
        logging.getLogger().removeHandler(handler)
        writer.end()

    return end


class _Handler(logging.Handler):
    def __init__(self, level: int, show: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(level)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record)


class _Writer:
    """Writes lines to a stream without ever waiting for whoever reads it. Safe to call from several threads.

    `lost` makes the line that tells how many lines were not written.
    """

    def __init__(self, stream: IO[str], lost: Callable[[int], str]) -> None:
        self._stream = stream
        self._lost = lost
        # Reentrant, because collecting garbage inside of `write` can raise a warning, which is a line as well.
        self._lock = threading.RLock()
        self._sending = False
        self._backlog = bytearray()
        self._dropped = 0
        self._descriptor = _descriptor(stream)

    def write(self, text: str) -> None:
        raw = text.encode("utf-8", "backslashreplace")
        if self._descriptor is None:
            # A stream without a descriptor is in memory: writing to it can't block.
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(raw.decode())
            return
        with self._lock:
            if len(self._backlog) + len(raw) > BACKLOG_BYTES_MAX:
                self._dropped += 1
            else:
                self._backlog += raw
            self._send(self._descriptor)

    def end(self) -> None:
        """Write the rest, for at most `END_WAIT_S`."""
        until = time.monotonic() + END_WAIT_S
        with self._lock:
            while self._descriptor is not None and (self._backlog or self._dropped) and time.monotonic() < until:
                self._send(self._descriptor, wait_s=until - time.monotonic())

    def _send(self, descriptor: int, *, wait_s: float = 0.0) -> None:
        if self._sending:
            return
        self._sending = True
        try:
            while self._backlog and select.select((), (descriptor,), (), max(0.0, wait_s))[1]:
                sent = os.write(descriptor, self._backlog[:PIECE_BYTES])
                del self._backlog[:sent]
            if self._dropped and not self._backlog:
                count, self._dropped = self._dropped, 0
                self._backlog += self._lost(count).encode()
        except BlockingIOError:
            return  # somebody else filled the pipe in between; the rest goes out with the next line
        except (OSError, ValueError):
            # Nobody reads the log any more: that must not stop the server.
            self._backlog.clear()
            self._dropped = 0
        finally:
            self._sending = False


def _descriptor(stream: IO[str]) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=256)
def _name(kind: type[Event]) -> str:
    return _WORD.sub(" ", kind.__name__).lower()


@lru_cache(maxsize=256)
def _fields(kind: type[Event]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _values(event: Event) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _fields(type(event)):
        value = getattr(event, name)
        # Seconds are told in milliseconds, which is what most of them are.
        if name.endswith("_s") and isinstance(value, float):
            values[name[:-2] + "_ms"] = round(value * 1000, 2)
        else:
            values[name] = value
    return values


def _of_record(record: logging.LogRecord) -> dict[str, Any]:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A library's arguments don't fit its own message: the message alone still tells something.
        message = str(record.msg)
    # Cut only after secrets are out, since a part of one is not known for it; cut before as well, to keep that cheap.
    values = {"message": events.redacted(message[: 2 * VALUE_CHARS_MAX])[:VALUE_CHARS_MAX]}
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        values["traceback"] = events.redacted(trace[-2 * VALUE_CHARS_MAX :])[-VALUE_CHARS_MAX:]
    return values


def _json(moment: datetime, level: str, name: str, request: str, values: dict[str, Any]) -> str:
    head = {"time": moment.isoformat(timespec="milliseconds"), "level": level, "event": name}
    if request:
        head["request_id"] = request
    try:
        raw = dumps({**head, **values})
    except TypeError:
        # A text that is no Unicode (the name of a file, say), or a value that JSON has no form for.
        raw = dumps({**head, **{key: _unicode(str(value)) for key, value in values.items()}})
    return raw.decode() + "\n"


def _text(moment: datetime, level: str, name: str, request: str, values: dict[str, Any]) -> str:
    shown = " ".join(f"{key}={_plain(value)}" for key, value in values.items())
    tail = f" request={request}" if request else ""
    return f"{moment.isoformat(timespec='milliseconds')[11:23]} {level:7} {name}  {shown}{tail}\n"


def _plain(value: object) -> str:
    text = str(value)[:VALUE_CHARS_MAX]
    if text.isalnum():
        return text
    text = _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return '"' + text.replace('"', '\\"') + '"' if _QUOTED.search(text) else text


def _unicode(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
