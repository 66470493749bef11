"""YAML of clients: read event by event within limits, into the JSON that the same text would be, with the line of each part.

Only what JSON can say comes through: no tags, no dates, no sets; keys are text. Scalars mean what YAML 1.1 says, as they did with the
original, but for numbers to the base of 60, which are times of day here and stay text. An alias is put in as if it was written out, and
counts so; nothing can hold itself.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mentha.core import lazy
from mentha.core.json import JsonObject, JsonValue

# Scalars, keys, lists and objects: some 0.3 s.
NODES_MAX = 50_000
CHARS_MAX = 2_000_000
# Deeper would be too deep for functions that call themselves.
DEPTH_MAX_LEVELS = 200
NUMBER_CHARS_MAX = 40
NAME_CHARS_SHOWN = 40

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **{form: True for word in ("yes", "true", "on") for form in (word, word.title(), word.upper())},
    **{form: False for word in ("no", "false", "off") for form in (word, word.title(), word.upper())},
}
_INTEGER = re.compile(r"[-+]?(?:0b[01][01_]*|0o?[0-7_]*[0-7]|0x[0-9a-fA-F][0-9a-fA-F_]*|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?")
# What JSON, as we write it, has whole numbers for.
_INTEGERS = range(-(2**63), 2**64)
_MERGE = "<<"

Path = tuple[str | int, ...]


class YamlInvalid(ValueError):
    """The text is no YAML, or breaks a limit. `line` is where, counted from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class YamlRead:
    """A document as JSON, and where its parts stand."""

    value: JsonValue
    lines: dict[Path, int]

    def line_of(self, path: Path) -> int:
        """The line of a part; where there is no such part, that of the nearest one around it."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1


def loads_yaml(raw: bytes, *, depth_max_levels: int) -> YamlRead:
    """Read one document.

    Raises:
        YamlInvalid: it is none, there are several, or it breaks a limit. The message is fit to be shown.
    """
    yaml: Any = lazy.load("yaml")
    events = yaml.parse(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    try:
        return _Reader(events, min(depth_max_levels, DEPTH_MAX_LEVELS)).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it is no text"
        raise YamlInvalid(f"the body is not valid YAML: {problem}", 1 if mark is None else mark.line + 1) from None
    except UnicodeDecodeError:
        raise YamlInvalid("the body is not valid YAML: it is not UTF-8", 1) from None


class _Reader:
    """Makes values of events, and counts."""

    def __init__(self, events: Iterator[Any], depth_max_levels: int) -> None:
        self._events = events
        self._depth_max_levels = depth_max_levels
        self._anchors: dict[str, JsonValue] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self._nodes = self._chars = 0
        self._lines: dict[Path, int] = {}

    def document(self) -> YamlRead:
        next(self._events)
        first = next(self._events)
        if _kind(first) == "StreamEndEvent":
            return YamlRead(None, {})
        value = self._value(next(self._events), (), 0)
        next(self._events)
        last = next(self._events)
        if _kind(last) != "StreamEndEvent":
            raise YamlInvalid("the body has several YAML documents: send one", _line(last))
        return YamlRead(value, self._lines)

    def _value(self, event: Any, path: Path, depth: int) -> JsonValue:
        self._lines.setdefault(path, _line(event))
        kind = _kind(event)
        if kind == "AliasEvent":
            return self._alias(event)
        if event.tag is not None:
            raise YamlInvalid(f"tags are not supported, and here is one: {event.tag[:NAME_CHARS_SHOWN]}", _line(event))
        before = self._nodes, self._chars
        self._count(event, 1, len(event.value) if kind == "ScalarEvent" else 0)
        if kind == "ScalarEvent":
            value = _scalar(event.value) if event.implicit[0] else event.value.replace("\x00", "")
        elif depth >= self._depth_max_levels:
            raise YamlInvalid(f"nested deeper than {self._depth_max_levels} levels", _line(event))
        elif kind == "SequenceStartEvent":
            value = self._list(path, depth + 1)
        else:
            value = self._object(path, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
            self._sizes[event.anchor] = self._nodes - before[0], self._chars - before[1]
        return value

    def _alias(self, event: Any) -> JsonValue:
        # What an anchor names is known when it has ended, so that nothing can hold itself.
        if event.anchor not in self._anchors:
            raise YamlInvalid(f"`*{event.anchor[:NAME_CHARS_SHOWN]}` stands for nothing that came before it", _line(event))
        self._count(event, *self._sizes[event.anchor])
        return self._anchors[event.anchor]

    def _list(self, path: Path, depth: int) -> list[JsonValue]:
        made: list[JsonValue] = []
        while _kind(event := next(self._events)) != "SequenceEndEvent":
            made.append(self._value(event, (*path, len(made)), depth))
        return made

    def _object(self, path: Path, depth: int) -> JsonObject:
        made: JsonObject = {}
        merged: list[JsonObject] = []
        while _kind(event := next(self._events)) != "MappingEndEvent":
            if _kind(event) != "ScalarEvent":
                raise YamlInvalid("the key of an object must be text", _line(event))
            self._count(event, 1, len(event.value))
            key = event.value.replace("\x00", "")
            self._lines[(*path, key)] = _line(event)
            value = self._value(next(self._events), (*path, key), depth)
            if key == _MERGE and event.implicit[0]:
                merged += _merged(value, _line(event))
            else:
                made[key] = value
        for other in merged:
            for key, value in other.items():
                made.setdefault(key, value)
        return made

    def _count(self, event: Any, nodes: int, chars: int) -> None:
        self._nodes += nodes
        self._chars += chars
        if self._nodes > NODES_MAX or self._chars > CHARS_MAX:
            raise YamlInvalid(f"more than {NODES_MAX:,} values or {CHARS_MAX:,} characters, those behind aliases counted", _line(event))


def _merged(value: JsonValue, line: int) -> list[JsonObject]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in found):
        raise YamlInvalid("`<<` takes in objects alone", line)
    return found


def _scalar(text: str) -> JsonValue:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) <= NUMBER_CHARS_MAX and (text[0].isdigit() or text[0] in "+-."):
        if _INTEGER.fullmatch(text):
            number = _integer(text.replace("_", ""))
            return number if number in _INTEGERS else float(number)
        if _FLOAT.fullmatch(text):
            number = float(text.replace("_", ""))
            return number if math.isfinite(number) else text
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    if digits[0] != "0" or len(digits) == 1:
        return int(text)
    return int(text, {"b": 2, "x": 16}.get(digits[1], 8))


def _kind(event: Any) -> str:
    return type(event).__name__


def _line(event: Any) -> int:
    return event.start_mark.line + 1
