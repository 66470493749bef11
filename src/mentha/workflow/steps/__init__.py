"""Kinds of steps: one table, what each does next at any point, and what it makes of what was done for it. Pure.

A kind has two functions. `advance` says what to do next, of a frame that is at such a step and for which nothing is being done; `finished`,
what a command's value means. A new kind is a line here, a shape in `wire/steps.py`, and a section in `docs/tasks.md`.
"""

from collections.abc import Callable
from typing import NamedTuple

from mentha.workflow.moves import Done, Move
from mentha.workflow.state import Frame, Scope
from mentha.workflow.steps import branches, calls, loops, pauses, values


class Kind(NamedTuple):
    """A kind of steps.

    Attributes:
        name: as transitions tell it in `step_type`.
    """

    name: str
    advance: Callable[[Frame, Scope], Move]
    finished: Callable[[Frame, Done], Move]


KINDS: dict[str, Kind] = {
    "evaluate": Kind("EvaluateStep", values.evaluate, values.completed),
    "set": Kind("SetStep", values.evaluate, values.completed),
    "get": Kind("GetStep", values.get, values.completed),
    "log": Kind("LogStep", values.log, values.logged),
    "return": Kind("ReturnStep", values.evaluate, values.returned),
    "error": Kind("ErrorWorkflowStep", values.error, values.raised),
    "sleep": Kind("SleepStep", pauses.sleep, pauses.slept),
    "wait_for_input": Kind("WaitForInputStep", pauses.wait, pauses.informed),
    "tool_call": Kind("ToolCallStep", calls.tool, calls.called),
    "prompt": Kind("PromptStep", calls.prompt, calls.called),
    "search": Kind("SearchStep", calls.search, values.completed),
    "embed": Kind("EmbedStep", calls.embed, values.completed),
    "yield": Kind("YieldStep", branches.call, branches.entered),
    "if_else": Kind("IfElseWorkflowStep", branches.if_else, branches.decided),
    "switch": Kind("SwitchStep", branches.switch, branches.chosen),
    "try_catch": Kind("TryCatchStep", branches.try_catch, values.completed),
    "foreach": Kind("ForeachStep", loops.foreach, loops.listed),
    "map_reduce": Kind("MapReduceStep", loops.map_reduce, loops.mapped),
    "parallel": Kind("ParallelStep", loops.parallel, values.completed),
}
