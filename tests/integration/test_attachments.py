"""Files of messages, as far as they cost memory and time: what has no room is not read, and what waits for a process is not read yet."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config, tokens
from mentha.core.errors import FileInvalid, Unavailable
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps, loads
from mentha.sandbox.extract import Extractor
from mentha.store import files, pool
from mentha.store.blobs import Blobs
from mentha.store.files import Blob, NewFile
from mentha.store.pool import Database
from mentha.tools.attachments import Attachments
from tests.support import pdfs
from tests.support.transactions import new_tenant

LIMITS = {"files_per_turn_bytes_max": 1_000, "file_text_chars_max": 100}


class Counted(Blobs):
    """A blob store that counts what is read."""

    read_bytes = 0

    async def get(self, tenant: UUID, blob_id: UUID, begin: int, end: int) -> AsyncIterator[bytes]:
        self.read_bytes += end - begin
        return await super().get(tenant, blob_id, begin, end)


class Parts:
    """Attachments of one tenant."""

    def __init__(self, database: Database, tenant: UUID, home: Path, **flags: Any) -> None:
        self.database, self.tenant = database, tenant
        settings = config.load(environ={}, flags={"home": home, **LIMITS, **flags})
        self.blobs, self.extractor = Counted(settings), Extractor(settings)
        self.attachments = Attachments(settings, database, self.blobs, self.extractor)

    async def stored(self, raw: bytes) -> UUID:
        blob_id, file_id = new_id(), new_id()

        async def whole() -> AsyncIterator[bytes]:
            yield raw

        async with self.database.connection() as tx:
            await files.reserve(tx, self.tenant, blob_id, keep_s=60)
            await self.blobs.put(self.tenant, blob_id, whole())
            await files.create(tx, self.tenant, file_id, Blob(blob_id, len(raw), bytes(32)), NewFile("f", None))
        return file_id


@pytest.fixture
async def parts(worker_dsn: str, tmp_path: Path) -> AsyncIterator[Parts]:
    database = await pool.connect(worker_dsn, config.load(environ={}, flags={"database_connections_max": 2}))
    try:
        async with database.connection() as connection:
            tenant = await new_tenant(connection)
        made = Parts(database, tenant, tmp_path)
        yield made
        await made.extractor.close()
    finally:
        await database.close()


def message(*file_ids: UUID) -> JsonObject:
    return {"role": "user", "content": [{"type": "file", "file": {"file_id": str(each)}} for each in file_ids]}


async def test_files_that_have_no_room_together_are_refused_before_all_of_them_are_read(parts: Parts) -> None:
    images = [await parts.stored(b"\x89PNG\r\n\x1a\n" + bytes(600)) for _ in range(10)]
    parts.blobs.read_bytes = 0
    with pytest.raises(FileInvalid, match="more than 1,000 bytes"):
        await parts.attachments.noted(parts.tenant, [message(*images)])
    # Two of them, each looked at and then read.
    assert parts.blobs.read_bytes <= 2 * 2 * 608


async def test_newest_files_of_a_history_are_read_and_what_has_no_room_is_not(parts: Parts) -> None:
    images = [await parts.stored(b"\x89PNG\r\n\x1a\n" + bytes(400)) for _ in range(6)]
    parts.blobs.read_bytes = 0
    filled = loads(await parts.attachments.filled(parts.tenant, dumps([message(each) for each in images])))
    kinds = [part["type"] for each in filled for part in each["content"]]
    assert kinds == ["text"] * 4 + ["image_url"] * 2
    assert parts.blobs.read_bytes <= 3 * 2 * 408


async def test_long_pdf_counts_as_much_as_is_sent_of_it(parts: Parts) -> None:
    document = await parts.stored(pdfs.pdf(["word " * 15] * 60))
    for _ in range(2):
        # Read now, and kept from then on.
        (noted,) = await parts.attachments.noted(parts.tenant, [message(document)])
        assert noted["content"][0]["file"]["tokens"] <= tokens.count("word " * 25)


async def test_files_that_take_too_long_to_read_are_given_up(parts: Parts, tmp_path: Path) -> None:
    document = await parts.stored(pdfs.pdf(["x"]))
    hasty = Parts(parts.database, parts.tenant, tmp_path, turn_timeout_s=0.001)
    with pytest.raises(Unavailable, match="too long"):
        await hasty.attachments.noted(parts.tenant, [message(document)])
    await hasty.extractor.close()
