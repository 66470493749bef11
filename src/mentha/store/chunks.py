"""What a search reads: words, vectors and texts of the chunks of some owners.

    survey → by_words | by_vector → read

`recall/search.py` decides between the calls; nothing here ranks more than its own statement says. An *owner* is the text that `owner_of`
makes, a *filter* a jsonpath predicate on the metadata of a doc, made by `wire/filters.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, LiteralString, NamedTuple
from uuid import UUID

from mentha.core.json import JsonObject
from mentha.store.embedders import EmbedderRow
from mentha.store.pool import Tx

OwnerKind = Literal["agent", "user"]
# A chunk: its doc, and its index in it.
Key = tuple[UUID, int]


def owner_of(kind: OwnerKind, owner_id: UUID) -> str:
    """An owner as the tables have it."""
    return f"{kind[0]}{owner_id.hex}"


def agent_of(owner: str) -> UUID | None:
    """The agent that `owner_of` made this of; None for a user's."""
    return UUID(owner[1:]) if owner.startswith("a") else None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to search.

    Attributes:
        owners: one or more, as `owner_of` makes them.
        metadata_filter: a jsonpath predicate, or None.
    """

    owners: tuple[str, ...]
    metadata_filter: str | None = None


# Counting stops at $4, so that large owners cost no more than others. The configurations are found by skipping through the index.
SURVEY = """
WITH RECURSIVE spoken (owner, configuration) AS (
    SELECT o.owner, (SELECT min(c.configuration) FROM chunks c WHERE c.tenant_id = $1 AND c.owner = o.owner)
    FROM unnest($2::text[]) AS o (owner)
    UNION ALL
    SELECT s.owner, (SELECT min(c.configuration) FROM chunks c
                     WHERE c.tenant_id = $1 AND c.owner = s.owner AND c.configuration > s.configuration)
    FROM spoken s WHERE s.configuration IS NOT NULL
), used AS (SELECT DISTINCT s.configuration FROM spoken s WHERE s.configuration IS NOT NULL)
SELECT (SELECT count(*) FROM (SELECT FROM chunks c WHERE c.tenant_id = $1 AND c.owner = ANY ($2) LIMIT $4) x) AS chunks,
    (SELECT count(*) FROM (SELECT FROM docs d WHERE d.tenant_id = $1 AND d.owner = ANY ($2) AND d.metadata @@ $5::jsonpath LIMIT $4) x) AS docs,
    (SELECT json_agg(json_build_array(w.place - 1, u.configuration, tsvector_to_array(to_tsvector(u.configuration::regconfig, w.word)))
                     ORDER BY w.place)
     FROM used u CROSS JOIN unnest($3::text[]) WITH ORDINALITY AS w (word, place)) AS lexemes,
    e.id, e.name, e.dimensions, e.related_at, e.unrelated_at, e.state,
    (SELECT c.reltuples FROM pg_class c WHERE c.oid = 'vectors'::regclass) AS vectors,
    COALESCE((SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('vectors_nearest_' || e.id)), false) AS has_index
FROM (SELECT) AS one LEFT JOIN embedders e ON e.state = 'active'
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a search must know before it decides how to search.

    Attributes:
        chunks: of the owners; counted up to the limit that was given.
        docs: that the filter matches, counted likewise; 0 without a filter.
        lexemes: by the place of a word: configuration → its lexemes there, none for a stop word.
        embedder: the active one; None before any was used.
        vectors: about how many there are in all.
        has_index: whether there is an index of the embedder's vectors.
    """

    chunks: int
    docs: int
    lexemes: list[dict[str, list[str]]]
    embedder: EmbedderRow | None
    vectors: int
    has_index: bool


async def survey(tx: Tx, tenant: UUID, scope: Scope, words: Sequence[str], *, count_max: int) -> Survey:
    """Count the owners' chunks, and reduce the words of a query to lexemes by each configuration that these chunks use."""
    row = await tx.fetchrow(SURVEY, tenant, list(scope.owners), list(words), count_max, scope.metadata_filter)
    lexemes: list[dict[str, list[str]]] = [{} for _ in words]
    for place, configuration, found in row["lexemes"] or ():
        lexemes[place][configuration] = found
    embedder = None
    if row["id"] is not None:
        fields = ("id", "name", "dimensions", "related_at", "unrelated_at", "state")
        embedder = EmbedderRow(**{field: row[field] for field in fields})
    return Survey(row["chunks"], row["docs"], lexemes, embedder, max(int(row["vectors"]), 0), row["has_index"])


# Of one word of a query: a tsquery that matches it; one for the words that begin with it, which is used where the first matches nothing; and a
# weight: 1, or less for words that only resemble the query's.
Term = tuple[str, str, float]


class WordHit(NamedTuple):
    """A chunk with some of the words.

    Attributes:
        is_exact: it has a word of the query itself, or one that begins with it; not only one that resembles it.
        score: 0 to 1: which part of the query's words, weighted by their rarity, it has, and how much it has of them.
    """

    key: Key
    is_exact: bool
    score: float


@dataclass(frozen=True, slots=True)
class WordHits:
    """The best chunks.

    Attributes:
        missing: the places of the terms that no chunk has.
        similar: of these, words of the tenant's that share most trigrams with theirs: place, word, similarity (0.3 to 1).
    """

    hits: list[WordHit]
    missing: list[int]
    similar: list[tuple[int, str, float]]


# The hits of one term, which `condition` has: `most` of them, at least `$8`. ts_rank gives how often and how prominently a word stands there.
# A literal, since a plan that is made once knows no parameter: it takes a few hits for granted then, and reads the table until it has them.
def _hits(
    source: LiteralString, query: LiteralString, condition: LiteralString, most: LiteralString, factor: LiteralString = ""
) -> LiteralString:
    return f"""
    SELECT t.place, c.* FROM terms t CROSS JOIN LATERAL (
        SELECT c.doc_id, c.index, length(c.words) AS size, {factor}ts_rank('{{0.1,0.2,0.6,1.0}}', c.words, {query}) AS rank
        FROM {source} WHERE {condition} LIMIT {most}) c
    """


# What most chunks of a large owner have is soon found in some of them, where the index would first list all that have it. A term is looked
# for there if {seen} of the first {first} have it, and what was found counts where it is enough to call the term common.
_FIRST, _FIRST_WITH, _SOME = "100", "40", "1500"


# A term that `$8` chunks or more have is common: no more than these are looked at, and it only adds to the score of what it, the others, or
# all together found (unless all are common). Rank and length saturate as in BM25.
# Source of the formula's form: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.
def _ranked(join: LiteralString, condition: LiteralString, most: LiteralString, *, is_large: bool = False) -> LiteralString:
    own: LiteralString = "c.tenant_id = $1 AND c.owner = ANY ($2)"
    some: LiteralString = f"(SELECT c.doc_id, c.index, c.words FROM chunks c WHERE {own} LIMIT"
    seems_common: LiteralString = f"(SELECT count(*) >= {_FIRST_WITH} FROM first f WHERE f.words @@ (t.term->>0)::tsquery)"
    common = _hits(f"{some} {_SOME}) c", "t.exact", "c.words @@ t.exact", most) + "WHERE t.seems_common"
    indexed = _hits(f"chunks c {join}", "t.exact", f"{own} AND c.words @@ (t.scope && t.exact) {condition}", most)
    prefixed = _hits(f"chunks c {join}", "t.prefix", f"{own} AND c.words @@ (t.scope && t.prefix) {condition}", most, "0.5::real * ")
    return f"""
WITH {f"first AS MATERIALIZED {some} {_FIRST})," if is_large else ""}
terms AS MATERIALIZED (
    SELECT t.place, (t.term->>0)::tsquery AS exact, (t.term->>1)::tsquery AS prefix, (t.term->>2)::real AS weight, t.term->>3 AS word,
        $3::tsquery AS scope, {seems_common if is_large else "false"} AS seems_common
    FROM json_array_elements($4::json) WITH ORDINALITY AS t (term, place)
), common_hits AS MATERIALIZED ({common}
), common AS MATERIALIZED (
    SELECT h.place FROM common_hits h GROUP BY h.place HAVING count(*) >= $8
), exact_hits AS MATERIALIZED (
    SELECT h.* FROM common_hits h JOIN common USING (place)
    UNION ALL {indexed} WHERE NOT EXISTS (SELECT FROM common o WHERE o.place = t.place)
), prefix_hits AS MATERIALIZED ({prefixed}
    WHERE t.weight = 1 AND NOT EXISTS (SELECT FROM exact_hits e WHERE e.place = t.place)
), hits AS (
    SELECT * FROM exact_hits UNION ALL SELECT * FROM prefix_hits
), weighed AS MATERIALIZED (
    SELECT t.place, t.exact, t.weight, t.word, count(h.place) AS chunks, count(h.place) >= $8 AS is_common,
        ln(1 + (greatest($6 - count(h.place), 0) + 0.5::float8) / (count(h.place) + 0.5::float8)) AS idf
    FROM terms t LEFT JOIN hits h USING (place) GROUP BY t.place, t.exact, t.weight, t.word
), length AS MATERIALIZED (
    SELECT greatest(avg(h.size), 1)::float8 AS average FROM hits h
), rare AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM weighed w WHERE NOT w.is_common AND w.chunks > 0) AS found
), pairs AS MATERIALIZED (
    SELECT (p.pair->>2)::tsquery AS query, least(w.idf, v.idf) * 0.3 AS score FROM json_array_elements($10::json) AS p (pair)
    JOIN weighed w ON w.place = (p.pair->>0)::int + 1 JOIN weighed v ON v.place = (p.pair->>1)::int + 1 WHERE w.chunks > 0 AND v.chunks > 0
), together AS (
    SELECT c.doc_id, c.index FROM chunks c {join}
    WHERE EXISTS (SELECT FROM weighed w WHERE w.is_common) AND {own} AND c.words @@ $9::tsquery {condition}
    LIMIT $8
), best AS MATERIALIZED (
    SELECT x.doc_id, x.index, bool_or(x.is_exact) AS is_exact, sum(x.score) AS score FROM (
        SELECT h.doc_id, h.index, w.weight = 1 AS is_exact, CASE WHEN w.is_common AND r.found THEN 0
            ELSE w.weight * w.idf * h.rank / (h.rank + 0.1 * (1 + h.size / l.average)) END AS score
        FROM hits h JOIN weighed w USING (place) CROSS JOIN length l CROSS JOIN rare r
        UNION ALL SELECT a.doc_id, a.index, true, 0 FROM together a) x
    GROUP BY x.doc_id, x.index ORDER BY is_exact DESC, score DESC, x.doc_id, x.index LIMIT $7 + 50
), scored AS (
    SELECT b.doc_id, b.index, b.is_exact, b.score
        + COALESCE((SELECT sum(w.weight * w.idf * 0.5) FROM weighed w
                    WHERE w.is_common AND r.found AND c.words @@ w.exact), 0)
        + COALESCE((SELECT sum(p.score) FROM pairs p WHERE c.words @@ p.query), 0) AS score
    FROM best b JOIN chunks c ON c.tenant_id = $1 AND c.doc_id = b.doc_id AND c.index = b.index CROSS JOIN rare r
)
SELECT array_agg(s.doc_id) AS doc_ids, array_agg(s.index) AS indices, array_agg(s.is_exact) AS exact,
    array_agg(s.score / greatest(1.5 * (SELECT sum(w.idf) FROM weighed w), s.score)) AS scores,
    (SELECT array_agg((w.place - 1)::int) FROM weighed w WHERE w.chunks = 0) AS missing,
    (SELECT json_agg(json_build_array(w.place - 1, v.word, v.similarity)) FROM weighed w CROSS JOIN LATERAL (
        SELECT v.word, similarity(v.word, w.word) AS similarity FROM vocabulary v WHERE v.tenant_id = $1 AND v.word % w.word
        ORDER BY 2 DESC, v.word LIMIT $5) v WHERE w.chunks = 0 AND w.word IS NOT NULL) AS similar
FROM (SELECT * FROM scored ORDER BY is_exact DESC, score DESC, doc_id, index LIMIT $7) s
"""


_JOIN: LiteralString = "JOIN docs d ON d.tenant_id = c.tenant_id AND d.id = c.doc_id"
# By how many hits of a term are looked at; one for each order of size of an owner.
_MOST: dict[int, LiteralString] = {250: "250", 500: "500", 1_000: "1000", 2_500: "2500"}
BY_WORDS = {most: _ranked("", "", literal) for most, literal in _MOST.items()}
BY_WORDS_LARGE = {most: _ranked("", "", literal, is_large=True) for most, literal in _MOST.items()}
BY_WORDS_FILTERED = {most: _ranked(_JOIN, "AND d.metadata @@ $11::jsonpath", literal) for most, literal in _MOST.items()}


async def by_words(
    tx: Tx,
    tenant: UUID,
    scope: Scope,
    terms: Sequence[Term],
    *,
    anchor: str,
    together: str,
    pairs: Sequence[tuple[int, int, str]],
    suspects: Mapping[int, str],
    similar_max: int,
    chunks: int,
    common_at_chunks: int,
    limit: int,
) -> WordHits:
    """The chunks that have most of the terms, best first.

    Args:
        anchor: a tsquery that every match must satisfy as well; it must match all chunks of the owners. Empty for none, in large owners.
        together: a tsquery of all terms at once.
        pairs: places of two terms that follow each other in the query, and a tsquery of that phrase.
        suspects: the words of terms, by place, that may be misspelled where no chunk has them.
        similar_max: most words that resemble one of these.
        chunks: how many the owners have in all, at least about.
        common_at_chunks: a term that so many chunks have is common; 1 to 2,500.
        limit: most hits.
    """
    # As JSON: the driver takes its time to encode arrays.
    described = [[*term, suspects.get(place)] for place, term in enumerate(terms)]
    given = (tenant, list(scope.owners), anchor, described, similar_max, chunks, limit, common_at_chunks, together, list(pairs))
    most = next(most for most in _MOST if most >= common_at_chunks)
    if scope.metadata_filter is not None:
        row = await tx.fetchrow(BY_WORDS_FILTERED[most], *given, scope.metadata_filter)
    else:
        row = await tx.fetchrow((BY_WORDS if anchor else BY_WORDS_LARGE)[most], *given)
    doc_ids, indices, exact, scores = ((row[name] or ()) for name in ("doc_ids", "indices", "exact", "scores"))
    similar = [(place, word, similarity) for place, word, similarity in row["similar"] or ()]
    return WordHits(list(map(WordHit, zip(doc_ids, indices, strict=True), exact, scores)), row["missing"] or [], similar)


LEXEMES = """
SELECT (w.place - 1)::int AS place, array_agg(DISTINCT l.lexeme) AS lexemes
FROM unnest($1::text[]) WITH ORDINALITY AS w (word, place) CROSS JOIN unnest($2::text[]) AS u (configuration)
CROSS JOIN unnest(tsvector_to_array(to_tsvector(u.configuration::regconfig, w.word))) AS l (lexeme)
GROUP BY w.place
"""


async def lexemes(tx: Tx, tenant: UUID, words: Sequence[str], configurations: Sequence[str]) -> dict[int, list[str]]:  # noqa: ARG001 - nothing is read
    """The lexemes of each word, by its place, in any of the configurations."""
    return {row["place"]: row["lexemes"] for row in await tx.fetch(LEXEMES, list(words), list(configurations))}


class VectorHit(NamedTuple):
    """A chunk and the cosine of its vector and the query's, -1 to 1."""

    key: Key
    cosine: float


# The expression differs from that of the index, so that PostgreSQL compares all vectors of the owners.
def _exact(join: LiteralString, condition: LiteralString) -> LiteralString:
    return f"""
SELECT n.doc_id, n.index, 1 - n.distance AS cosine FROM (
    SELECT v.doc_id, v.index, v.vector <=> $4 AS distance FROM vectors v {join}
    WHERE v.tenant_id = $1 AND v.owner = ANY ($2) AND v.embedder_id = $3 {condition}
    ORDER BY distance, v.doc_id, v.index LIMIT $5) n
ORDER BY n.distance, n.doc_id, n.index
"""


_JOIN_VECTORS: LiteralString = "JOIN docs d ON d.tenant_id = v.tenant_id AND d.id = v.doc_id"
EXACT = _exact("", "")
EXACT_FILTERED = _exact(_JOIN_VECTORS, "AND d.metadata @@ $6::jsonpath")


async def by_vector(tx: Tx, tenant: UUID, scope: Scope, embedder: EmbedderRow, vector: bytes, *, limit: int) -> list[VectorHit]:
    """The chunks whose vectors are nearest, nearest first: exact, by comparing all of the owners.

    Args:
        vector: as `store/pool.py` takes it: half-precision floats, big-endian.
    """
    given = (tenant, list(scope.owners), embedder.id, vector, limit)
    if scope.metadata_filter is None:
        rows = await tx.fetch(EXACT, *given)
    else:
        rows = await tx.fetch(EXACT_FILTERED, *given, scope.metadata_filter)
    return _near(rows)


# Without sorting, PostgreSQL can only use the index, which gives its rows in order. Reading goes on until enough rows pass the filter.
# `relaxed` order: they come nearly in order, and are sorted here.
NEAREST_SETTINGS = """
SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', $1, true),
    set_config('hnsw.max_scan_tuples', $2, true), set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true)
"""
EF_SEARCH = 120
SCAN_TUPLES_MAX = 20_000
TIES_MAX = 10


def nearest(embedder: EmbedderRow, *, filtered: bool) -> LiteralString:
    """The statement that searches the index of an embedder's vectors; the index is known by literals only."""
    dimensions, embedder_id = _literal(embedder.dimensions), _literal(embedder.id)
    join, condition = (_JOIN_VECTORS, "AND d.metadata @@ $5::jsonpath") if filtered else ("", "")
    near: LiteralString = f"v.vector::halfvec({dimensions}) <=> $3::halfvec({dimensions})"
    return f"""
SELECT v.doc_id, v.index, 1 - ({near}) AS cosine FROM vectors v {join}
WHERE v.tenant_id = $1 AND v.owner = ANY ($2) AND v.embedder_id = {embedder_id} {condition}
ORDER BY {near} LIMIT $4
"""


async def by_index(tx: Tx, tenant: UUID, scope: Scope, embedder: EmbedderRow, vector: bytes, *, limit: int) -> list[VectorHit]:
    """The chunks whose vectors are nearest, nearest first, by the index: some of the nearest may be missing, and with a narrow scope many.

    Needs a transaction around it.
    """
    await tx.execute(NEAREST_SETTINGS, str(max(EF_SEARCH, limit + TIES_MAX)), str(SCAN_TUPLES_MAX))
    # Of equally near ones the index gives any: with some more, the same are taken each time.
    given: tuple[Any, ...] = (tenant, list(scope.owners), vector, limit + TIES_MAX)
    if scope.metadata_filter is not None:
        given = (*given, scope.metadata_filter)
    rows = await tx.fetch(nearest(embedder, filtered=scope.metadata_filter is not None), *given)
    return sorted(_near(rows), key=lambda hit: (-hit.cosine, hit.key))[:limit]


COSINES = """
SELECT v.doc_id, v.index, 1 - (v.vector <=> $4) AS cosine
FROM unnest($2::text::uuid[], $3::text::int[]) AS k (doc_id, index)
JOIN vectors v ON v.tenant_id = $1 AND v.doc_id = k.doc_id AND v.index = k.index AND v.embedder_id = $5
"""


async def cosines(tx: Tx, tenant: UUID, keys: Sequence[Key], embedder: EmbedderRow, vector: bytes) -> list[VectorHit]:
    """The cosines of these chunks, in any order; of those that have a vector."""
    given = (_array(doc_id for doc_id, _ in keys), _array(index for _, index in keys), vector, embedder.id)
    return _near(await tx.fetch(COSINES, tenant, *given))


READ = """
SELECT c.doc_id, c.index, c.text, d.title, d.metadata, d.agent_id, d.user_id, v.vector
FROM unnest($2::text::uuid[], $3::text::int[]) AS k (doc_id, index)
JOIN chunks c ON c.tenant_id = $1 AND c.doc_id = k.doc_id AND c.index = k.index
JOIN docs d ON d.tenant_id = $1 AND d.id = k.doc_id
LEFT JOIN vectors v ON v.tenant_id = $1 AND v.doc_id = k.doc_id AND v.index = k.index AND v.embedder_id = $4
"""


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk with what is shown of its doc.

    Attributes:
        vector: half-precision floats, big-endian; None where the embedder has not come to it.
    """

    doc_id: UUID
    index: int
    text: str
    title: str
    metadata: JsonObject
    agent_id: UUID | None
    user_id: UUID | None
    vector: bytes | None


async def read(tx: Tx, tenant: UUID, keys: Sequence[Key], embedder_id: int | None) -> list[ChunkRow]:
    """The chunks of these docs and indices, in any order; those that are gone are left out."""
    rows = await tx.fetch(READ, tenant, _array(doc_id for doc_id, _ in keys), _array(index for _, index in keys), embedder_id)
    return [ChunkRow(**row) for row in rows]


def _near(rows: Iterable[tuple[UUID, int, float]]) -> list[VectorHit]:
    return [VectorHit((doc_id, index), cosine) for doc_id, index, cosine in rows]


def _array(values: Iterable[UUID | int]) -> str:
    """An array as PostgreSQL writes it: for long ones this is faster than the driver, which looks at each element for an array inside."""
    return f"{{{','.join(map(str, values))}}}"


def _literal(number: int) -> LiteralString:
    """A number as text of a statement."""
    digits: dict[str, LiteralString] = {
        str(digit): literal for digit, literal in enumerate(("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"))
    }
    return "".join(digits[digit] for digit in str(number))
