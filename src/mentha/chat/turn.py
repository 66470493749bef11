"""A chat turn, from its request to its stored answer: one function that names the stages in order.

    load → recall → draft → discover → attach → render → fit → compose → ask (⇄ tools) → settle → save

No database connection is held while a query is embedded, templates are rendered or the model is asked. Until `save`, nothing of the turn is
stored; `settle` stores only what is true without it: how the model counts, and that the session is to be summarised.
"""

import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

from pydantic import SecretStr

from mentha import observe
from mentha.auth import caller
from mentha.chat import answer, fit, prompt, reply, rounds, save
from mentha.chat.attachments import attach
from mentha.chat.context import Context
from mentha.chat.discover import discover
from mentha.chat.form import Form
from mentha.chat.load import load
from mentha.chat.prompt import Drafted, Prompt
from mentha.chat.recall import recall
from mentha.chat.recalled import Recalled
from mentha.core import tokens
from mentha.core.config import Settings
from mentha.core.errors import Conflict, ProviderError, ProviderTimeout
from mentha.core.json import JsonObject, JsonValue, dumps, loads
from mentha.observe.events import TurnFinished
from mentha.providers.embedders import Embedders
from mentha.providers.service import Providers
from mentha.providers.types import Completion, Route, Usage
from mentha.sandbox.templates import Templates
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.store.turns import NewTurn
from mentha.store.usage import NewUsage
from mentha.tools import offer
from mentha.tools.attachments import Attachments
from mentha.tools.journal import Turn
from mentha.tools.loop import Outcome
from mentha.tools.run import Toolbox
from mentha.tools.system import Caller
from mentha.wire.chat import ChatInput

_NO_USAGE = Usage(0, 0, 0)
ProviderKeys = Callable[[UUID], Awaitable[Mapping[str, SecretStr]]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What turns work with; one for the process.

    Attributes:
        provider_keys: gives a tenant's own keys by provider.
        tools: what calls of tools are run with.
        meter: takes what turns cost that are not stored.
        attachments: what reads the files that messages name.
    """

    settings: Settings
    database: Database
    providers: Providers
    embedders: Embedders
    templates: Templates
    provider_keys: ProviderKeys
    tools: Toolbox
    attachments: Attachments
    meter: Meter


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One request for a turn.

    Attributes:
        fingerprint: SHA-256 over tenant, path and body.
        retried: the client says that it has sent this before.
        custom_key: a provider's key that counts for this turn only.
        head: id and time of the answer.
        depth: in how many other turns it stands, whose models asked for it by a tool.
        form: of a turn that is no chat; it says where the turn stands, in the place of `session_id`.
        executions: in how many executions.
    """

    tenant: UUID
    session_id: UUID
    chat: ChatInput
    fingerprint: bytes
    head: answer.Head
    retried: bool = False
    idempotency_key: str | None = None
    custom_key: str | None = None
    depth: int = 0
    executions: int = 0
    form: Form | None = None


@dataclass(slots=True)
class _Spending:
    """The calls of providers that a turn has made so far."""

    kind: str = "chat"
    calls: list[NewUsage] = field(default_factory=list[NewUsage])

    def add(self, parts: Parts, route: Route, completion: Completion | None, estimate: Usage = _NO_USAGE) -> None:
        """Note a call; None where it failed. `estimate` counts where the provider told no tokens."""
        usage = completion.usage if completion else _NO_USAGE
        counted = usage or estimate
        prompt, said = counted.prompt_tokens, counted.completion_tokens
        self.calls.append(
            NewUsage(
                kind=self.kind,
                ok=completion is not None,
                provider=route.provider,
                model=route.model,
                prompt_tokens=prompt,
                completion_tokens=said,
                estimated=usage is None,
                cost=parts.providers.cost(route, prompt, said),
            )
        )


async def run(parts: Parts, request: TurnRequest, push: Callable[[bytes], None] | None) -> bytes:
    """Run one turn; returns the body of its answer, which is stored by then.

    Args:
        push: takes the chunks of a streamed answer, the last one after the turn was stored; None for an answer in one piece.

    Raises:
        RequestRefused, ProviderError, Unavailable: nothing of the turn was stored.
    """
    spending = _Spending(kind=request.form.kind if request.form else "chat")
    try:
        return await _run(parts, request, push, spending)
    except BaseException:
        # It was paid for, although nobody gets it.
        parts.meter.later(request.tenant, spending.calls)
        raise


async def _run(parts: Parts, request: TurnRequest, push: Callable[[bytes], None] | None, spending: _Spending) -> bytes:
    began = time.perf_counter()
    form = request.form
    if form is not None:
        request = replace(request, session_id=await form.place(parts.database))
    context = await load(parts.database, request.tenant, request.session_id, request.chat)
    _account(context)
    recalled = await recall(parts.database, parts.embedders, parts.meter, request.tenant, context, request.chat)
    drafted = await _drafted(parts, request.tenant, context, recalled, request.chat)
    if form is not None:
        drafted = prompt.with_system(drafted, form.system.text, alone=form.system.alone)
    route = await _route(parts, request.tenant, context, drafted.model, custom_key=request.custom_key)
    prepared = await prepare(parts, request.tenant, context, drafted, route)
    options = parts.providers.options(route, {**prepared.drafted.options, **prompt.offered(prepared.drafted)})
    body = options.body | form.options if form else options.body
    warnings = [*prepared.drafted.warnings, *options.warnings]
    docs = dumps(recalled.references)
    chunks = form.writer(request.head, docs) if form else answer.Chunks(request.head, docs)
    asked = time.perf_counter()
    requests = fit.Requests(prepared)
    ask = partial(_ask, parts, request.tenant, route, requests, body, began, chunks, push, spending)
    outcome = await rounds.run(_setup(parts, request, began, chunks, push), context, prepared, ask)
    completion, warnings = outcome.completion, [*warnings, *requests.warnings, *outcome.warnings]
    model_s = time.perf_counter() - asked
    notes = await _settle(parts, request, context, prepared, requests, completion)
    whole = chunks.whole(completion, [done.message["content"] or "" for done in outcome.rounds], warnings, notes)
    stored = await _save(parts, request, context, prepared, outcome, whole, spending)
    if notes.jobs and context.fold_job is None:
        await fit.wake(parts.database)
    if push:
        push(chunks.last(completion.finish_reason, completion.usage, warnings, notes))
    observe.emit(_finished(request, route, completion, time.perf_counter() - began, model_s))
    return stored


def draft(parts: Parts, context: Context, recalled: Recalled, request: ChatInput) -> Drafted:
    """What is about to be sent, within the server's limits.

    Raises:
        BadRequest, FieldInvalid: the request can't be served as it is.
    """
    return prompt.draft(context, recalled, request, default_model=parts.settings.default_model, messages_max=parts.settings.messages_max)


async def prepare(parts: Parts, tenant: UUID, context: Context, drafted: Drafted, route: Route | None) -> Prompt:
    """Everything up to the call of the model: what is sent, with all templates rendered.

    Args:
        route: where it is sent; None where that is not known.

    Raises:
        BadRequest: not even what has to be sent fits into the budget.
        TemplateFailed: a template is wrong, or ran out of its limits.
    """
    drafted = await attach(parts.attachments, tenant, drafted)
    rendered = await parts.templates.render(drafted.templates, drafted.variables)
    rendered = [prompt.system_of(drafted, rendered[0]), *rendered[1:]]
    sent = fit.Sent(
        drafted.model, drafted.options.get("max_tokens"), rendered[0], prompt.offered(drafted), prompt.new_messages(drafted, rendered)
    )
    fitted = await fit.fit(parts.database, parts.providers, tenant, context, sent, route)
    drafted.warnings.extend(fit.warnings_of(context, fitted))
    return prompt.compose(context, drafted, rendered, fitted)


async def render(parts: Parts, tenant: UUID, session_id: UUID, request: ChatInput) -> tuple[Prompt, Recalled]:
    """What `run` would send, without sending or storing anything.

    Raises:
        NotFound, BadRequest, FieldInvalid, TemplateFailed: as `run`.
    """
    context = await load(parts.database, tenant, session_id, request)
    _account(context)
    recalled = await recall(parts.database, parts.embedders, parts.meter, tenant, context, request)
    drafted = await _drafted(parts, tenant, context, recalled, request)
    route = None
    # Only the size of a context depends on where it is sent; a model that nobody serves is shown all the same.
    if context.session["context_overflow"] is not None:
        with contextlib.suppress(ProviderError):
            route = await _route(parts, tenant, context, drafted.model)
    return await prepare(parts, tenant, context, drafted, route), recalled


def _account(context: Context) -> None:
    """From here on what is recorded is this session's; where an execution asks for the turn, it stays that one's as well."""
    caller.work.set(replace(caller.work.get(), agent_id=UUID(context.agent["id"]), session_id=UUID(context.session["id"])))


async def _drafted(parts: Parts, tenant: UUID, context: Context, recalled: Recalled, request: ChatInput) -> Drafted:
    drafted = draft(parts, context, recalled, request)
    return await discover(parts.tools, tenant, drafted, runs_tools=rounds.runs_tools(context, request, drafted.tools))


async def _route(parts: Parts, tenant: UUID, context: Context, model: str, *, custom_key: str | None = None) -> Route:
    """Where the turn goes, and with whose key: the request's, else the tenant's own, else the operator's."""
    asks = context.has_secrets and not custom_key
    own_keys = await parts.provider_keys(tenant) if asks else None
    return parts.providers.route(model, custom_key=custom_key, own_keys=own_keys)


async def _ask(
    parts: Parts,
    tenant: UUID,
    route: Route,
    requests: fit.Requests,
    options: JsonObject,
    began: float,
    chunks: answer.Writer,
    push: Callable[[bytes], None] | None,
    spending: _Spending,
    messages: bytes,
    choice: JsonValue,
) -> Completion:
    """Ask the model, for `messages` in the place of the prompt's own, as far as they fit."""
    left_s = _left_s(parts, began)
    if left_s <= 0:
        raise ProviderTimeout(f"the turn took longer than {parts.settings.turn_timeout_s:g} s before the model was asked")
    sent = await requests.next(messages)
    filled = replace(sent, messages=await parts.attachments.filled(tenant, sent.messages))
    body = prompt.body(route.model, filled, offer.with_choice(options, sent.drafted.tool_choice, choice), stream=push is not None)
    try:
        completion = await _asked(parts, route, body, left_s, chunks, push)
    except BaseException:
        spending.add(parts, route, None)
        raise
    spending.add(parts, route, completion, await _estimated(sent.messages, completion) if completion.usage is None else _NO_USAGE)
    requests.completion = completion
    return completion


async def _asked(
    parts: Parts, route: Route, body: bytes, left_s: float, chunks: answer.Writer, push: Callable[[bytes], None] | None
) -> Completion:
    if push:
        return await reply.ask_streaming(parts.providers, route, body, timeout_s=left_s, chunks=chunks, push=push)
    return await reply.ask(parts.providers, route, body, timeout_s=left_s)


async def _estimated(messages: bytes, completion: Completion) -> Usage:
    """The tokens of a call, as far as they can be counted here."""
    said = (completion.content or "") + "".join(call["function"]["arguments"] for call in completion.tool_calls)
    # Message by message: the bytes of an image are no text.
    asked, (answered,) = await fit.count(loads(messages)), await tokens.count_many([said])
    return Usage(asked, answered, asked + answered)


def _setup(parts: Parts, request: TurnRequest, began: float, chunks: answer.Writer, push: Callable[[bytes], None] | None) -> rounds.Setup:
    turn = Turn(
        tenant=request.tenant,
        id=request.head.id,
        session_id=request.session_id,
        fingerprint=request.fingerprint,
        idempotency_key=request.idempotency_key,
        retried=request.retried,
    )
    whose = Caller(request.tenant, request.depth, request.executions)
    left_s = _left_s(parts, began)
    return rounds.Setup(parts.settings, parts.database, parts.tools, turn, whose, request.chat, left_s, chunks, push)


def _left_s(parts: Parts, began: float) -> float:
    return parts.settings.turn_timeout_s - (time.perf_counter() - began)


async def _settle(
    parts: Parts, request: TurnRequest, context: Context, prepared: Prompt, requests: fit.Requests, completion: Completion
) -> answer.Notes:
    fitted = requests.last.fitted
    if fitted is None or prepared.fitted is None:
        return answer.NO_NOTES
    # Usage is told of the last request alone: that of a turn is a sum over its rounds.
    answered = requests.completion or completion
    model = requests.last.drafted.model
    job = await fit.settle(parts.database, request.tenant, context, fitted, model, answered, known=prepared.fitted, saved=request.chat.save)
    return answer.Notes(answer.context_of(fitted), (str(job),) if job else ())


async def _save(
    parts: Parts, request: TurnRequest, context: Context, prepared: Prompt, outcome: Outcome, body: bytes, spending: _Spending
) -> bytes:
    new, completion, form = [*prepared.new, *rounds.drafts(outcome)], outcome.completion, request.form
    entries = await save.entries_of(context, new, completion, model=completion.model) if request.chat.save else []
    if entries and form is not None:
        entries = save.with_ids(entries, len(prepared.new), form.ids, form.answer_id, form.round_ids)
    turn = NewTurn(
        id=request.head.id,
        session_id=request.session_id,
        fingerprint=request.fingerprint,
        idempotency_key=request.idempotency_key,
        retried=request.retried,
        since=context.started_at,
        after_seq=context.last_seq,
        answer=body,
        usage=spending.calls,
    )
    also = partial(form.store, answer=body) if form else None
    replay_s = parts.settings.turn_replay_s
    stored = await save.save(parts.database, request.tenant, turn, entries, replay_s=replay_s, meter=parts.meter, also=also)
    # They are stored: whatever goes wrong from here on must not store them again.
    spending.calls = []
    if form is not None and stored is not body:
        await form.failed(Conflict("another process has answered the same request"))
    return stored


def _finished(request: TurnRequest, route: Route, completion: Completion, took_s: float, model_s: float) -> TurnFinished:
    usage = completion.usage or _NO_USAGE
    return TurnFinished(
        model=completion.model,
        provider=route.provider,
        streamed=request.chat.stream,
        saved=request.chat.save,
        finish_reason=completion.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        took_s=took_s,
        model_s=model_s,
    )
