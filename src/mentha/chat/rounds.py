"""The tools of a turn: whether the server runs them, what is shown of it in a stream, and what of it is stored."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from mentha.chat.answer import Writer
from mentha.chat.context import Context
from mentha.chat.prompt import Prompt
from mentha.core.config import Settings
from mentha.core.json import JsonObject
from mentha.store.pool import Database
from mentha.tools.calls import SERVER_TYPES, Call, Result
from mentha.tools.journal import Kept, Turn, open_journal
from mentha.tools.loop import Ask, Limits, Loop, Outcome
from mentha.tools.messages import Draft
from mentha.tools.run import ServerTools, Toolbox
from mentha.tools.system import Caller
from mentha.wire.chat import ChatInput


@dataclass(frozen=True, slots=True)
class Setup:
    """What the rounds of one turn need to know of it.

    Attributes:
        caller: who its tools are run for.
        left_s: until it must be over.
        chunks: of its stream.
        push: takes them; None where it is not streamed.
    """

    settings: Settings
    database: Database
    tools: Toolbox
    turn: Turn
    caller: Caller
    chat: ChatInput
    left_s: float
    chunks: Writer
    push: Callable[[bytes], None] | None


def runs_tools(context: Context, request: ChatInput, tools: list[JsonObject]) -> bool:
    """Whether the server runs tools in this turn: the request says so, else its session, and there are tools that it can run."""
    session = context.session
    wanted = request.auto_run_tools if "auto_run_tools" in request.model_fields_set else session["auto_run_tools"]
    return bool(wanted) and not session["forward_tool_calls"] and any(tool["type"] in SERVER_TYPES for tool in tools)


async def run(setup: Setup, context: Context, prepared: Prompt, ask: Ask) -> Outcome:
    """Ask the model; where the server runs tools, as often as it takes.

    Raises:
        ProviderError: the model failed. What was run until then is remembered for a retry.
        Unavailable: the database is away, so that no call could be remembered.
    """
    drafted = prepared.drafted
    if runs_tools(context, setup.chat, drafted.tools):
        loop = await _loop(setup, drafted.tools, ask)
        outcome = await loop.run(prepared.messages, drafted.tool_choice)
    else:
        outcome = Outcome(await ask(prepared.messages, drafted.tool_choice), [], [])
    if setup.push and outcome.completion.tool_calls:
        setup.push(setup.chunks.tool_calls(outcome.completion.tool_calls))
    return outcome


def drafts(outcome: Outcome) -> list[Draft]:
    """What is stored of the rounds, between the new messages and the answer."""
    return [
        Draft(message["role"], None, message, source="tool_request" if message["role"] == "assistant" else "tool_response")
        for done in outcome.rounds
        for message in (done.message, *done.results)
    ]


async def _loop(setup: Setup, tools: list[JsonObject], ask: Ask) -> Loop:
    settings, turn = setup.settings, setup.turn
    limits = Limits(
        rounds_max=settings.tool_rounds_max,
        calls_at_once_max=settings.tool_calls_at_once_max,
        result_bytes_max=settings.tool_result_bytes_max,
        call_timeout_s=settings.tool_timeout_s,
        until_s=time.monotonic() + setup.left_s,
    )

    def show(text: str | None, calls: list[JsonObject]) -> None:
        """Show a round in the stream; its calls are marked, so that no client runs them once more."""
        if setup.push:
            if text:
                setup.push(setup.chunks.text(text))
            setup.push(setup.chunks.tool_calls([{**call, "auto_run": True} for call in calls]))

    journal = await open_journal(setup.database, turn, within_s=settings.turn_replay_s)
    runner = _Runner(ServerTools(setup.tools, setup.caller, tools), journal)
    return Loop(ask, runner, limits, journal=journal, show=show)


class _Runner:
    """Runs each call under a key of its own, since one that a crash cut short is made again."""

    def __init__(self, tools: ServerTools, journal: Kept) -> None:
        self._tools = tools
        self._journal = journal

    def is_ours(self, name: str) -> bool:
        """See `tools.loop.Runner`."""
        return self._tools.is_ours(name)

    async def run(self, call: Call) -> Result:
        """See `tools.loop.Runner`."""
        return await self._tools.run(call, key=self._journal.key_of(call))
