"""Metadata filters: from the query string, or a JSON object, to one jsonpath predicate. Pure.

A filter matches loosely: `5` matches the number 5 and the string "5"; `true` the boolean and the string. A dotted key means nesting, or
a key that has that dot in its name. A list matches when every item of it is there; an object when every key of it is there.

Source: section 2.1 of the behaviour spec; jsonpath as PostgreSQL has it (lax mode), which a GIN index serves.
"""

import math
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from mentha.core.json import JsonInvalid, JsonObject, JsonValue, dumps, loads_hostile
from mentha.wire.common import METADATA_FILTER_LEAVES_MAX

PREFIX = "metadata_filter"
FILTER_CHARS_MAX = 20_000
PATH_PARTS_MAX = 32


def from_query(pairs: Iterable[tuple[str, str]]) -> JsonObject | None:
    """Collect `metadata_filter.k=v`, `metadata_filter[k]=v` and `metadata_filter={…}` from a query string.

    Returns:
        The filter with dotted keys left as they are (both readings are tried later), or None where there is none.

    Raises:
        PydanticCustomError: not JSON, not an object, or too large. Fit for a 422.
    """
    found: JsonObject = {}
    size = 0
    for name, value in pairs:
        if not name.startswith(PREFIX):
            continue
        size += len(name) + len(value)
        if size > FILTER_CHARS_MAX:
            raise PydanticCustomError("filter_too_large", "A metadata filter has at most {limit} characters", {"limit": FILTER_CHARS_MAX})
        # As in bodies: PostgreSQL can't store this character, so nothing that is stored has it.
        rest, text = name[len(PREFIX) :].replace("\0", ""), value.replace("\0", "")
        if rest == "":
            found.update(_whole(text))
        elif rest.startswith("."):
            _add(found, rest[1:], text)
        elif rest.startswith("[") and rest.endswith("]"):
            _add(found, rest[1:-1].replace("][", "."), text)
    return found or None


def to_jsonpath(wanted: JsonObject) -> str | None:
    """One jsonpath predicate for `metadata @@ $1`; None for an empty filter.

    Raises:
        PydanticCustomError: more than 64 conditions, or a path of more than 32 parts. Fit for a 422.
    """
    conditions = [condition for key, value in wanted.items() for condition in _conditions((key,), value)]
    if len(conditions) > METADATA_FILTER_LEAVES_MAX:
        limit = {"limit": METADATA_FILTER_LEAVES_MAX}
        raise PydanticCustomError("filter_too_large", "A metadata filter has at most {limit} conditions", limit)
    return " && ".join(f"({condition})" for condition in conditions) or None


# As a field of a body.
MetadataFilter = Annotated[dict[str, Any], AfterValidator(lambda wanted: checked(wanted))]  # noqa: PLW0108 - `checked` stands below


def checked(wanted: JsonObject) -> JsonObject:
    """A filter of a body as it is.

    Raises:
        PydanticCustomError: as `to_jsonpath`.
    """
    to_jsonpath(wanted)
    return wanted


def _whole(text: str) -> JsonObject:
    if text.strip() in ("", "null"):
        return {}
    try:
        value = loads_hostile(text.encode())
    except (JsonInvalid, UnicodeEncodeError):
        raise PydanticCustomError("filter_invalid", "metadata_filter must be a JSON object, or metadata_filter.key=value") from None
    if not isinstance(value, dict):
        raise PydanticCustomError("filter_invalid", "metadata_filter must be a JSON object, or metadata_filter.key=value")
    return value


def _add(found: JsonObject, key: str, text: str) -> None:
    if key not in found:
        found[key] = text
    elif isinstance(found[key], list):
        found[key].append(text)
    else:
        found[key] = [found[key], text]


def _conditions(path: tuple[str, ...], value: JsonValue) -> list[str]:
    if len(path) > PATH_PARTS_MAX:
        raise PydanticCustomError("filter_too_large", "A metadata filter nests at most {limit} levels", {"limit": PATH_PARTS_MAX})
    if isinstance(value, dict) and value:
        return [condition for key, item in value.items() for condition in _conditions((*path, key), item)]
    if isinstance(value, list) and value:
        return [condition for item in value for condition in _conditions(path, item)]
    tests = [f"$.{_accessor(reading)}{test}" for reading in _readings(path) for test in _tests(value)]
    return [" || ".join(_grouped(tests))]


def _grouped(tests: list[str]) -> list[str]:
    return [f"({test})" for test in tests]


def _readings(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The ways to read a path: as given, and with every dotted key opened into levels."""
    opened = tuple(part for key in path for part in key.split("."))
    return [path] if opened == path or "" in opened or len(opened) > PATH_PARTS_MAX else [path, opened]


def _accessor(path: tuple[str, ...]) -> str:
    return ".".join(dumps(key).decode() for key in path)


def _tests(value: JsonValue) -> list[str]:
    if isinstance(value, dict):
        return ['.type() == "object"']
    if isinstance(value, list):
        return ['.type() == "array"']
    return [f" == {literal}" for literal in _literals(value)]


def _literals(value: JsonValue) -> list[str]:
    if value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
        return [text] if value is None else [text, f'"{text}"']
    if isinstance(value, (int, float)):
        return [dumps(value).decode(), f'"{dumps(value).decode()}"']
    literals = [dumps(value).decode()]
    if value in ("true", "false"):
        literals.append(value)
    elif number := _number(value):
        literals.append(number)
    return literals


def _number(text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number) or "_" in text or text != text.strip():
        return None
    try:
        return str(int(text))
    except ValueError:
        return repr(number)
