"""Several servers on one database: no state of a turn is in a process alone."""

import asyncio
from pathlib import Path

import pytest

from tests.support.model_server import ModelServerHandle, gated, text
from tests.support.server import running
from tests.support.talk import history, new_session, say, talking


@pytest.mark.parametrize("asked_again", ["here", "there"])
async def test_turn_that_is_repeated_at_another_server_is_stored_once_and_answered_alike(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str], asked_again: str
) -> None:
    with (
        running(home=home / "a", dsn=database_dsn, environ=provider) as one,
        running(home=home / "b", dsn=database_dsn, environ=provider) as other,
    ):
        async with talking(one.url) as here, talking(other.url) as there:
            session = await new_session(here)
            models.script("gpt-x", gated(text("asked here")), text("asked there"))
            first = asyncio.create_task(say(here, session, "hello"))
            await models.until_held(1)
            repeated = await say(there, session, "hello", retry=1)
            models.release()
            original = await first
            assert (original.status_code, repeated.status_code) == (201, 201)
            assert original.content == repeated.content
            assert await history(there, session) == [("user", "hello"), ("assistant", "asked there")]
            # Whoever asks again, wherever, gets the same.
            again = here if asked_again == "here" else there
            assert (await say(again, session, "hello", retry=2)).content == repeated.content


async def test_session_of_one_server_goes_on_at_another(
    home: Path, database_dsn: str, models: ModelServerHandle, provider: dict[str, str]
) -> None:
    with (
        running(home=home / "a", dsn=database_dsn, environ=provider) as one,
        running(home=home / "b", dsn=database_dsn, environ=provider) as other,
    ):
        async with talking(one.url) as here, talking(other.url) as there:
            session = await new_session(here)
            for place, client in enumerate((here, there, here)):
                assert (await say(client, session, f"m{place}")).status_code == 201
            assert [said for _, said in await history(there, session)] == ["m0", "ok: m0", "m1", "ok: m1", "m2", "ok: m2"]
            sent = [message["content"] for message in models.requests[-1].json["messages"] if message["role"] != "system"]
            assert sent == ["m0", "ok: m0", "m1", "ok: m1", "m2"]
