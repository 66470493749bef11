"""From a definition to the plan that is run: plain JSON, stored with each version of a task. Pure.

    {"interpreter", "grammar", "workflows": {name: [Step, …]}, "tools": […], "inherit_tools", "task": {…}}
    Step = {"kind", "label", "retry", "timeout_s", "on_error", …}

A body is always a list of steps. The interpreter trusts a plan: only definitions that `checks.py` found no error in get one.

| kind | members |
| --- | --- |
| evaluate, set, return | value |
| tool_call | tool, arguments |
| prompt | prompt, tools, tool_choice, settings, unwrap, auto_run_tools, disable_cache |
| get | key |
| log | text |
| sleep | duration: {seconds, minutes, hours, days}, each a number or an expression |
| error | message |
| yield | workflow, arguments |
| wait_for_input | info, schema |
| if_else | condition, then, else |
| switch | cases: [{case, then}] |
| foreach | in, do |
| map_reduce | over, map, reduce, initial, parallelism |
| parallel | branches, names |
| try_catch | try, catch |
| search | owner: agent or user, owner_id: None for the run's agent, query: members of a search of documents |
| embed | text |
"""

from collections.abc import Callable, Iterator
from typing import Any

from mentha.core.json import JsonObject, JsonValue
from mentha.wire.step_walk import workflows_of

# What this code writes, and the only version that it runs; a worker leaves the plans of another one to others.
INTERPRETER = 1
Step = JsonObject
Steps = list[JsonObject]


def make_plan(definition: JsonObject, *, grammar: str) -> JsonObject:
    """The plan of a checked definition whose tools stand apart (`wire.tasks.apart`), as it is stored. `assembled` makes it whole.

    Args:
        grammar: the version of the language of expressions that it was checked with.
    """
    workflows = {name: body(steps) for name, steps in workflows_of(definition).items()}
    return {
        "interpreter": INTERPRETER,
        "grammar": grammar,
        "workflows": workflows,
        "tools": [],
        "inherit_tools": definition["inherit_tools"],
        "task": {},
    }


def assembled(plan: JsonObject, tools: list[JsonObject], task: JsonObject) -> JsonObject:
    """A stored plan with its tools, their secrets still sealed, and what expressions can ask of the task. Changes `plan`."""
    if any(tool.get("inline") for tool in tools):
        for step in _steps(plan["workflows"].values()):
            if step["kind"] == "prompt" and isinstance(step["tools"], list):
                step["tools"] = [_without_mark(tools[tool["inline"]]) if "inline" in tool else tool for tool in step["tools"]]
    return {**plan, "tools": [tool for tool in tools if not tool.get("inline")], "task": task}


def body(given: JsonValue) -> Steps:
    """The steps of a body, which may be one alone."""
    return [_step(step) for step in (given if isinstance(given, list) else [given])]


def _step(step: JsonObject) -> Step:
    kind = step["kind_"]
    return {
        "kind": kind,
        "label": step["label"],
        "retry": _retry(step.get("retry")),
        "timeout_s": step.get("timeout"),
        "on_error": _maybe(step.get("on_error")),
        **_MEMBERS[kind](step),
    }


def _retry(given: JsonObject | None) -> JsonObject | None:
    if given is None:
        return None
    return {
        "attempts_max": given["max_attempts"],
        "delay_s": given["delay"],
        "factor": given["factor"],
        "delay_max_s": given["max_delay"],
    }


def _maybe(given: JsonValue) -> Steps | None:
    return None if given is None else body(given)


def _same(**names: str) -> Callable[[JsonObject], JsonObject]:
    """Members of a plan by those of a definition."""
    return lambda step: {name: step[named] for name, named in names.items()}


def _parallel(step: JsonObject) -> JsonObject:
    branches = step["parallel"]
    if isinstance(branches, dict):
        return {"branches": [body(branch) for branch in branches.values()], "names": list(branches)}
    return {"branches": [body(branch) for branch in branches], "names": None}


def _search(step: JsonObject) -> JsonObject:
    given = step["search"]
    owner = "user" if given["user_id"] is not None else "agent"
    query = {name: value for name, value in given.items() if value is not None and name not in ("agent_id", "user_id")}
    return {"owner": owner, "owner_id": given[f"{owner}_id"], "query": query}


_PROMPT = ("prompt", "tools", "tool_choice", "unwrap", "auto_run_tools", "disable_cache")
_MEMBERS: dict[str, Callable[[JsonObject], JsonObject]] = {
    "evaluate": _same(value="evaluate"),
    "set": _same(value="set"),
    "return": _same(value="return"),
    "tool_call": _same(tool="tool", arguments="arguments"),
    "prompt": lambda step: {**{name: step[name] for name in _PROMPT}, "settings": step["settings"] or {}},
    "get": _same(key="get"),
    "log": _same(text="log"),
    "sleep": _same(duration="sleep"),
    "error": _same(message="error"),
    "yield": _same(workflow="workflow", arguments="arguments"),
    "wait_for_input": lambda step: dict(step["wait_for_input"]),
    "if_else": lambda step: {"condition": step["if"], "then": body(step["then"]), "else": _maybe(step["else"])},
    "switch": lambda step: {"cases": [{"case": case["case"].strip(), "then": body(case["then"])} for case in step["switch"]]},
    "foreach": lambda step: {"in": step["foreach"]["in"], "do": body(step["foreach"]["do"])},
    "map_reduce": lambda step: {
        "over": step["over"],
        "map": body(step["map"]),
        "reduce": step["reduce"],
        "initial": step["initial"],
        "parallelism": step["parallelism"],
    },
    "parallel": _parallel,
    "try_catch": lambda step: {"try": body(step["try"]), "catch": _maybe(step["catch"])},
    "search": _search,
    "embed": _same(text="embed"),
}

# Members of a plan's steps that are bodies.
_BODIES = ("then", "else", "do", "map", "try", "catch", "on_error")


def _steps(bodies: Any) -> Iterator[Step]:
    for steps in bodies:
        for step in steps:
            yield step
            held = [step[name] for name in _BODIES if step.get(name) is not None]
            held += [case["then"] for case in step.get("cases", ())]
            yield from _steps([*held, *step.get("branches", ())])


def _without_mark(tool: JsonObject) -> JsonObject:
    return {name: value for name, value in tool.items() if name != "inline"}
