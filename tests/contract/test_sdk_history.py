"""History: what is stored, in which order, how much of it, and how it goes away. Section 4.3 of the behaviour spec, ruling 10."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from julep import AsyncJulep, NotFoundError

from mentha.core.ids import new_id
from mentha.core.json import dumps
from tests.support.model_server import ModelServerHandle, text
from tests.support.sdk import Account, ask, asked, history_of, said, session_of
from tests.support.talk import Client

# More than two of the batches in which the server reads.
MANY = 1203


async def fill(rows: Any, account: Account, session: str, count: int) -> None:
    """Store entries "0", "1", … as turns would."""
    messages = [dumps({"role": "user", "content": str(number)}).decode() for number in range(count)]
    await rows.execute(
        "INSERT INTO entries (tenant_id, id, session_id, seq, turn_id, source, role, message, has_calls, model, tokenizer, token_count) "
        "SELECT $1, e.id, $2, e.seq, $2, 'api_request', 'user', e.message::json, false, 'm', 't', 1 "
        "FROM unnest($3::uuid[], $4::text[]) WITH ORDINALITY AS e (id, message, seq)",
        account.id,
        UUID(session),
        [new_id() for _ in messages],
        messages,
    )
    await rows.execute("UPDATE sessions SET last_seq = $3 WHERE tenant_id = $1 AND id = $2", account.id, UUID(session), count)


async def texts(raw: Client, session: str, query: str = "") -> list[str]:
    body = (await raw.get(f"/sessions/{session}/history{query}")).raise_for_status().json()
    return [entry["content"][0]["text"] for entry in body["entries"]]


async def test_history_has_every_documented_field(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("hello", model="gpt-x-2026-11-01"))
    await sdk.sessions.chat(session, messages=[said("hi", name="Ann")])
    history = (await raw.get(f"/sessions/{session}/history")).json()
    assert set(history) == {"session_id", "created_at", "entries", "relations"}
    assert (history["session_id"], history["relations"]) == (session, [])
    asked_entry, answered = history["entries"]
    for entry in (asked_entry, answered):
        assert UUID(entry["id"]).version == 7
        assert entry["token_count"] > 3
        assert entry["tokenizer"]
        assert entry["created_at"].endswith("Z")
        assert entry["timestamp"] == entry["created_at"]
        assert (entry["tool_calls"], entry["tool_call_id"]) == (None, None)
    assert (asked_entry["role"], asked_entry["name"], asked_entry["source"]) == ("user", "Ann", "api_request")
    assert asked_entry["content"] == [{"type": "text", "text": "hi"}]
    assert (answered["role"], answered["name"], answered["source"]) == ("assistant", None, "api_response")
    assert answered["content"] == [{"type": "text", "text": "hello"}]
    assert (asked_entry["model"], answered["model"]) == ("gpt-x-2026-11-01", "gpt-x-2026-11-01")


async def test_history_is_parsed_by_the_sdk_to_the_letter(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session)
    history = await sdk.sessions.history(session)
    assert history.session_id == session
    assert [(entry.role, entry.source, entry.model) for entry in history.entries] == [
        ("user", "api_request", "gpt-x"),
        ("assistant", "api_response", "gpt-x"),
    ]


async def test_history_counts_more_tokens_for_longer_text_and_for_images(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    image: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    await sdk.sessions.chat(
        session, messages=[said("a"), said("a " * 100), {"role": "user", "content": [{"type": "text", "text": "a"}, image]}]
    )
    short, long, pictured, _ = [entry.token_count for entry in (await sdk.sessions.history(session)).entries]
    assert short < pictured
    assert short + 90 < long


async def test_history_is_ordered_as_it_was_stored(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    for number in range(4):
        await sdk.sessions.chat(session, messages=[said(f"{number}a"), said(f"{number}b")])
    expected = [each for number in range(4) for each in (f"{number}a", f"{number}b", f"ok: {number}b")]
    assert [words for _, words in await history_of(sdk, session)] == expected


async def test_history_of_an_unused_session_is_empty_and_of_an_unknown_one_not_found(sdk: AsyncJulep) -> None:
    assert await history_of(sdk, await session_of(sdk)) == []
    with pytest.raises(NotFoundError):
        await sdk.sessions.history(str(uuid4()))


async def test_history_without_limit_gives_everything(sdk: AsyncJulep, raw: Client, rows: Any, account: Account) -> None:
    session = await session_of(sdk)
    await fill(rows, account, session, MANY)
    assert [words for _, words in await history_of(sdk, session)] == [str(number) for number in range(MANY)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?limit=3", range(3)),
        ("?limit=3&offset=2", range(2, 5)),
        ("?offset=1200", range(1200, MANY)),
        ("?limit=500", range(500)),
        ("?limit=501", range(501)),
        ("?limit=1000&offset=1", range(1, 1001)),
        ("?limit=5000", range(MANY)),
        ("?offset=5000", range(0)),
    ],
)
async def test_history_limit_and_offset_cut_a_run_out(
    sdk: AsyncJulep, raw: Client, rows: Any, account: Account, query: str, expected: range
) -> None:
    session = await session_of(sdk)
    await fill(rows, account, session, MANY)
    assert await texts(raw, session, query) == [str(number) for number in expected]


@pytest.mark.parametrize("length", [499, 500, 501, 1000])
async def test_history_of_any_length_is_complete(sdk: AsyncJulep, raw: Client, rows: Any, account: Account, length: int) -> None:
    session = await session_of(sdk)
    await fill(rows, account, session, length)
    assert await texts(raw, session) == [str(number) for number in range(length)]


async def test_history_sources_choose_what_is_shown(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session)
    assert await texts(raw, session, "?sources=api_response") == ["ok: hi"]
    assert await texts(raw, session, "?sources=api_request&sources=api_response") == ["hi", "ok: hi"]
    assert await texts(raw, session, "?sources=summarizer") == []
    for query in ("?sources=nothing", "?limit=0", "?offset=-1"):
        assert (await raw.get(f"/sessions/{session}/history{query}")).status_code == 422


async def test_history_of_an_answer_in_any_language_comes_back_unharmed(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    words = 'Ünïcödé 李雷 🎈 "quoted" \\ back\nline\ttab \u2028'
    await ask(sdk, session, words)
    assert await texts(raw, session) == [words, f"ok: {words}"]
    await ask(sdk, session, "again")
    assert asked(models)[-1]["messages"][1]["content"] == words


async def test_history_delete_empties_it_and_keeps_the_session(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session, "one")
    deleted = await raw.delete(f"/sessions/{session}/history")
    assert (deleted.status_code, deleted.json()["id"], deleted.json()["jobs"]) == (202, session, [])
    assert await history_of(sdk, session) == []
    await ask(sdk, session, "two")
    assert [message["content"] for message in asked(models)[-1]["messages"][1:]] == ["two"]
    assert (await raw.delete(f"/sessions/{uuid4()}/history")).status_code == 404


async def test_history_goes_with_its_session(sdk: AsyncJulep, rows: Any, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    await ask(sdk, session)
    await sdk.sessions.delete(session)
    with pytest.raises(NotFoundError):
        await sdk.sessions.history(session)
    for table in ("entries", "turns", "session_agents"):
        assert await rows.fetchval(f"SELECT count(*) FROM {table} WHERE session_id = $1", UUID(session)) == 0
