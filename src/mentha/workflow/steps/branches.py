"""Steps that go on in one branch: if, switch, try, and calls of workflows. Pure.

Which branch was taken is in its name, so a log tells it without evaluating anything again.
"""

from mentha.workflow.moves import Branch, Complete, Do, Done, Enter, Fail, Idle, Move
from mentha.workflow.state import Frame, Scope

# The case that is always true; as an expression it would be the truth of the input.
ALWAYS = "_"


def if_else(frame: Frame, _: Scope) -> Move:
    """The branch of the condition."""
    return _result(frame) or Do("evaluate", {"value": frame.step["condition"], "position": "condition"})


def decided(frame: Frame, done: Done) -> Move:
    """The branch; without one, what the original gives then."""
    if done.value:
        return Branch([("if_else.then", frame.input)])
    if frame.step["else"] is None:
        return Complete({"output": frame.input})
    return Branch([("if_else.else", frame.input)])


def switch(frame: Frame, _: Scope) -> Move:
    """The branch of the first case that is true."""
    conditions = [None if case["case"] == ALWAYS else case["case"] for case in frame.step["cases"]]
    return _result(frame) or Do("choose", {"conditions": conditions})


def chosen(frame: Frame, done: Done) -> Move:
    """The branch of a case by its number."""
    if done.value is None:
        return Fail("no case of the switch is true; a last case `_` is always true", "no_case")
    return Branch([(f"case[{done.value}]", frame.input)])


def try_catch(frame: Frame, _: Scope) -> Move:
    """What `try` gives; an error in it is what begins `catch`."""
    return _result(frame) or Branch([("try", frame.input)])


def call(frame: Frame, _: Scope) -> Move:
    """What another workflow of the task gives."""
    arguments = frame.step["arguments"]
    if arguments == "_":
        return _result(frame) or Enter(frame.step["workflow"], frame.input)
    return _result(frame) or Do("evaluate", {"value": arguments, "position": "value"})


def entered(frame: Frame, done: Done) -> Move:
    """The call, with its arguments."""
    return Enter(frame.step["workflow"], done.value)


def _result(frame: Frame) -> Move | None:
    if frame.live:
        return Idle()
    return next((Complete(output) for output in frame.results.values()), None)
