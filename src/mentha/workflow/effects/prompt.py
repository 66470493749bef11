"""Steps that ask a model: messages → the answer, by way of the tools that the server runs, and of those that the client runs.

    ask ⇄ tools of the server (tools/loop.py)  →  the answer, as `output`
                                               →  calls of tools that the client runs, to `wait` for; its answer begins the next turn

A turn begins with the messages so far, which the turn before has kept in the log: nothing is asked or run again.
"""

import time
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from mentha.core.errors import ProviderError, ProviderTimeout
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.providers.types import Completion, Options, Route, Usage
from mentha.store.usage import NewUsage
from mentha.tools import expand, offer
from mentha.tools.loop import Limits, Loop, Outcome, summed
from mentha.tools.mcp import discovery
from mentha.tools.run import KeyedTools
from mentha.wire.chat import OPTIONS
from mentha.workflow import prompts
from mentha.workflow.effects.journal import open_rounds
from mentha.workflow.effects.parts import Job, Stopped
from mentha.workflow.effects.tool import fill_of, server_tools
from mentha.workflow.effects.toolset import toolset
from mentha.workflow.moves import Done, Fail
from mentha.workflow.prompts import PromptInvalid


@dataclass(frozen=True, slots=True)
class _Found:
    """The tools to offer and run, what to tell of those that are missing, and which one must be called."""

    tools: list[JsonObject]
    warnings: list[str]
    choice: JsonValue


@dataclass(frozen=True, slots=True)
class _Asking:
    """What a turn asks with.

    Attributes:
        choice: of the first round.
        until_s: on the clock of `time.monotonic`.
    """

    job: Job
    route: Route
    options: Options
    choice: JsonValue
    until_s: float

    async def __call__(self, messages: bytes, choice: JsonValue) -> Completion:
        """The model's whole answer to these messages."""
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise ProviderTimeout("the time of the step was over before the model was asked")
        messages = await self.job.parts.attachments.filled(self.job.run.tenant, messages)
        body = offer.with_choice(self.options.body, self.choice, choice)
        sent = b'{"model":' + dumps(self.route.model) + b',"messages":' + messages + (b"," + dumps(body)[1:] if body else b"}")
        try:
            completion = await self.job.parts.providers.complete(self.route, sent, timeout_s=left_s)
        except ProviderError:
            self.job.parts.meter.later(self.job.run.tenant, [self._spent(None)])
            raise
        await self.job.parts.meter.write(self.job.run.tenant, [self._spent(completion.usage)])
        return completion

    def cost(self, usage: Usage) -> float | None:
        """US dollars; None where the price is not known."""
        return self.job.parts.providers.cost(self.route, usage.prompt_tokens, usage.completion_tokens)

    def _spent(self, usage: Usage | None) -> NewUsage:
        told = usage or Usage(0, 0, 0)
        return NewUsage(
            kind="step",
            ok=usage is not None,
            provider=self.route.provider,
            model=self.route.model,
            prompt_tokens=told.prompt_tokens,
            completion_tokens=told.completion_tokens,
            cost=self.cost(told),
        )


async def ask(job: Job) -> Done:
    """The model's answer, or the calls that the client is to run.

    Raises:
        Stopped: the prompt makes no messages, no model is named, or the answer can't be unwrapped.
        ExpressionFailed, MenthaError: what its expressions or the provider failed with.
    """
    step, turns = job.command.args["step"], job.command.args["turns"]
    try:
        messages = await _begun(job, step) if not turns else _continued(job, turns[-1])
    except PromptInvalid as error:
        raise Stopped(Fail(f"{error} ({job.place})", "invalid")) from None
    found = await _expanded(job, step, await _offered(job, step))
    tools = {tool["name"]: tool for tool in found.tools}
    asking = await _asking(job, step, tools, found.choice)
    outcome = await _answered(job, step, tools, asking, messages)
    before = [Usage(**turns[-1]["state"]["usage"])] if turns and turns[-1]["state"]["usage"] else []
    usage = summed([*before, outcome.completion.usage])
    whole = [
        *messages,
        *(each for done in outcome.rounds for each in (done.message, *done.results)),
        prompts.assistant_of(outcome.completion),
    ]
    if step["auto_run_tools"] and outcome.completion.tool_calls:
        kept = {"messages": whole, "calls": outcome.completion.tool_calls, "usage": prompts.usage_of(usage)}
        return Done({"wait": outcome.completion.tool_calls, "state": kept})
    output = _output(job, step, outcome.completion, usage, whole)
    warnings = [*found.warnings, *asking.options.warnings, *outcome.warnings]
    cost = asking.cost(usage) if usage else None
    told = {
        "model": outcome.completion.model,
        "usage": prompts.usage_of(usage),
        **({} if cost is None else {"cost": cost}),
        **({"warnings": warnings} if warnings else {}),
    }
    return Done({"output": output}, told)


async def _expanded(job: Job, step: JsonObject, tools: dict[str, JsonObject]) -> "_Found":
    """The tools of MCP servers in the place of those that stand for them, where the step runs tools.

    Raises:
        Stopped: the tool that must be called is not offered.
    """
    before = list(tools.values())
    many = any(discovery.stands_for_many(tool) for tool in before)
    if not (many and step["auto_run_tools"]):
        return _Found(before, [], _choice(step["tool_choice"], tools))
    found = await expand.expand(job.parts.tools, job.run.tenant, before, fill=fill_of(job))
    wanted = step["tool_choice"]
    if not isinstance(wanted, dict):
        return _Found(found.tools, found.warnings, wanted)
    name = wanted["function"]["name"]
    choice = discovery.choice_of(name, before, found.tools)
    if choice is None and not found.warnings:
        raise _not_offered(name)
    return _Found(found.tools, found.warnings, choice)


async def _begun(job: Job, step: JsonObject) -> list[JsonObject]:
    messages = prompts.messages_of(step["prompt"], await job.evaluated(prompts.to_evaluate(step["prompt"])))
    return await job.parts.attachments.noted(job.run.tenant, messages)


def _continued(job: Job, turn: JsonObject) -> list[JsonObject]:
    state = job.hidden.opened(turn["state"])
    return [*state["messages"], *prompts.results_of(state["calls"], turn["input"])]


async def _offered(job: Job, step: JsonObject) -> dict[str, JsonObject]:
    """The tools to offer, by name.

    `all`, which is what a step says that says nothing, offers none unless the step runs tools or chooses one: a prompt of a task that has
    tools for its other steps is to be answered in words, as it was with the original.

    Raises:
        Stopped: a tool is referred to that is not there.
    """
    wanted = step["tools"]
    if not wanted or (wanted == "all" and not (step["auto_run_tools"] or step["tool_choice"])):
        return {}
    if wanted == "all":
        return await toolset(job)
    known = await toolset(job) if any("ref" in tool for tool in wanted) else {}
    found: dict[str, JsonObject] = {}
    for tool in wanted:
        one = _referred(job, known, tool["ref"]) if "ref" in tool else tool
        found.setdefault(one["name"], one)
    return found


def _referred(job: Job, known: dict[str, JsonObject], ref: JsonObject) -> JsonObject:
    name, tool_id = ref.get("name"), ref.get("id")
    for tool in known.values():
        if tool["name"] == name or (tool_id and tool.get("id") and UUID(tool["id"]) == UUID(str(tool_id))):
            return tool
    raise Stopped(Fail(f"Tool {name or tool_id} not found in the toolset ({job.place})", "unknown_tool"))


async def _asking(job: Job, step: JsonObject, tools: dict[str, JsonObject], choice: JsonValue) -> _Asking:
    """Model and options: the agent's model < its default settings < the step's settings.

    Raises:
        Stopped: no model is named.
        ProviderError: no provider serves the model.
    """
    parts, agent = job.parts, job.run.around.agent
    merged: JsonObject = {
        "model": agent.get("model"),
        **(agent.get("default_settings") or {}),
        **await job.evaluated(step["settings"] or {}),
    }
    settings = {name: value for name, value in merged.items() if value is not None}
    model = settings.pop("model", None) or parts.settings.default_model
    if not isinstance(model, str):
        raise Stopped(Fail("no model is named: set `model` in the agent or in the step's settings", "invalid"))
    route = parts.providers.route(model, own_keys=await parts.provider_keys(job.run.tenant))
    known = {name: value for name, value in settings.items() if name in OPTIONS}
    options = parts.providers.options(route, {**known, **offer.offered(list(tools.values()), choice)})
    return _Asking(job, route, options, choice, time.monotonic() + parts.settings.execution_call_timeout_s)


def _choice(wanted: JsonValue, tools: dict[str, JsonObject]) -> JsonValue:
    if not isinstance(wanted, dict):
        return wanted
    name = wanted["function"]["name"]
    if name not in tools:
        raise _not_offered(name)
    return {"type": "function", "function": {"name": name}}


def _not_offered(name: str) -> Stopped:
    return Stopped(Fail(f"`tool_choice` names `{name}`, which is not offered", "unknown_tool"))


async def _answered(job: Job, step: JsonObject, tools: dict[str, JsonObject], asking: _Asking, messages: list[JsonObject]) -> Outcome:
    if not (step["auto_run_tools"] and tools):
        return Outcome(await asking(dumps(messages), asking.choice), [], [])
    settings = job.parts.settings
    limits = Limits(
        rounds_max=settings.tool_rounds_max,
        calls_at_once_max=settings.tool_calls_at_once_max,
        result_bytes_max=settings.tool_result_bytes_max,
        call_timeout_s=settings.tool_timeout_s,
        until_s=asking.until_s,
    )
    journal = await open_rounds(job)
    runner = KeyedTools(server_tools(job, tools), f"{job.key}/{len(job.command.args['turns'])}")
    # A choice that forces a call was kept in the first turn.
    return await Loop(asking, runner, limits, journal=journal).run(dumps(messages), None if job.command.args["turns"] else asking.choice)


def _output(job: Job, step: JsonObject, completion: Completion, usage: Usage | None, whole: list[JsonObject]) -> JsonValue:
    if step["unwrap"]:
        text = prompts.unwrapped(completion)
        if isinstance(text, Fail):
            raise Stopped(replace(text, message=f"{text.message} ({job.place})"))
        return text
    more: dict[str, Any] = {"messages": whole} if step["auto_run_tools"] else {}
    return {**prompts.completion_of(completion, usage, key=job.key, created_s=time.time()), **more}
