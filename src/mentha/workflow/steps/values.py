"""Steps that make a value: evaluate, set, get, log, return, error. Pure."""

from mentha.workflow.moves import Complete, Do, Done, Fail, Move, Return
from mentha.workflow.state import Frame, Scope


def evaluate(frame: Frame, _: Scope) -> Move:
    """A value with all expressions in it evaluated."""
    return Do("evaluate", {"value": frame.step["value"], "position": "value"})


def get(frame: Frame, scope: Scope) -> Move:
    """What a `set` step of the same scope has set; null where none has. A list of names gives an object."""
    key = frame.step["key"]
    return Complete(scope.state.get(key) if isinstance(key, str) else {name: scope.state.get(name) for name in key})


def log(frame: Frame, _: Scope) -> Move:
    """A text for the log of transitions."""
    return Do("evaluate", {"value": frame.step["text"], "position": "string"})


def error(frame: Frame, _: Scope) -> Move:
    """The message to fail with."""
    return Do("evaluate", {"value": frame.step["message"], "position": "string"})


def completed(_: Frame, done: Done) -> Move:
    """What was made is the output."""
    return Complete(done.value, done.metadata)


def logged(frame: Frame, done: Done) -> Move:
    """The input passes through; the text is told beside it."""
    return Complete(frame.input, {"log": done.value})


def returned(_: Frame, done: Done) -> Move:
    """What was made is the output of the whole workflow."""
    return Return(done.value)


def raised(_: Frame, done: Done) -> Move:
    """The message as the original words it."""
    return Fail(f"Error raised by ErrorWorkflowStep: {done.value}", "raised")
