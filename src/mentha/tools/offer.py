"""Tools as a model sees them: every type as a function, so that any provider can offer it. Pure.

What a tool fixes is left out of what the model is asked for: a key in the query, the agent whose documents are searched.
A tool is a JSON object with `name`, `type`, `description` and the member that is named like the type (`wire.tools.plain`).
"""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.mcp import discovery
from mentha.wire import integrations, system_calls
from mentha.wire.api_calls import placeholders
from mentha.wire.schemas import Schema, choice, flag, integer, many, mapping, shape, text, without

_BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "CONNECT", "TRACE"})

# Source: the API's `ChosenComputer20241022`, `ChosenTextEditor20241022`, `ChosenBash20241022`; `left_click_drag` and `create` are only in
# Anthropic's documentation of these tools.
_COMPUTER = shape(
    ("action",),
    action=choice(
        "What to do",
        "key",
        "type",
        "mouse_move",
        "left_click",
        "left_click_drag",
        "right_click",
        "middle_click",
        "double_click",
        "screenshot",
        "cursor_position",
    ),
    text=text("What to type (type), or which keys to press, like ctrl+s (key)"),
    coordinate=many(integer("A number of pixels"), "Where to move or drag to: x from the left and y from the top"),
)
_EDITOR = shape(
    ("command", "path"),
    command=choice("What to do", "view", "create", "str_replace", "insert", "undo_edit"),
    path=text("The absolute path of a file or a folder"),
    file_text=text("The content of the new file (create)"),
    old_str=text("The text to replace, which must be there exactly once (str_replace)"),
    new_str=text("The text to put in its place (str_replace), or to insert (insert)"),
    insert_line=integer("The line after which to insert, 0 for the beginning (insert)", minimum=0),
    view_range=many(integer("A line"), "The first and the last line to show, -1 for the end (view)"),
)
_BASH = shape(
    command=text("The command to run; not needed to restart"),
    restart=flag("Whether to restart the shell", default=False),
)


def function_of(tool: JsonObject) -> JsonObject:
    """A tool as a function: its name, its description where there is one, and JSON Schema of its arguments."""
    spec = tool.get(tool["type"]) or {}
    described, parameters = (None, discovery.parameters_of(tool)) if "discovered" in tool else _OFFERS[tool["type"]](spec)
    description = tool.get("description") or described
    # Only functions of OpenAI's own API say so.
    strict = {"strict": True} if spec.get("strict") else {}
    return {"name": tool["name"], **({"description": description} if description else {}), "parameters": parameters, **strict}


def offered(tools: Sequence[JsonObject], choice: JsonValue) -> JsonObject:
    """Tools and choice as OpenAI's API has them; empty where there are none."""
    if not tools:
        return {}
    functions = [{"type": "function", "function": function_of(tool)} for tool in tools]
    return {"tools": functions, **({"tool_choice": choice} if choice else {})}


def with_choice(options: JsonObject, first: JsonValue, choice: JsonValue) -> JsonObject:
    """Options of one round: those of the whole, with `choice` where it is another one than its own, `first`."""
    if choice == first or "tools" not in options:
        return options
    rest = {name: value for name, value in options.items() if name != "tool_choice"}
    return {**rest, "tool_choice": choice} if choice else rest


def presets(tool: JsonObject) -> JsonObject:
    """The arguments that a tool fixes, by name: they are not offered, and win over those of a call.

    For `integration` and `system` they are arguments like those of a call. For `api_call` they are the fields of `params`, `json` and
    `data`, which the request has in any case.
    """
    spec = tool.get(tool["type"]) or {}
    if "discovered" in tool:
        return dict(discovery.presets_of(tool))
    if tool["type"] == "integration":
        return dict(spec.get("arguments") or {})
    if tool["type"] == "system":
        return system_calls.presets_of(spec)
    if tool["type"] == "api_call":
        parts = (spec.get(part) for part in ("params", "json", "data"))
        return {name: value for part in parts if isinstance(part, dict) for name, value in part.items()}
    return {}


def _function(spec: JsonObject) -> tuple[str | None, Schema]:
    return spec.get("description"), spec.get("parameters") or shape()


def _integration(spec: JsonObject) -> tuple[str | None, Schema]:
    method = integrations.method_of(spec["provider"], spec.get("method"))
    if method is None:
        return None, shape()
    return method.text, _of_object(without(method.arguments, set(spec.get("arguments") or ()))) or shape()


def _system(spec: JsonObject) -> tuple[str | None, Schema]:
    name = system_calls.call_name(spec)
    return system_calls.CALLS[name].text, without(system_calls.schema_of(name), set(system_calls.presets_of(spec)))


def _api_call(spec: JsonObject) -> tuple[str | None, Schema]:
    parts = urlsplit(spec["url"])
    described = f"{spec['method']} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    fixed = set(presets({"type": "api_call", "api_call": spec}))
    schema = next((each for name in ("params_schema", "schema") if (each := _of_object(spec.get(name)))), None)
    own = without(schema, fixed) if schema else _any_request(spec)
    places = {name: text("A part of the address") for name in placeholders(spec["url"]) if name not in fixed}
    if not places:
        return described, own
    required = dict.fromkeys((*places, *own.get("required", ())))
    return described, {**own, "properties": {**places, **own["properties"]}, "required": list(required)}


def _any_request(spec: JsonObject) -> Schema:
    """For a request of which nobody said what it takes: its parts."""
    fields = {"params": mapping("The parameters of the query string")}
    if "data" in spec:
        fields["data"] = mapping("The fields of the form")
    elif "content" not in spec and ("json" in spec or spec["method"] not in _BODILESS):
        fields["json"] = mapping("The body")
    if isinstance(spec.get("params"), str):
        del fields["params"]
    return shape(**fields)


def _of_object(schema: Schema | None) -> Schema | None:
    """A schema with `type` and `properties`, as providers want it; None for what is no schema of an object."""
    whole: Schema = {"type": "object", "properties": {}, **(schema or {})}
    is_one = schema and whole["type"] == "object" and isinstance(whole["properties"], dict) and isinstance(whole.get("required", []), list)
    return whole if is_one else None


def _computer(spec: JsonObject) -> tuple[str | None, Schema]:
    size = f"{spec.get('display_width_px', 1024)} by {spec.get('display_height_px', 768)}"
    return f"Use a screen of {size} pixels, a keyboard and a mouse", _COMPUTER


def _editor(_: JsonObject) -> tuple[str | None, Schema]:
    return "View, create and edit files", _EDITOR


def _bash(_: JsonObject) -> tuple[str | None, Schema]:
    return "Run a command in a shell that stays open", _BASH


# What makes of a member a description, for a tool without one of its own, and the schema of the arguments.
_OFFERS: dict[str, Callable[[JsonObject], tuple[str | None, Schema]]] = {
    "function": _function,
    "integration": _integration,
    "system": _system,
    "api_call": _api_call,
    "computer_20241022": _computer,
    "text_editor_20241022": _editor,
    "bash_20241022": _bash,
}
