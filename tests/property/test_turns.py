"""Turns that are stored at once: whatever their interleaving, the numbers of a session's entries are dense, and each turn stands together."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.ids import new_id
from mentha.core.json import dumps, loads
from mentha.store import agents, entries, sessions, turns
from mentha.store.pool import Database
from mentha.store.turns import NewEntry, NewTurn
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.sessions import CreateSessionRequest
from tests.support.transactions import Transactions

CONNECTIONS = 4
REPLAY_S = 600.0
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """One turn: how many entries it stores, how long it waits before and inside of its transaction, whether that fails, and how it is tried.

    Attributes:
        quick: it tries first to be the next one after what it saw.
    """

    entries: int
    before: int
    inside: int
    fails: bool
    quick: bool = False


steps = st.builds(
    Step, entries=st.integers(0, 4), before=st.integers(0, 3), inside=st.integers(0, 3), fails=st.booleans(), quick=st.booleans()
)


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture(scope="module")
def transactions(worker_dsn: str) -> Iterator[Transactions]:
    with Transactions(worker_dsn, connections=CONNECTIONS) as opened:
        yield opened


def message(turn: int, place: int) -> dict[str, Any]:
    return {"role": "user" if place % 2 == 0 else "assistant", "content": f"{turn}.{place}"}


def new_entries(turn: int, count: int) -> list[NewEntry]:
    return [
        NewEntry(
            id=new_id(),
            source="api_request",
            role=message(turn, place)["role"],
            name=None,
            message=dumps(message(turn, place)).decode(),
            content=None,
            has_calls=False,
            model="m",
            tokenizer="t",
            token_count=1,
        )
        for place in range(count)
    ]


def new_turn(session: UUID, turn: int, after_seq: int = 0) -> NewTurn:
    return NewTurn(
        id=new_id(),
        session_id=session,
        fingerprint=bytes(31) + bytes([turn]),
        idempotency_key=None,
        retried=False,
        since=LONG_AGO,
        after_seq=after_seq,
        answer=b"{}",
    )


async def new_session(database: Database, tenant: UUID) -> UUID:
    async with database.transaction() as tx:
        agent = await agents.create(tx, tenant, CreateAgentRequest(name="Mia"))
        return (await sessions.create(tx, tenant, CreateSessionRequest(agent=agent.id))).id


async def take(database: Database, tenant: UUID, session: UUID, number: int, step: Step) -> None:
    """Store one turn, giving way to the others on its way."""
    for _ in range(step.before):
        await asyncio.sleep(0)
    turn, messages = new_turn(session, number), new_entries(number, step.entries)
    try:
        async with database.transaction() as tx:
            if step.quick and step.entries:
                seen = await turns.load(tx, tenant, session, sources=["api_request"])
                saved = await turns.save_next(tx, tenant, new_turn(session, number, seen.last_seq), messages)
            else:
                saved = False
            assert saved or await turns.save(tx, tenant, turn, messages, replay_s=REPLAY_S)
            for _ in range(step.inside):
                await tx.execute("SELECT 1")
            if step.fails:
                raise Undone
    except Undone:
        return


STORED = "SELECT seq, message FROM entries WHERE tenant_id = $1 AND session_id = $2 ORDER BY seq"


@settings(max_examples=60, deadline=None)
@given(plan=st.lists(steps, min_size=1, max_size=8))
def test_turns_saved_at_once_number_their_entries_densely_and_each_stands_together(transactions: Transactions, plan: list[Step]) -> None:
    async def run(database: Database, tenant: UUID) -> tuple[list[Any], int, bytes]:
        session = await new_session(database, tenant)
        await asyncio.gather(*(take(database, tenant, session, number, step) for number, step in enumerate(plan)))
        async with database.connection() as connection:
            rows = await connection.fetch(STORED, tenant, session)
            last = await connection.fetchval("SELECT last_seq FROM sessions WHERE id = $1", session)
            context = await turns.load(connection, tenant, session, sources=["api_request"])
        return rows, last, context.history

    rows, last, history = transactions.committed(run)
    count = sum(step.entries for step in plan if not step.fails)
    assert [row["seq"] for row in rows] == list(range(1, count + 1))
    assert last == count
    texts = [row["message"]["content"] for row in rows]
    order = list(dict.fromkeys(int(text.split(".")[0]) for text in texts))
    assert texts == [f"{number}.{place}" for number in order for place in range(plan[number].entries)]
    assert sorted(order) == [number for number, step in enumerate(plan) if step.entries and not step.fails]
    # What a model sees is the same, in the same order.
    assert loads(b"[" + history + b"]") == [row["message"] for row in rows]


@settings(max_examples=60, deadline=None)
@given(counts=st.lists(st.integers(0, 4), max_size=6), rows=st.integers(1, 5), offset=st.integers(0, 8))
def test_history_read_in_batches_of_any_size_is_the_history(transactions: Transactions, counts: list[int], rows: int, offset: int) -> None:
    async def run(database: Database, tenant: UUID) -> list[str]:
        session = await new_session(database, tenant)
        for number, count in enumerate(counts):
            await take(database, tenant, session, number, Step(count, 0, 0, False))
        read: list[str] = []
        async with database.connection() as connection:
            batch = await entries.read(connection, tenant, session, sources=["api_request"], rows=rows, offset=offset)
            while batch.last_seq is not None:
                found = loads(f"[{batch.entries}]")
                assert len(found) == batch.count <= rows
                read += [entry["content"][0]["text"] for entry in found]
                batch = await entries.read(connection, tenant, session, sources=["api_request"], rows=rows, after_seq=batch.last_seq)
        return read

    everything = [f"{number}.{place}" for number, count in enumerate(counts) for place in range(count)]
    assert transactions.committed(run) == everything[offset:]


@settings(max_examples=40, deadline=None)
@given(copies=st.integers(2, 6), retried=st.booleans(), keyed=st.booleans(), seen_ago=st.booleans())
def test_one_request_that_is_saved_by_several_at_once_is_stored_once_where_one_says_that_it_repeats(
    transactions: Transactions, copies: int, retried: bool, keyed: bool, seen_ago: bool
) -> None:
    async def run(database: Database, tenant: UUID) -> tuple[list[bool], int]:
        session = await new_session(database, tenant)
        async with database.connection() as connection:
            since = await connection.fetchval("SELECT now()") if seen_ago else LONG_AGO

        async def save(number: int) -> bool:
            turn = NewTurn(new_id(), session, bytes(32), "key" if keyed else None, retried and number > 0, since, 0, b"{}")
            try:
                async with database.transaction() as tx:
                    if not await turns.save(tx, tenant, turn, new_entries(number, 2), replay_s=REPLAY_S):
                        raise Undone
            except Undone:
                return False
            return True

        saved = await asyncio.gather(*(save(number) for number in range(copies)))
        async with database.connection() as connection:
            return saved, len(await connection.fetch(STORED, tenant, session))

    saved, stored = transactions.committed(run)
    # Requests that merely look alike are all stored: somebody may say the same thing twice.
    once = keyed or retried
    assert sum(saved) == (1 if once else copies)
    assert stored == 2 * sum(saved)


def test_turn_that_was_begun_before_its_repetition_and_committed_after_that_began_is_stored_once(transactions: Transactions) -> None:
    """A server was killed in the middle of its commit; the client asks another one, which looks before that commit is through."""

    async def run(database: Database, tenant: UUID) -> tuple[bool, int]:
        session = await new_session(database, tenant)

        def turn(since: datetime, *, retried: bool) -> NewTurn:
            return NewTurn(new_id(), session, bytes(32), None, retried, since, 0, b"{}")

        async with database.transaction() as orphan:
            assert await turns.save(orphan, tenant, turn(LONG_AGO, retried=False), new_entries(0, 2), replay_s=REPLAY_S)
            async with database.connection() as connection:
                assert await turns.find(connection, tenant, bytes(32), within_s=REPLAY_S) is None
                seen = await turns.load(connection, tenant, session, sources=["api_request"])
        async with database.transaction() as tx:
            saved = await turns.save(tx, tenant, turn(seen.started_at, retried=True), new_entries(0, 2), replay_s=REPLAY_S)
        async with database.connection() as connection:
            return saved, len(await connection.fetch(STORED, tenant, session))

    saved, _ = transactions.committed(run)
    assert not saved
