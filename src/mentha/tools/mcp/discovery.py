"""A server's tools as tools of an agent: under which names, with which schemas, and what a call of one becomes. Pure.

A tool of the provider `mcp` that names no single tool stands for all that its server has: each is offered as `<tool>_<name>`. What a server
says is another's text: nothing of it is looked through for references to secrets, and what no provider would take is left out.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from mentha.core.errors import SchemaInvalid
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.core.redact import Redactor
from mentha.tools.calls import ToolFailed
from mentha.tools.mcp import answers
from mentha.tools.schemas import compile_schema
from mentha.wire.schemas import without

# Source: OpenAI's reference of function calling; other providers take as many.
NAME_CHARS_MAX = 64
DESCRIPTION_CHARS_MAX = 1_024
# Of all schemas of one server together: each is sent with every request of a turn.
SCHEMAS_BYTES_MAX = 100_000
MESSAGE_CHARS_MAX = 2_000
_DIGEST_CHARS = 6
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Listed:
    """A tool of a server.

    Attributes:
        name: as the server has it.
        parameters: JSON Schema of an object, which compiles within our limits.
    """

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tools of a server, and how many of it are left out."""

    tools: tuple[Listed, ...]
    left_out: int


def stands_for_many(tool: JsonObject) -> bool:
    """Whether a tool is a server's, and not one thing to do there."""
    spec = tool.get("integration") or {}
    if tool["type"] != "integration" or spec.get("provider") != "mcp" or "discovered" in tool:
        return False
    method = spec.get("method")
    return method is None or (method == "call_tool" and not (spec.get("arguments") or {}).get("tool_name"))


def catalogue_of(listed: Iterable[JsonObject], *, tools_max: int, redactor: Redactor) -> Catalogue:
    """The tools that can be offered, in the server's order; up to `tools_max`.

    Compiles every schema, up to a tenth of a second each at worst: run it in a thread.

    Args:
        listed: as `answers.tool_of` gives them.
        redactor: of secrets, which are taken out of descriptions and schemas. A tool with one in its name could not be called.
    """
    tools: list[Listed] = []
    names: set[str] = set()
    bytes_left, left_out = SCHEMAS_BYTES_MAX, 0
    for each in listed:
        description = redactor.text(each["description"] or "")
        schema = _of_object(cast("JsonObject", redactor.value(each["input_schema"])))
        size = len(dumps(schema))
        is_one = each["name"] not in names and redactor.text(each["name"]) == each["name"]
        if not is_one or len(tools) == tools_max or size > bytes_left or not _compiles(schema):
            left_out += 1
            continue
        names.add(each["name"])
        bytes_left -= size
        tools.append(Listed(each["name"], description[:DESCRIPTION_CHARS_MAX], schema))
    return Catalogue(tuple(tools), left_out)


def offered(tool: JsonObject, listed: Sequence[Listed], taken: Collection[str]) -> list[JsonObject]:
    """The tools of a server in the place of the tool that stands for them, as create-tool objects.

    Args:
        taken: names of other tools; ours get names beside them.
    """
    names = set(taken)
    found: list[JsonObject] = []
    for each in listed:
        name = name_of(tool["name"], each.name, names)
        names.add(name)
        found.append(
            {
                **tool,
                "name": name,
                "description": each.description or f"The tool {each.name} of {tool['name']}"[:DESCRIPTION_CHARS_MAX],
                "integration": {**tool["integration"], "method": "call_tool"},
                "discovered": {"of": tool["name"], "name": each.name, "parameters": each.parameters},
            }
        )
    return found


def name_of(tool: str, name: str, taken: Collection[str]) -> str:
    """`<tool>_<name>` in the letters and the length that providers take, and none of `taken`: then with a mark of their own."""
    whole = f"{tool}_{name}"
    plain = _ODD.sub("_", whole)
    if plain == whole and len(whole) <= NAME_CHARS_MAX and whole not in taken:
        return whole
    if len(plain) <= NAME_CHARS_MAX and plain not in taken:
        return plain
    tries = 0
    while True:
        mark = hashlib.sha256(f"{whole}\n{tries}".encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
        marked = f"{plain[: NAME_CHARS_MAX - _DIGEST_CHARS - 1]}_{mark}"
        if marked not in taken:
            return marked
        tries += 1


def may_name(tools: Iterable[JsonObject], name: str) -> bool:
    """Whether a server's tool, which is not known yet, may be offered under this name."""
    return any(stands_for_many(tool) and name.startswith(_ODD.sub("_", f"{tool['name']}_")) for tool in tools)


def choice_of(name: str, before: Iterable[JsonObject], now: Collection[JsonObject]) -> JsonValue:
    """A `tool_choice` that names a tool, after servers' tools took the places of those that stand for them; None where none is left.

    The name of a server means any of its tools; providers know only one or any, so that it may become another one.
    """
    if any(tool["name"] == name for tool in now):
        return {"type": "function", "function": {"name": name}}
    is_server = any(tool["name"] == name and stands_for_many(tool) for tool in before)
    return "required" if is_server and any(tool.get("discovered", {}).get("of") == name for tool in now) else None


def parameters_of(tool: JsonObject) -> JsonObject:
    """What a model is asked for by a tool of `offered`: without what the tool that it came of fixes."""
    return without(tool["discovered"]["parameters"], set(presets_of(tool)))


def presets_of(tool: JsonObject) -> JsonObject:
    """What the tool fixes: the `arguments` among its arguments."""
    fixed = (tool["integration"].get("arguments") or {}).get("arguments")
    return fixed if isinstance(fixed, dict) else {}


def call_of(tool: JsonObject, spec: JsonObject, given: JsonObject) -> tuple[JsonObject, JsonObject]:
    """A call of a tool of `offered` as one of `call_tool`: the tool's member and the arguments. What the tool fixes wins.

    Args:
        spec: its member, with all that it refers to filled in.
    """
    fixed: JsonObject = spec.get("arguments") or {}
    whole = {**given, **(fixed.get("arguments") or {})}
    # Not among what is fixed: nothing looks there for references to secrets, which the server's own names may look like.
    rest = {name: value for name, value in fixed.items() if name not in ("arguments", "tool_name")}
    return {**spec, "arguments": rest}, {"tool_name": tool["discovered"]["name"], "arguments": whole}


def answer_of(result: JsonObject) -> JsonValue:
    """What a model is told of the result of `call_tool`.

    Raises:
        ToolFailed: the tool says that it failed.
    """
    if result["is_error"]:
        raise ToolFailed((result["text"] or "the tool failed and does not say why")[:MESSAGE_CHARS_MAX])
    return answers.for_model(result)


def _of_object(schema: JsonObject) -> JsonObject:
    """With `type` and `properties`, as providers want it."""
    return {**schema, "type": schema.get("type", "object"), "properties": schema.get("properties", {})}


def _compiles(schema: JsonObject) -> bool:
    required = schema.get("required", [])
    if schema["type"] != "object" or not isinstance(schema["properties"], dict) or not isinstance(required, list):
        return False
    try:
        compile_schema(schema)
    except SchemaInvalid:
        return False
    return True
