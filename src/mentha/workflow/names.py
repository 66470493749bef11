"""What expressions can name: the data of the workflow around a step, and what the execution knows of its surroundings. Pure.

Source: section 2.8 of the tasks' spec.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mentha.core.json import JsonObject, JsonValue
from mentha.workflow.state import Frame, Scope, State
from mentha.workflow.targets import MAIN


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What does not change while an execution runs on one worker.

    Attributes:
        execution: the record as it was at the start.
        agent_tools: those that the steps can use.
    """

    agent: JsonObject
    task: JsonObject
    execution: JsonObject
    developer_id: str
    user: JsonObject | None = None
    session: JsonObject | None = None
    agent_tools: list[JsonObject] = field(default_factory=list[JsonObject])


class Names(Mapping[str, JsonValue]):
    """Names of one step. A value is made when it is asked for: most expressions name one or two of them.

    `secrets` is not here: who evaluates puts in those that the expression names.
    """

    def __init__(self, state: State, frame: Frame, around: Surroundings) -> None:
        self._state = state
        self._frame = frame
        self._around = around

    @property
    def scope(self) -> Scope:
        """The call of a workflow that the step belongs to."""
        return self._state.scopes[self._frame.key[0]]

    @property
    def base(self) -> tuple[int, JsonValue]:
        """The number and the input of the step of that workflow which the branch, if it is one, belongs to."""
        frame = self._frame
        while frame.is_branch and frame.caller is not None:
            frame = self._state.frames[frame.caller]
        return frame.pc, frame.input

    def __getitem__(self, name: str) -> JsonValue:
        return _MAKERS[name](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_MAKERS)

    def __len__(self) -> int:
        return len(_MAKERS)

    def here(self) -> JsonValue:
        """`_`."""
        return self._frame.input

    def inputs(self) -> JsonValue:
        """The inputs of the steps so far by number, that of the step itself too."""
        number, given = self.base
        return {**self.scope.inputs, number: given}

    def steps(self) -> JsonValue:
        """Inputs and outputs by number, and by label where a step has one."""
        outputs = self.scope.outputs
        numbered = {
            at: {"input": given, "output": outputs[at]} if at in outputs else {"input": given} for at, given in self.inputs().items()
        }
        return {**numbered, **self.scope.labels}

    def place(self) -> JsonValue:
        """Where the step is."""
        scope, workflow = self._frame.key
        return {"workflow": workflow, "step": self._frame.pc, "scope_id": scope}

    @property
    def around(self) -> Surroundings:
        """What does not change."""
        return self._around

    @property
    def given(self) -> JsonValue:
        """The input of the execution."""
        return self._state.input

    @property
    def frame(self) -> Frame:
        """Whose names these are."""
        return self._frame


_MAKERS: dict[str, Callable[[Names], Any]] = {
    "_": Names.here,
    "steps": Names.steps,
    "inputs": Names.inputs,
    "outputs": lambda names: dict(names.scope.outputs),
    "state": lambda names: names.scope.state,
    "arguments": lambda names: names.given,
    "agent": lambda names: names.around.agent,
    "task": lambda names: names.around.task,
    "execution": lambda names: names.around.execution,
    "user": lambda names: names.around.user,
    "session": lambda names: names.around.session,
    "agent_tools": lambda names: names.around.agent_tools,
    "developer_id": lambda names: names.around.developer_id,
    # Of the original's own workings, those that can be had.
    "cursor": Names.place,
    "current_input": Names.here,
    "current_step": lambda names: names.frame.step,
    "current_workflow": lambda names: names.frame.key[1],
    "current_scope_id": lambda names: names.frame.key[0],
    "is_main": lambda names: names.frame.key[1] == MAIN,
    "is_first_step": lambda names: names.frame.pc == 0,
    "is_last_step": lambda names: names.frame.pc + 1 == len(names.frame.steps),
}
