"""What the text in a tool stands for: which expressions are in it, and the tool with what they gave in their place. Pure.

    expressions_in(kind, spec)               texts to evaluate, in order
    filled(kind, spec, made, value)          the spec with what they gave, and with the secrets that it refers to

An expression is a text that begins with `$ `, or one with `{{ }}`. Single braces stay, but for `{secrets.NAME}`: in addresses they are
places for arguments, elsewhere mostly JSON. What comes out is not looked at again, so no input can name a secret.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.references import filled_text
from mentha.wire.api_calls import PLACEHOLDER

# What of a tool is text for a call, by its type. The rest describes it.
_FILLED: dict[str, tuple[str, ...]] = {
    "api_call": ("url", "headers", "cookies", "params", "json", "data", "content", "files"),
    "integration": ("setup", "arguments"),
    "system": ("resource_id", "arguments"),
}
_PIECE = re.compile(r"\{\{(.+?)\}\}", re.DOTALL)
_BEGINS = re.compile(r"\s*\$\s")
_SECRET = re.compile(r"\s*(?:\$\s+)?secrets\.[A-Za-z_]\w*\s*", re.ASCII)

Change = Callable[[str, bool], JsonValue]


def expressions_in(kind: str, spec: JsonObject) -> list[str]:
    """The texts to evaluate. References to secrets alone are none: they are looked up without a sandbox."""
    found: list[str] = []

    def note(text: str, in_address: bool) -> str:
        found.extend(_parts(kind, text, in_address=in_address))
        return text

    _changed(kind, spec, note)
    return found


def filled(kind: str, spec: JsonObject, made: Sequence[JsonValue], value: Callable[[str], str]) -> JsonObject:
    """The tool's member, ready to be used.

    Args:
        made: what `expressions_in` gave, evaluated.
        value: of a secret by the key that the tool refers to it by. Not asked for tools of type `system`, which have no use for any.
    """
    left = iter(made)

    def put(text: str, in_address: bool) -> JsonValue:
        parts = _parts(kind, text, in_address=in_address)
        if parts and not in_address:
            return next(left)
        if in_address:
            return _address(text, left, value)
        return filled_text(text, value) if kind != "system" and "secrets." in text else text

    return _changed(kind, spec, put)


def _parts(kind: str, text: str, *, in_address: bool) -> list[str]:
    if kind == "system" and "secrets" in text:
        # It stays a name: what such a tool stores looks the secret up by itself.
        return []
    if in_address:
        return [f"$ {piece.strip()}" for piece in _pieces(text)]
    if _BEGINS.match(text):
        return [] if _SECRET.fullmatch(text) else [text]
    return [text] if _pieces(text) else []


def _pieces(text: str) -> list[str]:
    """What stands in double braces and is more than the name of an argument or a secret."""
    return [found[1] for found in _PIECE.finditer(text) if not _SECRET.fullmatch(found[1]) and not PLACEHOLDER.fullmatch(found[0])]


def _address(text: str, left: Iterator[JsonValue], value: Callable[[str], str]) -> str:
    """An address; whatever is put into it is percent-encoded."""
    done: list[str] = []
    end = 0
    for found in _PIECE.finditer(text):
        if not _pieces(found[0]):
            continue
        done += [filled_text(text[end : found.start()], lambda key: quote(value(key), safe="")), quote(str(next(left)), safe="")]
        end = found.end()
    return "".join([*done, filled_text(text[end:], lambda key: quote(value(key), safe=""))])


def _changed(kind: str, spec: JsonObject, change: Change) -> JsonObject:
    members = _FILLED.get(kind, ())
    done = dict(spec)
    for name in [name for name in spec if name in members]:
        done[name] = _walked(spec[name], change, name == "url" or (name == "params" and isinstance(spec[name], str)))
    return done


def _walked(part: JsonValue, change: Change, in_address: bool) -> JsonValue:
    if isinstance(part, dict):
        return {name: _walked(inner, change, in_address) for name, inner in part.items()}
    if isinstance(part, list):
        return [_walked(inner, change, in_address) for inner in part]
    return change(part, in_address) if isinstance(part, str) else part
