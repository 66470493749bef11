"""Executions for tests of the engine: plans, tasks right in the tables, and effects that evaluate Python and call tools of the test's own.

tools: echo (its arguments), mark (a row in `marks`, then `ms` of waiting), gate (waits for the test), client (waits for the client),
       fail (fails), flaky (fails once a step)
"""

import asyncio
import json
import os
import signal
from collections import Counter
from typing import Any
from uuid import UUID

from mentha.core.errors import Unavailable
from mentha.core.ids import new_id
from mentha.workflow.context import RunContext
from mentha.workflow.interpreter import Command
from mentha.workflow.moves import Done, Fail
from mentha.workflow.state import State

# One row for each start. Its own id tells the repetition of an insert, whose outcome a crash had hidden, from a second start.
MARKS = "CREATE TABLE IF NOT EXISTS marks (id uuid PRIMARY KEY, execution uuid, key text, epoch int)"
MARK = "INSERT INTO marks VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING"
AGENT = """INSERT INTO agents (tenant_id, id, project_id, canonical_name, name, about, model, instructions)
    SELECT $1, $2::uuid, p.id, 'a' || $3::text, 'Mia', '', 'm', '{}' FROM projects p WHERE p.tenant_id = $1 LIMIT 1"""
TASK = "INSERT INTO tasks (tenant_id, id, agent_id, canonical_name) VALUES ($1, $2, $3, 't' || $4::text)"
VERSION = """INSERT INTO task_versions (tenant_id, task_id, version, definition, tools, plan, warnings)
    VALUES ($1, $2, 1, $3::text::json, '[]', $4::text::json, '[]')"""
COMMON: dict[str, Any] = {"label": None, "retry": None, "timeout_s": None, "on_error": None}


def step(kind: str, **members: Any) -> dict[str, Any]:
    """A step of a plan."""
    return {"kind": kind, **COMMON, **members}


def evaluate(value: Any, **more: Any) -> dict[str, Any]:
    return step("evaluate", value=value, **more)


def tool(called: str, /, **arguments: Any) -> dict[str, Any]:
    return step("tool_call", tool=called, arguments=arguments)


def wait(**info: Any) -> dict[str, Any]:
    return step("wait_for_input", info=info, schema=None)


def parallel(*branches: list[dict[str, Any]]) -> dict[str, Any]:
    return step("parallel", branches=list(branches), names=None)


def over(items: str, *body: dict[str, Any], at_once: int | None = None) -> dict[str, Any]:
    return step("map_reduce", over=items, map=list(body), reduce=None, initial=[], parallelism=at_once)


def sleep(seconds: float) -> dict[str, Any]:
    return step("sleep", duration={"seconds": seconds})


async def new_task(connection: Any, tenant: UUID, main: list[dict[str, Any]], *, input_schema: Any = None, **workflows: Any) -> UUID:
    """A task of a new agent, as the tables have it."""
    agent, task = new_id(), new_id()
    plan = {"interpreter": 1, "grammar": "test", "workflows": {"main": main, **workflows}, "tools": [], "inherit_tools": False, "task": {}}
    definition = {"name": "t", "description": "", "input_schema": input_schema or {}, "metadata": {}, "inherit_tools": False, "main": []}
    await connection.execute(AGENT, tenant, agent, agent.hex)
    await connection.execute(TASK, tenant, task, agent, task.hex)
    await connection.execute(VERSION, tenant, task, json.dumps(definition), json.dumps(plan))
    return task


class StandIn:
    """Effects of tests.

    Attributes:
        gates: by the name that a `gate` was called with: opened by the test.
        held: how many are at a gate.
        calls: how often each tool was called.
    """

    def __init__(self, database: Any = None) -> None:
        self._database = database
        self.gates: dict[str, asyncio.Event] = {}
        self.held: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self._failed: set[str] = set()

    async def run(self, run: RunContext, state: State, command: Command) -> Done | Fail:
        names = _names(state, command)
        args = command.args
        match command.kind:
            case "evaluate":
                return _evaluated(args["value"], names)
            case "choose":
                truths = _evaluated([condition or "$ True" for condition in args["conditions"]], names)
                return truths if isinstance(truths, Fail) else Done(next((at for at, truth in enumerate(truths.value) if truth), None))
            case "tool":
                arguments = Done(names["_"]) if args["arguments"] == "_" else _evaluated(args["arguments"], names)
                return arguments if isinstance(arguments, Fail) else await self._tool(run, command, args["tool"], arguments.value)
            case _:
                return Fail(f"no {command.kind} here")

    async def _tool(self, run: RunContext, command: Command, name: str, arguments: Any) -> Done | Fail:
        self.calls[name] += 1
        if name == "mark":
            await self._mark(run.execution_id, command.key, run.epoch)
            await asyncio.sleep(arguments.get("ms", 0) / 1_000)
        elif name == "gate":
            await self._wait_at(arguments["name"])
        elif name == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif name == "client":
            return Done({"wait": arguments, "state": None})
        elif name == "fail":
            return Fail("it failed", can_retry=arguments.get("can_retry", False))
        elif name == "flaky" and command.key.rpartition("/")[0].rpartition("/")[0] not in self._failed:
            self._failed.add(command.key.rpartition("/")[0].rpartition("/")[0])
            return Fail("it failed once", can_retry=True)
        elif name == "broken":
            raise KeyError("ours")
        elif name == "huge":
            return Done({"output": "x" * 60_000_000})
        return Done({"output": arguments}, {"usage": {"prompt_tokens": 3, "completion_tokens": 2}, "cost": 0.5} if name == "model" else {})

    async def _mark(self, *values: Any) -> None:
        start = new_id()
        while True:
            try:
                async with self._database.connection() as tx:
                    return await tx.execute(MARK, start, *values)
            except Unavailable:
                await asyncio.sleep(0.1)

    async def _wait_at(self, name: str) -> None:
        self.held[name] += 1
        try:
            await self.gates.setdefault(name, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled[name] += 1
            raise
        finally:
            self.held[name] -= 1


def _names(state: State, command: Command) -> dict[str, Any]:
    frame = state.frames[command.frame]
    scope = state.scopes[command.frame[0]]
    return {"_": frame.input, "outputs": scope.outputs, "state": scope.state, "arguments": state.input}


def _evaluated(value: Any, names: dict[str, Any]) -> Done | Fail:
    if isinstance(value, str) and value.startswith("$ "):
        try:
            return Done(eval(value[2:], {}, names))  # noqa: S307 - expressions of the test
        except Exception as error:
            return Fail(f"{type(error).__name__}: {error}", "expression")
    if isinstance(value, dict):
        values = _evaluated(list(value.values()), names)
        return values if isinstance(values, Fail) else Done(dict(zip(value, values.value, strict=True)))
    if isinstance(value, list):
        done: list[Any] = []
        for item in value:
            made = _evaluated(item, names)
            if isinstance(made, Fail):
                return made
            done.append(made.value)
        return Done(done)
    return Done(value)
