"""JSON: bytes in, bytes out, with the limits that hostile input needs."""

from typing import Any

import orjson

# The JSON alias is the one place where `Any` stands for "some JSON value": a recursive alias costs the type checker more than it finds.
JsonValue = Any
JsonObject = dict[str, Any]

JSON_DEPTH_MAX_LEVELS = 64
# Parsing holds the event loop: 50 MB of empty lists would hold it for half a minute, as many bytes of text for some milliseconds.
JSON_CONTAINERS_MAX = 200_000
JSON_VALUES_MAX = 1_000_000


class JsonInvalid(ValueError):
    """The text is no JSON, or breaks a limit. `position` is the byte where it failed, 0 where there is none."""

    def __init__(self, message: str, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


def dumps(value: JsonValue) -> bytes:
    """`value` as compact JSON. UUIDs and datetimes are written as the API writes them (UTC, `Z`, microseconds)."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def loads(raw: bytes | str) -> JsonValue:
    """Parse text that we wrote ourselves (a column, a file of ours).

    Raises:
        JsonInvalid: it is no JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise JsonInvalid(error.msg, error.pos) from None


def loads_hostile(raw: bytes, *, depth_max_levels: int = JSON_DEPTH_MAX_LEVELS) -> JsonValue:
    r"""Parse JSON that a client sent: depth is limited, and `\u0000` is removed because PostgreSQL cannot store it.

    Raises:
        JsonInvalid: no JSON, or nested deeper than `depth_max_levels`. The message is fit to be shown.
    """
    value = loads(raw)
    # Most bodies have fewer brackets in all than levels allowed: counting bytes is far cheaper than walking the value.
    if raw.count(b"{") + raw.count(b"[") > depth_max_levels and _depth_exceeds(value, depth_max_levels):
        raise JsonInvalid(f"nested deeper than {depth_max_levels} levels")
    if b"\\u0000" in raw:
        return _without_nul(value)
    return value


def refuse_many_values(raw: bytes) -> None:
    """Look at JSON before it is parsed, for a few milliseconds.

    Raises:
        JsonInvalid: it has more than `JSON_CONTAINERS_MAX` objects and lists, or more than `JSON_VALUES_MAX` values.
    """
    if not _has_many(raw):
        return
    # What stands in texts does not count. Escapes go first, those of backslashes before all others.
    bare = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Each text is a value or the key of one.
    if bare.count(b'"') > 4 * JSON_VALUES_MAX or _has_many(b"".join(bare.split(b'"')[::2])):
        raise JsonInvalid(f"more than {JSON_CONTAINERS_MAX:,} objects and lists, or more than {JSON_VALUES_MAX:,} values")


def _has_many(raw: bytes) -> bool:
    containers = raw.count(b"{") + raw.count(b"[")
    return containers > JSON_CONTAINERS_MAX or containers + raw.count(b",") > JSON_VALUES_MAX


def _depth_exceeds(value: JsonValue, limit: int) -> bool:
    level = [value]
    for _ in range(limit + 1):
        level = [
            child
            for node in level
            if isinstance(node, (dict, list))
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _without_nul(value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value
