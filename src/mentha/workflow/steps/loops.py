"""Steps that run a body for each of several items: foreach, map and reduce, parallel. Pure.

The items are written down once. Branches are begun in order, as many at once as the step allows, the next one as soon as one has ended.
"""

from typing import Any

from mentha.core.json import JsonValue
from mentha.workflow.moves import Branch, Complete, Do, Done, Fail, Idle, Move, Note
from mentha.workflow.state import Frame, Scope

# Of one step. Each item is a branch with rows of its own.
ITEMS_MAX = 100_000
AT_ONCE_MAX = 100


def foreach(frame: Frame, _: Scope) -> Move:
    """The body for one item after the other; gives the list of what it gave."""
    if frame.work is None:
        return Do("evaluate", {"value": frame.step["in"], "position": "list"})
    return _next(frame, "foreach", frame.work["items"], at_once=1) or Complete(_results(frame, "foreach"))


def map_reduce(frame: Frame, _: Scope) -> Move:
    """The body for many items at once; gives the list of what it gave, or what folding that list makes."""
    step = frame.step
    if frame.work is None:
        return Do("evaluate", {"value": step["over"], "position": "list"}, stage="over")
    at_once = min(step["parallelism"] or AT_ONCE_MAX, AT_ONCE_MAX)
    if move := _next(frame, "mapreduce", frame.work["items"], at_once=at_once):
        return move
    results = _results(frame, "mapreduce")
    return _folding(frame, results) if step["reduce"] else Complete(results)


def parallel(frame: Frame, _: Scope) -> Move:
    """All branches at once; gives the list of what they gave, or an object where they have names."""
    step = frame.step
    if move := _next(frame, "parallel", [frame.input] * len(step["branches"]), at_once=AT_ONCE_MAX):
        return move
    results = _results(frame, "parallel")
    return Complete(dict(zip(step["names"], results, strict=True)) if step["names"] else results)


def listed(_: Frame, done: Done) -> Move:
    """The items of a loop."""
    fault = _fault(done.value)
    if fault:
        return fault
    return Note({"items": done.value}) if done.value else Complete([])


def mapped(frame: Frame, done: Done) -> Move:
    """The items, or what folding gave."""
    if frame.work is not None:
        return Complete(done.value)
    fault = _fault(done.value)
    if fault:
        return fault
    if done.value:
        return Note({"items": done.value})
    return Complete(frame.step["initial"] if frame.step["reduce"] else [])


def _folding(frame: Frame, results: list[JsonValue]) -> Do:
    args: dict[str, Any] = {"reduce": frame.step["reduce"], "items": results, "initial": frame.step["initial"]}
    return Do("fold", args, stage="reduce")


def _next(frame: Frame, suffix: str, items: list[JsonValue], *, at_once: int) -> Move | None:
    """The branches to begin now, or Idle; None when all have ended."""
    free = min(at_once - len(frame.live), len(items) - frame.started)
    if free > 0:
        return Branch([(f"{suffix}[{number}]", items[number]) for number in range(frame.started, frame.started + free)])
    return Idle() if frame.live else None


def _results(frame: Frame, suffix: str) -> list[JsonValue]:
    return [frame.results[f"{suffix}[{number}]"] for number in range(frame.started)]


def _fault(items: JsonValue) -> Fail | None:
    if not isinstance(items, list):
        return Fail(f"a loop needs a list; this is {type(items).__name__}", "invalid")
    if len(items) > ITEMS_MAX:
        return Fail(f"a loop takes at most {ITEMS_MAX} items; this one has {len(items)}", "invalid")
    return None
