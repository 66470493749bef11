"""Last stage of a turn: store the new messages and the answer in one transaction, before the answer goes out."""

from collections.abc import Sequence
from uuid import UUID

from mentha.chat.context import Context
from mentha.chat.messages import countable
from mentha.core import tokens
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.providers.types import Completion
from mentha.store import turns
from mentha.store.pool import Database
from mentha.store.turns import NewEntry, NewTurn
from mentha.tools.messages import Draft, sendable_name


class _StoredElsewhereError(Exception):
    """Rolls the transaction back where another process stored the same turn first."""


async def save(database: Database, tenant: UUID, turn: NewTurn, entries: Sequence[NewEntry], *, replay_s: float) -> bytes:
    """Store a turn; returns the answer to give.

    That is the turn's own, or the stored one where the same request was answered by another process meanwhile.

    Raises:
        NotFound: the session was deleted while the turn ran.
        Unavailable: the database is away; nothing was stored.
    """
    if entries and not (turn.retried or turn.idempotency_key):
        async with database.connection() as connection:
            if await turns.save_next(connection, tenant, turn, entries):
                return turn.answer
    try:
        async with database.transaction() as tx:
            if not await turns.save(tx, tenant, turn, entries, replay_s=replay_s):
                raise _StoredElsewhereError  # noqa: TRY301 - it is how a transaction is told to roll back
    except _StoredElsewhereError:
        async with database.connection() as connection:
            stored = await turns.find(connection, tenant, turn.fingerprint, within_s=replay_s)
        return stored or turn.answer
    return turn.answer


async def entries_of(context: Context, new: Sequence[Draft], completion: Completion, *, model: str) -> list[NewEntry]:
    """The rows of a turn: the new messages and the answer, with their tokens counted."""
    answer = Draft("assistant", None, _answer_message(context, completion), source="api_response")
    drafted = [*new, answer]
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
