"""Moving every document to another embedder, while searches go on with the old one's vectors.

    register → make what is lacking → build the index → switch → drop the old vectors

From the first stage on, whatever is stored anew gets vectors of both. A run that was cut off is taken up where it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from mentha.core.errors import Conflict
from mentha.observe.events import EmbedderChanged, emit
from mentha.recall import index
from mentha.recall.index import PIECES_AT_ONCE_MAX, Runtime
from mentha.store import embedders as rows
from mentha.store import locks, nearest, vectors
from mentha.store.embedders import EmbedderRow
from mentha.store.vectors import Described, Key

DOCS_AT_ONCE_MAX = 64
SWEEP_ROWS_MAX = 5_000
# Searches stop for none of this; new documents come in meanwhile, and each pass finds fewer of them.
PASSES_MAX = 1_000
_FIRST = (UUID(int=0), UUID(int=0))
LOCK_KEY = 0x6D656E_72696478  # "men" "ridx"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is, in words for a terminal, and the docs that are done."""

    stage: str
    docs: int


Tell = Callable[[Progress], None]


async def reindex(runtime: Runtime, name: str, tell: Tell) -> bool:
    """Make `name` the embedder of searches.

    Returns:
        False where it is already.

    Raises:
        Conflict: another process is at it.
        ConfigInvalid: there is no such embedder.
        ProviderError: an endpoint fails; run it again once that works.
        Unavailable: the database is away.
    """
    async with locks.alone(runtime.place.direct_dsn, LOCK_KEY) as is_mine:
        if not is_mine:
            raise Conflict("another `mentha reindex` is running on this database", fix="wait for it to end")
        before = await _rows(runtime)
        active = next((row for row in before if row.state == "active"), None)
        if active is not None and active.name == name and await _is_same(runtime, active):
            await _abandon(runtime)
            # What was abandoned, and what a run left that was cut off here.
            await _drop_old(runtime)
            return False
        target = await _target(runtime, before, name)
        if target.state == "building":
            await _move(runtime, target, tell)
        tell(Progress("dropping the vectors of the old embedder", 0))
        await _drop_old(runtime)
        emit(EmbedderChanged(embedder=name, before=active.name if active else ""))
        return True


async def _is_same(runtime: Runtime, active: EmbedderRow) -> bool:
    """Whether an embedder still makes vectors of the size that is stored: a setting may have changed it."""
    embedder = runtime.embedders.get(active.name)
    return (embedder.dimensions or (await embedder.documents(["."])).shape[1]) == active.dimensions


async def _rows(runtime: Runtime) -> list[EmbedderRow]:
    async with runtime.database.connection() as connection:
        return await rows.list_(connection)


async def _target(runtime: Runtime, before: Sequence[EmbedderRow], name: str) -> EmbedderRow:
    """The row of the embedder to move to; where nothing was ever indexed, it is the active one at once."""
    state: rows.State = "building" if before else "active"
    begun = next((row for row in before if row.state == "building"), None)
    if begun is not None and not (begun.name == name and await _is_same(runtime, begun)):
        await _abandon(runtime)
    await index.register(runtime, name, state=state)
    return next(row for row in await _rows(runtime) if row.state == state)


async def _abandon(runtime: Runtime) -> None:
    async with runtime.database.transaction() as tx:
        await rows.discard(tx)


async def _move(runtime: Runtime, target: EmbedderRow, tell: Tell) -> None:
    done = 0
    for _ in range(PASSES_MAX):
        done = await _pass(runtime, target, done, tell)
        async with runtime.database.connection() as connection:
            wants_index = await rows.lacks_index(connection, target.id, vectors_min=index.INDEXED_OWNER_VECTORS_MIN)
        if wants_index:
            tell(Progress("building the index", done))
            await nearest.build(runtime.place.direct_dsn, target)
        async with runtime.database.transaction() as tx:
            await rows.lock(tx)
            if not await rows.lacking(tx, target.id, after=_FIRST, limit=1):
                await rows.promote(tx)
                return
    raise Conflict("documents come in faster than they can be moved", fix="run it again at a quieter time: what is done stays done")


async def _pass(runtime: Runtime, target: EmbedderRow, done: int, tell: Tell) -> int:
    """Vectors for all docs that lack them, in order; gives how many docs are done in all."""
    after = _FIRST
    while True:
        async with runtime.database.connection() as connection:
            keys = await rows.lacking(connection, target.id, after=after, limit=DOCS_AT_ONCE_MAX)
            docs = await vectors.describe(connection, keys)
        if not keys:
            return done
        await _make(runtime, target, docs)
        after = keys[-1]
        done += len(keys)
        tell(Progress("making vectors", done))


async def _make(runtime: Runtime, target: EmbedderRow, docs: Sequence[Described]) -> None:
    embedder = runtime.embedders.get(target.name)
    by_key: dict[Key, Described] = {(doc.tenant_id, doc.id): doc for doc in docs}
    left = list(by_key)
    while left:
        async with runtime.database.connection() as connection:
            pieces = await vectors.lacking(connection, left, target.id, pieces_max=PIECES_AT_ONCE_MAX)
        if not pieces:
            return
        made = await index.embed(runtime.meter, embedder, by_key, pieces, target)
        async with runtime.database.transaction() as tx:
            await rows.hold(tx, [target.id])
            same = await vectors.unchanged(tx, docs)
            kept = [place for place, piece in enumerate(pieces) if (piece.tenant_id, piece.doc_id) in same]
            await vectors.save(tx, target.id, [pieces[place] for place in kept], [made[place] for place in kept])
        # What was changed meanwhile is the workers' work now.
        left = [key for key in left if key in same]


async def _drop_old(runtime: Runtime) -> None:
    """Drop vectors and indexes of all embedders that are no longer used."""
    async with runtime.database.connection() as connection:
        indexed = await rows.retired_with_index(connection)
    for embedder_id in indexed:
        await nearest.drop(runtime.place.direct_dsn, embedder_id)
    while True:
        async with runtime.database.transaction() as tx:
            if await rows.sweep(tx, rows_max=SWEEP_ROWS_MAX) < SWEEP_ROWS_MAX:
                return
