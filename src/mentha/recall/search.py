"""A search, from a query to the chunks that answer it: one function that names the stages.

    survey → (words | embed → vectors) → rank → read

Words and vectors are looked for at once, each on a connection of its own. None is held while the query is embedded. Recall in chat and the
search endpoints differ only in the `Query` they make.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar
from uuid import UUID

from mentha.core import lazy
from mentha.core.errors import ConfigInvalid, FieldInvalid, ProviderError, Unavailable
from mentha.core.json import JsonObject
from mentha.observe.events import RecallDegraded, emit
from mentha.providers.calibration import Calibration
from mentha.providers.embedders import Embedders
from mentha.recall import language, query, rank, spent
from mentha.recall.query import Wording
from mentha.recall.rank import Ranked
from mentha.recall.words import query_words
from mentha.store import chunks
from mentha.store.chunks import ChunkRow, Key, Scope, Survey, VectorHit, WordHit
from mentha.store.embedders import EmbedderRow
from mentha.store.meter import Meter
from mentha.store.pool import Database, Tx, floats

Mode = Literal["text", "vector", "hybrid"]
A = TypeVar("A")
B = TypeVar("B")

# Owners up to this size are searched exactly; above, words and vectors have their shortcuts.
SMALL_CHUNKS_MAX = 10_000
# A word that this many chunks have is common: in a large owner; and in a small one, at least and as one in so many.
COMMON_CHUNKS = 500
COMMON_CHUNKS_MIN, COMMON_ONE_IN = 150, 4
# Beyond the limit that was asked for, so that a choice without repetition has something to choose from (spec, section 4.7).
POOL_FACTOR, POOL_EXTRA = 2, 10


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for.

    Attributes:
        text: for words; also what is embedded where there are neither `vector_texts` nor a `vector`.
        vector_texts: what is embedded; of several texts, the middle between their vectors is looked for.
        vector: a vector of the caller's own.
        language: of the text, as the text search names it; None for unknown.
        confidence: the least confidence of a hit by vector.
        words_min: in a hybrid search, the least score by words of a hit that is not near enough by meaning.
        trigram_threshold: the least similarity of words that are taken for misspelled ones; None judges by letters.
    """

    mode: Mode
    text: str = ""
    vector_texts: tuple[str, ...] = ()
    vector: Sequence[float] | None = None
    limit: int = 10
    language: str | None = None
    confidence: float = 0.5
    alpha: float = 0.5
    mmr_strength: float = 0.5
    k_multiplier: int = 5
    trigram_threshold: float | None = None
    words_min: float = 0.0

    @property
    def pool(self) -> int:
        """How many hits the last choice has to choose from."""
        if self.mode == "text" or self.mmr_strength == 0:
            return self.limit
        return min(POOL_FACTOR * self.limit, self.limit + POOL_EXTRA)


@dataclass(frozen=True, slots=True)
class Found:
    """A chunk that was found; what `distance` and `score` mean depends on the mode (`wire/docs.py`)."""

    chunk: ChunkRow
    distance: float
    score: float


@dataclass(frozen=True, slots=True)
class Result:
    """What a search found, best first, and what it could not do."""

    found: list[Found]
    warnings: list[str]


@dataclass(frozen=True, slots=True)
class _Search:
    """A search after its survey; `words` are the query's."""

    database: Database
    meter: Meter
    tenant: UUID
    scope: Scope
    wanted: Query
    words: list[str]
    survey: Survey

    @property
    def is_large(self) -> bool:
        return self.survey.chunks > SMALL_CHUNKS_MAX

    @property
    def hits_max(self) -> int:
        """Of each kind."""
        return self.wanted.pool * (max(self.wanted.k_multiplier, 1) if self.wanted.mode == "hybrid" else 1)


@dataclass(frozen=True, slots=True)
class _Sought:
    """A query's vector: by whom, as the tables have it, and what its cosines mean."""

    embedder: EmbedderRow
    vector: bytes
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class _Near:
    """Hits by vectors, nearest first. Without `sought` there are none, and `warnings` say why where one was wanted."""

    sought: _Sought | None = None
    warnings: list[str] = field(default_factory=list[str])
    hits: list[VectorHit] = field(default_factory=list[VectorHit])


async def search(database: Database, embedders: Embedders, meter: Meter, tenant: UUID, scope: Scope, wanted: Query) -> Result:
    """Find the chunks that answer a query, among the docs of the owners in `scope`.

    A vector that can't be made (its endpoint fails) does not fail the search: it goes by words alone then, and says so. What it cost is
    recorded before this returns.

    Raises:
        FieldInvalid: the caller's own vector does not fit the embedder.
        Unavailable: the database is away.
    """
    words = query_words(wanted.text, words_max=query.WORDS_MAX) if wanted.mode != "vector" or wanted.vector is None else []
    async with database.connection() as connection:
        survey = await chunks.survey(connection, tenant, scope, words, count_max=SMALL_CHUNKS_MAX + 1)
    if not survey.chunks:
        return Result([], [])
    asked = _Search(database, meter, tenant, scope, wanted, words, survey)
    by_words, near = await _gather(asked, embedders)
    return await _best(asked, by_words, near)


def reference(hit: Found, *, include_embeddings: bool) -> JsonObject:
    """A hit as the API answers it: `DocReference`."""
    chunk = hit.chunk
    snippet: JsonObject = {"index": chunk.index, "content": chunk.text}
    if include_embeddings:
        snippet["embedding"] = floats(chunk.vector) if chunk.vector else None
    owner = {"id": str(chunk.agent_id), "role": "agent"} if chunk.agent_id else {"id": str(chunk.user_id), "role": "user"}
    return {
        "owner": owner,
        "id": str(chunk.doc_id),
        "title": chunk.title,
        "metadata": chunk.metadata,
        "snippet": snippet,
        "distance": hit.distance,
        "score": hit.score,
    }


async def _embed(embedders: Embedders, asked: _Search) -> tuple[_Sought | None, list[str]]:
    """The query's vector, or None and why."""
    row, wanted = asked.survey.embedder, asked.wanted
    if row is None:
        return None, ["the documents have no vectors yet: they were searched by words alone"]
    calibration = Calibration(row.related_at, row.unrelated_at)
    np = lazy.load("numpy")
    if wanted.vector is not None:
        given = np.asarray(wanted.vector, dtype="f8")
        # By its largest number first: the squares of very large or small ones are infinite, or zero.
        given = given / (np.abs(given).max() or 1)
        length = float(np.linalg.norm(given))
        if len(given) != row.dimensions or length == 0:
            fault = f"has {len(given)} numbers" if length else "is all zeros"
            raise FieldInvalid(
                f"the vector {fault}; those of the embedder `{row.name}` have {row.dimensions}",
                loc=("body", "vector"),
                kind="vector_dimensions",
                fix="make the vector with POST /embed",
            )
        return _Sought(row, (given / length).astype(">f2").tobytes(), calibration), []
    try:
        async with spent.charged(asked.meter, asked.tenant) as calls:
            made = await embedders.get(row.name).queries(wanted.vector_texts or [wanted.text], calls=calls)
    except (ProviderError, ConfigInvalid, Unavailable) as error:
        emit(RecallDegraded(embedder=row.name, reason=error.reason))
        return None, [f"the embedder `{row.name}` failed ({error.reason}): the documents were searched by words alone"]
    if made.shape[1] != row.dimensions:
        return None, [
            f"the embedder `{row.name}` makes other vectors now: the documents were searched by words alone until `mentha reindex`"
        ]
    middle = made.sum(axis=0)
    return _Sought(row, (middle / max(float(np.linalg.norm(middle)), 1e-9)).astype(">f2").tobytes(), calibration), []


async def _gather(asked: _Search, embedders: Embedders) -> tuple[list[WordHit], _Near]:
    """Hits by words and by vectors, as the mode wants them; by words alone where there is no vector."""
    mode, alpha = asked.wanted.mode, asked.wanted.alpha
    if mode == "text" or (mode == "hybrid" and alpha == 0):
        return await _by_words(asked), _Near()
    if mode == "hybrid" and alpha < 1:
        # While the embedder works, so does the database.
        return await _both(_by_words(asked), _by_meaning(asked, embedders))
    near = await _by_meaning(asked, embedders)
    return ([] if near.sought else await _by_words(asked)), near


async def _both(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """What both give, done at once. Where the other fails, the one is ended before this raises."""
    task = asyncio.create_task(one)
    try:
        made = await other
        return await task, made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _by_meaning(asked: _Search, embedders: Embedders) -> _Near:
    sought, warnings = await _embed(embedders, asked)
    if sought is None:
        return _Near(warnings=warnings)
    given = (asked.tenant, asked.scope, sought.embedder, sought.vector)
    if _index_is_worth_it(asked):
        async with asked.database.transaction() as tx:
            hits = await chunks.by_index(tx, *given, limit=asked.hits_max)
        if len(hits) == asked.hits_max:
            return _Near(sought, warnings, hits)
    async with asked.database.connection() as connection:
        return _Near(sought, warnings, await chunks.by_vector(connection, *given, limit=asked.hits_max))


async def _by_words(asked: _Search) -> list[WordHit]:
    survey, words = asked.survey, asked.words
    own = language.configuration(asked.wanted.language) if asked.wanted.language else None
    total = max(survey.chunks, survey.vectors) if asked.is_large else survey.chunks
    common = COMMON_CHUNKS if asked.is_large else max(COMMON_CHUNKS_MIN, survey.chunks // COMMON_ONE_IN)

    def compose(likes: Mapping[int, Sequence[str]] | None = None) -> Wording:
        owners = () if asked.is_large else asked.scope.owners
        return query.compose(words, survey.lexemes, owners=owners, own_configuration=own, likes=likes)

    async def look(tx: Tx, wording: Wording, suspects: Mapping[int, str]) -> chunks.WordHits:
        options: dict[str, Any] = {"anchor": wording.anchor, "together": wording.together, "pairs": wording.pairs}
        limits: dict[str, Any] = {"similar_max": query.SIMILAR_MAX, "chunks": total, "common_at_chunks": common, "limit": asked.hits_max}
        return await chunks.by_words(tx, asked.tenant, asked.scope, wording.terms, **options, suspects=suspects, **limits)

    wording = compose()
    if not wording.terms:
        return []
    # In a text of many words the others find what a misspelled one would, at half the cost.
    is_short = len(wording.terms) <= query.TYPO_TERMS_MAX or asked.wanted.trigram_threshold is not None
    suspects = {at: words[place] for at, place in enumerate(wording.places) if is_short and query.may_be_misspelled(words[place])}
    async with asked.database.connection() as connection:
        found = await look(connection, wording, suspects)
        meant = query.resembling(suspects, found.similar, asked.wanted.trigram_threshold)
        if meant and (likes := await _likes(connection, asked, {wording.places[at]: likely for at, likely in meant.items()})):
            found = await look(connection, compose(likes), {})
    return list(_falling(found.hits))


def _falling(hits: Sequence[WordHit]) -> Iterator[WordHit]:
    """The hits with scores that never rise: what only resembles the query's words counts no more than what has one, also in a fusion."""
    least = 1.0
    for hit in hits:
        if hit.score > least:
            yield hit._replace(score=least)
        else:
            least = hit.score
            yield hit


async def _likes(tx: Tx, asked: _Search, meant: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """Lexemes of the words that may be meant by those that no chunk has; by their places."""
    flat = [(place, word) for place, likely in meant.items() for word in likely]
    configurations = sorted({name for by_name in asked.survey.lexemes for name in by_name})
    found = await chunks.lexemes(tx, asked.tenant, [word for _, word in flat], configurations)
    likes: dict[int, list[str]] = {}
    for number, (place, _) in enumerate(flat):
        likes.setdefault(place, []).extend(found.get(number, ()))
    return likes


async def _best(asked: _Search, by_words: Sequence[WordHit], near: _Near) -> Result:
    """The hits to give, with their texts."""
    sought, active = near.sought, asked.survey.embedder
    async with asked.database.connection() as connection:
        cosines = {hit.key: hit.cosine for hit in near.hits}
        unseen = [hit.key for hit in by_words if hit.key not in cosines]
        if sought and unseen:
            found = await chunks.cosines(connection, asked.tenant, unseen, sought.embedder, sought.vector)
            cosines |= {hit.key: hit.cosine for hit in found}
        ranked = _rank(by_words, near, cosines, asked.wanted)[: asked.wanted.pool]
        rows = await chunks.read(connection, asked.tenant, [hit.key for hit in ranked], active.id if active else None)
    return Result(_chosen(ranked, rows, cosines, asked.wanted, sought), near.warnings)


def _rank(word_hits: Sequence[WordHit], near: _Near, cosines: Mapping[Key, float], wanted: Query) -> list[Ranked[Key]]:
    by_words = {hit.key: hit.score for hit in word_hits}
    if near.sought is None:
        # As the database ordered them: what only resembles the query's words comes after what has them, whatever the scores.
        return [Ranked(key, score) for key, score in by_words.items()]
    least = near.sought.calibration.cosine(wanted.confidence)
    by_vector = {hit.key: hit.cosine for hit in near.hits if hit.cosine >= least}
    if wanted.mode == "vector":
        return [Ranked(key, cosine) for key, cosine in by_vector.items()]
    if wanted.alpha < 1:
        by_words = {key: score for key, score in by_words.items() if key in by_vector or score >= wanted.words_min}
        by_vector |= {key: cosines[key] for key in by_words if key in cosines}
    # Cosines and not confidences: those are bent at the cut, and all that matters here is how far apart the hits are.
    return rank.fuse(by_words, by_vector, alpha=wanted.alpha)


def _chosen(
    ranked: Sequence[Ranked[Key]], rows: Sequence[ChunkRow], cosines: Mapping[Key, float], wanted: Query, sought: _Sought | None
) -> list[Found]:
    """The hits to give, best first; those whose docs are gone meanwhile left out."""
    by_key = {(row.doc_id, row.index): row for row in rows}
    there = [hit for hit in ranked if hit.key in by_key]
    strength = 0.0 if sought is None else wanted.mmr_strength
    kept = rank.diverse([hit.score for hit in there], [by_key[hit.key].vector for hit in there], limit=wanted.limit, strength=strength)
    found: list[Found] = []
    for hit in (there[place] for place in kept):
        if sought is not None and wanted.mode == "vector":
            cosine = cosines[hit.key]
            found.append(Found(by_key[hit.key], 1 - cosine, float(sought.calibration.confidence(cosine))))
        else:
            score = min(max(hit.score, 0.0), 1.0)
            found.append(Found(by_key[hit.key], 1 - score, score))
    return found


def _index_is_worth_it(asked: _Search) -> bool:
    if not asked.survey.has_index or not asked.is_large:
        return False
    # The index reads until it has enough rows that pass the filter: a narrow filter would make it give up before.
    return asked.scope.metadata_filter is None or asked.survey.docs > SMALL_CHUNKS_MAX
