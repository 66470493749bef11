"""Background work: vectors for what was stored. A wake-up says that there may be some to make; which, stand in the docs' rows.

    claim → embed → save … → finish

Docs of many tenants are taken together, so that the embedder gets full batches. What fails is given back with its reason and tried again
later, for ever: a doc is never dropped. No database connection is held while an embedder works.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from mentha.core import leases
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid, MenthaError, ProviderError, Unavailable
from mentha.core.ids import new_id
from mentha.observe.events import DocsIndexed, IndexingFailed, VectorIndexBuilt, emit
from mentha.providers.embedders import Embedder, Embedders
from mentha.providers.types import EmbedderCall
from mentha.recall import spent
from mentha.recall.words import query_words
from mentha.store import embedders as rows
from mentha.store import maintenance, nearest, queue, vectors
from mentha.store.embedders import EmbedderRow
from mentha.store.meter import Meter
from mentha.store.pool import Database
from mentha.store.queue import Job
from mentha.store.vectors import Claimed, Described, Key, Piece

KIND = "index"
INDEX_KIND = "vector_index"
DOCS_AT_ONCE_MAX = 64
PIECES_AT_ONCE_MAX = 128
# A worker that works renews its lease; one that died holds its docs for so long.
LEASE_S = 20.0
RENEW_S = 5.0
# A wake-up works until nothing is due; this ends one that others keep busy, and another is sent.
ROUNDS_MAX = 1_000
BACKOFF_S = (2.0, 5.0, 15.0, 60.0, 300.0, 900.0)
REASON_CHARS_MAX = 500
# Exact search is as good for smaller owners.
INDEXED_OWNER_VECTORS_MIN = 10_000
WORDS_MAX = 5_000
# Chunks of one batch whose owners are looked at in the end.
SEEN_MAX = 5_000
WORD_CHARS = range(4, 33)
LEARNED_MAX = 200_000


class Runtime(Protocol):
    """What this work needs of the server's runtime."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102 - as there
    @property
    def database(self) -> Database: ...  # noqa: D102 - as there
    @property
    def embedders(self) -> Embedders: ...  # noqa: D102 - as there
    @property
    def meter(self) -> Meter: ...  # noqa: D102 - as there
    @property
    def learned(self) -> "Learned": ...  # noqa: D102 - as there
    @property
    def place(self) -> "Place": ...  # noqa: D102 - as there


class Place(Protocol):
    """Where the database is."""

    @property
    def direct_dsn(self) -> str: ...  # noqa: D102 - past a pooler


class Lost(Exception):
    """An embedder no longer counts: `mentha reindex` moved on meanwhile."""


@dataclass(frozen=True, slots=True)
class _Batch:
    mark: UUID
    docs: list[Claimed]

    @property
    def keys(self) -> list[Key]:
        return [(doc.tenant_id, doc.id) for doc in self.docs]


async def handle(runtime: Runtime, job: Job) -> None:  # noqa: ARG001 - the rows tell what to do
    """Make vectors until no doc is due.

    Raises:
        Unavailable: the database is away; the wake-up is delivered again.
    """
    for _ in range(ROUNDS_MAX):
        targets = await targets_of(runtime)
        if targets is None:
            return
        if not await _round(runtime, targets):
            return
    async with runtime.database.transaction() as tx:
        await queue.wake(tx, KIND)


async def _round(runtime: Runtime, targets: Sequence[EmbedderRow]) -> bool:
    """Take one batch and make its vectors; False where nothing was due."""
    mark = new_id()
    try:
        batch = await _claim(runtime.database, mark)
        if batch.docs:
            await _index(runtime, batch, targets)
        return bool(batch.docs)
    except asyncio.CancelledError:
        # The worker stops, maybe before it knew what it had taken: the next one need not wait for the lease to end.
        with contextlib.suppress(MenthaError):
            await _release(runtime.database, mark)
        raise


async def sweep(runtime: Runtime) -> None:
    """Send a wake-up where some doc is due: one was lost, or a lease or a pause is over."""
    async with runtime.database.transaction() as tx:
        if await vectors.any_due(tx):
            await queue.wake(tx, KIND)


async def targets_of(runtime: Runtime) -> list[EmbedderRow] | None:
    """The embedders that every chunk gets a vector of; the one of the settings becomes the first. None where that can't be used now."""
    async with runtime.database.connection() as connection:
        known = await rows.list_(connection)
    if any(row.state == "active" for row in known):
        return known
    try:
        await register(runtime, runtime.embedders.wanted, state="active")
    except (ProviderError, ConfigInvalid) as error:
        await _put_off(runtime, error)
        return None
    async with runtime.database.connection() as connection:
        return await rows.list_(connection)


async def active(runtime: Runtime) -> Embedder:
    """The embedder that searches use; the one of the settings becomes it where there is none yet.

    Raises:
        ConfigInvalid: it can't be used.
        ProviderError: its endpoint fails.
    """
    async with runtime.database.connection() as connection:
        known = await rows.list_(connection)
    if not any(row.state == "active" for row in known):
        await register(runtime, runtime.embedders.wanted, state="active")
        return runtime.embedders.get(runtime.embedders.wanted)
    return runtime.embedders.get(next(row.name for row in known if row.state == "active"))


async def build(runtime: Runtime, job: Job) -> None:  # noqa: ARG001 - the rows tell what to do
    """Build the indexes that are missing: of embedders that have an owner too large for exact search. Takes minutes; search goes on.

    Raises:
        Unavailable: the database is away; the wake-up is delivered again.
    """
    async with runtime.database.connection() as connection:
        wanted = [
            row for row in await rows.list_(connection) if await rows.lacks_index(connection, row.id, vectors_min=INDEXED_OWNER_VECTORS_MIN)
        ]
    for row in wanted:
        began = time.perf_counter()
        if await nearest.build(runtime.place.direct_dsn, row):
            emit(VectorIndexBuilt(embedder=row.name, took_s=time.perf_counter() - began))


async def register(runtime: Runtime, name: str, *, state: rows.State) -> None:
    """Add an embedder with its dimensions and its scale; does nothing where there is one in that state.

    Raises:
        ConfigInvalid: there is no such embedder.
        ProviderError: its endpoint fails.
    """
    embedder = runtime.embedders.get(name)
    scale = runtime.embedders.calibration(name) or await runtime.embedders.calibrate(embedder)
    dimensions = embedder.dimensions or (await embedder.documents(["."])).shape[1]
    async with runtime.database.transaction() as tx:
        await rows.register(tx, name=name, dimensions=dimensions, related_at=scale.related_at, unrelated_at=scale.unrelated_at, state=state)


async def _claim(database: Database, mark: UUID) -> _Batch:
    async with database.transaction() as tx:
        return _Batch(mark, await vectors.claim(tx, mark, docs_max=DOCS_AT_ONCE_MAX, lease_s=LEASE_S))


async def _index(runtime: Runtime, batch: _Batch, targets: Sequence[EmbedderRow]) -> None:
    """Make all vectors of a batch; what fails is given back."""
    try:
        async with leases.kept(partial(_renew, runtime.database, batch), every_s=RENEW_S):
            pieces: list[Piece] = []
            for target in targets:
                pieces = await _embed_all(runtime, batch, target)
            done = await _finish(runtime.database, batch, targets)
    except Lost:
        await _release(runtime.database, batch.mark)
        return
    except (ProviderError, ConfigInvalid) as error:
        await _fail(runtime, batch, targets, error)
        return
    emit(DocsIndexed(docs=done, embedder=targets[0].name))
    await _count(runtime.database)
    await _want_index(runtime, pieces, targets)


async def _renew(database: Database, batch: _Batch) -> None:
    async with database.transaction() as tx:
        await vectors.renew(tx, batch.keys, batch.mark, lease_s=LEASE_S)


async def _embed_all(runtime: Runtime, batch: _Batch, target: EmbedderRow) -> list[Piece]:
    """Vectors of one embedder for all chunks of a batch that lack them; gives these chunks."""
    embedder = runtime.embedders.get(target.name)
    docs = {(doc.tenant_id, doc.id): doc for doc in batch.docs}
    left = batch.keys
    seen: list[Piece] = []
    while left:
        async with runtime.database.connection() as connection:
            pieces = await vectors.lacking(connection, left, target.id, pieces_max=PIECES_AT_ONCE_MAX)
        if not pieces:
            break
        # First of all: whoever takes over from a worker that dies here finds no chunk without a vector, and learns nothing from it.
        await _learn(runtime, pieces)
        made = await embed(runtime.meter, embedder, docs, pieces, target)
        async with runtime.database.transaction() as tx:
            lost = await _save(tx, batch, target, pieces, made)
        left = [key for key in left if key not in lost]
        seen += pieces[: max(0, SEEN_MAX - len(seen))]
    return seen


async def embed(
    meter: Meter, embedder: Embedder, docs: Mapping[Key, Claimed | Described], pieces: Sequence[Piece], target: EmbedderRow
) -> list[bytes]:
    """Vectors of title and text, as the tables have them; texts with the same instruction in one call. What that cost is recorded.

    Raises:
        ProviderError: the embedder's endpoint fails.
        ConfigInvalid: it makes vectors of another size than those that are stored under its name.
        Unavailable: the database is away.
    """
    made: list[bytes] = [b""] * len(pieces)
    by_instruction: dict[str, list[int]] = {}
    for place, piece in enumerate(pieces):
        by_instruction.setdefault(docs[piece.tenant_id, piece.doc_id].embed_instruction or "", []).append(place)
    for instruction, places in by_instruction.items():
        texts = [text_of(docs[pieces[place].tenant_id, pieces[place].doc_id].title, pieces[place]) for place in places]
        calls: list[EmbedderCall] = []
        try:
            numbers = await embedder.documents(texts, instruction=instruction, calls=calls)
        finally:
            await spent.charge_all(meter, [(call, _texts_of(call, pieces, places)) for call in calls])
        if numbers.shape[1] != target.dimensions:
            raise ConfigInvalid(
                f"the embedder `{target.name}` makes vectors of {numbers.shape[1]} numbers now, and those in use have {target.dimensions}",
                fix="run `mentha reindex`",
            )
        for place, row in zip(places, numbers.astype(">f2"), strict=True):
            made[place] = row.tobytes()
    return made


def _texts_of(call: EmbedderCall, pieces: Sequence[Piece], places: Sequence[int]) -> list[Piece]:
    """The chunks that a call was for, among those of one instruction."""
    return [pieces[place] for place in places[call.first : call.first + len(call.chars)]]


def text_of(title: str, piece: Piece) -> str:
    """What is embedded for a chunk: title and heading tell what it is about."""
    return "\n".join(line for line in (title, piece.heading, piece.text) if line.strip()) or piece.text


async def _save(tx: Any, batch: _Batch, target: EmbedderRow, pieces: Sequence[Piece], made: Sequence[bytes]) -> set[Key]:
    """Store vectors of docs that are still this worker's; gives those that are not.

    Raises:
        Lost: the embedder no longer counts.
    """
    if target.id not in await rows.hold(tx, [target.id]):
        raise Lost
    keys = list(dict.fromkeys((piece.tenant_id, piece.doc_id) for piece in pieces))
    held = await vectors.renew(tx, keys, batch.mark, lease_s=LEASE_S)
    kept = [place for place, piece in enumerate(pieces) if (piece.tenant_id, piece.doc_id) in held]
    await vectors.save(tx, target.id, [pieces[place] for place in kept], [made[place] for place in kept])
    if len(pieces) == PIECES_AT_ONCE_MAX:
        await vectors.tell_progress(tx, list(held), target.id)
    return set(keys) - held


async def _finish(database: Database, batch: _Batch, targets: Sequence[EmbedderRow]) -> int:
    """Mark the docs done that have all their vectors; gives how many.

    Raises:
        Lost: one of the embedders no longer counts. It is held, or docs without vectors of the next one would count as done.
    """
    ids = [target.id for target in targets]
    async with database.transaction() as tx:
        if await rows.hold(tx, ids) != set(ids):
            raise Lost
        return await vectors.finish(tx, batch.keys, batch.mark, ids)


async def _release(database: Database, mark: UUID) -> None:
    """Give back what is still this worker's, as if it had not been taken."""
    async with database.transaction() as tx:
        await vectors.release(tx, mark)


async def _fail(runtime: Runtime, batch: _Batch, targets: Sequence[EmbedderRow], error: MenthaError) -> None:
    """Give a batch back. A text that the embedder refuses must not hold the others up: they are tried one by one first."""
    if error.retry is False and len(batch.docs) > 1:
        for doc in batch.docs:
            await _index(runtime, _Batch(batch.mark, [doc]), targets)
        return
    await _give_back(runtime, batch, targets[0].name, error)


async def _put_off(runtime: Runtime, error: MenthaError) -> None:
    """No embedder can be used: whatever is due says so, and waits."""
    batch = await _claim(runtime.database, new_id())
    if batch.docs:
        await _give_back(runtime, batch, runtime.embedders.wanted, error)


async def _give_back(runtime: Runtime, batch: _Batch, embedder: str, error: MenthaError) -> None:
    attempts = max(doc.attempts for doc in batch.docs)
    pause_s = max(BACKOFF_S[min(attempts, len(BACKOFF_S)) - 1], error.retry_after_s or 0.0)
    async with runtime.database.transaction() as tx:
        await vectors.fail(tx, batch.keys, batch.mark, reason=_told(error), retry_after_s=pause_s)
    emit(IndexingFailed(docs=len(batch.docs), embedder=embedder, reason=error.reason, retry_after_s=pause_s))


def _told(error: MenthaError) -> str:
    return f"{error.reason}: {error.message}"[:REASON_CHARS_MAX]


class Learned:
    """Words that are in the vocabulary already, as far as this process knows; the oldest are forgotten."""

    def __init__(self) -> None:
        self._words: OrderedDict[tuple[UUID, str], None] = OrderedDict()

    def new(self, words: Sequence[tuple[UUID, str]]) -> list[tuple[UUID, str]]:
        """Those that may not be there."""
        return [word for word in words if word not in self._words]

    def keep(self, words: Sequence[tuple[UUID, str]]) -> None:
        """These are there now."""
        for word in words:
            self._words[word] = None
        while len(self._words) > LEARNED_MAX:
            self._words.popitem(last=False)


async def _learn(runtime: Runtime, pieces: Sequence[Piece]) -> None:
    """Add the words of chunks to their tenants' vocabularies, for queries that misspell them."""
    words = {(piece.tenant_id, word) for piece in pieces for word in query_words(piece.text, words_max=WORDS_MAX) if _is_learned(word)}
    new = runtime.learned.new(sorted(words))
    if not new:
        return
    async with runtime.database.transaction() as tx:
        await vectors.learn(tx, new)
    runtime.learned.keep(new)


def _is_learned(word: str) -> bool:
    return len(word) in WORD_CHARS and word.isalpha()


async def _count(database: Database) -> None:
    """Let the database's statistics keep up with a growing library."""
    # One that is too slow for it now is asked again after the next batch, and counts by itself in time.
    with contextlib.suppress(Unavailable):
        async with database.connection() as connection:
            await maintenance.count_outgrown(connection)


async def _want_index(runtime: Runtime, pieces: Sequence[Piece], targets: Sequence[EmbedderRow]) -> None:
    """Where an owner has become large and the embedder has no index yet, let a worker build it."""
    owners = list({(piece.tenant_id, piece.owner) for piece in pieces})
    async with runtime.database.transaction() as tx:
        for target in targets:
            if await rows.lacks_index(tx, target.id, vectors_min=INDEXED_OWNER_VECTORS_MIN) and await vectors.any_large(
                tx, owners, target.id, vectors_min=INDEXED_OWNER_VECTORS_MIN
            ):
                await queue.wake(tx, INDEX_KIND)
                return
