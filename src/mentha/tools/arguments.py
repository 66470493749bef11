"""What a model gives for a call, checked by the JSON Schema that it was offered, before anything is run. Pure but for what it remembers.

A schema of a tenant that does not compile (`schemas.py` says why one may not) checks nothing: the model has seen it all the same, and what
is wrong with a call is told by whoever is called.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Collection

from mentha.core.errors import SchemaInvalid
from mentha.core.json import JsonObject, dumps
from mentha.tools import offer
from mentha.tools.calls import ToolFailed
from mentha.tools.schemas import Fault, Schema, compile_schema

# Compiled schemas that are kept; compiling takes as long as checking some hundred times.
SCHEMAS_MAX = 256
FAULTS_TOLD_MAX = 10

known_schemas: OrderedDict[bytes, Schema | None] = OrderedDict()


def check(tool: JsonObject, given: JsonObject) -> None:
    """Refuse arguments that the tool's own schema refuses. What the tool fixes is not looked at: it wins in any case.

    For an `integration` or a `system` tool, whose schemas are ours, null is the same as nothing.

    Raises:
        ToolFailed: with `faults`: where, as a JSON pointer, and what.
    """
    kind = tool["type"]
    if kind == "api_call" and not _has_own_schema(tool[kind]):
        return
    fixed = offer.presets(tool)
    schema = _schema(offer.function_of(tool)["parameters"])
    faults = schema.faults(_without(given, fixed, nulls=kind == "api_call")) if schema else ()
    if faults:
        told = [{"path": fault.path, "message": fault.message} for fault in faults[:FAULTS_TOLD_MAX]]
        raise ToolFailed(
            "the arguments do not fit the tool's schema: " + "; ".join(map(_shown, faults[:FAULTS_TOLD_MAX])), more={"faults": told}
        )


def _has_own_schema(spec: JsonObject) -> bool:
    return any(isinstance(spec.get(name), dict) for name in ("params_schema", "schema"))


def _without(given: JsonObject, fixed: Collection[str], *, nulls: bool) -> JsonObject:
    return {name: value for name, value in given.items() if name not in fixed and (nulls or value is not None)}


def _shown(fault: Fault) -> str:
    place = fault.path[1:].replace("/", ".")
    return f"`{place}`: {fault.message}" if place else fault.message


def _schema(parameters: JsonObject) -> Schema | None:
    """The schema, compiled; None where it can't be."""
    key = hashlib.sha256(dumps(parameters)).digest()
    if key not in known_schemas:
        try:
            known_schemas[key] = compile_schema(parameters)
        except SchemaInvalid:
            known_schemas[key] = None
        while len(known_schemas) > SCHEMAS_MAX:
            known_schemas.popitem(last=False)
    known_schemas.move_to_end(key)
    return known_schemas[key]
