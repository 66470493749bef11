"""A server that is killed at any point of an upload or a deletion leaves rows and bytes that agree, once what was doomed is cleared."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx2

from mentha.core import config
from mentha.server import clearing
from mentha.store import pool
from mentha.store.blobs import FOLDER, Blobs
from tests.support.server import running
from tests.support.talk import Client, talking, until

BODY = bytes(range(256)) * 40_000
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
ALONE = "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"


def blobs_of(home: Path) -> dict[UUID, bytes]:
    """Whole and half-written blobs."""
    return {UUID(path.name.partition("#")[0]): path.read_bytes() for path in (home / FOLDER).rglob("*") if path.is_file()}


async def put(client: Client, body: Any) -> str | None:
    """The id of a file that was acknowledged; None where the server went away."""
    file_id = str(uuid4())
    try:
        answer = await client.put(f"/files/{file_id}/content", content=body)
    except httpx2.HTTPError:
        return None
    return file_id if answer.status_code == 201 else None


async def half_sent(gone: asyncio.Event) -> AsyncIterator[bytes]:
    """A body that stops in the middle and stays open until the server is gone."""
    yield BODY
    await gone.wait()
    yield b"the rest"


async def cleared(dsn: str, home: Path, rows: Any) -> set[UUID]:
    """The blobs that are left when all notes have become due."""
    await rows.execute("UPDATE blobs_pending SET due_at = now()")
    settings = config.load(environ={}, flags={"home": home, "database_connections_max": 2})
    database = await pool.connect(dsn, settings)
    try:
        await clearing.clear(database, Blobs(settings))
    finally:
        await database.close()
    assert await rows.fetchval("SELECT count(*) FROM blobs_pending") == 0
    return set(blobs_of(home))


async def held(rows: Any) -> set[UUID]:
    return {row["blob_id"] for row in await rows.fetch("SELECT blob_id FROM files")}


async def test_server_killed_at_any_point_leaves_rows_and_bytes_that_agree(home: Path, database_dsn: str, rows: Any) -> None:
    with running(home=home, dsn=database_dsn, worker="false") as server:
        for point in ("the note", "the bytes", "the row", "a deletion"):
            async with talking(server.url) as client:
                kept = [await put(client, BODY) for _ in range(2)]
                before = len(blobs_of(home))
                # A connection of its own: in a transaction, the list of who waits does not change.
                locking, gone = await asyncpg.connect(database_dsn), asyncio.Event()
                if point == "the bytes":
                    task = asyncio.create_task(put(client, half_sent(gone)))
                    await until(lambda: len(blobs_of(home)) > before)
                else:
                    await locking.execute(
                        f"BEGIN; LOCK TABLE {'blobs_pending' if point == 'the note' else 'files'} IN ACCESS EXCLUSIVE MODE"
                    )
                    task = asyncio.create_task(_delete(client, kept.pop()) if point == "a deletion" else put(client, BODY))
                    await until(lambda: rows.fetchval(WAITING))
                assert len(blobs_of(home)) - before == (point in ("the bytes", "the row")), point
                server.kill()
                gone.set()
                assert not await task
                await locking.close()
            # What the dead server's statement does now that the lock is gone, PostgreSQL decides; both ends must be whole.
            await until(lambda: rows.fetchval(ALONE))
            assert await cleared(database_dsn, home, rows) == await held(rows), point
            server.start()
            async with talking(server.url) as client:
                for file_id in kept:
                    assert (await client.get(f"/files/{file_id}/content")).content == BODY


async def _delete(client: Client, file_id: str | None) -> bool:
    try:
        return (await client.delete(f"/files/{file_id}")).is_success
    except httpx2.HTTPError:
        return False
