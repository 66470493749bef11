"""Files over HTTP: as JSON with base64, as the API has them, and as they are, in a stream of any length.

No connection is held, and no more than some parts of a file, while its bytes come in or go out (`store/blobs.py`).
"""

import asyncio
import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect

from mentha.api.body import Route
from mentha.api.deps import ProjectPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.core.errors import FileContentMissing, FileInvalid, MenthaError
from mentha.core.ids import new_id
from mentha.store import files
from mentha.store.files import Blob, NewFile, Stored
from mentha.wire.common import CanonicalName, ResourceDeletedResponse, SafeUnicode
from mentha.wire.downloads import disposition, is_known, is_same, range_of
from mentha.wire.files import (
    MIME_TYPE,
    MIME_TYPE_CHARS_MAX,
    CreateFileRequest,
    File,
    MimeType,
    PatchFileRequest,
    UpdateFileRequest,
    decoded,
)

router = APIRouter(tags=["files"], route_class=Route)

# Longer ones are coded in a thread.
INLINE_CHARS_MAX = 500_000
# A list has the contents of its files up to this size together; more is left to downloads.
LIST_CONTENT_BYTES_MAX = 10_000_000
READS_AT_ONCE = 8
# Beyond its own time limit, an upload may wait for a connection.
STORE_S = 300.0
PLAIN = "application/octet-stream"
_MIME_TYPE = re.compile(MIME_TYPE)
# A file is a stranger's: a browser that shows it must not take it for a page of this server.
DOWNLOAD_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cache-Control": "private, no-cache",
    "Accept-Ranges": "bytes",
}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
Content = Annotated[bool | None, Query(description="Whether to give the content; by default where it is not too large for JSON")]


@router.post("/files", status_code=201, responses=errors(400, 404))
async def create_file(body: CreateFileRequest, tenant: TenantId, runtime: RuntimeOf) -> File:
    """Create File"""
    raw = await asyncio.to_thread(decoded, body.content) if len(body.content) > INLINE_CHARS_MAX else decoded(body.content)
    new = NewFile(body.name, body.mime_type, body.description, body.metadata, body.project, body.owner)
    async with _uploaded(runtime, tenant, _once(raw)) as blob, runtime.database.connection() as tx:
        stored = await files.create(tx, tenant, new_id(), blob, new)
    return stored.file.model_copy(update={"content": await _encoded(raw)})


@router.get("/files", responses=errors(400, 404))
async def list_files(
    tenant: TenantId,
    runtime: RuntimeOf,
    page: ProjectPage,
    agent_id: Annotated[UUID | None, Query(description="Only files of this agent")] = None,
    user_id: Annotated[UUID | None, Query(description="Only files of this user")] = None,
    include_content: Content = None,
) -> list[File]:
    """List Files"""
    async with runtime.database.connection() as tx:
        found = await files.list_(tx, tenant, page, agent_id=agent_id, user_id=user_id)
    if not _has_room(found, LIST_CONTENT_BYTES_MAX, include_content):
        return [stored.file for stored in found]
    slots = asyncio.Semaphore(READS_AT_ONCE)

    async def read(stored: Stored) -> File:
        async with slots:
            try:
                return await _with_content(runtime, tenant, stored)
            except FileContentMissing:
                # One that is lost must not hide the others.
                return stored.file

    return await asyncio.gather(*map(read, found))


@router.get("/files/{file_id}", responses=errors(400, 404))
async def get_file(file_id: UUID, tenant: TenantId, runtime: RuntimeOf, include_content: Content = None) -> File:
    """Get File"""
    async with runtime.database.connection() as tx:
        stored = await files.get(tx, tenant, file_id)
    # What came as JSON goes as JSON.
    has_room = _has_room([stored], runtime.settings.body_bytes_max * 3 // 4, include_content)
    return await _with_content(runtime, tenant, stored) if has_room else stored.file


@router.put("/files/{file_id}", responses=errors(404), openapi_extra={"x-mentha": True})
async def update_file(file_id: UUID, body: UpdateFileRequest, tenant: TenantId, tx: Tx) -> File:
    """Replace what is said of a File"""
    return await files.update(tx, tenant, file_id, body)


@router.patch("/files/{file_id}", responses=errors(404), openapi_extra={"x-mentha": True})
async def patch_file(file_id: UUID, body: PatchFileRequest, tenant: TenantId, tx: Tx) -> File:
    """Patch File"""
    return await files.patch(tx, tenant, file_id, body)


@router.delete("/files/{file_id}", status_code=202, responses=errors(404))
async def delete_file(file_id: UUID, tenant: TenantId, tx: Statement) -> ResourceDeletedResponse:
    """Delete File"""
    return ResourceDeletedResponse(id=file_id, deleted_at=await files.delete(tx, tenant, file_id))


@router.get(
    "/files/{file_id}/content",
    response_class=Response,
    responses=errors(404, 416)
    | {
        200: {"content": {"*/*": BINARY}, "description": "The file"},
        206: {"content": {"*/*": BINARY}, "description": "The part that was asked for"},
        304: {"description": "The client has it already"},
    },
    openapi_extra={"x-mentha": True},
)
async def get_file_content(
    file_id: UUID,
    tenant: TenantId,
    runtime: RuntimeOf,
    range_: Annotated[str | None, Header(alias="Range", description="`bytes=0-99`: a part of the file")] = None,
    if_range: Annotated[str | None, Header(description="An `ETag`: the part only if the file is still this one")] = None,
    if_none_match: Annotated[str | None, Header(description="An `ETag`: nothing if the file is still this one")] = None,
) -> Response:
    """Download a File, or a part of it"""
    async with runtime.database.connection() as tx:
        stored = await files.get(tx, tenant, file_id)
    file, etag = stored.file, f'"{stored.file.hash}"'
    headers = {**DOWNLOAD_HEADERS, "ETag": etag, "Content-Disposition": disposition(file.name)}
    if is_known(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    part = range_of(range_, file.size) if is_same(if_range, etag) else None
    begin, end = part or (0, file.size)
    headers |= {"Content-Length": str(end - begin)} | ({"Content-Range": f"bytes {begin}-{end - 1}/{file.size}"} if part else {})
    chunks = await runtime.blobs.get(tenant, stored.blob_id, begin, end)
    # As a header and not as `media_type`, to which the framework would add what it thinks of the characters.
    return StreamingResponse(chunks, 206 if part else 200, {**headers, "Content-Type": file.mime_type or PLAIN})


@router.put(
    "/files/{file_id}/content",
    responses=errors(400, 404) | {201: {"model": File, "description": "The file is new"}},
    openapi_extra={"x-mentha": True, "requestBody": {"required": True, "content": {PLAIN: BINARY, "*/*": BINARY}}},
)
async def put_file_content(
    file_id: UUID,
    request: Request,
    response: Response,
    tenant: TenantId,
    runtime: RuntimeOf,
    name: Annotated[
        SafeUnicode | None, Query(description="Name of the file; by default it keeps its own, and a new one is named `file`")
    ] = None,
    mime_type: Annotated[MimeType | None, Query(description="MIME type; by default that of the header `Content-Type`")] = None,
    project: Annotated[CanonicalName | None, Query()] = None,
) -> File:
    """Upload a File under an id of one's own as it is, or put another content in the place of its own"""
    new = NewFile(name, mime_type or _said(request.headers.get("content-type")), project=project)
    async with _uploaded(runtime, tenant, _received(request)) as blob, runtime.database.connection() as tx:
        stored = await files.put(tx, tenant, file_id, blob, new)
    response.status_code = 201 if stored.is_new else 200
    return stored.file


@contextlib.asynccontextmanager
async def _uploaded(runtime: Any, tenant: UUID, chunks: AsyncIterator[bytes]) -> AsyncGenerator[Blob]:
    """Bytes that were written and that no row names yet; where the block fails, they are deleted soon.

    Raises:
        FileInvalid: they are none, or took too long to come.
        Unavailable: the database or the blob store is away.
    """
    settings, blob_id = runtime.settings, new_id()
    async with runtime.database.connection() as tx:
        await files.reserve(tx, tenant, blob_id, keep_s=settings.file_upload_s + STORE_S)
    measured = _Measured(chunks)
    try:
        try:
            async with asyncio.timeout(settings.file_upload_s):
                await runtime.blobs.put(tenant, blob_id, measured.chunks())
        except TimeoutError:
            raise FileInvalid(f"the upload took longer than {settings.file_upload_s:g} s", fix="the operator sets file_upload_s") from None
        yield Blob(blob_id, measured.size, measured.hash.digest())
    except BaseException:
        # The note on it is due by itself, but later.
        with contextlib.suppress(MenthaError):
            async with runtime.database.connection() as tx:
                await files.abandon(tx, tenant, blob_id)
        raise


class _Measured:
    """Bytes on their way, with their number and their SHA-256 so far."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self.size = 0
        self.hash = hashlib.sha256()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            if chunk:
                self.size += len(chunk)
                self.hash.update(chunk)
                yield chunk
        if not self.size:
            raise FileInvalid("content: an empty file can't be stored")


async def _once(raw: bytes) -> AsyncIterator[bytes]:
    yield raw


async def _received(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise FileInvalid("the upload was broken off") from None


def _said(content_type: str | None) -> str | None:
    """The type of an upload, None where it says nothing about the file: what clients send by themselves."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        raise FileInvalid("the body is a form", fix="send the bytes of the file themselves, like `curl --upload-file`")
    if kind in ("", PLAIN, "application/x-www-form-urlencoded") or len(kind) > MIME_TYPE_CHARS_MAX or not _MIME_TYPE.fullmatch(kind):
        return None
    return kind


def _has_room(found: list[Stored], bytes_max: int, wanted: bool | None) -> bool:
    """Whether to give the contents of these files."""
    size = sum(stored.file.size for stored in found)
    if wanted and size > bytes_max:
        raise FileInvalid(f"{size:,} bytes are too many for JSON", fix="ask for fewer files, or for GET /files/{file_id}/content")
    return size <= bytes_max and wanted is not False


async def _with_content(runtime: Any, tenant: UUID, stored: Stored) -> File:
    raw = await runtime.blobs.read(tenant, stored.blob_id, stored.file.size)
    return stored.file.model_copy(update={"content": await _encoded(raw)})


async def _encoded(raw: bytes) -> str:
    coded = await asyncio.to_thread(base64.b64encode, raw) if len(raw) > INLINE_CHARS_MAX else base64.b64encode(raw)
    return coded.decode("ascii")
