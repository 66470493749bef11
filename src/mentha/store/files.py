"""Files in PostgreSQL: what is said of them, and which blob has their bytes.

An upload is three steps, each whole by itself: `reserve` notes a fresh key, `store/blobs.py` writes the bytes, `create` or `put` makes the row and
takes the note back in one statement. What a crash leaves between two steps is a note, of which `server/clearing.py` deletes the bytes.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from mentha.core.errors import NotFound, Unavailable
from mentha.core.json import JsonObject
from mentha.store import projects
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.files import File, FileOwner, PatchFileRequest, UpdateFileRequest


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that were uploaded.

    Attributes:
        size: in bytes, above 0.
        hash: their SHA-256.
    """

    id: UUID
    size: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is said of a file to store.

    Attributes:
        name: None takes the one that is there, where a file is replaced; else "file".
        mime_type, description, metadata: likewise None where nothing is said.
    """

    name: str | None
    mime_type: str | None
    description: str | None = None
    metadata: JsonObject | None = None
    project: str | None = None
    owner: FileOwner | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A file and the blob that has its bytes."""

    file: File
    blob_id: UUID
    is_new: bool = False


COLUMNS = """x.id, x.created_at, x.updated_at, x.name, x.description, x.mime_type, x.metadata, x.size, encode(x.hash, 'hex') AS hash, x.blob_id,
    x.agent_id, x.user_id, (SELECT p.canonical_name FROM projects p WHERE p.tenant_id = x.tenant_id AND p.id = x.project_id) AS project"""

RESERVE = "INSERT INTO blobs_pending (tenant_id, id, due_at, doomed) VALUES ($1, $2, now() + make_interval(secs => $3), false)"


async def reserve(tx: Tx, tenant: UUID, blob_id: UUID, *, keep_s: float) -> None:
    """Note a key before anything is written under it. Commit before the first byte.

    Args:
        keep_s: after so long the upload counts as broken off; longer than any can take.
    """
    await tx.execute(RESERVE, tenant, blob_id, keep_s)


ABANDON = "UPDATE blobs_pending SET doomed = true, due_at = now() WHERE tenant_id = $1 AND id = $2"


async def abandon(tx: Tx, tenant: UUID, blob_id: UUID) -> None:
    """Have the bytes of an upload that failed deleted soon."""
    await tx.execute(ABANDON, tenant, blob_id)


# Takes the note back; gives no row, so that nothing is stored, where the bytes may be deleted already.
TAKEN = "taken AS (DELETE FROM blobs_pending WHERE tenant_id = $1 AND id = $2 AND NOT doomed RETURNING id)"
ROW: LiteralString = """
files AS x (tenant_id, blob_id, id, size, hash, name, mime_type, description, metadata, project_id, agent_id, user_id)
SELECT $1, taken.id, $3, $4, $5, COALESCE($6, 'file'), $7, COALESCE($8, ''), COALESCE($9::jsonb, '{}'),
    COALESCE($10, (SELECT p.id FROM projects p WHERE p.tenant_id = $1 AND p.canonical_name = 'default')), $11::uuid, $12::uuid
FROM taken
"""
CREATE = f"WITH {TAKEN} INSERT INTO {ROW} RETURNING {COLUMNS}, true AS is_new"


async def create(tx: Tx, tenant: UUID, file_id: UUID, blob: Blob, file: NewFile) -> Stored:
    """Store a file whose bytes are there.

    Raises:
        NotFound: no such project or owner.
        Unavailable: the upload took so long that its bytes may be deleted; send them again.
    """
    return await _store(tx, tenant, CREATE, file_id, blob, file)


PUT = f"""
WITH {TAKEN} INSERT INTO {ROW}
ON CONFLICT (tenant_id, id) DO UPDATE
SET blob_id = excluded.blob_id, size = excluded.size, hash = excluded.hash, name = COALESCE($6, x.name), mime_type = COALESCE($7, x.mime_type),
    description = COALESCE($8, x.description), metadata = COALESCE($9::jsonb, x.metadata), project_id = COALESCE($10, x.project_id), updated_at = now()
RETURNING {COLUMNS}, xmax = 0 AS is_new
"""


async def put(tx: Tx, tenant: UUID, file_id: UUID, blob: Blob, file: NewFile) -> Stored:
    """Store a file under this id, or put other bytes in the place of its own; its owner stays.

    Raises:
        NotFound, Unavailable: as `create`.
    """
    return await _store(tx, tenant, PUT, file_id, blob, file)


GET = f"SELECT {COLUMNS} FROM files x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, file_id: UUID) -> Stored:
    """One file.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _one(await tx.fetchrow(GET, tenant, file_id), "get")


GET_MANY = f"""
SELECT {COLUMNS}, left(t.text, $3) AS text FROM files x
LEFT JOIN file_texts t ON t.tenant_id = x.tenant_id AND t.file_id = x.id AND t.blob_id = x.blob_id
WHERE x.tenant_id = $1 AND x.id = ANY ($2)
"""


async def get_many(tx: Tx, tenant: UUID, file_ids: list[UUID], *, chars_max: int) -> list[tuple[Stored, str | None]]:
    """Those files of these that the tenant has, each with the text that was read out of it, where one was, at most so much of it."""
    return [(_stored(row), row["text"]) for row in await tx.fetch(GET_MANY, tenant, file_ids, chars_max)]


KEEP_TEXT = """
INSERT INTO file_texts (tenant_id, file_id, blob_id, text) SELECT x.tenant_id, x.id, x.blob_id, $4 FROM files x
WHERE x.tenant_id = $1 AND x.id = $2 AND x.blob_id = $3
ON CONFLICT (tenant_id, file_id) DO UPDATE SET blob_id = excluded.blob_id, text = excluded.text
"""


async def keep_text(tx: Tx, tenant: UUID, file_id: UUID, blob_id: UUID, text: str) -> None:
    """Keep what was read out of a file, as long as it has these bytes. Nothing happens where the file is gone."""
    await tx.execute(KEEP_TEXT, tenant, file_id, blob_id, text)


LIST = ordered(f"""
SELECT {COLUMNS} FROM files x
WHERE x.tenant_id = $1 AND ($4::jsonpath IS NULL OR x.metadata @@ $4::jsonpath) AND ($5::uuid IS NULL OR x.project_id = $5)
    AND ($6::uuid IS NULL OR x.agent_id = $6) AND ($7::uuid IS NULL OR x.user_id = $7)
""")


async def list_(tx: Tx, tenant: UUID, page: Page, *, agent_id: UUID | None = None, user_id: UUID | None = None) -> list[Stored]:
    """One page of files, of one project or one owner where these are named.

    Raises:
        NotFound: no such project.
    """
    project_id = await projects.resolve(tx, tenant, page.project)
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset, page.metadata_filter, project_id, agent_id, user_id)
    return [_stored(row) for row in rows]


UPDATE = f"""
UPDATE files x
SET project_id = COALESCE($3, x.project_id), name = $4, description = $5, mime_type = $6, metadata = $7, updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def update(tx: Tx, tenant: UUID, file_id: UUID, file: UpdateFileRequest) -> File:
    """Replace what is said of a file; without a project it stays where it is.

    Raises:
        NotFound: the tenant has none with this id, or no such project.
    """
    project_id = await projects.resolve(tx, tenant, file.project)
    row = await tx.fetchrow(UPDATE, tenant, file_id, project_id, file.name, file.description, file.mime_type, file.metadata)
    return _one(row, "update").file


PATCH = f"""
UPDATE files x
SET project_id = COALESCE($3, x.project_id), name = COALESCE($4, x.name), description = COALESCE($5, x.description),
    mime_type = CASE WHEN $7 THEN $6 ELSE x.mime_type END, metadata = x.metadata || COALESCE($8::jsonb, '{{}}'), updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def patch(tx: Tx, tenant: UUID, file_id: UUID, file: PatchFileRequest) -> File:
    """Change the given fields; metadata is merged.

    Raises:
        NotFound: the tenant has none with this id, or no such project.
    """
    said = file.model_fields_set
    project_id = await projects.resolve(tx, tenant, file.project)
    description = "" if file.description is None and "description" in said else file.description
    row = await tx.fetchrow(PATCH, tenant, file_id, project_id, file.name, description, file.mime_type, "mime_type" in said, file.metadata)
    return _one(row, "patch").file


DELETE = "DELETE FROM files WHERE tenant_id = $1 AND id = $2 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, file_id: UUID) -> datetime:
    """Delete a file; the same statement has its bytes deleted soon.

    Raises:
        NotFound: the tenant has none with this id.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, file_id)
    if deleted_at is None:
        raise NotFound("File not found during delete")
    return deleted_at


async def _store(tx: Tx, tenant: UUID, sql: LiteralString, file_id: UUID, blob: Blob, file: NewFile) -> Stored:
    project_id = await projects.resolve(tx, tenant, file.project)
    owner = (None, None) if file.owner is None else (file.owner.id, None) if file.owner.role == "agent" else (None, file.owner.id)
    said = (file.name, file.mime_type, file.description, file.metadata, project_id)
    row = await tx.fetchrow(sql, tenant, blob.id, file_id, blob.size, blob.hash, *said, *owner)
    if row is None:
        raise Unavailable("the upload took too long to be stored")
    return _stored(row)


def _one(row: Any, operation: str) -> Stored:
    if row is None:
        raise NotFound(f"File not found during {operation}")
    return _stored(row)


def _stored(row: Any) -> Stored:
    fields = dict(row)
    agent_id, user_id, blob_id = (fields.pop(name) for name in ("agent_id", "user_id", "blob_id"))
    is_new = fields.pop("is_new", False)
    fields.pop("text", None)
    owner = FileOwner(id=agent_id or user_id, role="agent" if agent_id else "user") if agent_id or user_id else None
    return Stored(File(**fields, owner=owner), blob_id, is_new)
