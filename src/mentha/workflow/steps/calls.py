"""Steps that call something outside: tools, models, the search. Pure."""

from mentha.workflow.moves import Complete, Do, Done, Idle, Move, Wait
from mentha.workflow.state import Frame, Scope


def tool(frame: Frame, _: Scope) -> Move:
    """One call of a tool. One that the client runs waits for it; its answer is the output."""
    if frame.wait == "open":
        return Idle()
    if frame.wait == "answered":
        return Complete(frame.answer)
    return Do("tool", {"tool": frame.step["tool"], "arguments": frame.step["arguments"]})


def prompt(frame: Frame, _: Scope) -> Move:
    """A model's answer, by way of as many tools as it calls; those that the client runs make it wait, as often as it takes."""
    if frame.wait == "open":
        return Idle()
    return Do("prompt", {"step": frame.step, "turns": frame.turns}, stage=str(len(frame.turns)))


def called(_: Frame, done: Done) -> Move:
    """An output, or calls that the client is to run."""
    if "wait" in done.value:
        return Wait(done.value["wait"], done.value.get("state"))
    return Complete(done.value["output"], done.metadata)


def search(frame: Frame, _: Scope) -> Move:
    """Documents that answer a query."""
    return Do("search", {"step": frame.step})


def embed(frame: Frame, _: Scope) -> Move:
    """Vectors of texts."""
    return Do("embed", {"step": frame.step})
