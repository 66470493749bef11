"""References to secrets in what a tool fixes: `{secrets.NAME}`, `{{secrets.NAME}}`, or a whole text `$ secrets.NAME`. Pure.

NAME is a key of the tool's own `secrets`, else the name of a secret of the tenant. Only what the tool fixes is looked through, never what a
model says: it could ask for any secret by its name. In an address a value is percent-encoded.
"""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed

# Source: section 6 of the tasks' spec: `$ secrets.X`, `$ f'Bearer {secrets.X}'`, `{secrets.X}`, `{{secrets.X}}`.
_NAME = r"secrets\.([A-Za-z_]\w*)"
_INSIDE = re.compile(r"\{\{\s*" + _NAME + r"\s*\}\}|\{\s*" + _NAME + r"\s*\}", re.ASCII)
_WHOLE = re.compile(r"\$\s*" + _NAME + r"\s*", re.ASCII)
_FORMATTED = re.compile(r"\$\s*f(['\"])(.*)\1\s*", re.DOTALL)
# What describes values, or names secrets.
_SKIPPED = frozenset({"secrets", "schema", "params_schema"})


def names_in(spec: JsonObject) -> set[str]:
    """The names of all secrets that a tool's member refers to."""
    found: set[str] = set()

    def note(key: str) -> str:
        found.add(_name_of(spec, key))
        return ""

    _filled(spec, note)
    return found


def filled(spec: JsonObject, values: Mapping[str, str]) -> JsonObject:
    """A tool's member with the values in the place of references.

    Raises:
        ToolFailed: it refers to a secret that the tenant does not have.
    """

    def value(key: str) -> str:
        name = _name_of(spec, key)
        if name not in values:
            raise ToolFailed(f"the tool needs the secret `{name}`, which does not exist: whoever made the tool can create it")
        return values[name]

    return _filled(spec, value)


def _name_of(spec: JsonObject, key: str) -> str:
    named = (spec.get("secrets") or {}).get(key)
    return named["name"] if isinstance(named, dict) and named.get("name") else key


def _filled(spec: JsonObject, value: Callable[[str], str]) -> JsonObject:
    def in_address(key: str) -> str:
        return quote(value(key), safe="")

    def part_of(name: str, part: JsonValue) -> JsonValue:
        if name in _SKIPPED:
            return part
        return _walked(part, in_address if name == "url" or (name == "params" and isinstance(part, str)) else value)

    return {name: part_of(name, part) for name, part in spec.items()}


def _walked(part: JsonValue, value: Callable[[str], str]) -> JsonValue:
    if isinstance(part, dict):
        return {name: _walked(inner, value) for name, inner in part.items()}
    if isinstance(part, list):
        return [_walked(inner, value) for inner in part]
    return filled_text(part, value) if isinstance(part, str) and "secrets." in part else part


def filled_text(text: str, value: Callable[[str], str]) -> str:
    """One text with the references in it replaced by what `value` gives for their keys."""
    if whole := _WHOLE.fullmatch(text):
        return value(whole[1])
    if formatted := _FORMATTED.fullmatch(text):
        text = formatted[2]
    return _INSIDE.sub(lambda found: value(found[1] or found[2]), text)
