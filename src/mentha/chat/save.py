"""Last stage of a turn: store the new messages and the answer in one transaction, before the answer goes out."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from uuid import UUID

from mentha.chat.context import Context
from mentha.chat.messages import countable
from mentha.core import tokens
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.providers.types import Completion
from mentha.store import turns
from mentha.store.meter import Meter
from mentha.store.pool import Database, Tx
from mentha.store.turns import NewEntry, NewTurn
from mentha.tools.messages import Draft, sendable_name


class _StoredElsewhereError(Exception):
    """Rolls the transaction back where another process stored the same turn first."""


async def save(
    database: Database,
    tenant: UUID,
    turn: NewTurn,
    entries: Sequence[NewEntry],
    *,
    replay_s: float,
    meter: Meter,
    also: Callable[[Tx], Awaitable[None]] | None = None,
) -> bytes:
    """Store a turn; returns the answer to give.

    That is the turn's own, or the stored one where the same request was answered by another process meanwhile.

    Args:
        meter: takes what the turn cost, where the turn itself is not stored because of that.
        also: stores what belongs to the turn, in the same transaction after it; nothing is stored where it raises.

    Raises:
        NotFound: the session was deleted while the turn ran.
        Unavailable: the database is away; nothing was stored.
    """
    if entries and also is None and not (turn.retried or turn.idempotency_key):
        async with database.connection() as connection:
            if await turns.save_next(connection, tenant, turn, entries):
                return turn.answer
    try:
        async with database.transaction() as tx:
            if not await turns.save(tx, tenant, turn, entries, replay_s=replay_s):
                raise _StoredElsewhereError  # noqa: TRY301 - it is how a transaction is told to roll back
            if also is not None:
                await also(tx)
    except _StoredElsewhereError:
        meter.later(tenant, turn.usage)
        async with database.connection() as connection:
            stored = await turns.find(connection, tenant, turn.fingerprint, within_s=replay_s)
        return stored or turn.answer
    return turn.answer


async def entries_of(context: Context, new: Sequence[Draft], completion: Completion, *, model: str) -> list[NewEntry]:
    """The rows of a turn: the new messages and the answer, with their tokens counted."""
    answer = Draft("assistant", None, _answer_message(context, completion), source="api_response")
    return await rows_of([*new, answer], model=model)


def with_ids(entries: Sequence[NewEntry], new: int, ids: Sequence[UUID], answer_id: UUID, round_ids: Sequence[UUID]) -> list[NewEntry]:
    """The rows of a turn under ids that were chosen before it ran.

    Args:
        new: how many of the first rows are new messages. The last `ids` of them are the client's; before them may be stand-ins.
        round_ids: of the rows with calls between these and the answer.
    """
    known = dict(zip(range(new - len(ids), new), ids, strict=True))
    rounds = [place for place, entry in enumerate(entries) if place >= new and entry.has_calls]
    known.update(zip(rounds, round_ids, strict=False))
    known[len(entries) - 1] = answer_id
    return [replace(entry, id=known.get(place, entry.id)) for place, entry in enumerate(entries)]


async def rows_of(drafted: Sequence[Draft], *, model: str) -> list[NewEntry]:
    """The rows of messages, with their tokens counted."""
    counted = [countable(draft.message) for draft in drafted]
    counts = await tokens.count_many([text for text, _ in counted])
    return [
        NewEntry(
            id=new_id(),
            source=draft.source,
            role=draft.role,
            name=draft.name,
            message=dumps(draft.message).decode(),
            content=None if draft.content is None else dumps(draft.content).decode(),
            has_calls=bool(draft.message.get("tool_calls")),
            model=model,
            tokenizer=tokens.TOKENIZER,
            token_count=count + tokens.TOKENS_PER_MESSAGE + images * tokens.TOKENS_PER_IMAGE,
        )
        for draft, (_, images), count in zip(drafted, counted, counts, strict=True)
    ]


def _answer_message(context: Context, completion: Completion) -> JsonObject:
    message: JsonObject = {"role": completion.role, "content": completion.content}
    if completion.tool_calls:
        message["tool_calls"] = completion.tool_calls
    # With several agents, each must be able to tell its own words from the others'.
    if len(context.agents) > 1 and (name := sendable_name(context.agent["name"])):
        message["name"] = name
    return message
