"""What a turn under a budget reads: the newest part of a history, never more than could fit and some, and how a model counts."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from mentha.core.ids import new_id
from mentha.core.json import dumps, loads
from mentha.store import agents, budgets, sessions, turns
from mentha.store.budgets import STEP_ENTRIES, Newest
from mentha.store.turns import NewEntry
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.sessions import CreateSessionRequest
from tests.integration.store.test_turns import turn

SOURCES = ["api_request", "api_response", "internal", "tool_request", "tool_response", "summarizer"]
TOKENS = 10


def entry(role: str, text: str = "x", *, source: str = "api_request", calls: bool = False, tokens: int = TOKENS) -> NewEntry:
    message = dumps({"role": role, "content": text}).decode()
    return NewEntry(new_id(), source, role, None, message, None, calls, "m", "t", tokens)


@pytest.fixture
async def session(connection: Any, tenant: UUID) -> UUID:
    agent = await agents.create(connection, tenant, CreateAgentRequest(name="Mia"))
    return (await sessions.create(connection, tenant, CreateSessionRequest(agent=agent.id, context_overflow="truncate"))).id


async def fill(connection: Any, tenant: UUID, session: UUID, entries: Sequence[NewEntry]) -> None:
    after = await connection.fetchval("SELECT last_seq FROM sessions WHERE id = $1", session)
    assert await turns.save_next(connection, tenant, turn(session, after_seq=after), entries)


async def newest(connection: Any, tenant: UUID, session: UUID, limit: int, **options: Any) -> Newest:
    given = {"sources": SOURCES, "last_seq": 10**6, **options}
    return await budgets.newest(connection, tenant, session, limit_tokens=limit, **given)


async def test_newest_gives_each_message_with_its_size_tokens_kind_and_number(connection: Any, tenant: UUID, session: UUID) -> None:
    entries = [
        entry("system", "s"),
        entry("user", "é"),
        entry("assistant", source="api_response", calls=True),
        entry("tool", tokens=7),
        entry("user", "an image", source="internal"),
        entry("assistant", source="api_response"),
    ]
    await fill(connection, tenant, session, entries)
    found = await newest(connection, tenant, session, 1_000)
    assert found.messages == ",".join(each.message for each in entries).encode()
    assert list(found.sizes) == [len(each.message.encode()) for each in entries]
    assert list(found.counts) == [10, 10, 10, 7, 10, 10]
    assert found.kinds == "uuctta"
    assert list(found.seqs) == [1, 2, 3, 4, 5, 6]
    assert (found.summary, found.folded_seq, found.ratio) == (b"", 0, 1.0)


async def test_newest_reads_no_more_than_a_step_beyond_the_limit(connection: Any, tenant: UUID, session: UUID) -> None:
    await fill(connection, tenant, session, [entry("user", str(number)) for number in range(1_000)])
    for limit in (1, 500, 5_000):
        found = await newest(connection, tenant, session, limit)
        assert limit < sum(found.counts) <= limit + TOKENS * STEP_ENTRIES
        assert list(found.seqs) == list(range(1_001 - len(found.seqs), 1_001))
    assert len((await newest(connection, tenant, session, 1_000 * TOKENS)).seqs) == 1_000


async def test_newest_takes_what_is_fixed_and_the_models_ratio_into_account(connection: Any, tenant: UUID, session: UUID) -> None:
    await fill(connection, tenant, session, [entry("user", str(number)) for number in range(1_000)])
    plain, fixed, costly = [
        await newest(connection, tenant, session, 4_000, **options) for options in ({}, {"fixed_tokens": 3_000}, {"ratio": 3.0})
    ]
    assert len(plain.seqs) > 400
    assert 100 <= len(fixed.seqs) <= 100 + STEP_ENTRIES
    assert 133 <= len(costly.seqs) <= 133 + STEP_ENTRIES
    await budgets.learn(connection, tenant, "p/m", seen=2.0, start=1.0, fall=0.1)
    learned = await newest(connection, tenant, session, 4_000, model="p/m")
    assert learned.ratio == 2.0
    assert 200 <= len(learned.seqs) <= 200 + STEP_ENTRIES


async def test_newest_leaves_out_other_sources_and_entries_that_came_later(connection: Any, tenant: UUID, session: UUID) -> None:
    await fill(connection, tenant, session, [entry("user"), entry("tool", source="tool_response"), entry("assistant"), entry("user")])
    found = await newest(connection, tenant, session, 1_000, sources=["api_request"], last_seq=3)
    assert list(found.seqs) == [1, 3]


async def test_newest_of_an_empty_session_and_of_another_tenants_is_nothing(connection: Any, tenant: UUID, session: UUID) -> None:
    assert (await newest(connection, tenant, session, 10)).seqs == ()
    await fill(connection, tenant, session, [entry("user")])
    stranger = new_id()
    assert (await newest(connection, stranger, session, 10)).messages == b""


async def test_ratio_rises_at_once_and_falls_slowly(connection: Any, tenant: UUID) -> None:
    seen: list[float] = []
    for sample in (1.3, 1.1, 1.1, 2.0, 1.0):
        await budgets.learn(connection, tenant, "p/m", seen=sample, start=1.15, fall=0.1)
        seen.append(await connection.fetchval("SELECT ratio FROM token_ratios WHERE tenant_id = $1", tenant))
    assert seen == pytest.approx([1.3, 1.28, 1.262, 2.0, 1.9])
    assert await connection.fetchval("SELECT samples FROM token_ratios WHERE tenant_id = $1", tenant) == 5
    await budgets.learn(connection, tenant, "p/other", seen=1.05, start=1.15, fall=0.1)
    assert await connection.fetchval("SELECT ratio FROM token_ratios WHERE model = 'p/other'") == pytest.approx(1.14)


async def test_turn_of_a_session_whose_context_has_to_fit_loads_no_history(connection: Any, tenant: UUID, session: UUID) -> None:
    await fill(connection, tenant, session, [entry("user"), entry("assistant", calls=True)])
    row = await turns.load(connection, tenant, session, sources=SOURCES)
    assert (row.history, row.history_count, row.last_seq) == (b"", 0, 2)
    # Calls without an answer are seen all the same.
    assert [message["role"] for message in row.tail] == ["assistant"]
    await connection.execute("UPDATE sessions SET context_overflow = NULL WHERE id = $1", session)
    row = await turns.load(connection, tenant, session, sources=SOURCES)
    assert [message["role"] for message in loads(b"[" + row.history + b"]")] == ["user", "assistant"]
