"""Turns and their entries in PostgreSQL."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.core.json import dumps, loads
from mentha.store import agents, entries, maintenance, sessions, tools, turns, users
from mentha.store.turns import NewEntry, NewTurn
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.sessions import CreateSessionRequest
from mentha.wire.tools import CreateToolRequest, FunctionDef
from mentha.wire.users import CreateUserRequest
from tests.support.transactions import new_tenant, refusal

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
REPLAY_S = 600.0
ALL = ["api_request", "api_response", "internal"]


@pytest.fixture
async def session(connection: Any, tenant: UUID) -> UUID:
    agent = await agents.create(connection, tenant, CreateAgentRequest(name="Mia"))
    return (await sessions.create(connection, tenant, CreateSessionRequest(agent=agent.id))).id


def entry(message: dict[str, Any], *, source: str = "api_request", content: list[Any] | None = None) -> NewEntry:
    return NewEntry(
        id=new_id(),
        source=source,
        role=message["role"],
        name=message.get("name"),
        message=dumps(message).decode(),
        content=None if content is None else dumps(content).decode(),
        has_calls=bool(message.get("tool_calls")),
        model="m",
        tokenizer="t",
        token_count=1,
    )


def turn(session: UUID, *, fingerprint: bytes = bytes(32), key: str | None = None, retried: bool = False, after_seq: int = 0) -> NewTurn:
    return NewTurn(new_id(), session, fingerprint, key, retried, LONG_AGO, after_seq, b'{"answer": 1}')


async def save(connection: Any, tenant: UUID, session: UUID, messages: Sequence[dict[str, Any]], **options: Any) -> bool:
    stored = [entry(message) for message in messages]
    return await turns.save(connection, tenant, turn(session, **options), stored, replay_s=REPLAY_S)


def said(*texts: str) -> list[dict[str, Any]]:
    return [{"role": "user" if place % 2 == 0 else "assistant", "content": text} for place, text in enumerate(texts)]


async def history(connection: Any, tenant: UUID, session: UUID) -> list[dict[str, Any]]:
    batch = await entries.read(connection, tenant, session, sources=ALL)
    return loads(f"[{batch.entries}]")


async def test_context_has_participants_in_order_with_tools_and_the_history_as_it_was_stored(connection: Any, tenant: UUID) -> None:
    made = [await agents.create(connection, tenant, CreateAgentRequest(name=name, model=name)) for name in ("A", "B")]
    tool = CreateToolRequest(name="t", type="function", function=FunctionDef(parameters={"x": 1}))
    await tools.create(connection, tenant, made[1].id, tool)
    user = await users.create(connection, tenant, CreateUserRequest(name="Ann"))
    body = CreateSessionRequest(agents=[made[1].id, made[0].id], user=user.id, situation="s", metadata={"k": 1})
    session = (await sessions.create(connection, tenant, body)).id
    await save(connection, tenant, session, said("q", "a"))
    row = await turns.load(connection, tenant, session, sources=ALL)
    assert [agent["name"] for agent in row.agents] == ["B", "A"]
    assert row.agents[0]["tools"][0]["spec"] == {"parameters": {"x": 1}}
    assert row.agents[1]["tools"] is None
    assert [each["name"] for each in row.users] == ["Ann"]
    assert (row.session["id"], row.session["situation"], row.session["metadata"]) == (str(session), "s", {"k": 1})
    assert (loads(b"[" + row.history + b"]"), row.history_count, row.last_seq) == (said("q", "a"), 2, 2)
    # Messages go to the provider as the bytes that they are: the order of their fields stays.
    assert row.history.startswith(b'{"role":"user"')


async def test_context_of_a_new_session_has_no_history(connection: Any, tenant: UUID, session: UUID) -> None:
    row = await turns.load(connection, tenant, session, sources=ALL)
    assert (row.history, row.history_count, row.last_seq, row.tail) == (b"", 0, 0, [])


async def test_context_of_another_tenants_session_is_not_found(connection: Any, session: UUID) -> None:
    assert isinstance(await refusal(connection, turns.load(connection, await new_tenant(connection), session, sources=ALL)), NotFound)


async def test_context_replays_only_the_sources_that_are_asked_for(connection: Any, tenant: UUID, session: UUID) -> None:
    kinds = ["api_request", "tool_request", "internal", "meta"]
    stored = [entry({"role": "user", "content": kind}, source=kind) for kind in kinds]
    await turns.save(connection, tenant, turn(session), stored, replay_s=REPLAY_S)
    row = await turns.load(connection, tenant, session, sources=["api_request", "internal"])
    assert [message["content"] for message in loads(b"[" + row.history + b"]")] == ["api_request", "internal"]


async def test_entry_that_another_one_stands_for_is_not_replayed_and_stays_in_the_history(
    connection: Any, tenant: UUID, session: UUID
) -> None:
    stored = [entry(message) for message in said("one", "two", "three")]
    await turns.save(connection, tenant, turn(session), stored, replay_s=REPLAY_S)
    relation = "INSERT INTO entry_relations (tenant_id, session_id, head, relation, tail) VALUES ($1, $2, $3, 'summary_of', $4)"
    await connection.execute(relation, tenant, session, stored[0].id, stored[2].id)
    row = await turns.load(connection, tenant, session, sources=ALL)
    assert [message["content"] for message in loads(b"[" + row.history + b"]")] == ["two", "three"]
    batch = await entries.read(connection, tenant, session, sources=ALL)
    assert batch.count == 3
    assert loads(batch.relations) == {"head": str(stored[0].id), "relation": "summary_of", "tail": str(stored[2].id)}


async def test_context_has_the_last_calls_of_tools_and_what_followed_them(connection: Any, tenant: UUID, session: UUID) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}, {"id": "c2"}]}
    result = {"role": "tool", "content": "r", "tool_call_id": "c1"}
    older = {"role": "assistant", "content": None, "tool_calls": [{"id": "c0"}]}
    await save(connection, tenant, session, [older, call, result, {"role": "user", "content": "go on"}])
    row = await turns.load(connection, tenant, session, sources=ALL)
    assert row.tail == [call, result]


async def test_save_next_stores_only_where_nothing_was_stored_since(connection: Any, tenant: UUID, session: UUID) -> None:
    first = [entry(message) for message in said("q", "a")]
    assert await turns.save_next(connection, tenant, turn(session), first)
    # It still believes that the session is empty.
    assert not await turns.save_next(connection, tenant, turn(session), [entry(message) for message in said("x")])
    assert await turns.save_next(connection, tenant, turn(session, after_seq=2), [entry(message) for message in said("r")])
    assert not await turns.save_next(connection, await new_tenant(connection), turn(session, after_seq=3), first)
    assert [each["content"][0]["text"] for each in await history(connection, tenant, session)] == ["q", "a", "r"]


async def test_save_in_a_session_that_was_deleted_is_not_found(connection: Any, tenant: UUID, session: UUID) -> None:
    await sessions.delete(connection, tenant, session)
    assert isinstance(await refusal(connection, save(connection, tenant, session, said("q"))), NotFound)
    assert isinstance(await refusal(connection, save(connection, tenant, session, [])), NotFound)


async def test_turn_without_entries_is_kept_for_replay_and_leaves_no_history(connection: Any, tenant: UUID, session: UUID) -> None:
    before = await sessions.get(connection, tenant, session)
    assert await save(connection, tenant, session, [])
    assert await history(connection, tenant, session) == []
    assert await turns.find(connection, tenant, bytes(32), within_s=REPLAY_S) == b'{"answer": 1}'
    assert (await sessions.get(connection, tenant, session)).updated_at == before.updated_at


@pytest.mark.parametrize(
    ("first", "second", "stored"),
    [
        ({}, {}, True),
        ({}, {"retried": True}, False),
        ({"retried": True}, {}, False),
        ({"key": "k"}, {"key": "k"}, False),
        ({"key": "k"}, {"key": "l"}, True),
        ({"key": "k"}, {}, True),
        ({"retried": True}, {"fingerprint": bytes(31) + b"x"}, True),
    ],
)
async def test_same_request_is_stored_again_unless_one_of_the_two_says_that_it_repeats(
    connection: Any, tenant: UUID, session: UUID, first: dict[str, Any], second: dict[str, Any], stored: bool
) -> None:
    assert await save(connection, tenant, session, said("q"), **first)
    assert await save(connection, tenant, session, said("q"), **second) == stored


async def test_kept_answer_is_found_by_fingerprint_and_key_for_its_own_tenant_and_time(
    connection: Any, tenant: UUID, session: UUID
) -> None:
    await save(connection, tenant, session, said("q"), key="k")
    other = await new_tenant(connection)
    assert await turns.find_key(connection, tenant, "k", within_s=REPLAY_S) == (bytes(32), b'{"answer": 1}')
    assert await turns.find(connection, other, bytes(32), within_s=REPLAY_S) is None
    assert await turns.find_key(connection, other, "k", within_s=REPLAY_S) is None
    assert await turns.find_key(connection, tenant, "l", within_s=REPLAY_S) is None
    await connection.execute("UPDATE turns SET created_at = now() - interval '1 hour' WHERE tenant_id = $1", tenant)
    assert await turns.find(connection, tenant, bytes(32), within_s=REPLAY_S) is None
    assert await turns.find_key(connection, tenant, "k", within_s=REPLAY_S) is None


async def test_purge_drops_old_answers_and_no_entry(connection: Any, tenant: UUID, session: UUID) -> None:
    await save(connection, tenant, session, said("old"))
    await connection.execute("UPDATE turns SET created_at = now() - interval '1 hour' WHERE tenant_id = $1", tenant)
    await save(connection, tenant, session, said("new"), fingerprint=bytes(31) + b"x")
    await maintenance.purge_turns(connection, older_than_s=REPLAY_S)
    assert await connection.fetchval("SELECT count(*) FROM turns WHERE tenant_id = $1", tenant) == 1
    assert len(await history(connection, tenant, session)) == 2


async def test_history_shows_the_clients_form_of_a_message_where_it_differs(connection: Any, tenant: UUID, session: UUID) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]
    shown = [{"type": "tool_result", "tool_use_id": "c", "content": []}]
    stored = [
        entry({"role": "user", "content": "plain", "name": "ann"}),
        entry({"role": "user", "content": parts}),
        entry({"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}),
        entry({"role": "tool", "content": "r", "tool_call_id": "c"}, content=shown),
    ]
    await turns.save(connection, tenant, turn(session), stored, replay_s=REPLAY_S)
    found = await history(connection, tenant, session)
    assert [each["content"] for each in found] == [[{"type": "text", "text": "plain"}], parts, [], shown]
    assert [each["name"] for each in found] == ["ann", None, None, None]
    assert found[2]["tool_calls"] == [{"id": "c"}]
    assert found[3]["tool_call_id"] == "c"
    assert [each["id"] for each in found] == [str(each.id) for each in stored]


async def test_delete_of_a_history_leaves_the_session_and_forgets_its_answers(connection: Any, tenant: UUID, session: UUID) -> None:
    await save(connection, tenant, session, said("q", "a"), key="k")
    await entries.delete(connection, tenant, session)
    assert await history(connection, tenant, session) == []
    assert await turns.find_key(connection, tenant, "k", within_s=REPLAY_S) is None
    # Numbers are not given out twice.
    await save(connection, tenant, session, said("r"))
    assert (await entries.read(connection, tenant, session, sources=ALL)).last_seq == 3


async def test_delete_of_a_session_takes_its_history_along(connection: Any, tenant: UUID, session: UUID) -> None:
    await save(connection, tenant, session, said("q", "a"))
    await sessions.delete(connection, tenant, session)
    for table in ("entries", "turns", "session_agents"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant) == 0
