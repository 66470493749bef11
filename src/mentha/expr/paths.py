"""Paths into the context, such as `_.user['name']` or `steps[0].output`: the commonest expressions, and the commonest parts of others.

A path is followed in the server: it only looks things up in plain JSON, so it is safe, costs a microsecond, and spares the sandbox the
rest of a large context. What is found is sent in its place.
"""

import ast
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, Literal, TypeGuard

from mentha.core.json import JsonObject, JsonValue
from mentha.expr.names import ABSENT, DICT_METHODS, KNOWN, NUMBERED

KEYS_SHOWN_MAX = 10
# Of more or longer keys none is taken for an attribute that is written otherwise.
KEYS_COMPARED_MAX = 1_000
KEY_COMPARED_CHARS_MAX = 200
_NO_NAME = re.compile(r"\W+")
_NO_NAME_FIRST = re.compile(r"^\W+")
_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
Step = tuple[Literal["attribute", "item"], str | int]


@dataclass(frozen=True, slots=True)
class Path:
    """A name of the context and the steps from there.

    Attributes:
        root: the name, like `_`.
        steps: attributes (`.name`, keys of dictionaries only) and items (`['name']`, `[0]`).
    """

    root: str
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return self.root + "".join(f".{key}" if kind == "attribute" else f"[{key!r}]" for kind, key in self.steps)


class Missing(LookupError):
    """A path leads nowhere. The message tells where it ends and what is there instead."""


def path_of(node: ast.expr) -> Path | None:
    """The path that `node` is, if it is one. The caller knows whether its first name is one of the context."""
    steps: list[Step] = []
    while not isinstance(node, ast.Name):
        step = _step(node)
        if step is None or not isinstance(node, ast.Attribute | ast.Subscript):
            return None
        steps.append(step)
        node = node.value
    return Path(node.id, tuple(reversed(steps)))


def follow(path: Path, names: Mapping[str, JsonValue]) -> JsonValue:
    """What stands at the end of `path`: the very value, not a copy, but for all of what has numbers for keys, which JSON does not know.

    Raises:
        Missing: there is nothing.
    """
    if path.root not in names:
        raise Missing(undefined(path.root, [*names, *KNOWN]))
    value = names[path.root]
    numbered = path.root in NUMBERED
    for index, (kind, key) in enumerate(path.steps):
        try:
            value = _attribute(value, key) if kind == "attribute" else _item(value, key, numbered=numbered)
        except LookupError as error:
            raise Missing(f"{error.args[0]} in {Path(path.root, path.steps[:index])}") from None
        numbered = False
    return {str(key): each for key, each in value.items()} if numbered and isinstance(value, dict) else value


def attribute_of(key: str) -> str:
    """What a key is called as an attribute: `content-type` is `content_type`, `2nd` is `x2nd`, `class` is `xclass`.

    Source: the attributes that the original's objects (python-box, with conversion) had, observed.
    """
    name = _NO_NAME.sub("_", _NO_NAME_FIRST.sub("", key))
    return f"x{name}" if name[:1].isdigit() or keyword.iskeyword(name) else name


def key_of(value: JsonObject, attribute: str) -> str | None:
    """The first key that is called so as an attribute, where none is written so."""
    for key in islice(value, KEYS_COMPARED_MAX):
        if len(key) <= KEY_COMPARED_CHARS_MAX and attribute_of(key) == attribute:
            return key
    return None


def did_you_mean(name: str, known: list[str]) -> str:
    """A hint at the most similar of the known names, or nothing."""
    close = get_close_matches(name, known, n=1, cutoff=0.7)
    return f". Did you mean '{close[0]}'?" if close else ""


def undefined(name: str, known: list[str]) -> str:
    """What to say of a name that is not there."""
    if name in ABSENT:
        return f"'{name}' is not available: {ABSENT[name]}"
    return f"name '{name}' is not defined{did_you_mean(name, known)}"


def kind_of(value: JsonValue) -> str:
    """What to call a value in a message."""
    return "null" if value is None else _KINDS.get(type(value), "an object")


def _step(node: ast.expr) -> Step | None:
    match node:
        case ast.Attribute(attr=name) if name not in DICT_METHODS and not name.startswith("__"):
            return "attribute", name
        case ast.Subscript(slice=ast.Constant(value=str() | int() as key)) if not isinstance(key, bool):
            return "item", key
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as number))) if not isinstance(number, bool):
            return "item", -number
        case _:
            return None


def _attribute(value: JsonValue, key: str | int) -> JsonValue:
    if _is_object(value):
        if key in value:
            return value[key]
        other = key_of(value, str(key))
        if other is not None:
            return value[other]
        raise LookupError(_absent(f"there is no '{key}'", value, str(key)))
    raise LookupError(f"{kind_of(value)} has no attribute '{key}'")


def _item(value: JsonValue, key: str | int, *, numbered: bool) -> JsonValue:
    if _is_object(value):
        if key in value:
            return value[key]
        if numbered and str(key) in value:
            return value[str(key)]
        raise LookupError(_absent(f"there is no key {key!r}", value, str(key)))
    if isinstance(value, list | str) and isinstance(key, int):
        if -len(value) <= key < len(value):
            return value[key]
        raise LookupError(f"index {key} is out of range")
    raise LookupError(f"{kind_of(value)} has no item {key!r}")


def _is_object(value: Any) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _absent(what: str, value: JsonObject, key: str) -> str:
    keys = [str(each) for each in value][: KEYS_SHOWN_MAX * 10]
    hint = did_you_mean(key, keys)
    if hint:
        return what + hint.replace(". Did", " (did").replace("?", "?)")
    return f"{what} (there is: {', '.join(keys[:KEYS_SHOWN_MAX])})" if keys else what
