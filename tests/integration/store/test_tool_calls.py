"""What a turn has done with tools, as a later run of it finds it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.ids import new_id
from mentha.providers.types import Completion, Usage
from mentha.store import agents, entries, maintenance, pool, sessions, tool_calls
from mentha.store.pool import Database
from mentha.store.tool_calls import NewCall, Run
from mentha.tools.calls import Call
from mentha.tools.journal import Kept, Turn, open_journal
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.sessions import CreateSessionRequest
from tests.support.transactions import new_tenant


@pytest.fixture
def worker_dsn(database_dsn: str) -> str:
    """A database of each test's own: these look at rows of all tenants, and servers of other tests write into the one that is shared."""
    return database_dsn


CALLS = [Call(0, "call_0", "f", "{}"), Call(1, "call_1", "g", "{}")]


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await pool.connect(database_dsn, config.load(environ={}))
    yield opened
    await opened.close()


async def new_session(connection: Any, tenant: UUID) -> UUID:
    agent = await agents.create(connection, tenant, CreateAgentRequest.model_validate({"name": "Mia"}))
    return (await sessions.create(connection, tenant, CreateSessionRequest(agent=agent.id))).id


async def new_turn(database: Database, **more: Any) -> Turn:
    async with database.transaction() as tx:
        tenant = await new_tenant(tx)
        session = await new_session(tx, tenant)
    made: dict[str, Any] = {"tenant": tenant, "id": new_id(), "session_id": session, "fingerprint": b"f", "idempotency_key": None}
    made |= {"retried": False, **more}
    return Turn(**made)


def again(turn: Turn, **more: Any) -> Turn:
    return replace(turn, **{"id": new_id(), "retried": True, **more})


def said(content: str) -> Completion:
    calls = [{"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}} for call in CALLS]
    return Completion("assistant", content, calls, "tool_calls", None, Usage(1, 2, 3), "gpt-x")


async def opened(database: Database, turn: Turn, within_s: float = 600) -> Kept:
    return await open_journal(database, turn, within_s=within_s)


async def test_retry_finds_what_was_said_and_what_has_ended(database: Database) -> None:
    turn = await new_turn(database)
    first = await opened(database, turn)
    assert await first.begin(0, said("one"), CALLS) == said("one")
    await first.end(0, CALLS[1], "result")
    later = await opened(database, again(turn))
    assert (later.completion(0), later.completion(1)) == (said("one"), None)
    assert [later.result(0, call) for call in CALLS] == [None, "result"]
    assert later.result(1, CALLS[0]) is None
    await later.end(0, CALLS[0], "first")
    await later.end(0, CALLS[1], "too late")
    assert await later.begin(1, said("two"), CALLS[:1]) == said("two")
    last = await opened(database, again(turn))
    assert [last.result(0, call) for call in CALLS] == ["first", "result"]
    assert last.completion(1) == said("two")


@pytest.mark.parametrize(
    ("more", "finds"),
    [
        ({"retried": True}, True),
        ({"retried": False, "idempotency_key": None}, False),
        ({"retried": False, "idempotency_key": "k"}, True),
        ({"retried": False, "idempotency_key": "other"}, False),
        ({"retried": True, "fingerprint": b"g"}, False),
    ],
)
async def test_only_a_retry_or_the_same_key_finds_it(database: Database, more: Any, finds: bool) -> None:
    turn = await new_turn(database, idempotency_key="k")
    await (await opened(database, turn)).begin(0, said("one"), CALLS)
    assert ((await opened(database, again(turn, **more))).completion(0) is not None) == finds


async def test_run_that_is_too_old_is_not_found(database: Database) -> None:
    turn = await new_turn(database)
    await (await opened(database, turn)).begin(0, said("one"), CALLS)
    assert (await opened(database, again(turn), within_s=0)).completion(0) is None


async def test_two_that_go_on_with_one_turn_agree_on_its_rounds(database: Database) -> None:
    turn = await new_turn(database)
    await (await opened(database, turn)).begin(0, said("one"), CALLS)
    both = [await opened(database, again(turn)), await opened(database, again(turn))]
    answers = await asyncio.gather(*(journal.begin(1, said(str(number)), CALLS) for number, journal in enumerate(both)))
    assert answers[0] == answers[1]


async def test_turn_of_a_session_that_is_gone_is_written_nowhere(database: Database) -> None:
    turn = await new_turn(database)
    async with database.transaction() as tx:
        await sessions.delete(tx, turn.tenant, turn.session_id)
    assert await (await opened(database, turn)).begin(0, said("one"), CALLS) == said("one")
    assert (await opened(database, again(turn))).completion(0) is None


@pytest.mark.parametrize("way", ["history", "purge", "other tenant"])
async def test_runs_are_dropped_with_the_history_and_by_age(connection: Any, tenant: UUID, way: str) -> None:
    session = await new_session(connection, tenant)
    run = Run(new_id(), session, b"f", None)
    calls = [NewCall(0, "call_0", "f", b"d")]
    assert await tool_calls.begin_round(connection, tenant, run, 0, b"m", calls, first=True)
    assert not await tool_calls.begin_round(connection, tenant, run, 0, b"n", calls, first=False)
    if way == "history":
        await entries.delete(connection, tenant, session)
    elif way == "purge":
        assert await maintenance.purge_tool_runs(connection, older_than_s=60) == 0
        assert await maintenance.purge_tool_runs(connection, older_than_s=-1) == 1
    else:
        assert await tool_calls.read(connection, await new_tenant(connection), run.id) == {}
        await connection.execute("DELETE FROM tool_runs")
    assert await tool_calls.read(connection, tenant, run.id) == {}
    assert await connection.fetchval("SELECT count(*) FROM tool_calls WHERE tenant_id = $1", tenant) == 0
