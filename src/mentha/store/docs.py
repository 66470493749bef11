"""Documents in PostgreSQL, with the chunks that searches find.

A doc is stored with its chunks and a job in one statement; its words are searched from then on. `store/vectors.py` has the work that follows.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.json import JsonObject
from mentha.store.chunks import OwnerKind, owner_of
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx, floats
from mentha.wire.common import Page
from mentha.wire.docs import Doc


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A piece of a doc.

    Attributes:
        heading: the nearest heading above it, where it does not begin with one; else empty.
        words: its text as the text search shall see it.
        heading_words: the heading, likewise.
    """

    text: str
    heading: str
    words: str
    heading_words: str


@dataclass(frozen=True, slots=True)
class NewDoc:
    """A doc to store, cut into chunks.

    Attributes:
        title_words: the title as the text search shall see it.
        language: an English name.
        configuration: the text search configuration.
        digest: SHA-256 of title and content: the same one is stored once for each owner.
    """

    title: str
    title_words: str
    content: list[str]
    metadata: JsonObject
    language: str
    configuration: str
    embed_instruction: str | None
    digest: bytes
    chunks: list[NewChunk]


STATUS = """CASE WHEN d.embedded_at IS NOT NULL THEN 'succeeded' WHEN d.failure IS NOT NULL THEN 'retrying'
    WHEN d.claim IS NOT NULL THEN 'in_progress' ELSE 'pending' END"""
COLUMNS = f"""d.id, d.created_at, d.updated_at, d.title, d.content, d.metadata, d.language, d.embed_instruction,
    {STATUS} AS embedding_status, ARRAY[d.job_id] AS jobs"""
# The vectors of a doc are shown once all are there.
VECTORS = """(SELECT array_agg(v.vector ORDER BY v.index) FROM vectors v
    WHERE v.tenant_id = d.tenant_id AND v.doc_id = d.id AND v.embedder_id = e.id AND d.embedded_at IS NOT NULL) AS vectors"""
WITHOUT_VECTORS = "NULL::halfvec[] AS vectors"
EMBEDDER = "LEFT JOIN embedders e ON e.state = 'active'"
MODEL = "e.name AS embedding_model, e.dimensions AS embedding_dimensions"

CHUNKS = """
chunked AS (
    INSERT INTO chunks (tenant_id, doc_id, index, owner, configuration, text, heading, words)
    SELECT doc.tenant_id, doc.id, c.place - 1, doc.owner, $9::text, c.text, c.heading,
        setweight(to_tsvector($9::text::regconfig, $10 || ' ' || c.heading_words), 'A') || setweight(to_tsvector($9::text::regconfig, c.words), 'B') || array_to_tsvector(ARRAY['#' || doc.owner])
    FROM doc, unnest($11::text[], $12::text[], $13::text[], $14::text[]) WITH ORDINALITY AS c (text, words, heading, heading_words, place)
), job AS (
    INSERT INTO jobs (tenant_id, id, kind, name, progress) SELECT doc.tenant_id, doc.job_id, 'index', 'Index a document', 0 FROM doc
)
"""
CREATE = f"""
WITH doc AS (
    INSERT INTO docs AS d (tenant_id, id, title, content, metadata, language, embed_instruction, digest, job_id, agent_id, user_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $15, $16, $17)
    RETURNING *
), {CHUNKS}
SELECT {COLUMNS} FROM doc d
"""


async def create(tx: Tx, tenant: UUID, kind: OwnerKind, owner_id: UUID, doc: NewDoc, *, doc_id: UUID, job_id: UUID) -> Doc:
    """Store a doc with its chunks, and a job that is due at once. Wake the workers in the same transaction.

    Raises:
        NotFound: the tenant has no such owner.
        Conflict: the owner has a doc with this title and content.
    """
    owner = (owner_id, None) if kind == "agent" else (None, owner_id)
    return _doc(await tx.fetchrow(CREATE, tenant, doc_id, *_values(doc), job_id, *owner))


GET = f"SELECT {COLUMNS}, {MODEL}, {VECTORS} FROM docs d {EMBEDDER} WHERE d.tenant_id = $1 AND d.id = $2 AND ($3::text IS NULL OR d.owner = $3)"
GET_PLAIN = GET.replace(VECTORS, WITHOUT_VECTORS)


async def get(tx: Tx, tenant: UUID, doc_id: UUID, *, owner: str | None = None, include_embeddings: bool = True) -> Doc:
    """One doc.

    Args:
        owner: only where it is this one's (see `owner_of`); None for anybody's.

    Raises:
        NotFound: the tenant has none with this id, or it is somebody else's.
    """
    row = await tx.fetchrow(GET if include_embeddings else GET_PLAIN, tenant, doc_id, owner)
    if row is None:
        raise NotFound("Doc not found during get")
    return _doc(row)


def _listed(vectors: LiteralString) -> LiteralString:
    return f"""
SELECT {COLUMNS}, {MODEL}, {vectors} FROM docs d {EMBEDDER}
WHERE d.tenant_id = $1 AND d.owner = $4 AND ($5::jsonpath IS NULL OR d.metadata @@ $5::jsonpath)
"""


LIST = ordered(_listed(VECTORS), alias="d")
LIST_PLAIN = ordered(_listed(WITHOUT_VECTORS), alias="d")


async def list_(tx: Tx, tenant: UUID, kind: OwnerKind, owner_id: UUID, page: Page, *, include_embeddings: bool = True) -> list[Doc]:
    """One page of the docs of an agent or a user; none where there is no such owner."""
    statements = LIST if include_embeddings else LIST_PLAIN
    rows = await tx.fetch(statement(statements, page), tenant, page.limit, page.offset, owner_of(kind, owner_id), page.metadata_filter)
    return [_doc(row) for row in rows]


HOLD = f"SELECT {COLUMNS}, d.digest FROM docs d WHERE d.tenant_id = $1 AND d.id = $2 AND ($3::text IS NULL OR d.owner = $3) FOR UPDATE"


async def hold(tx: Tx, tenant: UUID, doc_id: UUID, *, owner: str | None = None) -> Doc:
    """One doc, which nobody else changes until the transaction ends.

    Raises:
        NotFound: as `get`.
    """
    row = await tx.fetchrow(HOLD, tenant, doc_id, owner)
    if row is None:
        raise NotFound("Doc not found during update")
    return _doc(row)


ABORT = """
UPDATE jobs j SET state = 'aborted', reason = 'the document was changed', updated_at = now() FROM docs d
WHERE d.tenant_id = $1 AND d.id = $2 AND d.embedded_at IS NULL AND j.tenant_id = $1 AND j.id = d.job_id
"""
CLEAR = "DELETE FROM chunks WHERE tenant_id = $1 AND doc_id = $2"
REPLACE = f"""
WITH doc AS (
    UPDATE docs d
    SET title = $3, content = $4, metadata = $5, language = $6, embed_instruction = $7, digest = $8, job_id = $15, claim = NULL, due_at = now(),
        attempts = 0, failure = NULL, embedded_at = NULL, updated_at = now()
    WHERE d.tenant_id = $1 AND d.id = $2
    RETURNING *
), {CHUNKS}
SELECT {COLUMNS} FROM doc d
"""


async def replace(tx: Tx, tenant: UUID, doc_id: UUID, doc: NewDoc, *, job_id: UUID) -> Doc:
    """Put another text in the place of a doc's; its words are searched from then on, and its vectors are made anew. Needs `hold`.

    Raises:
        Conflict: the owner has another doc with this title and content.
    """
    await tx.execute(ABORT, tenant, doc_id)
    await tx.execute(CLEAR, tenant, doc_id)
    return _doc(await tx.fetchrow(REPLACE, tenant, doc_id, *_values(doc), job_id))


DESCRIBE = f"UPDATE docs d SET metadata = $3, updated_at = now() WHERE d.tenant_id = $1 AND d.id = $2 RETURNING {COLUMNS}"


async def describe(tx: Tx, tenant: UUID, doc_id: UUID, metadata: JsonObject) -> Doc:
    """Replace the metadata of a doc; its text and vectors stay. Needs `hold`."""
    return _doc(await tx.fetchrow(DESCRIBE, tenant, doc_id, metadata))


DELETE = "DELETE FROM docs d WHERE d.tenant_id = $1 AND d.id = $2 AND ($3::text IS NULL OR d.owner = $3) RETURNING now()"


async def delete(tx: Tx, tenant: UUID, doc_id: UUID, *, owner: str | None = None) -> datetime:
    """Delete a doc with all that was made of it.

    Raises:
        NotFound: the tenant has none with this id, or it is somebody else's.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, doc_id, owner)
    if deleted_at is None:
        raise NotFound("Doc not found during delete")
    return deleted_at


DELETE_MANY = """
DELETE FROM docs d WHERE d.tenant_id = $1 AND d.owner = $2 AND ($3::jsonpath IS NULL OR d.metadata @@ $3::jsonpath) RETURNING d.id, now() AS deleted_at
"""


async def delete_many(tx: Tx, tenant: UUID, kind: OwnerKind, owner_id: UUID, metadata_filter: str | None) -> list[tuple[UUID, datetime]]:
    """Delete the docs of an agent or a user that a filter matches, without one all of them; ids and the time."""
    rows = await tx.fetch(DELETE_MANY, tenant, owner_of(kind, owner_id), metadata_filter)
    return [(row["id"], row["deleted_at"]) for row in rows]


def _values(doc: NewDoc) -> tuple[Any, ...]:
    return (
        *(doc.title, doc.content, doc.metadata, doc.language, doc.embed_instruction, doc.digest, doc.configuration, doc.title_words),
        *([chunk.text for chunk in doc.chunks], [chunk.words for chunk in doc.chunks]),
        *([chunk.heading for chunk in doc.chunks], [chunk.heading_words for chunk in doc.chunks]),
    )


def _doc(row: Any) -> Doc:
    fields = dict(row)
    vectors = fields.pop("vectors", None)
    fields.pop("digest", None)
    return Doc(**fields, embeddings=[floats(vector) for vector in vectors] if vectors else None)
