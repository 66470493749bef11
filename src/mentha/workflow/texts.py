"""Which texts of a definition are expressions or templates, in which position each stands, and what is wrong with them. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from mentha.core.json import JsonObject, JsonValue
from mentha.expr.checks import check
from mentha.expr.compile import compile_text, is_plain
from mentha.expr.names import CONTEXT
from mentha.wire.step_walk import Path
from mentha.workflow.faults import Fault

# What comes of a text: its value; true or false; a list; text. `secrets` is a value in which nothing but secrets can be named.
Position = Literal["value", "condition", "list", "string", "reduce", "secrets"]

# What was found out about templates of Jinja2, by their text: see `sandbox/template_check.py`.
Templates = Mapping[str, JsonObject]

# What of a tool describes values and has none.
_DESCRIBING = frozenset({"schema", "params_schema", "secrets"})
_SECRETS = ("secrets",)
# Where plain text is worth a word.
_NEVER_PLAIN = frozenset({"condition", "list", "reduce"})
_WITH_VALUES = frozenset({"integration", "api_call", "system"})


@dataclass(frozen=True, slots=True)
class Text:
    """A text in its place."""

    path: Path
    text: str
    position: Position


def of_step(path: Path, step: JsonObject) -> Iterator[Text]:
    """All texts of a step that are evaluated; those of the steps that it holds are not among them."""
    for inner, value, position in _values(step):
        yield from _deep((*path, *inner), value, position)


def of_tool(path: Path, tool: JsonObject) -> Iterator[Text]:
    """The expressions in what a tool is set up with. Other texts are taken as they are: addresses and JSON have braces of their own."""
    kind = tool["type"]
    if kind in _WITH_VALUES:
        for name, value in tool[kind].items():
            if name not in _DESCRIBING:
                found = _deep((*path, kind, name), value, "secrets")
                yield from (each for each in found if each.text.lstrip().startswith("$ "))


def count(found: Iterable[Text]) -> int:
    """How many of these are more than plain text."""
    return sum(not is_plain(each.text) for each in found)


def templates_in(found: Iterable[Text]) -> set[str]:
    """Those of these that Jinja2 renders, which only another process can look into."""
    maybe = {each.text for each in found if each.position != "reduce" and not is_plain(each.text)}
    return {text for text in maybe if compile_text(text).kind == "jinja"}


def faults_of(found: Iterator[Text], templates: Templates) -> Iterator[Fault]:
    """What is wrong with these texts.

    Args:
        templates: what was found out about those of `templates_in`.
    """
    for each in found:
        yield from _template_faults(each, templates.get(each.text, {}))
        if is_plain(each.text) and each.position not in _NEVER_PLAIN:
            continue
        known = _SECRETS if each.position == "secrets" else CONTEXT
        position = "value" if each.position == "secrets" else each.position
        for fault in check(each.text, known=known, position=position):
            place = "" if fault.line == fault.column == 1 else f" (line {fault.line}, column {fault.column})"
            yield Fault(
                each.path,
                fault.issue_type,
                f"{fault.message}{place}",
                fault.fix,
                severity=fault.severity,
                type="python_expression",
                expression=fault.expression,
            )


def _template_faults(each: Text, told: JsonObject) -> Iterator[Fault]:
    if "message" in told:
        place = f" (line {told['line']})" if told["line"] else ""
        message = f"it is a template of Jinja2, and none that can be rendered: {told['message']}{place}"
        fix = "mend the template; an expression of Python begins with `$ `"
        yield Fault(each.path, "template_invalid", message, fix, expression=each.text)
    for name, line in told.get("names", ()):
        if name not in CONTEXT:
            near = get_close_matches(name, CONTEXT, n=1)
            message = f"the template names `{name}` (line {line}), which is not there: it stands for nothing"
            fix = f"did you mean `{near[0]}`?" if near else f"name one of {', '.join(f'`{known}`' for known in CONTEXT)}"
            yield Fault(each.path, "undefined_name", message, fix, severity="warning", expression=each.text)


# Values of a step with their places in it.
_Values = Iterable[tuple[Path, JsonValue, Position]]


def _values(step: JsonObject) -> _Values:
    kind = step["kind_"]
    for name in _WHOLE.get(kind, ()):
        yield (name,), step[name], "value"
    if kind in _OTHERS:
        yield from _OTHERS[kind](step)


def _prompt(step: JsonObject) -> _Values:
    said = step["prompt"]
    if isinstance(said, str):
        yield ("prompt",), said, "value"
    else:
        for index, message in enumerate(said):
            yield ("prompt", index, "role"), message["role"], "string"
            yield ("prompt", index, "content"), message["content"], "value"
    yield ("settings",), step["settings"], "value"


def _map_reduce(step: JsonObject) -> _Values:
    yield ("over",), step["over"], "list"
    yield ("reduce",), step["reduce"], "reduce"


def _switch(step: JsonObject) -> _Values:
    for index, case in enumerate(step["switch"]):
        if case["case"].strip() != "_":
            yield ("switch", index, "case"), case["case"], "condition"


_WHOLE = {
    "evaluate": ("evaluate",),
    "set": ("set",),
    "return": ("return",),
    "tool_call": ("arguments",),
    "yield": ("arguments",),
    "embed": ("embed",),
    "search": ("search",),
    "sleep": ("sleep",),
}
_OTHERS: dict[str, Callable[[JsonObject], _Values]] = {
    "prompt": _prompt,
    "log": lambda step: [(("log",), step["log"], "string")],
    "error": lambda step: [(("error",), step["error"], "string")],
    "wait_for_input": lambda step: [(("wait_for_input", "info"), step["wait_for_input"]["info"], "value")],
    "if_else": lambda step: [(("if",), step["if"], "condition")],
    "switch": _switch,
    "foreach": lambda step: [(("foreach", "in"), step["foreach"]["in"], "list")],
    "map_reduce": _map_reduce,
}


def _deep(path: Path, value: JsonValue, position: Position) -> Iterator[Text]:
    if isinstance(value, str):
        yield Text(path, value, position)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _deep((*path, name), inner, _inner(position))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _deep((*path, index), inner, _inner(position))


def _inner(position: Position) -> Position:
    return position if position == "secrets" else "value"
