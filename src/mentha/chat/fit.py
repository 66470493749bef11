"""Stage of a turn between its templates and its prompt: what of the history fits. Only for sessions with a `context_overflow`.

After the model has answered, `settle` learns from the usage that it reported, and has a session folded that nearly fills its budget.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from mentha import observe
from mentha.chat import budget, shorten, summarise
from mentha.chat.budget import RATIO_FALL, RATIO_START, Budget, Fitted, Stored
from mentha.chat.context import Context
from mentha.chat.messages import countable
from mentha.chat.prompt import Prompt, extended
from mentha.core import tokens
from mentha.core.errors import BadRequest
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps, loads
from mentha.observe.events import ContextCut
from mentha.providers.service import Providers
from mentha.providers.types import Completion, Route
from mentha.store import budgets, folds, queue
from mentha.store.pool import Database
from mentha.tools.messages import Draft

# Where nothing is known to be too much, everything is read.
NO_LIMIT_TOKENS = 2**53
MODEL_CHARS_MAX = 255
SHORTENED = "results of tools were shortened: the rounds of this turn alone would have exceeded the token budget"
WINDOW_UNKNOWN = (
    "context_overflow has no effect: the window of this model is not known, so the whole history is sent; give the session a token_budget, "
    "or the server the setting model_windows"
)


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent beside the history.

    Attributes:
        model: as the agent or the request has it.
        answer: tokens that the answer may have, None where the request does not say.
        system: the rendered system message, blank for none.
        tools: what is offered, as it goes out; empty for nothing.
        new: the rendered new messages.
    """

    model: str
    answer: int | None
    system: str
    tools: JsonObject
    new: Sequence[Draft]


async def fit(database: Database, providers: Providers, tenant: UUID, context: Context, sent: Sent, route: Route | None) -> Fitted | None:
    """Read what of the history could fit and choose what is sent; None where the whole history is.

    Args:
        route: where it is sent; None where that is not known.

    Raises:
        BadRequest: system message, tools and new messages alone exceed the budget.
        Unavailable: the database is away.
    """
    if context.session["context_overflow"] is None:
        return None
    new = await count([draft.message for draft in sent.new])
    fixed = new + await _fixed(sent)
    model, limit = _limit(providers, context, sent, route)
    async with database.connection() as connection:
        newest = await budgets.newest(
            connection,
            tenant,
            UUID(context.session["id"]),
            sources=context.sources,
            last_seq=context.last_seq,
            limit_tokens=NO_LIMIT_TOKENS if limit is None else limit,
            fixed_tokens=fixed,
            model=model,
            ratio=RATIO_START,
        )
    stored = Stored(
        newest.messages,
        newest.sizes,
        newest.counts,
        newest.kinds,
        newest.seqs,
        context.last_seq,
        newest.folded_seq,
        newest.folded_count,
        newest.summary,
        newest.summary_tokens,
    )
    allowed = None if limit is None else Budget(limit, newest.ratio)
    return budget.fit(stored, allowed, fixed, new=new, model=model, open_calls=bool(context.open_calls))


class Requests:
    """The requests of one turn, of which each round with tools makes one more.

    Attributes:
        last: what was sent last.
        completion: how that was answered.
        warnings: what of the rounds could not be sent as it is.
    """

    def __init__(self, prompt: Prompt) -> None:
        self._first = self.last = prompt
        self.completion: Completion | None = None
        self.warnings: list[str] = []
        # The rounds so far, as far as they were looked at, and what each message of them counts.
        self._rounds: list[JsonObject] = []
        self._counts: list[int] = []
        self._seen_bytes = 0

    async def next(self, messages: bytes) -> Prompt:
        """What to send for a JSON array of messages that begins with those of the prompt: less where else it would not fit.

        Older turns make room for rounds; where none are left, results of tools are shortened.

        Raises:
            BadRequest: not even what has to be sent fits.
        """
        more = messages[len(self._first.messages) : -1]
        if self._first.fitted is None:
            self.last = replace(self._first, messages=messages)
        elif more:
            await self._look_at(more)
            self.last = await self._fitting(self._first.fitted, more)
        return self.last

    async def _look_at(self, more: bytes) -> None:
        """Count what came since the last request."""
        new = loads(b"[" + more[self._seen_bytes :].lstrip(b",") + b"]")
        self._seen_bytes = len(more)
        self._rounds += new
        self._counts += await counts_of(new)

    async def _fitting(self, first: Fitted, more: bytes) -> Prompt:
        learnt = budget.counting(first, self._ratio(first))
        # What fitted by the older knowledge is sent rather than lost: the provider may take it.
        for fitted in (learnt, first) if learnt is not first else (first,):
            try:
                return await self._fitting_by(fitted, more)
            except BadRequest:
                if fitted is first:
                    raise
        raise AssertionError

    async def _fitting_by(self, fitted: Fitted, more: bytes) -> Prompt:
        total, room = sum(self._counts), budget.spare(fitted)
        if total > room:
            rounds, counts = await asyncio.to_thread(shorten.shortened, self._rounds, self._counts, total - room)
            more, total = b",".join(map(dumps, rounds)), sum(counts)
            self.warnings = [SHORTENED]
        return extended(replace(self._first, fitted=fitted), more, total)

    def _ratio(self, first: Fitted) -> float:
        """How this model counts, as far as its answers within the turn have told."""
        ratio = (
            max(fitted.budget.ratio for fitted in (first, self.last.fitted) if fitted and fitted.budget) if first.budget else RATIO_START
        )
        if self.last.fitted and self.completion and self.completion.usage:
            ratio = max(ratio, budget.sample(self.last.fitted.raw, self.completion.usage.prompt_tokens) or ratio)
        return ratio


def warnings_of(context: Context, fitted: Fitted | None) -> list[str]:
    """What the answer says about a context that could not be made to fit as it was asked for."""
    if fitted is None:
        return []
    if fitted.budget is None:
        return [WINDOW_UNKNOWN]
    if context.session["context_overflow"] == "adaptive" and fitted.left_out:
        return [f"{fitted.left_out} older messages were left out of this turn, until they are summarised"]
    return []


async def settle(
    database: Database, tenant: UUID, context: Context, fitted: Fitted, model: str, completion: Completion, *, known: Fitted, saved: bool
) -> UUID | None:
    """Learn from the answer's usage, and have the session folded where it is time. Before the turn is stored, whose answer names the job.

    Args:
        fitted: of the request that `completion` answers.
        model: as the agent or the request has it.
        known: of the turn's first request, with what was known of the model's count then.
        saved: whether the turn will be stored.

    Returns:
        The job that folds the session, where one does.

    Raises:
        Unavailable: the database is away.
    """
    if fitted.budget is None:
        return None
    if fitted.left_out:
        observe.emit(
            ContextCut(
                left_out=fitted.left_out,
                summarised=fitted.summarised,
                budget_tokens=fitted.budget.tokens,
                estimated_tokens=fitted.estimated,
            )
        )
    await _learn(database, tenant, fitted, known.budget or fitted.budget, completion)
    if not saved or context.session["context_overflow"] != "adaptive":
        return None
    answered = await count([{"content": completion.content, "tool_calls": completion.tool_calls}])
    if not budget.is_due(fitted, answered):
        return None
    return context.fold_job or await _schedule(database, tenant, UUID(context.session["id"]), fitted, fitted.budget, model)


async def wake(database: Database) -> None:
    """Send the wake-up for a fold that `settle` has scheduled, once the turn is stored. One that is lost is found by the sweep."""
    async with database.transaction() as tx:
        await queue.wake(tx, summarise.KIND)


async def _learn(database: Database, tenant: UUID, fitted: Fitted, used: Budget, completion: Completion) -> None:
    seen = budget.sample(fitted.raw, completion.usage.prompt_tokens if completion.usage else None)
    if seen is not None and budget.teaches(used.ratio, seen):
        async with database.connection() as connection:
            await budgets.learn(connection, tenant, fitted.model, seen=seen, start=RATIO_START, fall=RATIO_FALL)


async def _schedule(database: Database, tenant: UUID, session_id: UUID, fitted: Fitted, used: Budget, model: str) -> UUID | None:
    job_id = new_id()
    async with database.connection() as connection:
        is_ours = await folds.schedule(
            connection,
            tenant,
            session_id,
            job_id,
            kind=summarise.KIND,
            keep_tokens=budget.keep_tokens(used, fitted.fixed - fitted.new),
            step_tokens=budget.step_tokens(used),
            model=model,
        )
    # Where a turn at the same time was faster, its answer names the job.
    return job_id if is_ours else None


def _limit(providers: Providers, context: Context, sent: Sent, route: Route | None) -> tuple[str, int | None]:
    """The name that the ratio is kept under, and the tokens that a prompt may have."""
    name = f"{route.provider}/{route.model}" if route else sent.model
    window = providers.window(route) if route else None
    limit = budget.tokens_of(token_budget=context.session["token_budget"], window=window, answer=sent.answer)
    return name[:MODEL_CHARS_MAX], limit


async def _fixed(sent: Sent) -> int:
    """Raw tokens of all but the history and the new messages."""
    system: list[JsonObject] = [{"content": sent.system}] if sent.system.strip() else []
    tools = await tokens.count_many([dumps(sent.tools["tools"]).decode()]) if sent.tools else [0]
    return await count(system) + tools[0] + budget.PRIMING_TOKENS


async def count(messages: Sequence[JsonObject]) -> int:
    """Raw tokens of messages, images and overheads included."""
    return sum(await counts_of(messages))


async def counts_of(messages: Sequence[JsonObject]) -> list[int]:
    """Raw tokens of each message."""
    counted = [countable(message) for message in messages]
    counts = await tokens.count_many([text for text, _ in counted])
    return [
        count + tokens.TOKENS_PER_MESSAGE + images * tokens.TOKENS_PER_IMAGE for count, (_, images) in zip(counts, counted, strict=True)
    ]
