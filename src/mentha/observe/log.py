"""Log lines, made from events: one line each, for people (text) or for machines (JSON).

Libraries that use Python's own logging come out in the same form, from warnings up.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime
from functools import lru_cache
from typing import IO, Any, Literal

from mentha.core.clock import now
from mentha.core.json import dumps
from mentha.observe import events
from mentha.observe.events import Event

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
VALUE_CHARS_MAX = 8_000
_BREAKS = re.compile(r"[\x00-\x1f\x7f]")
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def install(*, fmt: Literal["text", "json"], level: str, stream: IO[str]) -> Callable[[], None]:
    """Write a line to `stream` for each event from now on that is at least as important as `level`.

    Returns:
        What ends it.
    """
    line = _text if fmt == "text" else _json
    least = LEVELS[level]

    def write(text: str) -> None:
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):
            return  # nobody reads the log any more: that must not stop the server

    def show(event: Event) -> None:
        if LEVELS[event.level] >= least:
            write(line(now(), event.level, _name(type(event)), events.request_id.get(), _values(event)))

    handler = _Handler(
        lambda record: write(line(now(), record.levelname.lower(), record.name, events.request_id.get(), _of_record(record)))
    )
    logging.getLogger().addHandler(handler)
    events.subscribe(show)

    def end() -> None:
        events.unsubscribe(show)
        logging.getLogger().removeHandler(handler)

    return end


class _Handler(logging.Handler):
    def __init__(self, show: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(record)


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
    values = {"message": record.getMessage()}
    if record.exc_info:
        values["traceback"] = logging.Formatter().formatException(record.exc_info)
    return values


def _json(moment: datetime, level: str, name: str, request: str, values: dict[str, Any]) -> str:
    head = {
        "time": moment.isoformat(timespec="milliseconds"),
        "level": level,
        "event": name,
        **({"request_id": request} if request else {}),
    }
    return dumps({**head, **values}).decode() + "\n"


def _text(moment: datetime, level: str, name: str, request: str, values: dict[str, Any]) -> str:
    shown = " ".join(f"{key}={_plain(value)}" for key, value in values.items())
    tail = f" request={request}" if request else ""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03} {level:7} {name}  {shown}{tail}\n"


def _plain(value: object) -> str:
    text = str(value)[:VALUE_CHARS_MAX]
    # A line break in a value would let a client write lines of its own into the log.
    return _BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text) if not text.isalnum() else text
