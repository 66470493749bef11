"""Requests that are sent again, and clients that hang up: ruling 12."""

import asyncio
from typing import Any

import httpx2
import pytest
from julep import AsyncJulep

from tests.support.model_server import ModelServerHandle, error, gated, slow, text
from tests.support.sdk import Account, ask, asked, async_sdk, history_of, said, session_of
from tests.support.server import ServerProcess
from tests.support.talk import DEADLINE_S, Client, until

AGAIN = {"x-stainless-retry-count": "1"}


async def post(raw: Client, session: str, words: str = "hi", *, headers: dict[str, str] | None = None, **more: Any) -> httpx2.Response:
    return await raw.post(f"/sessions/{session}/chat", json={"messages": [said(words)], **more}, headers=headers or {})


async def hang_up(task: "asyncio.Task[Any]") -> None:
    """Close the connection of a request that is under way."""
    task.cancel()
    await asyncio.wait([task])


async def test_repeated_request_joins_the_running_turn(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", gated(text("once")))
    first = asyncio.create_task(post(raw, session))
    await models.until_held(1)
    second = asyncio.create_task(post(raw, session, headers=AGAIN))
    # A request that was sent later and is answered: by then the repeated one has long arrived.
    await post(raw, session, "other", model="gpt-y")
    models.release()
    answers = await asyncio.gather(first, second)
    assert answers[0].content == answers[1].content
    assert answers[0].json()["choices"][0]["message"]["content"] == "once"
    assert len(asked(models)) == 2
    assert sorted(await history_of(sdk, session)) == sorted(
        [("user", "hi"), ("assistant", "once"), ("user", "other"), ("assistant", "ok: other")]
    )


async def test_repeated_request_after_the_turn_gets_the_stored_answer(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    first = await post(raw, session)
    second = await post(raw, session, headers=AGAIN)
    assert (second.status_code, second.content) == (201, first.content)
    assert len(asked(models)) == 1
    assert len(await history_of(sdk, session)) == 2


async def test_same_words_without_a_retry_count_are_a_new_turn(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    for headers in ({}, {"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "x"}):
        await post(raw, session, headers=headers)
    assert len(asked(models)) == 3
    assert len(await history_of(sdk, session)) == 6


async def test_repeated_request_with_another_body_session_or_tenant_is_a_new_turn(
    sdk: AsyncJulep, raw: Client, stranger: AsyncJulep, models: ModelServerHandle
) -> None:
    session, other = await session_of(sdk), await session_of(sdk)
    first = (await post(raw, session)).json()["id"]
    assert (await post(raw, session, "ho", headers=AGAIN)).json()["id"] != first
    assert (await post(raw, other, headers=AGAIN)).json()["id"] != first
    theirs = await ask(stranger, await session_of(stranger), extra_headers=AGAIN)
    assert theirs.id != first
    assert len(asked(models)) == 4


async def test_repeated_request_whose_turn_failed_runs(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", error(500))
    assert (await post(raw, session)).status_code == 502
    assert (await post(raw, session, headers=AGAIN)).status_code == 201
    assert len(await history_of(sdk, session)) == 2


async def test_repeated_request_without_save_gets_the_kept_answer_too(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    first = await post(raw, session, save=False)
    assert (await post(raw, session, save=False, headers=AGAIN)).content == first.content
    assert len(asked(models)) == 1
    assert await history_of(sdk, session) == []


async def test_repeated_stream_gets_all_chunks_of_the_running_one(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    chunks = aiter(await ask(sdk, session, stream=True))
    assert (await anext(chunks)).choices[0].delta.content == "a"
    again = aiter(await ask(sdk, session, stream=True, extra_headers=AGAIN))
    assert (await anext(again)).choices[0].delta.content == "a"
    models.release(10)
    assert [chunk async for chunk in again] == [chunk async for chunk in chunks]
    assert len(asked(models)) == 1
    assert len(await history_of(sdk, session)) == 2


async def test_repeated_stream_after_the_turn_is_replayed(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", text("abc", chunks=3))
    first = [chunk async for chunk in await ask(sdk, session, stream=True)]
    again = [chunk async for chunk in await ask(sdk, session, stream=True, extra_headers=AGAIN)]
    assert "".join(chunk.choices[0].delta.content for chunk in again) == "abc"
    assert (again[-1].id, again[-1].usage, again[-1].choices[0].finish_reason) == (first[-1].id, first[-1].usage, "stop")
    assert len(asked(models)) == 1


async def test_idempotency_key_gets_the_answer_of_its_first_request(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    key = {"Idempotency-Key": "my-key-1"}
    first = await post(raw, session, headers=key)
    assert (await post(raw, session, headers=key)).content == first.content
    assert (await post(raw, session, headers={"Idempotency-Key": "my-key-2"})).json()["id"] != first.json()["id"]
    assert len(asked(models)) == 2


async def test_idempotency_key_joins_the_running_turn(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", gated(text("once")))
    key = {"Idempotency-Key": "my-key"}
    first = asyncio.create_task(post(raw, session, headers=key))
    await models.until_held(1)
    second = asyncio.create_task(post(raw, session, headers=key))
    refused = await post(raw, session, "other words", headers=key)
    assert refused.status_code == 422
    models.release()
    answers = await asyncio.gather(first, second)
    assert answers[0].content == answers[1].content
    assert len(asked(models)) == 1


async def test_idempotency_key_with_another_body_is_unprocessable(sdk: AsyncJulep, raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    key = {"Idempotency-Key": "my-key"}
    await post(raw, session, headers=key)
    refused = await post(raw, session, "other words", headers=key)
    assert (refused.status_code, refused.headers["x-should-retry"]) == (422, "false")
    assert refused.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert len(asked(models)) == 1


async def test_idempotency_key_of_one_tenant_means_nothing_to_another(
    sdk: AsyncJulep, stranger: AsyncJulep, models: ModelServerHandle
) -> None:
    key = {"Idempotency-Key": "my-key"}
    first = await ask(sdk, await session_of(sdk), extra_headers=key)
    theirs = await ask(stranger, await session_of(stranger), "other words", extra_headers=key)
    assert (first.choices[0].message.content, theirs.choices[0].message.content) == ("ok: hi", "ok: other words")


async def test_sdk_that_retries_by_itself_is_answered_and_billed_once(
    server: ServerProcess, account: Account, sdk: AsyncJulep, models: ModelServerHandle
) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", gated(text("late")))
    again = asyncio.Event()

    async def note(request: Any) -> None:
        if request.headers["x-stainless-retry-count"] != "0":
            again.set()

    async with async_sdk(server.url, account.key, max_retries=5) as impatient:
        impatient._client.event_hooks = {"request": [note], "response": []}
        waiting = asyncio.create_task(impatient.sessions.chat(session, messages=[said("hi")], timeout=0.5))
        await models.until_held(1)
        await asyncio.wait_for(again.wait(), DEADLINE_S)
        models.release()
        answer: Any = await waiting
    assert answer.choices[0].message.content == "late"
    assert len(asked(models)) == 1
    assert len(await history_of(sdk, session)) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_turn_whose_client_hangs_up_is_saved(sdk: AsyncJulep, raw: Client, models: ModelServerHandle, stream: bool) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", gated(text("late")))
    waiting = asyncio.create_task(post(raw, session, stream=stream))
    await models.until_held(1)
    await hang_up(waiting)
    assert await history_of(sdk, session) == []
    models.release()

    async def is_saved() -> bool:
        return await history_of(sdk, session) == [("user", "hi"), ("assistant", "late")]

    await until(is_saved)


async def test_stream_whose_client_hangs_up_in_the_middle_is_saved_whole(sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(sdk)
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    stream = await ask(sdk, session, stream=True)
    assert (await anext(aiter(stream))).choices[0].delta.content == "a"
    await stream.close()
    models.release(10)

    async def is_saved() -> bool:
        return await history_of(sdk, session) == [("user", "hi"), ("assistant", "abc")]

    await until(is_saved)


async def test_hangup_cancels_turn_in_one_piece_where_the_operator_wants_it(
    odd_sdk: AsyncJulep, odd_raw: Client, models: ModelServerHandle
) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    models.script("gpt-x", gated(text("late")))
    waiting = asyncio.create_task(post(odd_raw, session))
    await models.until_held(1)
    await hang_up(waiting)
    await models.until_disconnected(1)
    assert (await ask(odd_sdk, session, "next")).choices[0].message.content == "ok: next"
    assert await history_of(odd_sdk, session) == [("user", "next"), ("assistant", "ok: next")]


async def test_hangup_cancels_stream_where_the_operator_wants_it(odd_sdk: AsyncJulep, models: ModelServerHandle) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    stream = await ask(odd_sdk, session, stream=True)
    assert (await anext(aiter(stream))).choices[0].delta.content == "a"
    await stream.close()
    await models.until_disconnected(1)
    assert await history_of(odd_sdk, session) == []


async def test_hangup_before_the_first_chunk_cancels_stream_where_the_operator_wants_it(
    odd_sdk: AsyncJulep, odd_raw: Client, models: ModelServerHandle
) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    models.script("gpt-x", gated(text("late")))
    waiting = asyncio.create_task(post(odd_raw, session, stream=True))
    await models.until_held(1)
    await hang_up(waiting)
    # Well before the time limit of the turn would end it.
    await models.until_disconnected(1, timeout_s=2)
    assert await history_of(odd_sdk, session) == []


async def test_hangup_of_one_of_two_clients_cancels_nothing(odd_sdk: AsyncJulep, odd_raw: Client, models: ModelServerHandle) -> None:
    session = await session_of(odd_sdk, model="fake/gpt-x")
    models.script("gpt-x", slow(text("abc", chunks=3)))
    models.release(2)
    first = await ask(odd_sdk, session, stream=True)
    assert (await anext(aiter(first))).choices[0].delta.content == "a"
    second = aiter(await ask(odd_sdk, session, stream=True, extra_headers=AGAIN))
    assert (await anext(second)).choices[0].delta.content == "a"
    await first.close()
    models.release(10)
    assert [chunk.choices[0].delta.content async for chunk in second] == ["b", "c", ""]
    assert await history_of(odd_sdk, session) == [("user", "hi"), ("assistant", "abc")]
