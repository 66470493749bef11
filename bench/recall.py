"""Documents: storing, indexing, searching at three sizes, recall in a turn, and how well searches find what they should."""

import asyncio
import math
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from statistics import fmean
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from bench import client, retrieval, seed
from bench.client import Load
from bench.processes import KEY
from bench.stage import Stage, create_request, turn_request
from bench.table import Row
from mentha.core.ids import new_id
from mentha.store.chunks import EXACT, nearest, owner_of
from mentha.store.embedders import EmbedderRow
from mentha.store.pool import Database
from mentha.store.tenants import DEFAULT_ID

DOCS = 1_000
LARGE_CHUNKS = 100_000
SMALL_SHARE = 100
CLUSTERS = 1_000
DIMENSIONS = 512
INDEX_S_MAX = 600.0
QUERIES = 60
MODES = {
    "text": {"mode": "text"},
    "vector": {"mode": "vector", "mmr_strength": 0, "confidence": -1},
    "hybrid": {"mode": "hybrid", "mmr_strength": 0, "confidence": -1},
    "hybrid + MMR": {"mode": "hybrid", "confidence": -1},
}
ASKED = [
    "how long does the warranty of the machine last",
    "who pays for the journey when a meeting is cancelled",
    "what helps against limescale",
]


@dataclass(frozen=True, slots=True)
class Found:
    """How well one way of searching did: shares of the questions, and the mean nDCG@10."""

    recall_1: float
    recall_5: float
    recall_10: float
    ndcg_10: float


async def quality(stage: Stage) -> list[Row]:
    """The retrieval set through the API: every passage a document, every question a search in each mode."""
    passages, questions = retrieval.load()
    agent = await _agent(stage)
    bodies = [{"title": passage.title, "content": passage.text, "metadata": {"id": passage.id}} for passage in passages]
    await _store(stage, agent, bodies)
    rows: list[Row] = []
    found: dict[str, Found] = {}
    for name, options in MODES.items():
        found[name] = await _measure(stage, agent, questions, options)
        for figure in ("recall_1", "recall_5", "recall_10", "ndcg_10"):
            rows.append(Row(figure=f"{name}: {figure.replace('_', '@')}", value=getattr(found[name], figure), unit=""))
    rest = max(found["text"].ndcg_10, found["vector"].ndcg_10)
    rows.append(
        Row(figure="hybrid over the better of the two: nDCG@10", value=found["hybrid"].ndcg_10, unit="", limit=rest, more_is_better=True)
    )
    return rows


async def docs(stage: Stage) -> list[Row]:
    """One short document after another; then as many as a small owner has, and searches in them."""
    agent = await _agent(stage)
    one = [_create(agent, _passage(number)) for number in range(300)]
    load, cpu_ms = await stage.measured(one)
    rows = [
        _row("add a short document: answer", load, value=load.quantile_ms(0.5), limit=10.0),
        _row("add a short document: CPU", load, value=cpu_ms),
    ]
    began = time.perf_counter()
    many = DOCS - len(one)
    load, _ = await stage.measured([_create(agent, _passage(number)) for number in range(len(one), DOCS)], at_once=32)
    await _indexed(stage)
    rows.append(Row(figure="store and index short documents", value=many / (time.perf_counter() - began), unit="/s", errors=load.errors))
    rows.append(await _bulk(stage))
    rows += await _searches(stage, agent, f"hybrid search, {DOCS:,} documents", limit_ms=8.0)
    return rows


async def large(stage: Stage) -> list[Row]:
    """An owner with very many pieces, and one that has a hundredth of as many."""
    rows: list[Row] = []
    agent = UUID(await _agent(stage))
    small = UUID(await _agent(stage))
    embedder = await _embedder(stage.database)
    await _seed(stage.database, embedder, agent, LARGE_CHUNKS)
    await _seed(stage.database, embedder, small, LARGE_CHUNKS // SMALL_SHARE)
    # The next document of the large owner makes the workers build the index.
    await client.run(stage.server.port, [_create(str(agent), _passage(0))])
    began = time.perf_counter()
    await _indexed(stage)
    await _has_index(stage, embedder)
    rows.append(Row(figure=f"build the index of {LARGE_CHUNKS:,} pieces", value=time.perf_counter() - began, unit="s"))
    async with stage.database.connection() as connection:
        await connection.execute("VACUUM ANALYZE chunks")
        await connection.execute("VACUUM ANALYZE vectors")
    rows += await _searches(stage, str(agent), f"hybrid search, {LARGE_CHUNKS:,} pieces of one owner", limit_ms=25.0)
    rows += await _searches(stage, str(small), f"hybrid search, an owner with 1 % of {LARGE_CHUNKS:,}", limit_ms=25.0)
    rows.append(await _against_exact(stage.database, embedder, agent))
    return rows


async def turns(stage: Stage) -> list[Row]:
    """A turn with recall beside the same turn without, and what the server weighs then."""
    agent = await _agent(stage)
    await _store(stage, agent, [_passage(number) for number in range(DOCS)])
    rows: list[Row] = []
    for chars, limit_ms in ((200, 6.0), (1_000, 20.0)):
        load = await client.run(stage.server.port, [create_request(agent)] * 100, keep=True)
        sessions = [orjson.loads(body)["id"] for body in load.bodies]
        text = (" ".join(seed.SAID for _ in range(1 + chars // len(seed.SAID))))[:chars]
        costs: dict[bool, list[float]] = {True: [], False: []}
        for turn in range(5):
            for recall in (True, False):
                said = [
                    turn_request(session, recall=recall, save=False, messages=[_said(text, 100 * turn + number)])
                    for number, session in enumerate(sessions)
                ]
                costs[recall].append((await stage.measured(said))[1])
        rows.append(
            Row(
                figure=f"recall in a turn, {chars} characters: CPU more",
                value=min(costs[True]) - min(costs[False]),
                unit="ms",
                limit=limit_ms,
            )
        )
    rows.append(Row(figure="memory with recall in use, RSS", value=stage.server.memory().rss, unit="MB", limit=330))
    return rows


def _said(text: str, number: int) -> dict[str, str]:
    # Other letters each time: the vector of a query that was asked before is kept.
    return {"role": "user", "content": f"{number:04}{text[4:]}"}


async def _searches(stage: Stage, agent: str, figure: str, *, limit_ms: float) -> list[Row]:
    options = {"mode": "hybrid", "include_embeddings": False}
    queries = [
        client.request(
            "POST", f"/agents/{agent}/search", {"text": f"{ASKED[number % len(ASKED)]} {_word(number * 7 % 3_000)}", **options}, key=KEY
        )
        for number in range(QUERIES)
    ]
    await stage.measured(queries[:5])
    # The best of some rounds, as everywhere; each with queries of its own.
    rounds = [await stage.measured(queries[at::3]) for at in range(3)]
    load, cpu_ms = min(rounds, key=lambda each: each[0].quantile_ms(0.5))
    return [_row(f"{figure}: answer", load, value=load.quantile_ms(0.5), limit=limit_ms), _row(f"{figure}: CPU", load, value=cpu_ms)]


def _row(figure: str, load: Load, *, value: float, limit: float | None = None) -> Row:
    p50, p99 = load.quantile_ms(0.5), load.quantile_ms(0.99)
    return Row(figure=figure, value=value, unit="ms", limit=limit, p50_ms=p50, p99_ms=p99, errors=load.errors)


async def _bulk(stage: Stage) -> Row:
    """Short passages in few documents: what the embedder and its worker make in a second."""
    agent = await _agent(stage)
    parts = [_passage(number)["content"] for number in range(3_000)]
    bodies = [{"title": f"part {at}", "content": parts[at : at + 500]} for at in range(0, len(parts), 500)]
    began = time.perf_counter()
    load = await client.run(stage.server.port, [_create(agent, body) for body in bodies])
    await _indexed(stage)
    per_s = len(parts) / (time.perf_counter() - began)
    return Row(figure="index short passages", value=per_s, unit="/s", limit=500, more_is_better=True, errors=load.errors)


async def _measure(stage: Stage, agent: str, questions: Sequence[retrieval.Question], options: dict[str, Any]) -> Found:
    bodies = [{"text": question.text, "limit": 10, "include_embeddings": False, **options} for question in questions]
    load = await client.run(
        stage.server.port, [client.request("POST", f"/agents/{agent}/search", body, key=KEY) for body in bodies], keep=True
    )
    if load.errors:
        raise RuntimeError(f"{load.errors} searches failed")
    ranked = [[hit["metadata"]["id"] for hit in orjson.loads(body)["docs"]] for body in load.bodies]
    return score(ranked, [question.relevant for question in questions])


def score(ranked: Sequence[Sequence[str]], relevant: Sequence[Sequence[str]]) -> Found:
    """Recall@k: the share of the relevant passages among the first k; nDCG@10 with the same gain for each."""

    def recall(k: int) -> float:
        return fmean(len(set(hits[:k]) & set(right)) / min(len(right), k) for hits, right in zip(ranked, relevant, strict=True))

    def gain(hits: Sequence[str], right: Sequence[str]) -> float:
        best = sum(1 / math.log2(at + 2) for at in range(min(len(right), 10)))
        return sum(1 / math.log2(at + 2) for at, hit in enumerate(hits[:10]) if hit in right) / best

    return Found(recall(1), recall(5), recall(10), fmean(gain(hits, right) for hits, right in zip(ranked, relevant, strict=True)))


async def _agent(stage: Stage) -> str:
    load = await client.run(stage.server.port, [client.request("POST", "/agents", {"name": "R", "model": "gpt-bench"}, key=KEY)], keep=True)
    return orjson.loads(load.bodies[0])["id"]


def _create(agent: str, body: dict[str, Any]) -> bytes:
    return client.request("POST", f"/agents/{agent}/docs", body, key=KEY)


async def _store(stage: Stage, agent: str, bodies: Sequence[dict[str, Any]]) -> None:
    load = await client.run(stage.server.port, [_create(agent, body) for body in bodies], at_once=16)
    if load.errors:
        raise RuntimeError(f"{load.errors} documents were not stored")
    await _indexed(stage)


async def _indexed(stage: Stage) -> None:
    async with asyncio.timeout(INDEX_S_MAX):
        while True:
            async with stage.database.connection() as connection:
                if not await connection.fetchval("SELECT EXISTS (SELECT FROM docs WHERE embedded_at IS NULL)"):
                    return
            await asyncio.sleep(0.02)


async def _has_index(stage: Stage, embedder: EmbedderRow) -> None:
    async with asyncio.timeout(INDEX_S_MAX):
        while True:
            async with stage.database.connection() as connection:
                valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
                if await connection.fetchval(valid, f"vectors_nearest_{embedder.id}"):
                    return
            await asyncio.sleep(0.2)


async def _embedder(database: Database) -> EmbedderRow:
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT id, name, dimensions, related_at, unrelated_at, state FROM embedders WHERE state = 'active'"
        )
    if row is None:
        raise RuntimeError("the part `docs` must run before: it makes the embedder known")
    return EmbedderRow(**row)


@cache
def _words() -> list[str]:
    """The words of the retrieval set's English passages, the most frequent first, and as many again with endings of their own."""
    passages, _ = retrieval.load()
    counted = Counter(word for passage in passages if passage.lang == "en" for word in re.findall("[a-z]{3,}", passage.text.lower()))
    known = [word for word, _ in counted.most_common()]
    return known + [f"{word}{ending}" for ending in ("ware", "berg", "ton", "field") for word in known]


def _word(number: int) -> str:
    words = _words()
    return words[number % len(words)]


def _passage(number: int) -> dict[str, Any]:
    """A short passage: words as often as in real texts, each passage with some that few others have."""
    rng = random.Random(number)
    words = [_word(int(len(_words()) ** rng.random()) - 1) for _ in range(14)]
    text = f"The {words[0]} machine {' '.join(words[1:7])}, a warranty of {' '.join(words[7:])}."
    return {"title": f"note {number}", "content": text, "metadata": {"n": number}}


async def _seed(database: Database, embedder: EmbedderRow, agent: UUID, count: int) -> None:
    """Store documents of one piece as if they had been indexed, with vectors around some centres."""
    rng = np.random.default_rng(count)
    centres = rng.normal(size=(CLUSTERS, DIMENSIONS))
    owner = owner_of("agent", agent)
    step = 5_000
    async with database.connection() as connection:
        for first in range(0, count, step):
            made = [(new_id(), new_id(), _passage(first + at)) for at in range(min(step, count - first))]
            rows = centres[rng.integers(CLUSTERS, size=len(made))] * 0.7 + rng.normal(size=(len(made), DIMENSIONS)) * 0.7
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            docs = [
                (
                    DEFAULT_ID,
                    doc,
                    agent,
                    body["title"],
                    [body["content"]],
                    "english",
                    doc.bytes * 2,
                    job,
                    None,
                    datetime.now(UTC),
                )
                for doc, job, body in made
            ]
            columns = (
                "tenant_id",
                "id",
                "agent_id",
                "title",
                "content",
                "language",
                "digest",
                "job_id",
                "due_at",
                "embedded_at",
            )
            await connection.copy_records_to_table("docs", records=docs, columns=columns)
            await connection.execute(
                """INSERT INTO chunks SELECT d.tenant_id, d.id, 0, d.owner, 'english', d.content[1], '',
                setweight(to_tsvector('english', d.title), 'A')
                || setweight(to_tsvector('english', d.content[1]), 'B') || array_to_tsvector(ARRAY['#' || d.owner])
                FROM unnest($1::uuid[]) AS k (id) JOIN docs d ON d.tenant_id = $2 AND d.id = k.id""",
                [doc for doc, _, _ in made],
                DEFAULT_ID,
            )
            vectors = [
                (DEFAULT_ID, doc, 0, embedder.id, owner, row.astype(">f2").tobytes()) for (doc, _, _), row in zip(made, rows, strict=True)
            ]
            await connection.copy_records_to_table(
                "vectors", records=vectors, columns=("tenant_id", "doc_id", "index", "embedder_id", "owner", "vector")
            )


async def _against_exact(database: Database, embedder: EmbedderRow, agent: UUID) -> Row:
    """Which share of the ten nearest the index gives."""
    owners = [owner_of("agent", agent)]
    hits = 0
    async with database.transaction() as tx:
        stored = await tx.fetch("SELECT vector FROM vectors WHERE tenant_id = $1 AND owner = ANY ($2) LIMIT 2000", DEFAULT_ID, owners)
        rng = np.random.default_rng(7)
        for at in range(QUERIES):
            near = np.frombuffer(stored[at * 30]["vector"], ">f2").astype("f4")
            query = near + rng.normal(size=len(near)) * float(np.linalg.norm(near)) / math.sqrt(len(near))
            vector = (query / np.linalg.norm(query)).astype(">f2").tobytes()
            exact = {row["doc_id"] for row in await tx.fetch(EXACT, DEFAULT_ID, owners, embedder.id, vector, 10)}
            await tx.execute("SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '120', true)")
            await tx.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
            found = await tx.fetch(nearest(embedder, filtered=False), DEFAULT_ID, owners, vector, 100)
            best = sorted(found, key=lambda row: -row["cosine"])[:10]
            hits += len(exact & {row["doc_id"] for row in best})
            await tx.execute("SET LOCAL enable_sort = on; SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on")
    return Row(figure="nearest by the index, recall@10 against exact", value=hits / QUERIES / 10, unit="", limit=0.95, more_is_better=True)
