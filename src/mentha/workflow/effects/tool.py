"""Steps that call a tool: those that the server runs, and those that the client runs, for which the execution waits."""

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Collection, Mapping

from mentha import observe
from mentha.core.json import JsonObject, JsonValue
from mentha.core.redact import is_large
from mentha.observe.events import ToolCalled
from mentha.tools.calls import SERVER_TYPES, ToolFailed
from mentha.tools.run import Fill, ServerTools
from mentha.tools.system import Caller
from mentha.workflow import fills, policy
from mentha.workflow.effects.parts import Given, Job, Stopped
from mentha.workflow.effects.toolset import toolset
from mentha.workflow.moves import Done, Fail

_CALL_ID_BYTES = 18


async def call(job: Job) -> Done:
    """What the tool gave, as `output`; for a tool of the client, the call to `wait` for.

    Raises:
        Stopped: there is no such tool, or it failed.
        ExpressionFailed, MenthaError: what its arguments or the call failed with.
    """
    args = job.command.args
    tools = await toolset(job)
    tool = tools.get(args["tool"])
    if tool is None:
        raise Stopped(Fail(f"Tool {args['tool']} not found in the toolset ({job.place})", "unknown_tool"))
    given = await _arguments(job, args["arguments"])
    if tool["type"] not in SERVER_TYPES:
        return Done({"wait": _asked(job, tool, given)})
    return Done({"output": await _run(job, tool, given, tools)})


def server_tools(job: Job, tools: Mapping[str, JsonObject]) -> ServerTools:
    """The runner of these tools, whose text may have expressions in it."""
    return ServerTools(job.parts.tools, Caller(job.run.tenant, executions=job.run.depth + 1), list(tools.values()), fill=fill_of(job))


def fill_of(job: Job) -> Fill:
    """What puts values into the tools of an execution; see `workflow/fills.py`."""

    async def fill(tool: JsonObject, spec: JsonObject) -> tuple[JsonObject, Collection[str]]:
        kind = tool["type"]
        hidden = await job.more_secrets(spec)
        named = {key: ref["name"] for key, ref in (spec.get("secrets") or {}).items()} if kind == "api_call" else {}
        values = {**hidden.values, **{key: hidden.values[name] for key, name in named.items() if name in hidden.values}}
        texts = fills.expressions_in(kind, spec)
        made: list[JsonValue] = []
        if texts:
            made = await job.parts.expressions.evaluate(job.run.tenant, texts, Given(job.plain_names, hidden, values))
        filled = fills.filled(kind, spec, made, _value_of(values, named))
        # Nothing of this API needs the value of a secret: what it stores gets the mark.
        return (hidden.closed(filled), ()) if kind == "system" else (filled, hidden.values.values())

    return fill


async def _arguments(job: Job, given: JsonValue) -> JsonObject:
    evaluated = job.names["_"] if given == "_" else await job.evaluated(given)
    if not isinstance(evaluated, dict):
        message = f"a tool takes an object, and its arguments are {type(evaluated).__name__} ({job.place})"
        raise Stopped(Fail(message, "invalid"))
    return evaluated


async def _run(job: Job, tool: JsonObject, given: JsonObject, tools: Mapping[str, JsonObject]) -> JsonValue:
    key = job.key
    if tool["type"] == "system":
        key = f"{key}/{job.opened}"
        given = await asyncio.to_thread(job.hidden.closed, given) if is_large(given) else job.hidden.closed(given)
    began, is_ok = time.monotonic(), False
    try:
        output = await server_tools(job, tools).call(tool["name"], given, key=key)
        is_ok = True
    except ToolFailed as error:
        raise Stopped(policy.of_tool(error, tool, given, time.time())) from None
    finally:
        observe.emit(ToolCalled(kind=tool["type"], ok=is_ok, took_s=time.monotonic() - began))
    return output


def _asked(job: Job, tool: JsonObject, given: JsonObject) -> JsonObject:
    """A call for the client; its id is the same whenever this step is run again.

    Source: sections 5.1 and 5.2 of the tasks' spec for the form.
    """
    digest = hashlib.sha256(job.key.encode()).digest()[:_CALL_ID_BYTES]
    call_id = f"call_{base64.urlsafe_b64encode(digest).decode()}"
    return {"function": {"name": tool["name"], "arguments": given}, "id": call_id, "type": "function"}


def _value_of(values: Mapping[str, str], named: Mapping[str, str]) -> Callable[[str], str]:
    def value(key: str) -> str:
        if key not in values:
            raise ToolFailed(f"it needs the secret `{named.get(key, key)}`, which does not exist: create it with POST /secrets")
        return values[key]

    return value
