"""Long histories, stored by the server's own statements: as if the turns had been."""

from datetime import UTC, datetime
from uuid import UUID

from mentha.core import tokens
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.store.pool import Database
from mentha.store.tenants import DEFAULT_ID
from mentha.store.turns import NewEntry, NewTurn, save_next

# 120 characters, about what people write in one message.
SAID = "The report of the second quarter is ready: revenue grew by 4 percent, costs by 2, and the team hired nine more people in"


def message(number: int) -> JsonObject:
    """Message `number` of a seeded history, as a provider takes it."""
    return {"role": "assistant" if number % 2 else "user", "content": f"{SAID} {number:06}"}


async def history(database: Database, session_id: UUID, messages: int) -> None:
    """Store `messages` messages in a session of the default tenant."""
    count = tokens.count(SAID) + 4
    entries = [
        NewEntry(
            id=new_id(),
            source="api_response" if number % 2 else "api_request",
            role="assistant" if number % 2 else "user",
            name=None,
            message=dumps(message(number)).decode(),
            content=None,
            has_calls=False,
            model="gpt-bench",
            tokenizer=tokens.TOKENIZER,
            token_count=count,
        )
        for number in range(messages)
    ]
    turn = NewTurn(
        id=new_id(),
        session_id=session_id,
        fingerprint=new_id().bytes * 2,
        idempotency_key=None,
        retried=False,
        since=datetime.now(UTC),
        after_seq=0,
        answer=b"{}",
    )
    async with database.connection() as connection:
        if not await save_next(connection, DEFAULT_ID, turn, entries):
            raise RuntimeError("a session to be seeded must be new")
