"""What is wrong with a definition, or looks wrong, before anything of it runs. Pure.

What makes no step or no tool at all was told before, by the shapes of `wire`; what a single text says is looked at by `texts.py`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from mentha.core.errors import SchemaInvalid, TaskInvalid
from mentha.core.json import JsonObject, JsonValue
from mentha.expr.checks import GRAMMAR
from mentha.tools.schemas import compile_schema
from mentha.wire.step_parts import WAIT_S_MAX
from mentha.wire.step_walk import Path, bodies_of, items_of, workflows_of
from mentha.wire.steps import BEGINNINGS, MEMBERS, STEPS_MAX
from mentha.wire.tasks import Draft, apart
from mentha.workflow import earlier, texts
from mentha.workflow.faults import Fault, issue_of, meant, summary
from mentha.workflow.plan import make_plan
from mentha.workflow.texts import Templates

NESTING_MAX_LEVELS = 30
ISSUES_MAX = 100
# Checking one takes 0.05 ms, and those that are made for it 0.6 ms.
EXPRESSIONS_MAX = 3_000
WORKFLOW_NAME_CHARS_MAX = 120
_ENDING = {"return": "a `return`", "error": "an `error`"}
_UNIT_S = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}


@dataclass(frozen=True, slots=True)
class _Seen:
    """A step in its place.

    Attributes:
        depth: how many bodies are around it.
        at_once: what runs it beside others, in words.
        after: what stands before it and never goes on to it, in words.
    """

    path: Path
    step: JsonObject
    depth: int
    at_once: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class _Known:
    """What steps can name. `agent_tools` is None where the task does not inherit them."""

    workflows: frozenset[str]
    tools: frozenset[str]
    agent_tools: frozenset[str] | None
    templates: Templates
    steps: Mapping[str, earlier.Steps]


def templates_in(definition: JsonObject) -> list[str]:
    """The texts of a definition that Jinja2 renders; none of one that is too large, for which `draft_of` refuses it."""
    seen = list(islice(_steps(definition), STEPS_MAX + 1))
    found = list(_texts(definition, seen))
    if len(seen) > STEPS_MAX or texts.count(found) > EXPRESSIONS_MAX:
        return []
    return sorted(texts.templates_in(found))


def draft_of(
    definition: JsonObject,
    *,
    canonical_name: str | None,
    strays: Iterable[Path],
    agent_tools: Iterable[str],
    templates: Templates | None = None,
) -> Draft:
    """A definition ready to be stored, with its plan and its warnings. Changes what it is given inside of prompts.

    Args:
        definition: as `wire.tasks.definition_of` makes it.
        canonical_name: the one that was asked for.
        strays: places of what nothing reads, as `wire.tasks` finds them.
        agent_tools: names of the agent's tools; they count where the task inherits them.
        templates: what was found out about those of `templates_in`.

    Raises:
        TaskInvalid: something in it can't work; the error has all that was found, warnings too.
    """
    found = faults(definition, strays=strays, agent_tools=agent_tools, templates=templates)[:ISSUES_MAX]
    issues = [issue_of(fault) for fault in found]
    if any(fault.severity == "error" for fault in found):
        raise TaskInvalid(summary(found), issues=issues, paths=[fault.path for fault in found])
    stripped, tools = apart(definition)
    return Draft(canonical_name, stripped, tools, make_plan(stripped, grammar=GRAMMAR), issues)


def faults(
    definition: JsonObject, *, strays: Iterable[Path] = (), agent_tools: Iterable[str] = (), templates: Templates | None = None
) -> list[Fault]:
    """All faults of a definition, errors first, otherwise in its order. After `ISSUES_MAX` errors it is not looked at any further."""
    seen: list[_Seen] = []
    for each in _steps(definition):
        seen.append(each)
        if len(seen) > STEPS_MAX:
            return [Fault(("main",), "too_many_steps", f"a task has at most {STEPS_MAX:,} steps", "make several tasks of it")]
    if texts.count(_texts(definition, seen)) > EXPRESSIONS_MAX:
        message = f"a task has at most {EXPRESSIONS_MAX:,} expressions and templates"
        return [Fault(("main",), "too_many_expressions", message, "make several tasks of it")]
    known = _Known(
        frozenset(workflows_of(definition)),
        frozenset(tool["name"] for tool in definition["tools"]),
        frozenset(agent_tools) if definition["inherit_tools"] else None,
        templates or {},
        _counted(seen),
    )
    kinds = {each.path: each.step["kind_"] for each in seen}
    around = chain(_of_top(definition, strays, kinds), _of_workflows(definition), _of_tools(definition))
    found = _until_enough(chain(around, chain.from_iterable(_of_step(each, known) for each in seen)))
    return sorted(found, key=lambda fault: fault.severity)


def _texts(definition: JsonObject, seen: Iterable[_Seen]) -> Iterator[texts.Text]:
    for index, tool in enumerate(definition["tools"]):
        yield from texts.of_tool(("tools", index), tool)
    for each in seen:
        yield from texts.of_step(each.path, each.step)
        for index, tool in enumerate(_own_tools(each.step)):
            yield from texts.of_tool((*each.path, "tools", index), tool)


def _own_tools(step: JsonObject) -> list[JsonObject]:
    held = step["tools"] if step["kind_"] == "prompt" and isinstance(step["tools"], list) else []
    return [tool for tool in held if "ref" not in tool]


def _counted(seen: Iterable[_Seen]) -> dict[str, earlier.Steps]:
    counted: dict[str, earlier.Steps] = {}
    for each in seen:
        counted.setdefault(str(each.path[0]), earlier.Steps()).note(int(each.path[1]), each.step)
    return counted


def _until_enough(found: Iterable[Fault]) -> Iterator[Fault]:
    errors = 0
    for fault in found:
        yield fault
        errors += fault.severity == "error"
        if errors == ISSUES_MAX:
            return


def _steps(definition: JsonObject) -> Iterator[_Seen]:
    for name, steps in workflows_of(definition).items():
        yield from _within((name,), steps, 0, None)


def _within(path: Path, body: JsonValue, depth: int, at_once: str | None) -> Iterator[_Seen]:
    after = None
    for at, step in items_of(path, body):
        yield _Seen(at, step, depth, at_once, after)
        after = _ENDING.get(step["kind_"])
        # What is too deep is looked at no further.
        for inner, held in bodies_of(step) if depth <= NESTING_MAX_LEVELS else ():
            yield from _within((*at, *inner), held, depth + 1, _beside(step, inner) or at_once)


def _beside(step: JsonObject, inner: Path) -> str | None:
    if inner[0] == "parallel":
        return "parallel"
    return "over" if inner[0] == "map" and step["parallelism"] != 1 else None


# --- around the steps


def _of_top(definition: JsonObject, strays: Iterable[Path], kinds: Mapping[Path, str]) -> Iterator[Fault]:
    for path in strays:
        yield _stray_name(path) if len(path) == 1 else _stray_member(path, kinds.get(path[:-1], ""))
    if definition["input_schema"]:
        yield from _of_schema(("input_schema",), definition["input_schema"])


def _stray_name(path: Path) -> Fault:
    name = path[0]
    fix = f"take it out, or write `{name}:` with a list of steps"
    return Fault(path, "no_workflow", f"`{name}` is no field of a task, and no list of steps", fix, type="schema")


def _stray_member(path: Path, kind: str) -> Fault:
    # A warning: the original took them without a word, and published tasks have them.
    name, has = str(path[-1]), MEMBERS.get(kind, frozenset()) - {"kind_"}
    message = f"`{name}` is no member of a step with `{BEGINNINGS.get(kind, kind)}`, so nothing reads it"
    fix = meant(name, has) or f"take it out; such a step has {', '.join(f'`{each}`' for each in sorted(has))}"
    return Fault(path, "unknown_member", message, fix, severity="warning", type="schema")


def _of_workflows(definition: JsonObject) -> Iterator[Fault]:
    for name, steps in workflows_of(definition).items():
        if not name or "`" in name or len(name) > WORKFLOW_NAME_CHARS_MAX:
            message = f"the name of a workflow has 1 to {WORKFLOW_NAME_CHARS_MAX} characters, and no backtick"
            yield Fault((name,), "workflow_name", message, "use letters, digits and underscores")
        times = Counter(step["label"] for step in steps)
        for index, step in enumerate(steps):
            if step["label"] is not None and times[step["label"]] > 1:
                message = f"several steps of `{name}` have the label '{step['label']}'"
                yield Fault((name, index, "label"), "label_taken", message, "give each its own")


def _of_tools(definition: JsonObject) -> Iterator[Fault]:
    times = Counter(tool["name"] for tool in definition["tools"])
    for index, tool in enumerate(definition["tools"]):
        if times[tool["name"]] > 1:
            message = f"several tools of the task have the name '{tool['name']}'"
            yield Fault(("tools", index, "name"), "tool_name_taken", message, "give each its own")
        yield from texts.faults_of(texts.of_tool(("tools", index), tool), {})


def _of_schema(path: Path, schema: JsonValue) -> Iterator[Fault]:
    try:
        compile_schema(schema)
    except SchemaInvalid as error:
        yield Fault(path, "schema_invalid", error.message, error.fix, type="schema")


# --- one step


def _of_step(seen: _Seen, known: _Known) -> Iterator[Fault]:
    path, step = seen.path, seen.step
    kind = step["kind_"]
    if seen.depth > NESTING_MAX_LEVELS:
        yield Fault(path, "too_deep", f"steps are nested deeper than {NESTING_MAX_LEVELS} levels", "move some of them to a subworkflow")
    yield from texts.faults_of(texts.of_step(path, step), known.templates)
    yield from earlier.faults_of(texts.of_step(path, step), known.steps)
    if seen.after is not None:
        yield Fault(path, "unreachable", f"this step comes after {seen.after}, so it never runs", "take it out", severity="warning")
    if kind == "return" and seen.at_once is not None:
        message = f"this `return` ends the whole workflow, with whatever else of its `{seen.at_once}` still runs"
        fix = "to go on with a value, let it be the last one of these steps"
        yield Fault((*path, "return"), "return_at_once", message, fix, severity="warning")
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(path, step, known)


def _of_tool_call(path: Path, step: JsonObject, known: _Known) -> Iterator[Fault]:
    yield from _of_tool_name((*path, "tool"), step["tool"], known)


def _of_tool_name(path: Path, name: str, known: _Known) -> Iterator[Fault]:
    if name in known.tools:
        return
    if known.agent_tools is None:
        near = meant(name, known.tools)
        fix = near or "define it under `tools`, or write `inherit_tools: true` to use the agent's"
        yield Fault(path, "unknown_tool", f"the task has no tool '{name}'", fix)
    elif name not in known.agent_tools:
        # The agent may get it before the task runs.
        near = meant(name, known.tools | known.agent_tools)
        message = f"neither the task nor its agent has a tool '{name}' now"
        yield Fault(path, "unknown_tool", message, near or "give the agent one before you run the task", severity="warning")


def _of_yield(path: Path, step: JsonObject, known: _Known) -> Iterator[Fault]:
    name, place = step["workflow"], (*path, "workflow")
    if name == "main":
        fix = "move its steps to a subworkflow, and call that from both"
        yield Fault(place, "calls_main", "`main` can't be called", fix, type="schema")
    elif name not in known.workflows:
        fix = meant(name, known.workflows - {"main"}) or f"write `{name}:` with a list of steps beside `main`"
        yield Fault(place, "unknown_workflow", f"the task has no subworkflow '{name}'", fix, type="schema")


def _of_prompt(path: Path, step: JsonObject, known: _Known) -> Iterator[Fault]:
    held = step["tools"] if isinstance(step["tools"], list) else []
    names = [tool.get("name") for tool in held]
    for index, tool in enumerate(held):
        place = (*path, "tools", index)
        if "ref" not in tool:
            if names.index(tool["name"]) < index:
                yield Fault((*place, "name"), "tool_name_taken", f"several tools have the name '{tool['name']}'", "give each its own")
            yield from texts.faults_of(texts.of_tool(place, tool), {})
        elif "name" in tool["ref"]:
            yield from _of_tool_name((*place, "ref", "name"), tool["ref"]["name"], known)


def _of_sleep(path: Path, step: JsonObject, _: _Known) -> Iterator[Fault]:
    amounts = step["sleep"]
    if any(isinstance(amount, str) for amount in amounts.values()):
        return
    total_s = sum(amounts[unit] * seconds for unit, seconds in _UNIT_S.items())
    if not 0 < total_s <= WAIT_S_MAX:
        message = "a sleep is longer than nothing, and at most 31 days"
        yield Fault((*path, "sleep"), "sleep_length", message, "give `seconds`, `minutes`, `hours` or `days`", type="schema")


def _of_wait(path: Path, step: JsonObject, _: _Known) -> Iterator[Fault]:
    schema = step["wait_for_input"]["schema"]
    if schema is not None:
        yield from _of_schema((*path, "wait_for_input", "schema"), schema)


_CHECKS = {"tool_call": _of_tool_call, "yield": _of_yield, "prompt": _of_prompt, "sleep": _of_sleep, "wait_for_input": _of_wait}
