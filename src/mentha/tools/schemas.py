"""JSON Schemas of tenants (parameters of tools, later `input_schema`): compiled within limits, and values checked by them.

A schema is a tenant's text that a library runs. So: it stands alone (nothing is fetched, whatever it refers to), its patterns run in linear
time, and what a check may cost is known before (`schema_graph`). `format` says what is meant and is not checked, as in draft 2020-12.
Messages show no value that was checked.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mentha.core import lazy
from mentha.core.errors import SchemaInvalid
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.tools.schema_graph import visits

SCHEMA_BYTES_MAX = 100_000
SCHEMA_DEPTH_MAX_LEVELS = 50
PATTERNS_MAX = 50
PATTERN_CHARS_MAX = 500
# Of one compiled pattern. Beyond it stand counted repetitions of large classes, which cost most of all to compile.
PATTERN_BYTES_MAX = 100_000
# Characters times patterns in one check: the worst ones take 1.5 µs for each.
PATTERN_WORK_MAX = 500_000
# Looks in one check, at 20 to 40 ns each; and where faults are told one by one, which costs up to 30 µs for each look.
WORK_MAX = 5_000_000
TELLING_WORK_MAX = 20_000
# Parts of a value or of a schema that are counted at most.
PARTS_MAX = 200_000
FAULTS_MAX = 20
MESSAGE_CHARS_MAX = 300

DIALECTS = re.compile(r"https?://json-schema\.org/(draft-0[67]|draft/2019-09|draft/2020-12)/schema#?")
_MASK = "the value"
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a value does not fit, as a JSON pointer (empty: the whole), and why."""

    path: str
    message: str


@dataclass(frozen=True, slots=True)
class _Size:
    """What of a value, or of a schema, costs."""

    parts: int
    depth: int
    chars: int


class Schema:
    """A compiled schema. Make it by `compile_schema`."""

    def __init__(self, validator: Any, looks: tuple[int, ...], patterns: int) -> None:
        self._validator = validator
        self._looks = looks
        self._patterns = patterns

    def faults(self, value: JsonValue) -> tuple[Fault, ...]:
        """Why a value does not fit; empty where it does. At most `FAULTS_MAX`.

        Holds the event loop for some 0.1 s at worst. A value that would need more than that, or is nested deeper than bodies may be, does
        not fit.
        """
        size = _size(value)
        if size.depth >= len(self._looks):
            return (Fault("", f"the value is nested too deeply for this schema: {len(self._looks) - 1} levels are the limit"),)
        work = size.parts * max(self._looks[: size.depth + 1])
        if size.parts > PARTS_MAX or work > WORK_MAX or size.chars * self._patterns > PATTERN_WORK_MAX:
            return (Fault("", "the value is too large to be checked by this schema"),)
        try:
            if self._validator.is_valid(value):
                return ()
            if work > TELLING_WORK_MAX:
                return (Fault("", "the value does not fit the schema, and is too large to tell where"),)
            return tuple(_fault(error) for error in islice(self._validator.iter_errors(value), FAULTS_MAX))
        except ValueError:
            # Half a surrogate pair, a key that is no text: what JSON can't have.
            return (Fault("", "the value is no JSON"),)


def compile_schema(schema: JsonValue) -> Schema:
    """A tenant's schema, checked and ready.

    Drafts 6, 7, 2019-09 and 2020-12; without `$schema` the last one. References may lead to `#` and `#/…` alone, and no part has an `$id`.

    Raises:
        SchemaInvalid: it is no schema, refers to something outside of itself, has a pattern that is none (or that looks around or back,
            which can't be done in linear time), or exceeds a limit. The message says where.
    """
    if not isinstance(schema, (dict, bool)):
        raise SchemaInvalid("a schema is a JSON object", fix="send an object")
    patterns = _check_form(schema)
    looks = visits(schema)
    library: Any = lazy.load("jsonschema_rs")
    limits = library.RegexOptions(size_limit=PATTERN_BYTES_MAX, dfa_size_limit=PATTERN_BYTES_MAX)
    try:
        # `offline` is the library's own refusal to fetch anything: no web, no files.
        validator = library.validator_for(schema, offline=True, pattern_options=limits, validate_formats=False, mask=_MASK)
    except ValueError as error:
        raise _invalid(error) from None
    return Schema(validator, looks, patterns)


def _check_form(schema: JsonValue) -> int:
    """Refuse what is too large or leads outside, wherever in the schema it stands; gives the number of patterns."""
    size = _size(schema)
    if size.parts > PARTS_MAX:
        raise SchemaInvalid(f"the schema has more than {PARTS_MAX:,} parts", fix="shorten it")
    if size.depth > SCHEMA_DEPTH_MAX_LEVELS:
        raise SchemaInvalid(f"the schema is nested deeper than {SCHEMA_DEPTH_MAX_LEVELS} levels", fix="move parts of it to `$defs`")
    try:
        too_long = len(dumps(schema)) > SCHEMA_BYTES_MAX
    except TypeError:
        raise SchemaInvalid("the schema has something that is no JSON", fix="send JSON") from None
    if too_long:
        raise SchemaInvalid(f"the schema has more than {SCHEMA_BYTES_MAX:,} bytes", fix="shorten it")
    patterns: list[str] = []
    for part in _objects(schema):
        _check_names(part, is_whole=part is schema)
        named = part.get("patternProperties")
        patterns += [part["pattern"]] if isinstance(part.get("pattern"), str) else []
        patterns += list(named) if isinstance(named, dict) else []
    if len(patterns) > PATTERNS_MAX or any(len(pattern) > PATTERN_CHARS_MAX for pattern in patterns):
        raise SchemaInvalid(
            f"the schema has more than {PATTERNS_MAX} patterns, or one of more than {PATTERN_CHARS_MAX} characters",
            fix="use fewer and shorter ones",
        )
    return len(patterns)


def _check_names(part: JsonObject, *, is_whole: bool) -> None:
    """Refuse what would change where references lead to, or what the words of a schema mean."""
    reference = part.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise SchemaInvalid(
            "the schema refers to something outside of itself", fix="put what it needs under `$defs`, and refer to it by `#/$defs/…`"
        )
    if any(isinstance(part.get(name), str) for name in ("$dynamicRef", "$recursiveRef")):
        raise SchemaInvalid("the schema has a `$dynamicRef` or `$recursiveRef`", fix="use `$ref`")
    if not is_whole and any(isinstance(part.get(name), str) for name in ("$id", "$schema")):
        raise SchemaInvalid("a part of the schema has an `$id` or a `$schema` of its own", fix="leave them out")
    dialect = part.get("$schema") if is_whole else None
    if dialect is not None and not (isinstance(dialect, str) and DIALECTS.fullmatch(dialect)):
        raise SchemaInvalid("the schema is of an unknown draft", fix="leave `$schema` out, or name draft 6, 7, 2019-09 or 2020-12")


def _objects(value: JsonValue) -> Iterator[JsonObject]:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _size(value: JsonValue) -> _Size:
    """The size of a value, counted no further than to `PARTS_MAX`."""
    parts, chars, depth = 0, 0, -1
    level: list[JsonValue] = [value]
    while level and parts <= PARTS_MAX:
        depth += 1
        parts += len(level)
        below: list[JsonValue] = []
        for part in level:
            if isinstance(part, str):
                chars += len(part)
            elif isinstance(part, dict):
                # A name is looked at as well, by `propertyNames`.
                parts += len(part)
                chars += sum(len(key) for key in part if isinstance(key, str))
                below += part.values()
            elif isinstance(part, list):
                below += part
        level = below
    return _Size(parts, depth, chars)


def _fault(error: Any) -> Fault:
    return Fault(_pointer(error.instance_path), _cut(error.message))


def _invalid(error: ValueError) -> SchemaInvalid:
    path = _pointer(getattr(error, "instance_path", ()))
    message = _cut(str(getattr(error, "message", "it is no JSON")))
    if '"regex"' in message:
        message = "the pattern is none, is too large, or looks around or back, which is not supported"
    return SchemaInvalid(f"the schema is not valid at `{path or '#'}`: {message.replace(_MASK, 'what stands there')}")


def _pointer(path: Sequence[str | int]) -> str:
    return _cut("".join("/" + str(word).replace("~", "~0").replace("/", "~1") for word in path))


def _cut(text: str) -> str:
    return text if len(text) <= MESSAGE_CHARS_MAX else text[:MESSAGE_CHARS_MAX] + _CUT
