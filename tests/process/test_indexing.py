"""Making vectors by processes that are killed, stopped, frozen and several: each chunk gets one, and none is lost."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.indexing import END_LEASES, VECTORS, add, all_done, assert_whole, freeze, indexed_by, new_agent, saying, searched
from tests.support.model_server import ModelServerHandle, gated, hang, text
from tests.support.server import ServerProcess, running
from tests.support.talk import talking, until

DOCS = 120
# More requests than a test makes.
MANY = 500


async def test_killed_server_leaves_no_doc_without_vectors_and_none_with_two(
    home: Path, database_dsn: str, rows: Any, models: ModelServerHandle, providers: str
) -> None:
    settings = {"home": home, "dsn": database_dsn, "providers": providers, "embedder": "fake/emb"}
    with running(**settings) as server:  # type: ignore[arg-type]  # a dictionary of several types
        async with talking(server.url) as client:
            agent = await new_agent(client)
            await add(client, agent, 0, 1)
            await all_done(rows)
            # Two requests are answered, and then no more.
            models.script("/embeddings", text(""), text(""), *[hang()] * MANY)
            await add(client, agent, 1, DOCS - 1)
            await models.until_held(1, timeout_s=60)
            server.kill()
    models.reset()
    assert 1 < await rows.fetchval(VECTORS) < DOCS
    await rows.execute(END_LEASES)
    with running(**settings) as server:  # type: ignore[arg-type]  # likewise
        await all_done(rows)
        await assert_whole(rows, DOCS)
        async with talking(server.url) as client:
            for number in (0, 1, DOCS // 2, DOCS - 1):
                assert await searched(client, agent, saying(number)) == [f"Doc {number}"]
    # Also those that the killed server stored the vectors of can be found by misspelled words.
    assert await rows.fetchval("SELECT count(*) FROM vocabulary WHERE word LIKE 'word%'") == DOCS


async def test_server_that_is_stopped_gives_its_docs_back_at_once(
    home: Path, database_dsn: str, rows: Any, models: ModelServerHandle, providers: str
) -> None:
    with running(home=home, dsn=database_dsn, providers=providers, embedder="fake/emb", shutdown_grace_s="0") as server:
        async with talking(server.url) as client:
            agent = await new_agent(client)
            await add(client, agent, 0, 1)
            await all_done(rows)
            models.script("/embeddings", *[hang()] * MANY)
            await add(client, agent, 1, 5)
            await models.until_held(1, timeout_s=30)
        assert await asyncio.to_thread(server.stop) == 0
    waiting = await rows.fetch("SELECT claim, attempts, due_at <= now() AS is_due FROM docs WHERE embedded_at IS NULL")
    assert [tuple(row) for row in waiting] == [(None, 0, True)] * 5


async def test_two_processes_share_the_work_without_doing_any_of_it_twice(
    home: Path, database_dsn: str, rows: Any, embedding_server: ServerProcess, providers: str
) -> None:
    with running(home=home / "b", dsn=database_dsn, providers=providers, embedder="fake/emb", log_level="debug") as other:
        async with talking(embedding_server.url) as here, talking(other.url) as there:
            agent = await new_agent(here)
            await asyncio.gather(add(here, agent, 0, DOCS // 2), add(there, agent, DOCS // 2, DOCS // 2))
        await all_done(rows)
        await assert_whole(rows, DOCS)
        await until(lambda: indexed_by(embedding_server) + indexed_by(other) >= DOCS)
        assert indexed_by(embedding_server) + indexed_by(other) == DOCS


async def test_worker_that_was_frozen_stores_nothing_that_another_one_has_made(
    home: Path, database_dsn: str, rows: Any, embedding_server: ServerProcess, models: ModelServerHandle, providers: str
) -> None:
    async with talking(embedding_server.url) as client:
        agent = await new_agent(client)
        await add(client, agent, 0, 1)
        await all_done(rows)
        models.script("/embeddings", *[gated(text(""))] * MANY)
        await add(client, agent, 1, 40)
        await models.until_held(1, timeout_s=60)
        await freeze(embedding_server, rows)
        models.reset()
        await rows.execute(END_LEASES)
        with running(home=home / "b", dsn=database_dsn, providers=providers, embedder="fake/emb", log_level="debug") as other:
            await all_done(rows)
            await assert_whole(rows, 41)
            os.kill(embedding_server.pid, signal.SIGCONT)
            await add(client, agent, 41, 10)
            await all_done(rows)
            await assert_whole(rows, 51)
            assert indexed_by(other) >= 40
    assert not any('"level":"error"' in line for line in embedding_server.log)
