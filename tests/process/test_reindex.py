"""`mentha reindex` beside a server that serves, whole and killed halfway."""

import asyncio
import math
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mentha.providers.calibration_pairs import calibration_pairs
from mentha.providers.embedders import QUESTIONS_AT_ONCE
from tests.support.indexing import VECTORS, add, all_done, assert_whole, new_agent, saying, searched
from tests.support.model_server import ModelServerHandle, gated, hang, text
from tests.support.server import ServerProcess, clean_environ, running
from tests.support.talk import Client, talking

DOCS = 120
# More requests than a test makes.
MANY = 500
# Texts in one request, as the settings have it.
BATCH = 64
# The requests by which an embedder that was never used is measured.
CALIBRATION = math.ceil(len(calibration_pairs()) / QUESTIONS_AT_ONCE) + math.ceil(len(calibration_pairs()) / BATCH)
LEFTOVERS = """WITH old AS (
        INSERT INTO embedders (name, dimensions, related_at, unrelated_at, state) VALUES ('old', 64, 0.5, 0.1, 'retired') RETURNING id)
    INSERT INTO vectors SELECT v.tenant_id, v.doc_id, v.index, old.id, v.owner, v.vector FROM vectors v, old"""


async def test_searches_go_on_while_all_docs_move_to_another_embedder(
    home: Path, database_dsn: str, rows: Any, models: ModelServerHandle, providers: str
) -> None:
    with running(home=home, dsn=database_dsn, providers=providers) as server:
        async with talking(server.url) as client:
            agent = await new_agent(client)
            await add(client, agent, 0, DOCS)
            await all_done(rows)
            models.script("emb", *[text("")] * (CALIBRATION + 1), *[gated(text(""))] * MANY)
            async with reindexing(home, database_dsn, providers, "fake/emb") as moving:
                await models.until_held(1, timeout_s=60)
                # Halfway: the old embedder answers, also for what is stored now; of that the new one makes vectors as well.
                assert f"Doc {42}" in await searched(client, agent, saying(42), mode="hybrid")
                second = await reindex(home, database_dsn, providers, "fake/other")
                assert second.returncode != 0
                assert b"another `mentha reindex` is running" in second.told
                await add(client, agent, DOCS, 5)
                looking = asyncio.create_task(look_until(moving, client, agent))
                models.reset()
                assert (await ended(moving)).returncode == 0
                assert await looking > 0
            await all_done(rows)
            await assert_whole(rows, DOCS + 5)
            models.reset()
            assert f"Doc {42}" in await searched(client, agent, saying(42), mode="hybrid")
            assert models.requests[-1].json["input"] == [saying(42)]
            doc = (await client.get(f"/agents/{agent}/docs", params={"limit": 1})).json()["items"][0]
            assert (doc["embedding_model"], doc["embedding_dimensions"], len(doc["embeddings"][0])) == ("fake/emb", 64, 64)
            # As a run leaves them that is killed when it has nearly done.
            await rows.execute(LEFTOVERS)
            again = await reindex(home, database_dsn, providers, "fake/emb")
            assert (again.returncode, b"already" in again.told) == (0, True)
            await assert_whole(rows, DOCS + 5)


async def test_move_that_was_killed_is_taken_up_where_it_was(
    home: Path, database_dsn: str, rows: Any, embedding_server: ServerProcess, models: ModelServerHandle, providers: str
) -> None:
    async with talking(embedding_server.url) as client:
        agent = await new_agent(client)
        await add(client, agent, 0, DOCS)
        await all_done(rows)
        models.script("next", *[text("")] * (CALIBRATION + 1), *[hang()] * MANY)
        async with reindexing(home, database_dsn, providers, "fake/next") as moving:
            await models.until_held(1, timeout_s=60)
            moving.kill()
            await moving.wait()
        models.reset()
        made = await rows.fetchval(VECTORS) - DOCS
        assert 0 < made < DOCS
        # Nothing has changed for those who search, and what is stored meanwhile gets vectors of both.
        assert "Doc 7" in await searched(client, agent, saying(7), mode="hybrid")
        assert {request.json["model"] for request in models.requests} == {"emb"}
        await add(client, agent, DOCS, 3)
        await all_done(rows)
        models.reset()
        done = await reindex(home, database_dsn, providers, "fake/next")
        assert done.returncode == 0, done.told
        assert b"set MENTHA_EMBEDDER=fake/next" in done.told
        await assert_whole(rows, DOCS + 3)
        asked = [said for request in models.requests for said in request.json["input"] if said.startswith("Doc ")]
        assert len(asked) == DOCS - made


async def test_doc_that_is_worked_on_while_the_move_ends_gets_vectors_of_the_new_embedder(
    home: Path, database_dsn: str, rows: Any, embedding_server: ServerProcess, models: ModelServerHandle, providers: str
) -> None:
    async with talking(embedding_server.url) as client:
        agent = await new_agent(client)
        await add(client, agent, 0, 3)
        await all_done(rows)
        models.script("emb", *[gated(text(""))] * MANY)
        await add(client, agent, 3, 3)
        await models.until_held(1, timeout_s=60)
        done = await reindex(home, database_dsn, providers, "fake/next")
        assert done.returncode == 0, done.told
        models.reset()
        await all_done(rows)
        await assert_whole(rows, 6)


async def look_until(moving: asyncio.subprocess.Process, client: Client, agent: str) -> int:
    """Search again and again until the move has ended; how often."""
    count = 0
    while moving.returncode is None:
        number = count % DOCS
        assert f"Doc {number}" in await searched(client, agent, saying(number), mode="hybrid")
        count += 1
    return count


class Done:
    """A command that has ended."""

    def __init__(self, returncode: int, told: bytes) -> None:
        self.returncode = returncode
        self.told = told


@asynccontextmanager
async def reindexing(home: Path, dsn: str, providers: str, to: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`mentha reindex` beside the servers; killed at the end where it still runs."""
    environ = {**clean_environ(), "MENTHA_HOME": str(home), "DATABASE_URL": dsn, "MENTHA_PROVIDERS": providers}
    command = [sys.executable, "-m", "mentha", "reindex", "--to", to]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environ, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(process: asyncio.subprocess.Process) -> Done:
    told, _ = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, told)


async def reindex(home: Path, dsn: str, providers: str, to: str) -> Done:
    """`mentha reindex`, to its end."""
    async with reindexing(home, dsn, providers, to) as process:
        return await ended(process)
