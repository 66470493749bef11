"""The blob store passes one suite as a folder and as a bucket; clearing it goes by the notes in the database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.errors import FileContentMissing, NotFound, Unavailable
from mentha.core.ids import new_id
from mentha.server import clearing
from mentha.store import files, pool
from mentha.store.blobs import FOLDER, PART_BYTES, Blobs
from mentha.store.files import Blob, NewFile
from mentha.store.pool import Database
from tests.support.s3_server import S3Server, s3_server
from tests.support.transactions import new_tenant

TENANT = new_id()


@pytest.fixture
async def s3() -> AsyncIterator[S3Server]:
    async with s3_server() as server:
        yield server


def of_folder(home: Path) -> Blobs:
    return Blobs(config.load(environ={}, flags={"home": home}))


def of_bucket(home: Path, s3: S3Server) -> Blobs:
    flags = {"home": home, "blobs_url": "s3://bucket/pre/fix", "blobs_endpoint": s3.url, "blobs_access_key_id": "k"}
    return Blobs(config.load(environ={}, flags={**flags, "blobs_secret_access_key": "s"}))


@pytest.fixture(params=["folder", "bucket"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path, s3: S3Server) -> Blobs:
    return of_folder(tmp_path) if request.param == "folder" else of_bucket(tmp_path, s3)


async def pieces(raw: bytes, size: int = 1_000_000) -> AsyncIterator[bytes]:
    for begin in range(0, len(raw), size):
        yield raw[begin : begin + size]


async def collected(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("size", [1, PART_BYTES - 1, PART_BYTES, 2 * PART_BYTES + 17])
async def test_blob_of_any_size_is_read_back_whole_and_in_parts(blobs: Blobs, size: int) -> None:
    blob_id, raw = new_id(), bytes(at % 251 for at in range(1000)) * (size // 1000 + 1)
    raw = raw[:size]
    await blobs.put(TENANT, blob_id, pieces(raw))
    assert await blobs.read(TENANT, blob_id, size) == raw
    assert await collected(await blobs.get(TENANT, blob_id, size // 2, size)) == raw[size // 2 :]
    await blobs.delete(TENANT, blob_id)
    await blobs.delete(TENANT, blob_id)
    with pytest.raises(FileContentMissing):
        await blobs.get(TENANT, blob_id, 0, size)


async def test_upload_that_breaks_off_leaves_no_blob_and_says_why(blobs: Blobs, tmp_path: Path, s3: S3Server) -> None:
    async def broken(size: int) -> AsyncIterator[bytes]:
        yield b"x" * size
        raise NotFound("gone")

    for size in (10, 2 * PART_BYTES):
        with pytest.raises(NotFound):
            await blobs.put(TENANT, new_id(), broken(size))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert s3.objects == {}


async def test_cancelled_upload_leaves_no_blob(blobs: Blobs, tmp_path: Path, s3: S3Server) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"x" * 2 * PART_BYTES
        begun.set()
        await asyncio.Event().wait()

    blob_id = new_id()
    uploading = asyncio.create_task(blobs.put(TENANT, blob_id, endless()))
    await begun.wait()
    uploading.cancel()
    await asyncio.wait([uploading])
    await blobs.delete(TENANT, blob_id)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert s3.objects == {}


async def test_reader_that_has_begun_reads_on_when_the_blob_is_deleted(tmp_path: Path) -> None:
    blobs, blob_id, raw = of_folder(tmp_path), new_id(), b"x" * 3_000_000
    await blobs.put(TENANT, blob_id, pieces(raw))
    reading = await blobs.get(TENANT, blob_id, 0, len(raw))
    await blobs.delete(TENANT, blob_id)
    assert await collected(reading) == raw


async def test_bucket_gets_signed_requests_under_its_prefix_and_a_failing_one_is_unavailable(tmp_path: Path, s3: S3Server) -> None:
    blobs, blob_id = of_bucket(tmp_path, s3), new_id()
    await blobs.put(TENANT, blob_id, pieces(b"x"))
    assert list(s3.objects) == [f"bucket/pre/fix/{TENANT.hex}/{blob_id.hex}"]
    assert all(s3.signed)
    s3.failing = True
    with pytest.raises(Unavailable):
        await blobs.read(TENANT, blob_id, 1)
    assert not list(tmp_path.iterdir())


async def test_folder_is_for_its_owner_alone_and_one_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    blobs = of_folder(tmp_path / "home")
    await blobs.put(TENANT, new_id(), pieces(b"x"))
    assert (tmp_path / "home" / FOLDER).stat().st_mode & 0o777 == 0o700
    (tmp_path / FOLDER).write_bytes(b"in the way")
    with pytest.raises(Unavailable):
        await of_folder(tmp_path).put(TENANT, new_id(), pieces(b"x"))


class Shelf:
    """Files and their blobs, in a database of this test."""

    def __init__(self, database: Database, blobs: Blobs, tenant: UUID, folder: Path) -> None:
        self.database, self.blobs, self.tenant, self._folder = database, blobs, tenant, folder

    async def reserved(self, *, keep_s: float = 3_600) -> UUID:
        blob_id = new_id()
        async with self.database.connection() as tx:
            await files.reserve(tx, self.tenant, blob_id, keep_s=keep_s)
        await self.blobs.put(self.tenant, blob_id, pieces(b"x"))
        return blob_id

    async def stored(self, blob_id: UUID, *, file_id: UUID | None = None) -> UUID:
        file_id = file_id or new_id()
        async with self.database.connection() as tx:
            await files.put(tx, self.tenant, file_id, Blob(blob_id, 1, b"h" * 32), NewFile("f", None))
        return file_id

    async def run(self, sql: str, *values: Any) -> Any:
        async with self.database.connection() as tx:
            return await tx.fetchval(sql, *values)

    async def clear(self) -> set[UUID]:
        """What is left after all that is doomed became due and was cleared."""
        await self.run("UPDATE blobs_pending SET due_at = now() WHERE doomed")
        await clearing.clear(self.database, self.blobs)
        return {UUID(path.name) for path in self._folder.rglob("*") if path.is_file()}


@pytest.fixture
async def shelf(database_dsn: str, tmp_path: Path) -> AsyncIterator[Shelf]:
    database = await pool.connect(database_dsn, config.load(environ={}, flags={"database_connections_max": 3}))
    try:
        async with database.connection() as tx:
            tenant = await new_tenant(tx)
        yield Shelf(database, of_folder(tmp_path), tenant, tmp_path / FOLDER)
    finally:
        await database.close()


async def test_clearing_deletes_what_no_file_holds_and_nothing_else(shelf: Shelf) -> None:
    kept, replaced, deleted, fresh, late = [await shelf.reserved(keep_s=0 if at == 4 else 3_600) for at in range(5)]
    first = await shelf.stored(replaced)
    await shelf.stored(kept, file_id=first)
    async with shelf.database.connection() as tx:
        await files.delete(tx, shelf.tenant, await shelf.stored(deleted))
    assert await shelf.clear() == {kept, fresh}
    # The upload that was still under way can be stored; the one that took too long can't.
    await shelf.stored(fresh)
    with pytest.raises(Unavailable):
        await shelf.stored(late)
    assert await shelf.clear() == {kept, fresh}
    assert await shelf.run("SELECT count(*) FROM blobs_pending") == 0


async def test_clearing_that_is_broken_off_is_done_by_the_next_one(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        await shelf.reserved(keep_s=0)
    delete, deleted = shelf.blobs.delete, list[UUID]()

    async def only_one(tenant: UUID, blob_id: UUID) -> None:
        if deleted:
            raise Unavailable("away")
        deleted.append(blob_id)
        await delete(tenant, blob_id)

    monkeypatch.setattr(shelf.blobs, "delete", only_one)
    with pytest.raises(Unavailable):
        await shelf.clear()
    assert await shelf.run("SELECT count(*) FROM blobs_pending WHERE doomed") == 1
    monkeypatch.undo()
    assert await shelf.clear() == set()
    assert await shelf.run("SELECT count(*) FROM blobs_pending") == 0


async def test_blobs_go_with_the_tenant_and_stay_where_a_transaction_failed(shelf: Shelf) -> None:
    blob_id = await shelf.reserved()
    await shelf.stored(blob_id)

    async def rolled_back() -> None:
        async with shelf.database.transaction() as tx:
            await tx.execute("DELETE FROM files")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rolled_back()
    assert await shelf.clear() == {blob_id}
    await shelf.run("DELETE FROM files WHERE tenant_id = $1", shelf.tenant)
    await shelf.run("DELETE FROM tenants WHERE id = $1", shelf.tenant)
    assert await shelf.clear() == set()


async def test_store_and_clearing_at_the_same_moment_agree(shelf: Shelf) -> None:
    """Whoever comes first decides: a row never names a blob that clearing took."""
    due = [await shelf.reserved(keep_s=0) for _ in range(40)]
    results = await asyncio.gather(*(shelf.stored(blob_id) for blob_id in due), shelf.clear(), return_exceptions=True)
    assert all(isinstance(result, UUID | set | Unavailable) for result in results)
    left = await shelf.clear()
    async with shelf.database.connection() as tx:
        held = {row["blob_id"] for row in await tx.fetch("SELECT blob_id FROM files")}
    assert held == left


class Stubborn(Blobs):
    """A store that will not delete one of its blobs."""

    kept: UUID

    async def delete(self, tenant: UUID, blob_id: UUID) -> None:
        if blob_id == self.kept:
            raise Unavailable("not this one")
        await super().delete(tenant, blob_id)


async def test_blob_that_cannot_be_deleted_does_not_keep_the_others(worker_dsn: str, tmp_path: Path) -> None:
    settings = config.load(environ={}, flags={"home": tmp_path, "database_connections_max": 2})
    database, blobs, ids = await pool.connect(worker_dsn, settings), Stubborn(settings), [new_id() for _ in range(3)]
    blobs.kept = ids[0]
    try:
        async with database.connection() as connection:
            tenant = await new_tenant(connection)
            for blob_id in ids:
                await blobs.put(tenant, blob_id, pieces(b"x"))
                await files.reserve(connection, tenant, blob_id, keep_s=-1)
        with pytest.raises(Unavailable, match="not this one"):
            await clearing.clear(database, blobs)
        async with database.connection() as connection:
            left = await connection.fetch("DELETE FROM blobs_pending WHERE tenant_id = $1 RETURNING id, doomed", tenant)
        assert [tuple(row) for row in left] == [(ids[0], True)]
    finally:
        await database.close()
