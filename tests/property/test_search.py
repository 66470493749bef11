"""The laws of search over random documents in PostgreSQL: nothing that matches is lost, nothing else is found, the best comes first."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mentha.core import config
from mentha.core.ids import new_id
from mentha.providers.embedders import Embedders
from mentha.providers.service import Providers
from mentha.recall import document, search
from mentha.recall.document import Sizes
from mentha.recall.search import Query, Result
from mentha.store import docs, embedders, nearest
from mentha.store.chunks import Scope, owner_of
from mentha.store.docs import NewChunk, NewDoc
from mentha.store.embedders import EmbedderRow
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.wire import filters
from tests.support.databases import Cluster
from tests.support.transactions import Transactions, new_tenant

DIMENSIONS = 8
# Each its own stem; none begins or resembles another.
WORDS = ("zebra", "lamp", "cloud", "piano", "desert", "quartz", "moth", "bronz")
AGENT = """INSERT INTO agents (tenant_id, id, project_id, canonical_name, name, about, model, instructions)
    VALUES ($1, $2, $1, 'a' || md5($2::uuid::text), '-', '', '', '{}')"""
USER = "INSERT INTO users (tenant_id, id, project_id, name, about) VALUES ($1, $2, $1, '', '')"
VECTOR = "INSERT INTO vectors (tenant_id, doc_id, index, embedder_id, owner, vector) VALUES ($1, $2, $3, $4, $5, $6)"

Key = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a doc; one without a vector waits for the embedder."""

    words: tuple[str, ...]
    vector: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Stored:
    """A doc of one of the owners: 0 and 1 are an agent and a user, 2 an agent of another tenant."""

    owner: int
    title: tuple[str, ...]
    parts: tuple[Part, ...]
    kind: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the oracle knows of a piece."""

    words: frozenset[str]
    vector: np.ndarray | None


words = st.lists(st.sampled_from(WORDS), max_size=4).map(tuple)
directions = st.lists(st.integers(-2, 2), min_size=DIMENSIONS, max_size=DIMENSIONS).filter(any).map(tuple)
parts = st.builds(Part, words=words, vector=st.one_of(directions, directions, st.none()))
stored = st.builds(
    Stored, owner=st.integers(0, 2), title=words, parts=st.lists(parts, min_size=1, max_size=3).map(tuple), kind=st.integers(0, 2)
)
shelves = st.lists(stored, max_size=12)
owner_sets = st.sampled_from([(0,), (1,), (0, 1)])
kinds = st.one_of(st.none(), st.integers(0, 2))
queries = st.builds(
    Query,
    mode=st.just("text"),
    text=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join),
    vector=directions,
    limit=st.integers(1, 5),
    language=st.sampled_from(["english", "german", None]),
    confidence=st.just(-1.0),
    alpha=st.floats(0.01, 0.99),
    mmr_strength=st.one_of(st.just(0.0), st.floats(0, 0.9)),
    k_multiplier=st.integers(1, 5),
)


class Shelf:
    """Stores docs, each time in new tenants, searches in them, and knows what is there."""

    def __init__(self, transactions: Transactions, embedder: EmbedderRow, makers: Embedders) -> None:
        self._transactions = transactions
        self._embedder = embedder
        self._makers = makers

    def found(
        self, shelf: Sequence[Stored], owners: tuple[int, ...], kind: int | None, *wanted: Query
    ) -> tuple[dict[Key, Chunk], list[Result]]:
        """The pieces of these owners and of this kind, and what the searches find."""

        async def work(database: Database, tenant: UUID) -> tuple[dict[Key, Chunk], list[Result]]:
            ids = [new_id() for _ in range(3)]
            async with database.transaction() as tx:
                tenants = [tenant, tenant, await new_tenant(tx)]
                for place, (sql, owner_tenant) in enumerate(zip((AGENT, USER, AGENT), tenants, strict=True)):
                    await tx.execute(sql, owner_tenant, ids[place])
                known: dict[Key, Chunk] = {}
                for number, doc in enumerate(shelf):
                    made = await self._store(tx, tenants[doc.owner], ids[doc.owner], doc, number)
                    known |= made if doc.owner in owners and kind in (None, doc.kind) else {}
            predicate = None if kind is None else filters.to_jsonpath({"kind": kind})
            scope = Scope(tuple(owner_of("user" if owner == 1 else "agent", ids[owner]) for owner in owners), predicate)
            return known, [await search.search(database, self._makers, Meter(database), tenant, scope, query) for query in wanted]

        return self._transactions.committed(work)

    async def _store(self, tx: Any, tenant: UUID, owner_id: UUID, doc: Stored, number: int) -> dict[Key, Chunk]:
        # A word of its own, which no query has: docs of one owner must differ.
        title, content = " ".join((*doc.title, f"n{number}")), [" ".join(part.words) or "-" for part in doc.parts]
        made = document.prepare(title, content, "en", Sizes(900, 120))
        owner_kind = "user" if doc.owner == 1 else "agent"
        new = NewDoc(
            title=title,
            title_words=made.title_words,
            content=content,
            metadata={"kind": doc.kind},
            language=made.language,
            configuration=made.configuration,
            embed_instruction=None,
            digest=made.digest,
            chunks=[NewChunk(piece.text, piece.heading, piece.words, piece.heading_words) for piece in made.pieces],
        )
        doc_id = (await docs.create(tx, tenant, owner_kind, owner_id, new, doc_id=new_id(), job_id=new_id())).id
        known: dict[Key, Chunk] = {}
        for index, part in enumerate(doc.parts):
            vector = None
            if part.vector is not None:
                raw = (np.array(part.vector) / np.linalg.norm(part.vector)).astype(">f2")
                await tx.execute(VECTOR, tenant, doc_id, index, self._embedder.id, owner_of(owner_kind, owner_id), raw.tobytes())
                vector = raw.astype("f8")
            known[doc_id, index] = Chunk(frozenset(doc.title + part.words), vector)
        return known


@pytest.fixture(scope="module")
def shelves_of(cluster: Cluster) -> Iterator[Shelf]:
    """A database of this module, whose vectors are of an embedder of eight numbers, with an index of them."""
    with cluster.cloned() as dsn, Transactions(dsn) as transactions:
        chosen = config.load(environ={})
        providers = Providers(chosen)
        makers = Embedders(chosen, providers)

        async def register(database: Database, _: UUID) -> EmbedderRow:
            async with database.transaction() as tx:
                await embedders.register(tx, name="test", dimensions=DIMENSIONS, related_at=0.5, unrelated_at=0.1, state="active")
                (row,) = await embedders.list_(tx)
            assert await nearest.build(dsn, row)
            return row

        yield Shelf(transactions, transactions.committed(register), makers)
        asyncio.run(makers.close())
        asyncio.run(providers.close())


@pytest.fixture(scope="module", params=["small owners", "large owners"], autouse=True)
def size(request: pytest.FixtureRequest) -> Iterator[str]:
    """All of it for owners that are searched exactly, and for those that count as large, where the index and other shortcuts are used."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "large owners":
            patch.setattr(search, "SMALL_CHUNKS_MAX", 1)
        yield request.param


def keys_of(result: Result) -> list[Key]:
    return [(hit.chunk.doc_id, hit.chunk.index) for hit in result.found]


def assert_best_first(result: Result) -> None:
    scores, distances = [hit.score for hit in result.found], [hit.distance for hit in result.found]
    assert scores == sorted(scores, reverse=True)
    assert distances == sorted(distances)


def cosines(known: dict[Key, Chunk], vector: Sequence[float]) -> dict[Key, float]:
    sought = np.array(vector) / np.linalg.norm(vector)
    return {key: float(chunk.vector @ sought / np.linalg.norm(chunk.vector)) for key, chunk in known.items() if chunk.vector is not None}


def with_words(known: dict[Key, Chunk], text: str) -> set[Key]:
    return {key for key, chunk in known.items() if chunk.words & set(text.split())}


laws = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@laws
@given(shelf=shelves, owners=owner_sets, kind=kinds, query=queries)
def test_search_by_words_finds_all_that_have_one_and_nothing_else(
    shelves_of: Shelf, shelf: list[Stored], owners: tuple[int, ...], kind: int | None, query: Query
) -> None:
    known, (some, many) = shelves_of.found(shelf, owners, kind, query, replace(query, limit=50))
    matching = with_words(known, query.text)
    assert set(keys_of(many)) == matching
    assert keys_of(some) == keys_of(many)[: query.limit]
    assert_best_first(many)
    assert all(0 < hit.score <= 1 and hit.distance == pytest.approx(1 - hit.score) for hit in many.found)


@laws
@given(shelf=shelves, owners=owner_sets, kind=kinds, query=queries)
def test_search_by_vector_is_what_comparing_all_of_them_gives(
    shelves_of: Shelf, size: str, shelf: list[Stored], owners: tuple[int, ...], kind: int | None, query: Query
) -> None:
    query = replace(query, mode="vector", mmr_strength=0.0)
    known, (some, many) = shelves_of.found(shelf, owners, kind, query, replace(query, limit=50))
    exact = cosines(known, query.vector or ())
    assert set(keys_of(many)) == set(exact)
    assert [1 - hit.distance for hit in many.found] == pytest.approx(sorted(exact.values(), reverse=True), abs=2e-3)
    assert len(some.found) == min(query.limit, len(exact))
    if size == "small owners":
        assert [hit.distance for hit in some.found] == pytest.approx([hit.distance for hit in many.found][: query.limit], abs=2e-3)
    for result in (some, many):
        assert_best_first(result)


@laws
@given(shelf=shelves, owners=owner_sets, kind=kinds, query=queries)
def test_search_by_both_finds_what_either_finds_and_no_more_than_asked_for(
    shelves_of: Shelf, shelf: list[Stored], owners: tuple[int, ...], kind: int | None, query: Query
) -> None:
    query = replace(query, mode="hybrid")
    known, (some, many) = shelves_of.found(shelf, owners, kind, query, replace(query, limit=50))
    either = with_words(known, query.text) | set(cosines(known, query.vector or ()))
    assert set(keys_of(many)) == either
    assert len(some.found) == len(set(keys_of(some))) == min(query.limit, len(either))
    assert set(keys_of(some)) <= either
    for result in (some, many):
        assert_best_first(result)
        assert all(0 <= hit.score <= 1 for hit in result.found)


@laws
@given(shelf=shelves, owners=owner_sets, kind=kinds, query=queries)
def test_alpha_of_zero_is_the_search_by_words_and_of_one_that_by_vector(
    shelves_of: Shelf, shelf: list[Stored], owners: tuple[int, ...], kind: int | None, query: Query
) -> None:
    by_words, by_vector = replace(query, mode="text"), replace(query, mode="vector")
    both = replace(query, mode="hybrid")
    _, results = shelves_of.found(shelf, owners, kind, by_words, replace(both, alpha=0), by_vector, replace(both, alpha=1))
    assert keys_of(results[0]) == keys_of(results[1])
    assert keys_of(results[2]) == keys_of(results[3])


@laws
@given(shelf=shelves, owners=owner_sets, query=queries, least=st.floats(-1, 1))
def test_confidence_and_choice_without_repetition_only_leave_out(
    shelves_of: Shelf, shelf: list[Stored], owners: tuple[int, ...], query: Query, least: float
) -> None:
    plain = replace(query, mode="vector", mmr_strength=0.0, limit=50)
    sure = replace(plain, confidence=least)
    varied = replace(query, mode="vector", mmr_strength=0.7)
    _, (everything, some, chosen) = shelves_of.found(shelf, owners, None, plain, sure, varied)
    assert keys_of(some) == [key for key, hit in zip(keys_of(everything), everything.found, strict=True) if hit.score >= least - 1e-9]
    assert len(chosen.found) == min(query.limit, len(everything.found))
    assert [hit.score for hit in chosen.found][:1] == [hit.score for hit in everything.found][:1]
    assert_best_first(chosen)
