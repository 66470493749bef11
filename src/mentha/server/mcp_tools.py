"""What Mentha itself offers as an MCP server: few tools, over the same operations that tools of type `system` have.

Everything is within the caller's tenant. Answers are objects, as short as they are of use: a model reads them.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.system import Caller, Operation
from mentha.wire.executions import ENDED
from mentha.wire.schemas import Schema, faults, integer, known, mapping, shape, text
from mentha.workflow.watch import Watch

LIST_MAX = 100
FOUND_MAX = 50
WAIT_S_MAX = 100
LOOK_S = 5.0

Run = Callable[[Caller, JsonObject], Awaitable[JsonObject]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool. `changes`: whether a call of it leaves anything behind."""

    description: str
    schema: Schema
    run: Run
    changes: bool = False

    async def call(self, caller: Caller, given: JsonObject) -> JsonObject:
        """Run it for a caller.

        Raises:
            ToolFailed, MenthaError: the arguments do not fit, or it failed.
        """
        arguments = known(self.schema, given)
        for fault in faults(self.schema, arguments):
            raise ToolFailed(f"the argument `{'.'.join(str(step) for step in fault.loc)}` is wrong: {fault.message}")
        return await self.run(caller, arguments)


def table(operations: Mapping[str, Operation], watch: Watch) -> dict[str, Tool]:
    """All tools by name.

    Args:
        operations: those of `system_ops`.
        watch: tells of news of executions.
    """
    page = {
        "limit": integer(f"How many at most, {LIST_MAX} and less", minimum=1, maximum=LIST_MAX, default=20),
        "offset": integer("How many to skip", minimum=0, default=0),
    }
    agent, session = text("Id of the agent"), text("Id of the session")
    return {
        "list_agents": Tool("List the agents", shape(**page), _listing(operations["agent.list"], "agents", _AGENT)),
        "list_sessions": Tool("List the sessions", shape(**page), _listing(operations["session.list"], "sessions", _SESSION)),
        "list_tasks": Tool(
            "List the tasks of an agent", shape(("agent_id",), agent_id=agent, **page), _listing(operations["task.list"], "tasks", _TASK)
        ),
        "search_docs": Tool(
            "Search the documents of an agent or of a user",
            shape(
                ("text",),
                text=text("What to search for"),
                agent_id=text("Id of the agent whose documents are searched"),
                user_id=text("Id of the user whose documents are searched, where it is not an agent's"),
                limit=integer("How many at most", minimum=1, maximum=FOUND_MAX, default=5),
            ),
            _searching(operations),
        ),
        "chat": Tool(
            "Say something to an agent and get its answer; without a session a new one is made, which later calls can name",
            shape(
                ("message",),
                message=text("What to say"),
                session_id=session,
                agent_id=text("Id of the agent, where a session is to be made"),
                user_id=text("Id of the user who takes part, where a session is to be made"),
            ),
            _chatting(operations),
            changes=True,
        ),
        "run_task": Tool(
            "Run a task, and wait for its result for some time",
            shape(
                ("task_id",),
                task_id=text("Id of the task"),
                input=mapping("Its input", default={}),
                wait_s=integer("How many seconds to wait for the result", minimum=0, maximum=WAIT_S_MAX, default=60),
            ),
            _running(operations, watch),
            changes=True,
        ),
        "get_execution": Tool(
            "Look at a run of a task", shape(("execution_id",), execution_id=text("Id of the execution")), _looking(operations)
        ),
    }


_AGENT = ("id", "name", "about", "model")
_SESSION = ("id", "kind", "situation", "agent", "agents", "user", "users", "created_at")
_TASK = ("id", "name", "canonical_name", "description", "input_schema")


def _listing(operation: Operation, name: str, fields: tuple[str, ...]) -> Run:
    async def run(caller: Caller, given: JsonObject) -> JsonObject:
        listed: Any = await operation(caller, {"limit": 20, **given})
        return {name: [{field: each[field] for field in fields if each.get(field) is not None} for each in listed]}

    return run


def _searching(operations: Mapping[str, Operation]) -> Run:
    async def run(caller: Caller, given: JsonObject) -> JsonObject:
        kinds = [kind for kind in ("agent", "user") if given.get(f"{kind}_id")]
        if len(kinds) != 1:
            raise ToolFailed("whose documents? Give `agent_id` or `user_id`, and not both")
        found: Any = await operations[f"{kinds[0]}.doc.search"](caller, {"limit": 5, **given})
        return {"docs": found["docs"]}

    return run


def _chatting(operations: Mapping[str, Operation]) -> Run:
    async def run(caller: Caller, given: JsonObject) -> JsonObject:
        session_id = given.get("session_id")
        if session_id is None:
            if not given.get("agent_id"):
                raise ToolFailed("with whom? Give `session_id`, or `agent_id` for a new session")
            wanted = {"agent": given["agent_id"], "user": given.get("user_id"), "auto_run_tools": True}
            made: Any = await operations["session.create"](caller, {name: value for name, value in wanted.items() if value is not None})
            session_id = made["id"]
        said = [{"role": "user", "content": given["message"]}]
        # Who calls over MCP can't run an agent's tools.
        answer: Any = await operations["session.chat"](caller, {"session_id": session_id, "messages": said, "auto_run_tools": True})
        choice = answer["choices"][0]
        told = {"session_id": session_id, "text": _words(choice["message"].get("content")), "finish_reason": choice.get("finish_reason")}
        return {**told, **({"warnings": answer["warnings"]} if answer.get("warnings") else {})}

    return run


def _running(operations: Mapping[str, Operation], watch: Watch) -> Run:
    async def run(caller: Caller, given: JsonObject) -> JsonObject:
        wanted = {"task_id": given["task_id"], "input": given.get("input") or {}}
        made: Any = await operations["execution.create"](caller, wanted)
        return await _ended(operations["execution.get"], watch, caller, made, within_s=given.get("wait_s", 60))

    return run


def _looking(operations: Mapping[str, Operation]) -> Run:
    async def run(caller: Caller, given: JsonObject) -> JsonObject:
        return _shown(await operations["execution.get"](caller, given))

    return run


async def _ended(get: Operation, watch: Watch, caller: Caller, execution: JsonObject, *, within_s: float) -> JsonObject:
    """The execution when it has ended, or as it is after that time, or where it waits for somebody."""
    until, wanted = time.monotonic() + within_s, {"execution_id": execution["id"]}
    with watch.watching(caller.tenant, UUID(execution["id"])) as watcher:
        while execution["status"] not in ENDED | {"awaiting_input"} and not watcher.is_over:
            left_s = until - time.monotonic()
            if left_s <= 0:
                break
            # No connection is held meanwhile.
            if await watcher.wait(limit_s=min(left_s, LOOK_S)):
                found: Any = await get(caller, wanted)
                execution = found
    return _shown(execution)


def _shown(execution: Any) -> JsonObject:
    return {"execution_id": execution["id"], **{name: execution[name] for name in ("task_id", "status", "output", "error")}}


def _words(content: JsonValue) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
