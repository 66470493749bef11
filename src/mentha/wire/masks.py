"""Which values of a tool are secrets: hidden in every answer, kept where a change sends them back as they were shown. Pure.

A secret is
- a value under a name that says so, like `brave_api_key`, `password` or a header `Authorization` (see `is_secret`),
- every value inside of `cookies`, `http_headers` and `env`,
- in a URL: the password, a user without one, and each query parameter with such a name; in a `params` text likewise.

An answer has `ENCRYPTED` in the place of each, as it has for the values of the API's secrets. A tool that comes back with the word in the
same place keeps what is stored there.
"""

import re
from collections.abc import Callable
from typing import Any

from mentha.core.json import JsonObject, JsonValue

MARKER = "ENCRYPTED"
# What becomes of a secret. In a URL it takes and gives text, which must be safe there: letters, digits, `-`, `.`, `_`, `~`.
Change = Callable[[JsonValue], JsonValue]

# Types whose members hold values; the others hold only descriptions.
_TYPES = frozenset({"integration", "api_call", "system"})
# Members of an `api_call` that describe values, or name secrets that are stored elsewhere.
_DESCRIBING = frozenset({"schema", "params_schema", "secrets"})
_ALL_SECRET = frozenset({"cookies", "http_headers", "env"})
_ENDINGS = (
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "auth",
    "authorization",
    "credential",
    "credentials",
    "cookie",
    "signature",
    "jwt",
    "appid",
    "serviceaccountjson",
)
_BETWEEN_LETTERS = str.maketrans("", "", "-_. :/[]0123456789")
_PARTS = ("apikey", "accesskey", "secret", "password")
_URL = re.compile(
    r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)(?:(?P<user>[^/?#]*)@)?(?P<place>[^?#]*)(?P<query>\?[^#]*)?(?P<end>#.*)?", re.DOTALL
)


def is_secret(name: str) -> bool:
    """Whether a name says that its value is a secret: rather one too many than one too few."""
    letters = name.lower().translate(_BETWEEN_LETTERS)
    return letters.endswith(_ENDINGS) or any(part in letters for part in _PARTS)


def each_secret(kind: str, spec: JsonObject, change: Change) -> JsonObject:
    """A copy of a tool's member with every secret changed; null, true, false and what is empty are none.

    Args:
        kind: the type of the tool.
        spec: its member that is named like the type, or some fields of it.
    """
    if kind not in _TYPES:
        return spec
    return {name: value if name in _DESCRIBING else _member(name, value, change) for name, value in spec.items()}


def shown(kind: str, spec: JsonObject) -> JsonObject:
    """A tool's member as answers have it: the marker in the place of every secret."""
    return each_secret(kind, spec, lambda _: MARKER)


def kept(kind: str, given: JsonObject, stored: JsonObject) -> JsonObject:
    """`given` with the stored secrets wherever it has what an answer shows in their place."""
    return _kept(given, stored, shown(kind, stored))


def has_marker(kind: str, spec: JsonObject) -> bool:
    """Whether the marker stands for a secret: in a new tool, or after `kept`, it stands for nothing."""
    found: list[JsonValue] = []
    each_secret(kind, spec, lambda value: found.append(value) or value)
    return MARKER in found


def _kept(given: JsonValue, stored: JsonValue, seen: JsonValue) -> JsonValue:
    if isinstance(given, dict) and isinstance(stored, dict) and isinstance(seen, dict):
        return {name: _kept(value, stored[name], seen[name]) if name in stored else value for name, value in given.items()}
    # Lists are kept only whole: in a changed one nobody can say which secret belongs where.
    return stored if seen != stored and given == seen else given


def _member(name: str, value: JsonValue, change: Change) -> JsonValue:
    if value is None or isinstance(value, bool) or value in ("", {}, []):
        return value
    if name in _ALL_SECRET and isinstance(value, dict):
        return {each: change(inner) if inner else inner for each, inner in value.items()}
    if is_secret(name):
        return change(value)
    if name == "params" and isinstance(value, str):
        return _in_query(value, change)
    return _walked(value, change)


def _walked(value: JsonValue, change: Change) -> JsonValue:
    if isinstance(value, dict):
        return {name: _member(name, inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_walked(inner, change) for inner in value]
    return _in_url(value, change) if isinstance(value, str) and "://" in value else value


def _in_url(url: str, change: Change) -> str:
    parts = _URL.fullmatch(url)
    if parts is None:
        return url
    user, query = parts["user"], parts["query"]
    who = "" if user is None else f"{_in_user(user, change)}@"
    asked = "" if query is None else f"?{_in_query(query[1:], change)}"
    return f"{parts['scheme']}{who}{parts['place']}{asked}{parts['end'] or ''}"


def _in_user(user: str, change: Change) -> Any:
    name, colon, password = user.partition(":")
    # Without a password, the name is what opens the door.
    return f"{name}:{change(password)}" if password else f"{change(name)}{colon}" if name else user


def _in_query(query: str, change: Change) -> str:
    pairs = (pair.partition("=") for pair in query.split("&"))
    return "&".join(f"{name}{sign}{change(value) if value and is_secret(name) else value}" for name, sign, value in pairs)
