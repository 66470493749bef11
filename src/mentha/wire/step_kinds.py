"""Which kind a step is: told by the name that its author wrote, so that what is wrong with it is told about that kind alone. Pure.

The original tried one kind after another and listed what was wrong with each.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

# What a step is written with → its `kind_`.
KINDS: Mapping[str, str] = {
    "evaluate": "evaluate",
    "tool": "tool_call",
    "prompt": "prompt",
    "get": "get",
    "set": "set",
    "log": "log",
    "return": "return",
    "sleep": "sleep",
    "error": "error",
    "workflow": "yield",
    "wait_for_input": "wait_for_input",
    "if": "if_else",
    "switch": "switch",
    "foreach": "foreach",
    "parallel": "parallel",
    "over": "map_reduce",
    "try": "try_catch",
    "search": "search",
    "embed": "embed",
}
# Beside the kind, every step may have these.
COMMON = frozenset({"label", "retry", "timeout", "on_error", "kind_"})

# What authors, and models that write tasks, take for kinds → what to write.
_INSTEAD = {
    "match": "write `switch: [{case: $ …, then: …}, {case: _, then: …}]`",
    "case": "put it into a `switch: [{case: $ …, then: …}]`",
    "when": "write `if: $ …` with `then` and `else`",
    "while": "let a subworkflow call itself with `workflow`, inside of an `if`",
    "loop": "write `foreach: {in: $ …, do: …}`",
    "for": "write `foreach: {in: $ …, do: …}`",
    "repeat": "write `foreach: {in: $ range(…), do: …}`",
    "map": "write `over: $ …` beside `map`",
    "reduce": "write `over: $ …` and `map` beside `reduce`",
    "do": "write `foreach: {in: $ …, do: …}`",
    "then": "write `if: $ …` beside `then`",
    "else": "write `if: $ …` and `then` beside `else`",
    "catch": "write `try: …` beside `catch`",
    "yield": "write `workflow: NAME` with `arguments`",
    "call": "write `workflow: NAME` for a subworkflow, `tool: NAME` for a tool",
    "transform": "write `evaluate: {…}` with expressions",
    "assert": "write `if: $ not (…)` with `then: {error: …}`",
    "raise": "write `error: MESSAGE`",
    "print": "write `log: TEXT`",
    "wait": "write `wait_for_input: {info: …}`, or `sleep: {seconds: …}`",
    "input": "write `wait_for_input: {info: …}`",
    "chat": "write `prompt: …`, or call a tool of type `system` for a session",
    "llm": "write `prompt: …`",
    "api_call": "define a tool of type `api_call` under `tools`, and call it with `tool: NAME`",
    "integration": "define a tool of type `integration` under `tools`, and call it with `tool: NAME`",
    "system": "define a tool of type `system` under `tools`, and call it with `tool: NAME`",
    "function": "define a tool of type `function` under `tools`, and call it with `tool: NAME`",
}


def picked(given: Any) -> Any:
    """A step with nothing in it that only an answer has, and with `map_reduce: {over, map, …}` written flat.

    Raises:
        PydanticCustomError: it is no object, or has no kind, or two.
    """
    if not isinstance(given, dict):
        if hasattr(given, "kind_"):
            return given
        raise PydanticCustomError("step_type", "A step is an object", {"fix": f"begin it with one of {_listed()}"})
    step = {name: value for name, value in given.items() if name != "kind_"}
    block = step.get("map_reduce")
    if isinstance(block, dict):
        step = {**block, **{name: value for name, value in step.items() if name != "map_reduce"}}
    kind_of(step)
    return step


def kind_of(step: Mapping[str, Any]) -> str:
    """The `kind_` of a step as its author wrote it. A kind whose value is null counts only where there is no other.

    Raises:
        PydanticCustomError: it has no kind, or two.
    """
    named = [name for name in step if name in KINDS]
    if len(named) > 1:
        named = [name for name in named if step[name] is not None] or named
    if len(named) == 1:
        return KINDS[named[0]]
    if named:
        told = " and ".join(f"`{name}`" for name in named)
        raise PydanticCustomError(
            "step_kinds", "A step has one kind, and this one has {kinds}", {"kinds": told, "fix": "make steps of them"}
        )
    raise PydanticCustomError("step_kind", "This step has no kind that there is", {"fix": _fix(step)})


def tag_of(step: Any) -> str:
    """The branch of the union that a step belongs to, after `picked`."""
    return f"~{kind_of(step) if isinstance(step, dict) else step.kind_}"


def _fix(step: Mapping[str, Any]) -> str:
    names = [name for name in step if name not in COMMON]
    for name in names:
        if name in _INSTEAD:
            return f"`{name}` is no kind of step: {_INSTEAD[name]}"
    for name in names:
        # Nothing that costs more: a body can have very many of these.
        near = next((kind for kind in KINDS if len(name) > 2 and (kind.startswith(name[:3]) or name.startswith(kind))), None)
        if near:
            return f"did you mean `{near}`?"
    return f"begin it with one of {_listed()}"


def _listed() -> str:
    return ", ".join(f"`{name}`" for name in KINDS)
