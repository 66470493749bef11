"""What an execution is at one point of its log: `fold` its rows, or `apply` one more. Pure: no clock, no sandbox, nothing random.

A row says what was decided; nothing here decides or evaluates. Law: the state after all rows of a log is a function of plan and log alone,
so that any worker can take an execution over after any row.

    row of a frame     moves that frame:  init init_branch step finish finish_branch wait resume retry note
    row of the whole   ends everything:   error cancelled, and `finish` of the main workflow
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from mentha.core.json import JsonObject, JsonValue
from mentha.workflow.targets import HANDLERS, FrameKey, Step, parent, steps_of

# Plans that this code knows how to run. Raise it when the meaning of a plan or a row changes.
INTERPRETER = 1

RowType = Literal["init", "init_branch", "step", "finish", "finish_branch", "wait", "resume", "error", "cancelled", "retry", "note"]
Status = Literal["queued", "starting", "running", "awaiting_input", "succeeded", "failed", "cancelled"]
TERMINAL: dict[str, Status] = {"error": "failed", "cancelled": "cancelled"}
ENDED: frozenset[str] = frozenset(("succeeded", "failed", "cancelled"))


@dataclass(slots=True)
class Row:
    """One line of the log.

    Attributes:
        next: where it goes on, as `{"workflow", "step", "scope_id"}`; None where it does not.
        at: when, in seconds since 1970 by the database's clock.
    """

    type: RowType
    workflow: str
    step: int
    scope_id: str
    output: JsonValue = None
    next: JsonObject | None = None
    label: str | None = None
    metadata: JsonObject = field(default_factory=dict[str, Any])
    at: float = 0.0

    @property
    def frame(self) -> FrameKey:
        """Whose row it is."""
        return self.scope_id, self.workflow


@dataclass(slots=True)
class Frame:
    """A workflow or branch that runs, at one of its steps.

    Attributes:
        caller: the frame whose step it works for; None for main.
        opened: the number of the row that began it.
        input: what the step gets, `_`.
        at: since when it is at this step, or at this attempt.
        attempt: 1 and up.
        due: when to go on, for a sleep or an attempt that is to be repeated.
        work: what a note said about this step.
        started: branches begun by this step.
        live: the frames that work for this step.
        results: what its branches gave, by suffix; that of a called workflow under `call`.
        wait: "open" until an answer comes, then "answered".
        turns: of a prompt that waited for its client: what it had kept, and what the client sent.
        handles: whether a branch that handles an error works for it.
        errors: of the attempts before.
        returned: the value that a `return` in a branch ends this frame with, in a list.
    """

    key: FrameKey
    steps: list[Step]
    caller: FrameKey | None
    opened: int
    input: JsonValue
    at: float
    pc: int = 0
    attempt: int = 1
    due: float | None = None
    work: JsonValue = None
    started: int = 0
    live: set[FrameKey] = field(default_factory=set[FrameKey])
    results: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    wait: Literal["open", "answered"] | None = None
    answer: JsonValue = None
    turns: list[JsonObject] = field(default_factory=list[JsonObject])
    handles: bool = False
    errors: list[str] = field(default_factory=list[str])
    returned: list[JsonValue] = field(default_factory=list[JsonValue])
    # What the interpreter last said is to be done here; forgotten when the frame moves.
    command: Any = None

    @property
    def step(self) -> Step:
        """The step that it is at."""
        return self.steps[self.pc]

    @property
    def is_branch(self) -> bool:
        """Whether it shares its scope with the workflow around it."""
        return self.key[1].startswith("`")

    def restart(self, at: float) -> None:
        """Forget everything about the step but which it is."""
        self.at, self.due, self.work, self.started, self.wait, self.answer = at, None, None, 0, None, None
        self.live, self.results, self.turns, self.handles, self.command = set(), {}, [], False, None


@dataclass(slots=True)
class Scope:
    """What expressions can see of one call of a workflow: its steps by number and by label, and what `set` steps merged."""

    workflow: str
    inputs: dict[int, JsonValue] = field(default_factory=dict[int, JsonValue])
    outputs: dict[int, JsonValue] = field(default_factory=dict[int, JsonValue])
    labels: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    state: dict[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(slots=True)
class State:
    """An execution after some rows.

    Attributes:
        seq: how many rows, notes included.
        frames: all that run.
        output: of the last row that is no note.
        error: the message it failed with.
    """

    plan: JsonObject
    execution_id: UUID
    input: JsonValue
    seq: int = 0
    frames: dict[FrameKey, Frame] = field(default_factory=dict[FrameKey, Frame])
    scopes: dict[str, Scope] = field(default_factory=dict[str, Scope])
    ended: Status | None = None
    is_started: bool = False
    output: JsonValue = None
    error: str | None = None


def start(plan: JsonObject, execution_id: UUID, given: JsonValue) -> State:
    """An execution before its first row."""
    return State(plan, execution_id, given)


def fold(plan: JsonObject, execution_id: UUID, given: JsonValue, rows: Iterable[Row]) -> State:
    """An execution after these rows, in order from the first one on."""
    state = start(plan, execution_id, given)
    for row in rows:
        apply(state, row)
    return state


def apply(state: State, row: Row) -> None:
    """Move a state on by one row. A row of a frame that is no longer there only counts."""
    state.seq += 1
    if row.type != "note":
        state.output = row.output
        state.is_started = state.is_started or row.type != "init"
    if row.type in TERMINAL:
        state.ended = TERMINAL[row.type]
        state.error = row.output if row.type == "error" else None
        state.frames.clear()
    elif row.type == "init":
        _open(state, row, None)
    elif row.type == "init_branch":
        _open(state, row, _caller(state, row))
    elif (frame := state.frames.get(row.frame)) is not None and frame.pc == row.step:
        frame.command = None
        _MOVES[row.type](state, frame, row)


def _open(state: State, row: Row, caller: Frame | None) -> None:
    frame = Frame(row.frame, steps_of(state.plan, row.workflow), caller.key if caller else None, state.seq, row.output, row.at)
    state.frames[frame.key] = frame
    if not frame.is_branch:
        state.scopes[row.scope_id] = Scope(row.workflow)
    if caller is None:
        return
    if _suffix(row.workflow) in HANDLERS:
        _drop_below(state, caller)
        caller.handles, caller.results = True, {}
    caller.command = None
    caller.started += 1
    caller.live.add(frame.key)


def _caller(state: State, row: Row) -> Frame | None:
    above = parent(row.workflow)
    if above is not None:
        return state.frames.get((row.scope_id, above[0]))
    return next((frame for frame in state.frames.values() if frame.work == {"entered": row.scope_id}), None)


def _suffix(workflow: str) -> str:
    above = parent(workflow)
    return above[2] if above else "call"


def _stepped(state: State, frame: Frame, row: Row) -> None:
    if row.next is not None and row.next["scope_id"] != row.scope_id:
        frame.work = {"entered": row.next["scope_id"]}
        return
    _note_output(state, frame, row)
    _drop_below(state, frame)
    frame.pc, frame.input, frame.attempt, frame.errors = frame.pc + 1, row.output, 1, []
    frame.restart(row.at)


def _finished(state: State, frame: Frame, row: Row) -> None:
    returns = bool(frame.returned) or frame.step["kind"] == "return"
    _note_output(state, frame, row)
    _drop_below(state, frame)
    del state.frames[frame.key]
    if not frame.is_branch:
        del state.scopes[frame.key[0]]
    caller = state.frames.get(frame.caller) if frame.caller else None
    if caller is None:
        state.ended = "succeeded"
        state.frames.clear()
        return
    caller.command = None
    caller.live.discard(frame.key)
    if returns and frame.is_branch:
        caller.returned = [row.output]
    else:
        caller.results[_suffix(frame.key[1])] = row.output


def _waits(_: State, frame: Frame, __: Row) -> None:
    frame.wait = "open"


def _resumed(_: State, frame: Frame, row: Row) -> None:
    if frame.turns:
        # What the step had kept goes on with what its client sent.
        frame.turns[-1]["input"], frame.wait = row.output, None
    else:
        frame.wait, frame.answer = "answered", row.output


def _retries(state: State, frame: Frame, row: Row) -> None:
    _drop_below(state, frame)
    # What a client has answered is not asked for again.
    turns = frame.turns
    frame.restart(row.at)
    frame.turns = turns
    frame.attempt += 1
    frame.errors.append(row.output)
    frame.due = row.metadata["due_at"]


def _noted(_: State, frame: Frame, row: Row) -> None:
    if "kept" in row.output:
        frame.turns.append({"state": row.output["kept"], "input": None})
    elif "due_in_s" in row.output:
        frame.due = row.at + row.output["due_in_s"]
    else:
        frame.work = row.output


_MOVES = {
    "step": _stepped,
    "finish": _finished,
    "finish_branch": _finished,
    "wait": _waits,
    "resume": _resumed,
    "retry": _retries,
    "note": _noted,
}


def _note_output(state: State, frame: Frame, row: Row) -> None:
    """What expressions of later steps can see of this one."""
    scope = state.scopes[frame.key[0]]
    step = frame.step
    if not frame.is_branch:
        scope.inputs[frame.pc], scope.outputs[frame.pc] = frame.input, row.output
    if step["label"]:
        scope.labels[step["label"]] = {"input": frame.input, "output": row.output}
    if step["kind"] == "set" and isinstance(row.output, dict):
        # A new one: an expression may have given the old one out, into outputs that must not change any more.
        scope.state = {**scope.state, **row.output}


def _drop_below(state: State, frame: Frame) -> None:
    """End all that works for a frame's step."""
    for key in frame.live:
        below = state.frames.pop(key, None)
        if below is not None:
            _drop_below(state, below)
            if not below.is_branch:
                state.scopes.pop(key[0], None)
    frame.live = set()


def dump(state: State) -> JsonObject:
    """A state as JSON, so that a long log need not be read again; the plan and the input are not in it."""
    frames = [
        {
            "key": list(frame.key),
            "caller": list(frame.caller) if frame.caller else None,
            "live": sorted(map(list, frame.live)),
            **{name: getattr(frame, name) for name in _PLAIN},
        }
        for frame in state.frames.values()
    ]
    scopes = {
        scope_id: [scope.workflow, list(scope.inputs.items()), list(scope.outputs.items()), scope.labels, scope.state]
        for scope_id, scope in state.scopes.items()
    }
    whole = {name: getattr(state, name) for name in ("seq", "ended", "is_started", "output", "error")}
    return {**whole, "frames": frames, "scopes": scopes}


_PLAIN = (
    *("opened", "input", "at", "pc", "attempt", "due", "work", "started", "results", "wait", "answer", "turns"),
    *("handles", "errors", "returned"),
)


def load(plan: JsonObject, execution_id: UUID, given: JsonValue, dumped: JsonObject) -> State:
    """What `dump` made JSON of."""
    state = State(plan, execution_id, given, dumped["seq"], ended=dumped["ended"], is_started=dumped["is_started"])
    state.output, state.error = dumped["output"], dumped["error"]
    for known in dumped["frames"]:
        key: FrameKey = (known["key"][0], known["key"][1])
        caller = (known["caller"][0], known["caller"][1]) if known["caller"] else None
        frame = Frame(key, steps_of(plan, key[1]), caller, 0, None, 0.0, live={(one[0], one[1]) for one in known["live"]})
        for name in _PLAIN:
            setattr(frame, name, known[name])
        state.frames[key] = frame
    for scope_id, (workflow, inputs, outputs, labels, merged) in dumped["scopes"].items():
        state.scopes[scope_id] = Scope(workflow, dict(inputs), dict(outputs), labels, merged)
    return state
