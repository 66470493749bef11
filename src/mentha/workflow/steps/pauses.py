"""Steps that wait: sleep, and wait for input. Neither holds anything while it does. Pure."""

from mentha.core.json import JsonValue
from mentha.wire.step_parts import WAIT_S_MAX
from mentha.workflow.moves import Complete, Do, Done, Fail, Idle, Move, Note, Until, Wait
from mentha.workflow.state import Frame, Scope

SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600, "days": 86_400}


def sleep(frame: Frame, _: Scope) -> Move:
    """Until the time is over."""
    duration = frame.step["duration"]
    if frame.due is not None:
        return Until(frame.due)
    if all(isinstance(part, int | float) for part in duration.values()):
        return _until(frame, duration)
    return Do("evaluate", {"value": duration, "position": "value"})


def slept(frame: Frame, done: Done) -> Move:
    """How long it takes, once its expressions were evaluated."""
    move = _until(frame, done.value)
    # An expression may give another value another time: what it gave is written down.
    return Note({"due_in_s": move.due - frame.at}) if isinstance(move, Until) else move


def wait(frame: Frame, _: Scope) -> Move:
    """Tell the client, then go on with its answer."""
    if frame.wait == "open":
        return Idle()
    if frame.wait == "answered":
        return Complete(frame.answer)
    return Do("evaluate", {"value": frame.step["info"], "position": "value"})


def informed(_: Frame, done: Done) -> Move:
    """What the client sees."""
    return Wait(done.value)


def _until(frame: Frame, duration: JsonValue) -> Until | Fail:
    total_s = 0.0
    for unit, part in duration.items():
        if isinstance(part, bool) or not isinstance(part, int | float):
            return Fail(f"a sleep needs numbers; `{unit}` is {type(part).__name__}", "invalid")
        total_s += part * SECONDS[unit]
    if not 0 < total_s <= WAIT_S_MAX:
        return Fail(f"a sleep takes more than 0 s and at most 31 days; this one is {total_s:g} s", "invalid")
    return Until(frame.at + total_s)
