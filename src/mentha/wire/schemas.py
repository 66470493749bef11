"""JSON Schemas of what our own tools take, written short; and the check of values against them, for presets that are incomplete by nature.

Only for schemas of ours: those of tenants can say more than `faults` reads.
"""

from collections.abc import Iterator
from typing import Any, LiteralString, NamedTuple

from mentha.core.json import JsonObject, JsonValue

Schema = JsonObject


class _Kind(NamedTuple):
    """A type of JSON: as Python has it, as its faults are called (like pydantic's), as people call it."""

    types: tuple[type, ...]
    fault: LiteralString
    word: LiteralString


_KINDS: dict[str, _Kind] = {
    "string": _Kind((str,), "string_type", "string"),
    "integer": _Kind((int,), "int_type", "integer"),
    "number": _Kind((int, float), "float_type", "number"),
    "boolean": _Kind((bool,), "bool_type", "boolean"),
    "array": _Kind((list,), "list_type", "list"),
    "object": _Kind((dict,), "dict_type", "object"),
}


class Fault(NamedTuple):
    """Where a value breaks its schema, and how. Never the value: it may be a secret."""

    loc: tuple[str | int, ...]
    kind: LiteralString
    message: str


def text(description: str, **more: Any) -> Schema:
    """A string."""
    return {"type": "string", "description": description, **more}


def choice(description: str, *values: str, **more: Any) -> Schema:
    """One of some strings."""
    return {"type": "string", "enum": list(values), "description": description, **more}


def integer(description: str, **more: Any) -> Schema:
    """A whole number, with `minimum` and `maximum` where it has them."""
    return {"type": "integer", "description": description, **more}


def number(description: str, **more: Any) -> Schema:
    """A number."""
    return {"type": "number", "description": description, **more}


def flag(description: str, **more: Any) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": description, **more}


def many(items: Schema, description: str, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": items, "description": description, **more}


def mapping(description: str, **more: Any) -> Schema:
    """An object with any members."""
    return {"type": "object", "description": description, **more}


def either(description: str, *branches: Schema, **more: Any) -> Schema:
    """What fits one of `branches`."""
    return {"anyOf": list(branches), "description": description, **more}


def shape(required: tuple[str, ...] = (), /, **fields: Schema) -> Schema:
    """An object with these fields."""
    return {"type": "object", "properties": fields, **({"required": list(required)} if required else {})}


def without(schema: Schema, fixed: set[str]) -> Schema:
    """The schema of an object without the fields that are given already. The schema itself stays as it is."""
    properties = schema.get("properties")
    if not fixed or not isinstance(properties, dict):
        return schema
    left = {**schema, "properties": {name: each for name, each in properties.items() if name not in fixed}}
    required = [name for name in schema.get("required") or () if name not in fixed]
    left.pop("required", None)
    return {**left, "required": required} if required else left


def known(schema: Schema, value: JsonObject) -> JsonObject:
    """`value` without nulls and, where the schema names its fields, without others."""
    properties = schema.get("properties")
    return {name: each for name, each in value.items() if each is not None and (properties is None or name in properties)}


def faults(schema: Schema, value: JsonValue, *, partial: bool = False, loc: tuple[str | int, ...] = ()) -> Iterator[Fault]:
    """Where `value` breaks `schema`; unknown fields are no fault.

    Args:
        partial: fields that the outermost object lacks are no fault.
        loc: where `value` stands.
    """
    if "anyOf" in schema:
        if not any(next(faults(branch, value), None) is None for branch in schema["anyOf"]):
            yield Fault(loc, "no_match", f"Input should be {' or '.join(_named(branch) for branch in schema['anyOf'])}")
        return
    kind = schema.get("type")
    if kind is not None and not _is(kind, value):
        yield Fault(loc, _KINDS[kind].fault, f"Input should be a valid {_KINDS[kind].word}")
        return
    yield from _out_of_bounds(schema, value, loc)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from faults(schema["items"], item, loc=(*loc, index))
    if isinstance(value, dict):
        yield from _of_object(schema, value, partial=partial, loc=loc)


def _of_object(schema: Schema, value: JsonObject, *, partial: bool, loc: tuple[str | int, ...]) -> Iterator[Fault]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    for name in () if partial else schema.get("required", ()):
        if value.get(name) is None:
            yield Fault((*loc, name), "missing", "Field required")
    for name, each in value.items():
        if each is not None:
            yield from faults(properties.get(name, others), each, loc=(*loc, name))


def _out_of_bounds(schema: Schema, value: JsonValue, loc: tuple[str | int, ...]) -> Iterator[Fault]:
    if "enum" in schema and value not in schema["enum"]:
        yield Fault(loc, "enum", f"Input should be {' or '.join(repr(each) for each in schema['enum'])}")
    if "minimum" in schema and value < schema["minimum"]:
        yield Fault(loc, "greater_than_equal", f"Input should be greater than or equal to {schema['minimum']}")
    if "maximum" in schema and value > schema["maximum"]:
        yield Fault(loc, "less_than_equal", f"Input should be less than or equal to {schema['maximum']}")


def _is(kind: str, value: JsonValue) -> bool:
    return isinstance(value, _KINDS[kind].types) and (kind == "boolean" or not isinstance(value, bool))


def _named(schema: Schema) -> str:
    return f"a {_KINDS[schema['type']].word}" if "type" in schema else "another shape"
