"""The tools of a turn: whether the server runs them, what is shown of it in a stream, and what of it is stored."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mentha.chat.answer import Chunks
from mentha.chat.context import Context
from mentha.chat.messages import Draft
from mentha.chat.prompt import Prompt
from mentha.core.json import JsonObject
from mentha.tools.calls import SERVER_TYPES
from mentha.tools.journal import Turn, open_journal
from mentha.tools.loop import Ask, Limits, Loop, Outcome
from mentha.tools.run import ServerTools
from mentha.tools.system import Caller
from mentha.wire.chat import ChatInput

if TYPE_CHECKING:
    from mentha.chat.turn import Parts, TurnRequest


def runs_tools(context: Context, request: ChatInput, tools: list[JsonObject]) -> bool:
    """Whether the server runs tools in this turn: the request says so, else its session, and there are tools that it can run."""
    session = context.session
    wanted = request.auto_run_tools if "auto_run_tools" in request.model_fields_set else session["auto_run_tools"]
    return bool(wanted) and not session["forward_tool_calls"] and any(tool["type"] in SERVER_TYPES for tool in tools)


async def run(
    parts: "Parts",
    request: "TurnRequest",
    context: Context,
    prepared: Prompt,
    ask: Ask,
    *,
    left_s: float,
    chunks: Chunks | None,
    push: Callable[[bytes], None] | None,
) -> Outcome:
    """Ask the model; where the server runs tools, as often as it takes.

    Args:
        left_s: until the turn must be over.

    Raises:
        ProviderError: the model failed. What was run until then is remembered for a retry.
        Unavailable: the database is away, so that no call could be remembered.
    """
    drafted = prepared.drafted
    if runs_tools(context, request.chat, drafted.tools):
        loop = await _loop(parts, request, drafted.tools, ask, left_s, chunks, push)
        outcome = await loop.run(prepared.messages, drafted.tool_choice)
    else:
        outcome = Outcome(await ask(prepared.messages, drafted.tool_choice), [], [])
    if chunks and push and outcome.completion.tool_calls:
        push(chunks.tool_calls(outcome.completion.tool_calls))
    return outcome


def drafts(outcome: Outcome) -> list[Draft]:
    """What is stored of the rounds, between the new messages and the answer."""
    return [
        Draft(message["role"], None, message, source="tool_request" if message["role"] == "assistant" else "tool_response")
        for done in outcome.rounds
        for message in (done.message, *done.results)
    ]


async def _loop(
    parts: "Parts",
    request: "TurnRequest",
    tools: list[JsonObject],
    ask: Ask,
    left_s: float,
    chunks: Chunks | None,
    push: Callable[[bytes], None] | None,
) -> Loop:
    settings = parts.settings
    turn = Turn(
        tenant=request.tenant,
        id=request.head.id,
        session_id=request.session_id,
        fingerprint=request.fingerprint,
        idempotency_key=request.idempotency_key,
        retried=request.retried,
    )
    limits = Limits(
        rounds_max=settings.tool_rounds_max,
        calls_at_once_max=settings.tool_calls_at_once_max,
        result_bytes_max=settings.tool_result_bytes_max,
        call_timeout_s=settings.tool_timeout_s,
        until_s=time.monotonic() + left_s,
    )

    def show(text: str | None, calls: list[JsonObject]) -> None:
        """Show a round in the stream; its calls are marked, so that no client runs them once more."""
        if chunks and push:
            if text:
                push(chunks.text(text))
            push(chunks.tool_calls([{**call, "auto_run": True} for call in calls]))

    journal = await open_journal(parts.database, turn, within_s=settings.turn_replay_s)
    return Loop(ask, ServerTools(parts.tools, Caller(request.tenant, request.depth), tools), limits, journal=journal, show=show)
