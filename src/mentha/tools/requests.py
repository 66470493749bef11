"""The HTTP request of an `api_call` tool: what the tool fixes and what the model gives, joined (ruling 17). Pure.

A call's arguments are either fields, each of which has its place (a placeholder of the address, the query, the body), or the parts of a
request (`params`, `json`, `headers`, …) by these names: the latter where the tool's schema names nothing else, or where it has none.

What the tool fixes wins, header by header and field by field. A call may change the address only within the tool's origin, and method,
headers or address at all only where the tool's schema offers that.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.tools.calls import ToolFailed
from mentha.tools.multipart import form
from mentha.wire.api_calls import PLACEHOLDER, HttpMethod, placeholders

# Their fields go to the query: what bodies of these mean is not defined.
BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "CONNECT", "TRACE"})
PARTS = frozenset(
    {"params", "json", "json_", "data", "content", "files", "headers", "cookies", "auth", "url", "method", "timeout", "follow_redirects"}
    | {"include_response_content"}
)
# A schema that has none of these, as an object, describes fields: `content` or `url` alone may well be one.
_TELLING = frozenset({"params", "data", "headers", "cookies", "files"})
METHODS: tuple[str, ...] = HttpMethod.__args__
_DOTS = frozenset({".", ".."})
QUERY_FIELDS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready to be sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    follow_redirects: bool
    timeout_s: float | None
    with_content: bool


def request_of(spec: JsonObject, offered: Mapping[str, Any], arguments: JsonObject) -> Request:
    """The request that a call makes.

    Args:
        spec: the tool's member, with its secrets in place.
        offered: the properties that the model was offered.
        arguments: what it gave; nothing in it is taken for a reference to a secret.

    Raises:
        ToolFailed: an argument is missing, unknown, or not what it should be.
    """
    given = dict(arguments)
    places = {name: given.pop(name) for name in placeholders(spec["url"]) if name in given}
    parts = _parts(spec, offered, given)
    url, params = _address(spec, places, parts.pop("url", None)), _params(parts)
    headers, body = _headers(spec, parts), _body(spec, parts)
    if body is not None and body[1]:
        headers.setdefault("content-type", body[1])
    follows = spec["follow_redirects"] if spec.get("follow_redirects") is not None else parts.get("follow_redirects", True)
    return Request(
        method=_method(spec, parts),
        url=_with_query(url, spec.get("params"), params),
        headers=headers,
        body=body[0] if body else None,
        follow_redirects=bool(follows),
        timeout_s=_timeout(spec.get("timeout"), parts.get("timeout")),
        with_content=bool(spec.get("include_response_content", True) and parts.get("include_response_content", True)),
    )


def _parts(spec: JsonObject, offered: Mapping[str, Any], given: JsonObject) -> JsonObject:
    """The arguments by the parts of the request that they belong to."""
    names = set(offered) - set(placeholders(spec["url"]))
    if names <= PARTS and any(_tells(name, offered[name]) for name in names):
        if unknown := [name for name in given if name not in names]:
            takes = ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"
            raise ToolFailed("the tool does not take " + ", ".join(f"`{name}`" for name in unknown) + f"; it takes {takes}")
        return {("json" if name == "json_" else name): value for name, value in given.items()}
    if not given:
        return {}
    if "data" in spec or (spec.get("files") and "json" not in spec):
        return {"data": given}
    in_query = spec["method"] in BODILESS and "json" not in spec
    return {"params" if in_query or "content" in spec else "json": given}


def _tells(name: str, schema: Any) -> bool:
    kind = schema.get("type") if isinstance(schema, dict) else None
    return name in ("json", "json_") or (name in _TELLING and kind in (None, "object"))


def _method(spec: JsonObject, parts: JsonObject) -> str:
    wanted = str(parts.get("method") or spec["method"]).upper()
    if wanted not in METHODS:
        raise ToolFailed("there is no such method; send one of " + ", ".join(METHODS))
    return wanted


def _address(spec: JsonObject, places: Mapping[str, JsonValue], wanted: JsonValue) -> str:
    """The tool's address with the places filled in, or the one that the call wants, which must be of the same origin."""
    fixed = _fixed_fields(spec)
    template = spec["url"]
    authority = urlsplit(template).netloc
    values: dict[str, str] = {}
    for name in placeholders(template):
        # A call that names the address needs nothing of the tool's but its origin.
        value = fixed.get(name, places.get(name, None if wanted is None else ""))
        if value is None or isinstance(value, dict | list):
            raise ToolFailed(f"the argument `{name}` is missing, or is no text: it is a part of the address")
        if name not in fixed and name in placeholders(authority):
            raise ToolFailed(f"the argument `{name}` would choose which server is called, which only the tool can do")
        values[name] = _text(value)
    url = PLACEHOLDER.sub(lambda found: quote(values[found[1] or found[2]], safe=""), template)
    if wanted is not None:
        url = _within(url, wanted)
    elif values and _climbs(url) and not _climbs(template):
        raise ToolFailed("an argument would lead to another part of the server: `.` and `..` can't stand alone in the address")
    return url


def _within(url: str, wanted: JsonValue) -> str:
    """The address that a call wants, if it is of the tool's origin."""
    try:
        joined = urljoin(url, wanted) if isinstance(wanted, str) else ""
        ours, theirs = urlsplit(url), urlsplit(joined)
        is_same = (ours.scheme, ours.hostname, _port(ours)) == (theirs.scheme, theirs.hostname, _port(theirs)) and "@" not in theirs.netloc
    except ValueError:
        is_same, joined = False, ""
    if not is_same or "\\" in joined:
        raise ToolFailed(f"`url` must be a text, and stay within {urlsplit(url).scheme}://{urlsplit(url).netloc.rpartition('@')[2]}")
    return joined


def _port(parts: Any) -> int:
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)


def _climbs(url: str) -> bool:
    """Whether a segment of the path is nothing but dots, written out or percent-encoded."""
    return any(unquote(segment) in _DOTS for segment in urlsplit(url).path.split("/"))


def _fixed_fields(spec: JsonObject) -> JsonObject:
    """Source: `offer.presets`, which tells what is not asked for."""
    parts = (spec.get(part) for part in ("params", "json", "data"))
    return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}


def _with_query(url: str, fixed: JsonValue, given: JsonObject) -> str:
    """The address with the query of the tool and of the call; a name that the tool has is not the call's to give."""
    base, _, fragment = url.partition("#")
    there = urlsplit(base).query
    pieces = [fixed.lstrip("?")] if isinstance(fixed, str) and fixed else [_query(fixed)] if fixed else []
    taken = {unquote(pair.partition("=")[0].replace("+", " ")) for piece in (there, *pieces) for pair in piece.split("&") if pair}
    pieces.append(_query({name: value for name, value in given.items() if name not in taken}))
    joined = "&".join(piece for piece in pieces if piece)
    if joined:
        base = f"{base}{'&' if there else '' if base.endswith('?') else '?'}{joined}"
    return f"{base}#{fragment}" if fragment else base


def _query(fields: Mapping[str, JsonValue]) -> str:
    return urlencode(_pairs(fields))


def _pairs(fields: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    """Fields of a query or form: a list is several fields of the same name, null is none."""
    found: list[tuple[str, str]] = []
    for name, value in fields.items():
        several = value if isinstance(value, list) else [value]
        found += [(str(name), _text(each)) for each in several if each is not None]
    return found


def _text(value: JsonValue) -> str:
    """A value as a text: JSON's words for true and false, and JSON for what is nested."""
    return value if isinstance(value, str) else dumps(value).decode()


def _headers(spec: JsonObject, parts: JsonObject) -> dict[str, str]:
    """All headers, names in lower case; those of the tool win, and so do its cookies."""
    headers = {name.lower(): _text(value) for name, value in _object(parts, "headers").items()}
    if auth := parts.get("auth"):
        headers["authorization"] = _basic(auth)
    fixed = {name.lower(): value for name, value in (spec.get("headers") or {}).items()}
    cookies = {**_object(parts, "cookies"), **(spec.get("cookies") or {})}
    headers |= fixed
    if cookies:
        own = [fixed["cookie"]] if fixed.get("cookie") else []
        headers["cookie"] = "; ".join([*own, *(f"{name}={_cookie(name, value)}" for name, value in cookies.items())])
    return headers


_COOKIE_REFUSED = re.compile(r"[\x00-\x20\";,\\\x7f]")


def _cookie(name: str, value: JsonValue) -> str:
    text = _text(value)
    if _COOKIE_REFUSED.search(text) or _COOKIE_REFUSED.search(name) or "=" in name:
        raise ToolFailed(f"the cookie `{name}` has characters that can't stand there")
    return text


def _basic(auth: JsonValue) -> str:
    if not (isinstance(auth, list) and len(auth) == 2 and all(isinstance(part, str) for part in auth)):
        raise ToolFailed("`auth` must be a list of a user and a password")
    return "Basic " + base64.b64encode(":".join(auth).encode()).decode()


def _body(spec: JsonObject, parts: JsonObject) -> tuple[bytes, str] | None:
    """The body and its type, None for none. What the tool fixes decides of which kind it is."""
    if spec.get("content") is not None:
        return _decoded(spec["content"], "content"), ""
    if spec.get("files") or parts.get("files"):
        files = {**_object(parts, "files"), **(spec.get("files") or {})}
        fields = {**_object(parts, "data"), **(spec.get("data") or {})}
        return form(_pairs(fields), {name: _file(name, value) for name, value in files.items()})
    if "data" in spec or ("data" in parts and "json" not in spec):
        fields = {**_object(parts, "data"), **_object(spec, "data")}
        return urlencode(_pairs(fields)).encode(), "application/x-www-form-urlencoded"
    if "json" in spec or "json" in parts:
        return dumps(_json(spec.get("json"), parts.get("json"), is_fixed="json" in spec)), "application/json"
    content = parts.get("content")
    return (_text(content).encode(), "") if content is not None else None


def _json(fixed: JsonValue, given: JsonValue, *, is_fixed: bool) -> JsonValue:
    if not is_fixed:
        return given
    return {**given, **fixed} if isinstance(fixed, dict) and isinstance(given, dict) else fixed


def _params(parts: JsonObject) -> JsonObject:
    """The query of a call, which may also be written as it stands in an address."""
    given = parts.get("params")
    if not isinstance(given, str):
        return _object(parts, "params")
    found: dict[str, list[JsonValue]] = {}
    try:
        pairs = parse_qsl(given.removeprefix("?"), keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX)
    except ValueError as error:
        raise ToolFailed(f"`params` is no query, or has more than {QUERY_FIELDS_MAX} fields") from error
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {**found}


def _object(parts: JsonObject, name: str) -> JsonObject:
    value = parts.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolFailed(f"`{name}` must be an object")
    return value


def _file(name: str, value: JsonValue) -> tuple[str, bytes, str]:
    """The name, the bytes and the type of a file: base64 alone, or an object with `content` in base64, `filename`, `content_type`."""
    if isinstance(value, str):
        return name, _decoded(value, name), "application/octet-stream"
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        kind = str(value.get("content_type") or "application/octet-stream")
        return str(value.get("filename") or name), _decoded(value["content"], name), kind
    raise ToolFailed(f"the file `{name}` must be base64, or an object with `content` in base64")


def _decoded(text: str, name: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ToolFailed(f"`{name}` must be base64") from None


def _timeout(*limits: JsonValue) -> float | None:
    known: Sequence[float] = [float(limit) for limit in limits if isinstance(limit, int | float) and limit > 0]
    return min(known) if known else None
