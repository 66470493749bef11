"""Says what an execution does next. Pure: from a state, and what has been done for it, to rows and commands.

    following(state, now)            rows to write down at once, commands to have in flight, when to look again
    ended(state, command, result)    rows that what was done for a command makes

Whoever runs it applies and writes the rows, then asks again; a command that is no longer among those asked for is to be stopped.
Nothing here evaluates an expression or calls anything: that is what commands are for. Kinds of steps are in `steps/`, errors, attempts and
times here, since any step may have them.
"""

from dataclasses import dataclass, field
from typing import Any

from mentha.core.json import JsonObject
from mentha.workflow import moves
from mentha.workflow.moves import CommandKind, Done, Fail, Move
from mentha.workflow.state import Frame, Row, State, Status
from mentha.workflow.steps import KINDS
from mentha.workflow.targets import CATCH, MAIN, ON_ERROR, TRY, FrameKey, branch, called_scope, main_scope, parent

# Workflows that call workflows, and branches in branches: a recursion without an end stops here.
DEPTH_MAX_FRAMES = 200
# All that an execution has open at once: loops in loops would multiply. Beyond it a loop goes on with one branch at a time.
OPEN_MAX_FRAMES = 1_000
# What is repeated without being asked for: what failed for a reason that may pass.
ATTEMPTS_MAX = 5
POLICY: JsonObject = {"attempts_max": ATTEMPTS_MAX, "delay_s": 1.0, "factor": 2.0, "delay_max_s": 100.0}
CANCELLED = "Workflow Cancelled"


@dataclass(frozen=True, slots=True)
class Command:
    """Something to be done for a step.

    Attributes:
        key: the same whenever this is asked for, another for everything else in the execution.
        args: by kind, see `steps/`.
    """

    key: str
    frame: FrameKey
    step: int
    attempt: int
    kind: CommandKind
    args: JsonObject


@dataclass(frozen=True, slots=True)
class Following:
    """What comes next; with none of it, the execution has ended or waits for its client.

    Attributes:
        due: when to ask again if nothing else happens, in seconds since 1970.
    """

    rows: list[Row] = field(default_factory=list[Row])
    commands: list[Command] = field(default_factory=list[Command])
    due: float | None = None


def following(state: State, now: float) -> Following:
    """What to write down, or to have in flight, now. Rows come alone: apply them and ask again."""
    if state.ended:
        return Following()
    if not state.frames:
        return Following([_init(state, now)])
    rows: list[Row] = []
    commands: list[Command] = []
    dues: list[float] = []
    for frame in list(state.frames.values()):
        found = _frame(state, frame, now, dues, OPEN_MAX_FRAMES - len(state.frames) - len(rows))
        if isinstance(found, Command):
            commands.append(found)
        elif frame.returned or any(_ends_others(row) for row in found):
            return Following(found)
        else:
            rows.extend(found)
    return Following(rows) if rows else Following(commands=commands, due=min(dues, default=None))


def ended(state: State, command: Command, result: Done | Fail, now: float) -> list[Row]:
    """What a command's end makes; nothing where what it was for has gone meanwhile."""
    frame = state.frames.get(command.frame)
    if (
        frame is None
        or (frame.pc, frame.attempt) != (command.step, command.attempt)
        or frame.command is None
        or frame.command.key != command.key
    ):
        return []
    if isinstance(result, Fail):
        return _failure(state, frame, result, now)
    move = KINDS[frame.step["kind"]].finished(frame, result)
    return _rows(state, frame, move, now)


def refused(state: State, row: Row, message: str, now: float) -> list[Row]:
    """What it makes that a row can't be written, for the reason `message`: its step fails.

    Where it would have begun a branch, that is one that handles errors, with an input too large to be told once more: the execution ends.
    """
    frame = state.frames.get((row.scope_id, row.workflow))
    above = parent(row.workflow)
    if frame is None and above is not None:
        return [_row("error", state.frames[row.scope_id, above[0]], message, now)]
    return _failure(state, state.frames[row.scope_id, row.workflow], Fail(message, "invalid"), now)


def status(state: State, after: Following) -> Status:
    """The status of an execution in this state, with what follows from it."""
    if state.ended:
        return state.ended
    if not state.seq:
        return "queued"
    waits = any(frame.wait == "open" for frame in state.frames.values())
    if waits and not after.rows and not after.commands:
        return "awaiting_input"
    return "running" if state.is_started else "starting"


def cancelled(state: State, reason: str | None, now: float) -> Row:
    """The row that ends an execution because somebody wants it."""
    scope, workflow, step = _deepest(state)
    metadata = {"reason": reason} if reason else {}
    return Row("cancelled", workflow, step, scope, CANCELLED, metadata=metadata, at=now)


def stopped(state: State, message: str, kind: str, now: float) -> Row:
    """The row that ends an execution as failed for what no step of it can handle."""
    scope, workflow, step = _deepest(state)
    error: JsonObject = {"message": message, "kind": kind, "workflow": workflow, "step": step}
    return Row("error", workflow, step, scope, message, metadata={"error": error}, at=now)


def open_waits(state: State) -> list[JsonObject]:
    """The targets at which the execution waits for its client, oldest first."""
    return [
        {"workflow": frame.key[1], "step": frame.pc, "scope_id": frame.key[0]}
        for frame in sorted(state.frames.values(), key=lambda frame: frame.at)
        if frame.wait == "open"
    ]


def _deepest(state: State) -> tuple[str, str, int]:
    """Scope, workflow and step of what was begun last."""
    deepest = next(reversed(state.frames.values()), None)
    return (*deepest.key, deepest.pc) if deepest else (main_scope(state.execution_id), MAIN, 0)


def _init(state: State, now: float) -> Row:
    scope = main_scope(state.execution_id)
    return Row("init", MAIN, 0, scope, state.input, next=_target(scope, MAIN, 0), at=now)


def _ends_others(row: Row) -> bool:
    """Whether a row may end frames that others in the same batch belong to."""
    return row.type in ("error", "retry") or row.workflow.endswith((f".{CATCH}", f".{ON_ERROR}"))


def _frame(state: State, frame: Frame, now: float, dues: list[float], room: int) -> Command | list[Row]:
    """The command of a frame, or its rows; times to look again go into `dues`. `room` is how many branches may be begun."""
    if frame.command is None and (room > 0 or not frame.live or frame.returned):
        move = _move(state, frame, now)
        if isinstance(move, moves.Do):
            frame.command = _command(frame, move)
        elif isinstance(move, moves.Until):
            if now >= move.due:
                return _rows(state, frame, moves.Complete(frame.input), now)
            dues.append(move.due)
        elif isinstance(move, moves.Branch):
            # One that has none open always gets one: what is open waits for what it begins.
            return _branches(state, frame, move.begun[: max(room, 1)], now)
        elif not isinstance(move, moves.Idle):
            return _rows(state, frame, move, now)
    if (late := _late(state, frame, now, dues)) is not None:
        return late
    return frame.command or []


def _move(state: State, frame: Frame, now: float) -> Move:
    if frame.returned:
        return moves.Return(frame.returned[0])
    step = frame.step
    if frame.due is not None and step["kind"] != "sleep" and frame.due > now:
        return moves.Until(frame.due)
    if frame.handles:
        return next((moves.Complete(output) for output in frame.results.values()), moves.Idle())
    return KINDS[step["kind"]].advance(frame, state.scopes[frame.key[0]])


def _late(state: State, frame: Frame, now: float, dues: list[float]) -> list[Row] | None:
    """What a step's time limit makes, where it is over."""
    limit_s = frame.step["timeout_s"]
    if limit_s is None or frame.handles:
        return None
    until = max(frame.at, frame.due or 0) + limit_s if frame.step["kind"] != "sleep" else frame.at + limit_s
    if now >= until:
        return _failure(state, frame, Fail(f"the step did not end within {limit_s:g} s", "timeout"), now)
    dues.append(until)
    return None


def _command(frame: Frame, do: moves.Do) -> Command:
    scope, workflow = frame.key
    # The row that began the frame is in it: a compound step that is tried again begins branches of the same names.
    key = f"{scope}/{workflow}/{frame.opened}/{frame.pc}/{frame.attempt}/{do.kind}{do.stage}"
    return Command(key, frame.key, frame.pc, frame.attempt, do.kind, do.args)


def _rows(state: State, frame: Frame, move: Move, now: float) -> list[Row]:
    match move:
        case moves.Complete(output, metadata):
            rows = [_completing(frame, output, metadata, now)]
        case moves.Return(output):
            rows = [_ending(frame, output, {}, now)]
        case moves.Branch(begun):
            rows = _branches(state, frame, begun, now)
        case moves.Enter(workflow, arguments):
            rows = _call(state, frame, workflow, arguments, now)
        case moves.Note(noted):
            rows = [_row("note", frame, noted, now)]
        case moves.Wait(shown, kept):
            notes = [] if kept is None else [_row("note", frame, {"kept": kept}, now)]
            rows = [*notes, _row("wait", frame, shown, now, metadata=_told(frame, {}))]
        case Fail():
            rows = _failure(state, frame, move, now)
        case _:
            rows = []
    return rows


def _completing(frame: Frame, output: Any, metadata: JsonObject, now: float) -> Row:
    if frame.pc + 1 == len(frame.steps):
        return _ending(frame, output, metadata, now)
    scope, workflow = frame.key
    to = _target(scope, workflow, frame.pc + 1)
    return _row("step", frame, output, now, to=to, label=frame.step["label"], metadata=_told(frame, metadata))


def _ending(frame: Frame, output: Any, metadata: JsonObject, now: float) -> Row:
    kind = "finish" if frame.caller is None else "finish_branch"
    label = frame.step["label"] if frame.step["kind"] != "return" else None
    return _row(kind, frame, output, now, label=label, metadata=_told(frame, metadata))


def _branches(state: State, frame: Frame, begun: list[tuple[str, Any]], now: float) -> list[Row]:
    if too_deep := _too_deep(state, frame):
        return _failure(state, frame, too_deep, now)
    return [_begin(frame.key[0], branch(frame.key[1], frame.pc, suffix), given, now) for suffix, given in begun]


def _call(state: State, frame: Frame, workflow: str, arguments: Any, now: float) -> list[Row]:
    if too_deep := _too_deep(state, frame):
        return _failure(state, frame, too_deep, now)
    scope = called_scope(frame.key, frame.opened, frame.pc, frame.attempt)
    entry = _row("step", frame, arguments, now, to=_target(scope, workflow, 0), metadata=_told(frame, {}))
    return [entry, _begin(scope, workflow, arguments, now)]


def _too_deep(state: State, frame: Frame) -> Fail | None:
    depth, above = 1, frame
    while above.caller is not None and depth <= DEPTH_MAX_FRAMES:
        depth, above = depth + 1, state.frames[above.caller]
    if depth < DEPTH_MAX_FRAMES:
        return None
    return Fail(f"workflows and branches are nested deeper than {DEPTH_MAX_FRAMES}: a recursion must end", "too_deep")


def _failure(state: State, frame: Frame, failure: Fail, now: float) -> list[Row]:
    """What an error makes: another attempt, a branch that handles it, or the end; looked for from the step outwards."""
    error: JsonObject = {"message": failure.message, "kind": failure.kind, "workflow": frame.key[1], "step": frame.pc}
    inner: FrameKey | None = None
    at: Frame | None = frame
    while at is not None:
        if rows := _handled(at, inner, failure, error, now):
            return rows
        inner, at = at.key, state.frames[at.caller] if at.caller else None
    return [_row("error", frame, failure.message, now, metadata=_told(frame, {"error": error, **failure.metadata}))]


def _handled(frame: Frame, inner: FrameKey | None, failure: Fail, error: JsonObject, now: float) -> list[Row]:
    """What one frame makes of an error in its step, where `inner` is the branch it comes from; nothing where it passes."""
    step = frame.step
    if frame.handles:
        return []
    if step["kind"] == "try_catch" and step["catch"] is not None and inner and inner[1].endswith(f".{TRY}"):
        return [_handler(frame, CATCH, error, now)]
    policy = step["retry"] or (POLICY if inner is None and failure.can_retry else None)
    if policy and frame.attempt < policy["attempts_max"]:
        return [_again(frame, policy, failure, error, now)]
    return [_handler(frame, ON_ERROR, error, now)] if step["on_error"] else []


def _again(frame: Frame, policy: JsonObject, failure: Fail, error: JsonObject, now: float) -> Row:
    delay_s = min(policy["delay_s"] * policy["factor"] ** (frame.attempt - 1), policy["delay_max_s"])
    metadata = {"attempt": frame.attempt, "due_at": now + max(delay_s, failure.after_s), "error": error}
    return _row("retry", frame, failure.message, now, metadata=_told(frame, metadata))


def _handler(frame: Frame, suffix: str, error: JsonObject, now: float) -> Row:
    given = {"error": error, "input": frame.input}
    return _begin(frame.key[0], branch(frame.key[1], frame.pc, suffix), given, now)


def _begin(scope: str, workflow: str, given: Any, now: float) -> Row:
    return Row("init_branch", workflow, 0, scope, given, next=_target(scope, workflow, 0), at=now)


def _told(frame: Frame, metadata: JsonObject) -> JsonObject:
    told = {"step_type": KINDS[frame.step["kind"]].name, **metadata}
    if frame.errors:
        told |= {"attempts": frame.attempt, "errors": list(frame.errors)}
    return told


def _row(
    kind: Any,
    frame: Frame,
    output: Any,
    now: float,
    *,
    to: JsonObject | None = None,
    label: str | None = None,
    metadata: JsonObject | None = None,
) -> Row:
    scope, workflow = frame.key
    return Row(kind, workflow, frame.pc, scope, output, to, label, metadata or {}, now)


def _target(scope: str, workflow: str, step: int) -> JsonObject:
    return {"workflow": workflow, "step": step, "scope_id": scope}
