"""Runs executions in memory: the pure interpreter with a world that answers every command, and a log that can be cut."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from mentha.workflow.interpreter import Command, ended, following, status
from mentha.workflow.moves import Done, Fail
from mentha.workflow.state import Row, State, apply, fold, start

EXECUTION = UUID(int=7)
ROUNDS_MAX = 20_000
World = Callable[[State, Command], Done | Fail]


def step(kind: str, **members: Any) -> dict[str, Any]:
    """A step of a plan with the members that every one has."""
    return {"kind": kind, "label": None, "retry": None, "timeout_s": None, "on_error": None, **members}


def plan(*main: dict[str, Any], **workflows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"interpreter": 1, "workflows": {"main": list(main), **workflows}, "tools": [], "inherit_tools": False, "task": {}}


def evaluate(value: Any, **members: Any) -> dict[str, Any]:
    return step("evaluate", value=value, **members)


class Simulation:
    """One execution: `run` until it ends or waits; the clock moves only when nothing else does."""

    def __init__(self, plan: dict[str, Any], world: World, given: Any = None) -> None:
        self.plan, self.world, self.given = plan, world, given
        self.now = 1000.0
        self.log: list[Row] = []
        self.commits: list[int] = []
        self.state = start(plan, EXECUTION, given)
        self.done: list[str] = []

    def run(self, *, order: Callable[[list[Command]], int] = lambda _: 0, commits_max: int = ROUNDS_MAX) -> "Simulation":
        for _ in range(commits_max):
            after = following(self.state, self.now)
            if after.rows:
                self.commit(after.rows)
            elif after.commands:
                command = after.commands[order(after.commands)]
                self.done.append(command.key)
                self.commit(ended(self.state, command, self.world(self.state, command), self.now))
            elif after.due is not None:
                self.now = max(self.now, after.due)
            else:
                break
        return self

    def commit(self, rows: list[Row]) -> None:
        for row in rows:
            self.log.append(row)
            apply(self.state, row)
        self.commits.append(len(self.log))

    def resume(self, given: Any, at: int = 0) -> "Simulation":
        waits = [frame for frame in self.state.frames.values() if frame.wait == "open"]
        frame = waits[at]
        self.commit([Row("resume", frame.key[1], frame.pc, frame.key[0], given, at=self.now)])
        return self.run()

    def cut(self, rows: int) -> "Simulation":
        """The same execution as another worker finds it: folded from the first `rows` of its log."""
        other = Simulation(self.plan, self.world, self.given)
        other.now, other.log = self.now, self.log[:rows]
        other.state = fold(self.plan, EXECUTION, self.given, other.log)
        return other

    @property
    def status(self) -> str:
        return status(self.state, following(self.state, self.now))

    def types(self) -> list[str]:
        return [row.type for row in self.log]

    def shown(self) -> list[tuple[str, str, int]]:
        return [(row.type, row.workflow, row.step) for row in self.log if row.type != "note"]


def plain_world(state: State, command: Command) -> Done | Fail:
    """Answers from state and command alone: `$_` is the input, `$fail` and `$flaky N` fail, anything else is itself."""
    frame = state.frames[command.frame]
    args = command.args
    if command.kind == "evaluate":
        return _evaluated(args["value"], frame.input, command)
    if command.kind == "choose":
        return Done(next((place for place, case in enumerate(args["conditions"]) if case is None or case == "yes"), None))
    if command.kind == "fold":
        return Done([args["initial"], *args["items"]])
    if command.kind == "tool":
        given = _evaluated(args["arguments"], frame.input, command)
        if isinstance(given, Fail):
            return given
        return Done({"wait": {"call": args["tool"]}} if args["tool"] == "client" else {"output": {"by": args["tool"], "of": given.value}})
    if command.kind == "prompt":
        turns = args["turns"]
        if len(turns) < frame.step.get("asks", 0):
            return Done({"wait": ["calls", len(turns)], "state": {"turn": len(turns)}})
        return Done({"output": [turn["input"] for turn in turns]}, {"usage": {"total_tokens": 3}})
    return Done(command.kind)


def _evaluated(value: Any, given: Any, command: Command) -> Done | Fail:
    if value == "$_":
        return Done(given)
    if value == "$fail":
        return Fail("it fails", "broken")
    if isinstance(value, str) and value.startswith("$flaky "):
        often = int(value.removeprefix("$flaky "))
        return Done("at last") if command.attempt > often else Fail("not yet", "busy", can_retry=True)
    return Done(value)
