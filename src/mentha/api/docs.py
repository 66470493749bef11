"""Documents over HTTP: of agents and of users by the same handlers, search in them, and vectors of texts."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from mentha.api.body import Route
from mentha.api.deps import FilteredPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.core.errors import FieldInvalid
from mentha.core.ids import new_id
from mentha.core.json import JsonObject, dumps
from mentha.recall import document, index, language, search, spent
from mentha.recall.document import Sizes
from mentha.recall.search import Query as Wanted
from mentha.store import docs, queue
from mentha.store.chunks import OwnerKind, Scope, owner_of
from mentha.store.docs import NewChunk, NewDoc
from mentha.wire import filters
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.docs import (
    CONTENT_CHARS_MAX,
    BulkDeleteDocsRequest,
    CreateDocFromFileRequest,
    CreateDocRequest,
    Doc,
    DocPage,
    DocsDeletedResponse,
    DocSearchRequest,
    DocSearchResponse,
    EmbedQueryRequest,
    EmbedQueryResponse,
    NewDocRequest,
    PatchDocRequest,
    UpdateDocRequest,
)

router = APIRouter(tags=["docs"], route_class=Route)

# Longer texts are made ready in a thread.
INLINE_CHARS_MAX = 20_000
# Longer texts take their turn behind other bulk work, so that nobody's search waits for them.
QUERY_CHARS_MAX = 2_000
Embeddings = Annotated[bool, Query(description="Whether to give the vectors")]


@dataclass(frozen=True, slots=True)
class _Text:
    """What a doc is made of; `tag` is a language tag, or the name of a language, or None to find it out."""

    title: str
    content: list[str]
    instruction: str | None
    tag: str | None


def _routes(kind: OwnerKind) -> None:
    """The operations on the docs of an agent, or of a user."""
    owner_path = f"/{kind}s/{{{kind}_id}}"
    of = Path(alias=f"{kind}_id")

    @router.post(f"{owner_path}/docs", status_code=201, responses=errors(400, 404, 409))
    async def create_doc(owner_id: Annotated[UUID, of], body: NewDocRequest, tenant: TenantId, runtime: RuntimeOf) -> Doc:
        """Create Doc"""
        return await create_in(runtime, tenant, kind, owner_id, body)

    @router.get(f"{owner_path}/docs", responses=errors())
    async def list_docs(
        owner_id: Annotated[UUID, of], tenant: TenantId, tx: Statement, page: FilteredPage, include_embeddings: Embeddings = True
    ) -> DocPage:
        """List Docs"""
        return DocPage(items=await docs.list_(tx, tenant, kind, owner_id, page, include_embeddings=include_embeddings))

    @router.delete(f"{owner_path}/docs", status_code=202, responses=errors())
    async def bulk_delete_docs(owner_id: Annotated[UUID, of], body: BulkDeleteDocsRequest, tenant: TenantId, tx: Tx) -> DocsDeletedResponse:
        """Delete the Docs that a filter matches, or all"""
        wanted = filters.to_jsonpath(body.metadata_filter)
        if wanted is None and not body.delete_all:
            return DocsDeletedResponse(items=[])
        gone = await docs.delete_many(tx, tenant, kind, owner_id, wanted)
        return DocsDeletedResponse(items=[ResourceDeletedResponse(id=doc_id, deleted_at=deleted_at) for doc_id, deleted_at in gone])

    @router.get(f"{owner_path}/docs/{{doc_id}}", responses=errors(404), openapi_extra={"x-mentha": True})
    async def get_doc_of(
        owner_id: Annotated[UUID, of], doc_id: UUID, tenant: TenantId, tx: Statement, include_embeddings: Embeddings = True
    ) -> Doc:
        """Get Doc"""
        return await docs.get(tx, tenant, doc_id, owner=owner_of(kind, owner_id), include_embeddings=include_embeddings)

    @router.put(f"{owner_path}/docs/{{doc_id}}", responses=errors(404, 409), openapi_extra={"x-mentha": True})
    async def update_doc_of(
        owner_id: Annotated[UUID, of], doc_id: UUID, body: UpdateDocRequest, tenant: TenantId, runtime: RuntimeOf
    ) -> Doc:
        """Replace Doc"""
        return await _update(runtime, tenant, doc_id, owner_of(kind, owner_id), body)

    @router.patch(f"{owner_path}/docs/{{doc_id}}", responses=errors(404, 409), openapi_extra={"x-mentha": True})
    async def patch_doc_of(owner_id: Annotated[UUID, of], doc_id: UUID, body: PatchDocRequest, tenant: TenantId, runtime: RuntimeOf) -> Doc:
        """Patch Doc"""
        return await _patch(runtime, tenant, doc_id, owner_of(kind, owner_id), body)

    @router.delete(f"{owner_path}/docs/{{doc_id}}", status_code=202, responses=errors(404))
    async def delete_doc(owner_id: Annotated[UUID, of], doc_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
        """Delete Doc"""
        return ResourceDeletedResponse(id=doc_id, deleted_at=await docs.delete(tx, tenant, doc_id, owner=owner_of(kind, owner_id)))

    @router.post(f"{owner_path}/search", response_model=DocSearchResponse, responses=errors())
    async def search_docs(owner_id: Annotated[UUID, of], body: DocSearchRequest, tenant: TenantId, runtime: RuntimeOf) -> Response:
        """Search in the Docs by words, by meaning, or both"""
        return Response(dumps(await search_in(runtime, tenant, kind, owner_id, body)), media_type="application/json")


_routes("agent")
_routes("user")


@router.get("/docs/{doc_id}", responses=errors(404))
async def get_doc(doc_id: UUID, tenant: TenantId, tx: Statement, include_embeddings: Embeddings = True) -> Doc:
    """Get Doc"""
    return await docs.get(tx, tenant, doc_id, include_embeddings=include_embeddings)


@router.put("/docs/{doc_id}", responses=errors(404, 409), openapi_extra={"x-mentha": True})
async def update_doc(doc_id: UUID, body: UpdateDocRequest, tenant: TenantId, runtime: RuntimeOf) -> Doc:
    """Replace Doc"""
    return await _update(runtime, tenant, doc_id, None, body)


@router.patch("/docs/{doc_id}", responses=errors(404, 409), openapi_extra={"x-mentha": True})
async def patch_doc(doc_id: UUID, body: PatchDocRequest, tenant: TenantId, runtime: RuntimeOf) -> Doc:
    """Patch Doc"""
    return await _patch(runtime, tenant, doc_id, None, body)


@router.delete("/docs/{doc_id}", status_code=202, responses=errors(404), openapi_extra={"x-mentha": True})
async def delete_any_doc(doc_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete Doc"""
    return ResourceDeletedResponse(id=doc_id, deleted_at=await docs.delete(tx, tenant, doc_id))


@router.post("/embed", response_model=EmbedQueryResponse, responses=errors(400, 429, 502, 504))
async def embed(body: EmbedQueryRequest, tenant: TenantId, runtime: RuntimeOf) -> Response:
    """Make vectors of texts, by the embedder that searches use"""
    return Response(dumps(await vectors_of(runtime, tenant, body)), media_type="application/json")


# The three below serve tools of type `system` as well, which call them by `server/system_ops.py`.


async def create_in(runtime: Any, tenant: UUID, kind: OwnerKind, owner_id: UUID, body: CreateDocRequest | CreateDocFromFileRequest) -> Doc:
    """Store a new doc, and have its vectors made. No connection is held while a file is read, or a long text made ready.

    Raises:
        NotFound, Conflict, FieldInvalid, FileInvalid: as the operation answers.
    """
    if isinstance(body, CreateDocFromFileRequest):
        name, content = await runtime.attachments.text(tenant, body.file_id)
        text = _Text(body.title or name, document.divided(content, CONTENT_CHARS_MAX), body.embed_instruction, body.language)
    else:
        text = _Text(body.title, _parts(body.content), body.embed_instruction, body.language)
    doc = await _prepared(runtime, text, body.metadata or {})
    async with runtime.database.transaction() as tx:
        created = await docs.create(tx, tenant, kind, owner_id, doc, doc_id=new_id(), job_id=new_id())
        await queue.wake(tx, index.KIND)
    return created


async def search_in(runtime: Any, tenant: UUID, kind: OwnerKind, owner_id: UUID, body: Any) -> JsonObject:
    """What a search in the docs of an agent or a user finds, as the operation answers it. `body` is a `DocSearchRequest` of any mode."""
    began = time.perf_counter()
    scope = Scope((owner_of(kind, owner_id),), filters.to_jsonpath(body.metadata_filter))
    result = await search.search(runtime.database, runtime.embedders, runtime.meter, tenant, scope, _wanted(body))
    found = [search.reference(hit, include_embeddings=body.include_embeddings) for hit in result.found]
    return {"docs": found, "time": max(time.perf_counter() - began, 1e-6), "warnings": result.warnings}


async def vectors_of(runtime: Any, tenant: UUID, body: EmbedQueryRequest) -> JsonObject:
    """The vectors of texts, as the operation answers them."""
    texts = [body.text] if isinstance(body.text, str) else body.text
    embedder = await index.active(runtime)
    make = embedder.queries if sum(map(len, texts)) <= QUERY_CHARS_MAX else embedder.documents
    async with spent.charged(runtime.meter, tenant) as calls:
        made = await make(texts, instruction=body.embed_instruction, calls=calls)
    return {"vectors": made.tolist()}


async def _update(runtime: Any, tenant: UUID, doc_id: UUID, owner: str | None, body: UpdateDocRequest) -> Doc:
    doc = await _prepared(runtime, _Text(body.title, _parts(body.content), body.embed_instruction, body.language), body.metadata or {})
    async with runtime.database.transaction() as tx:
        held = await docs.hold(tx, tenant, doc_id, owner=owner)
        return await _store(tx, tenant, held, doc)


async def _patch(runtime: Any, tenant: UUID, doc_id: UUID, owner: str | None, body: PatchDocRequest) -> Doc:
    """As `_update`, of what the doc has and the request does not; where another request was quicker, of what that one left."""
    async with runtime.database.connection() as connection:
        seen = await docs.hold(connection, tenant, doc_id, owner=owner)
    doc = await _prepared(runtime, _patched(seen, body), {})
    async with runtime.database.transaction() as tx:
        held = await docs.hold(tx, tenant, doc_id, owner=owner)
        if (text := _patched(held, body)) != _patched(seen, body):
            # Now while it is held: whoever let go of it again could lose every such race.
            doc = await _prepared(runtime, text, {})
        return await _store(tx, tenant, held, replace(doc, metadata=document.merged(held.metadata or {}, body.metadata)))


def _patched(doc: Doc, body: PatchDocRequest) -> _Text:
    said = body.model_fields_set
    return _Text(
        doc.title if body.title is None else body.title,
        doc.content if body.content is None else _parts(body.content),
        body.embed_instruction if "embed_instruction" in said else doc.embed_instruction,
        # What was found out once holds for a text that did not change.
        body.language if "language" in said else None if body.content is not None else doc.language,
    )


async def _store(tx: Any, tenant: UUID, held: Doc, doc: NewDoc) -> Doc:
    """Store a changed doc; where its text stays, so do its chunks and vectors."""
    if (doc.title, doc.content, doc.embed_instruction, doc.language) == (held.title, held.content, held.embed_instruction, held.language):
        return await docs.describe(tx, tenant, held.id, doc.metadata)
    stored = await docs.replace(tx, tenant, held.id, doc, job_id=new_id())
    await queue.wake(tx, index.KIND)
    return stored


async def _prepared(runtime: Any, text: _Text, metadata: JsonObject) -> NewDoc:
    settings = runtime.settings
    sizes = Sizes(settings.doc_chunk_chars_max, settings.doc_chunk_overlap_chars)
    chars = sum(map(len, text.content))
    if chars > settings.doc_chars_max:
        raise FieldInvalid(f"a document has at most {settings.doc_chars_max} characters", loc=("body", "content"), kind="too_long")
    if chars > INLINE_CHARS_MAX:
        made = await asyncio.to_thread(document.prepare, text.title, text.content, text.tag, sizes)
    else:
        made = document.prepare(text.title, text.content, text.tag, sizes)
    return NewDoc(
        title=text.title,
        title_words=made.title_words,
        content=text.content,
        metadata=metadata,
        language=made.language,
        configuration=made.configuration,
        embed_instruction=text.instruction,
        digest=made.digest,
        chunks=[NewChunk(piece.text, piece.heading, piece.words, piece.heading_words) for piece in made.pieces],
    )


def _parts(content: str | list[str]) -> list[str]:
    return [content] if isinstance(content, str) else content


def _wanted(body: Any) -> Wanted:
    """A request as the search takes it."""
    options = {
        name: getattr(body, name) for name in ("confidence", "alpha", "mmr_strength", "k_multiplier") if name in type(body).model_fields
    }
    return Wanted(
        mode=body.mode,
        text=body.text or "",
        vector=getattr(body, "vector", None),
        limit=body.limit,
        language=language.of_tag(body.lang) if body.mode != "vector" else None,
        trigram_threshold=getattr(body, "trigram_similarity_threshold", None),
        **options,
    )
