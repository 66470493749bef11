"""The bytes of files: a folder of this machine, or a bucket of anything that speaks S3. A key is written once and never changed.

Rows know nothing of this and this knows nothing of rows: `store/files.py` notes each key before it is written, and `server/clearing.py`
deletes what nobody needs. Deleting what is not there is fine, so that both can be repeated after a crash.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import FileContentMissing, MenthaError, Unavailable

FOLDER = "files"
# Up to this size a file is one request, above it is sent in parts of this size, of which two are in memory. S3 wants 5 MiB at least.
PART_BYTES = 5 * 1024 * 1024
PARTS_AT_ONCE = 2
READ_BYTES = 262_144
CONNECT_S = 5
RETRIES_MAX = 3
RETRY_S = 10


class Blobs:
    """The blob store of the settings. Nothing is opened, nor a folder made, before the first use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = asyncio.Lock()
        self._store: Any = None

    async def put(self, tenant: UUID, blob_id: UUID, chunks: AsyncIterator[bytes]) -> None:
        """Write a new blob: all of it, or nothing. On the disk, or acknowledged by the service, when this returns.

        Raises:
            Unavailable: the folder or the service does not take it.
            MenthaError: whatever `chunks` raises.
        """
        key = _key(tenant, blob_id)
        first = await _gathered(chunks)
        async with self._opened() as (obstore, store):
            if len(first) < PART_BYTES:
                await obstore.put_async(store, key, first, use_multipart=False)
            else:
                await obstore.put_async(store, key, _resumed(first, chunks), chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        if self._folder is not None:
            await asyncio.to_thread(_sync, self._folder / key)

    async def get(self, tenant: UUID, blob_id: UUID, begin: int, end: int) -> AsyncIterator[bytes]:
        """The bytes of a blob from `begin` up to before `end`. It is open when this returns: what is deleted now can still be read.

        Raises:
            FileContentMissing: it is not there.
            Unavailable: the folder or the service can't be read; also later, from the iterator.
        """
        async with self._opened() as (obstore, store):
            result = await obstore.get_async(store, _key(tenant, blob_id), options={"range": (begin, end)})
            return self._streamed(result.stream(min_chunk_size=READ_BYTES))

    async def read(self, tenant: UUID, blob_id: UUID, size: int) -> bytes:
        """A whole blob, whose size is known.

        Raises:
            FileContentMissing, Unavailable: as `get`.
        """
        return b"".join([chunk async for chunk in await self.get(tenant, blob_id, 0, size)])

    async def delete(self, tenant: UUID, blob_id: UUID) -> None:
        """Delete a blob, and what an upload of it that was broken off has left.

        Raises:
            Unavailable: the folder or the service does not let us.
        """
        key = _key(tenant, blob_id)
        async with self._opened() as (obstore, store):
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(store, key)
        if self._folder is not None:
            await asyncio.to_thread(_clear, self._folder / key)

    @property
    def _folder(self) -> Path | None:
        return None if self._settings.blobs_url else self._settings.home / FOLDER

    async def _streamed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async with self._opened():
            async for chunk in chunks:
                yield chunk

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncGenerator[tuple[Any, Any]]:
        """The library and the store; what they raise becomes an error of ours."""
        try:
            async with self._opening:
                if self._store is None:
                    self._store = await asyncio.to_thread(_open, self._settings)
            yield lazy.load("obstore"), self._store
        except FileNotFoundError as error:
            raise FileContentMissing(
                "the content of this file is not there", fix="ask the operator to look at the store of files"
            ) from error
        except (MenthaError, TimeoutError):
            raise
        except (lazy.load("obstore.exceptions").BaseError, OSError) as error:
            raise Unavailable("the store of files is not available now") from error


def _key(tenant: UUID, blob_id: UUID) -> str:
    return f"{tenant.hex}/{blob_id.hex}"


def _open(settings: Settings) -> Any:
    stores = lazy.load("obstore.store")
    if not settings.blobs_url:
        folder = settings.home / FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return stores.LocalStore(folder)
    parts = urlsplit(settings.blobs_url)
    key_id, secret = settings.blobs_access_key_id, settings.blobs_secret_access_key
    given = {
        "endpoint": settings.blobs_endpoint,
        "access_key_id": key_id.get_secret_value() if key_id else None,
        "secret_access_key": secret.get_secret_value() if secret else None,
    }
    return stores.S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        region=settings.blobs_region,
        client_options={
            "allow_http": (settings.blobs_endpoint or "").startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_S),
            # A slow reader of a large file is no fault of the service.
            "timeout": timedelta(seconds=settings.file_upload_s),
        },
        retry_config={"max_retries": RETRIES_MAX, "retry_timeout": timedelta(seconds=RETRY_S)},
        **{name: value for name, value in given.items() if value},
    )


async def _gathered(chunks: AsyncIterator[bytes]) -> bytes:
    """The first part, or all where it is less."""
    gathered = bytearray()
    async for chunk in chunks:
        gathered += chunk
        if len(gathered) >= PART_BYTES:
            break
    return bytes(gathered)


async def _resumed(first: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in chunks:
        yield chunk


def _sync(path: Path) -> None:
    """Put a file and its name on the disk: the row that names it is on the disk as well."""
    for each in (path, path.parent, path.parent.parent):
        fd = os.open(each, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _clear(path: Path) -> None:
    # The library writes to `NAME#NUMBER` and renames that at the end.
    for left in path.parent.glob(f"{path.name}#*"):
        left.unlink(missing_ok=True)
