"""The embedders that made the vectors: which one searches use, and which one `mentha reindex` moves to."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from mentha.store.pool import Tx

State = Literal["active", "building", "retired"]


@dataclass(frozen=True, slots=True)
class EmbedderRow:
    """One embedder.

    Attributes:
        name: as the setting `embedder` has it.
        dimensions: of its vectors.
        related_at: the cosine that best divides related texts from unrelated ones.
        unrelated_at: the cosine of unrelated texts in the middle.
    """

    id: int
    name: str
    dimensions: int
    related_at: float
    unrelated_at: float
    state: State


LIST = "SELECT id, name, dimensions, related_at, unrelated_at, state FROM embedders WHERE state IN ('active', 'building') ORDER BY state"


async def list_(tx: Tx) -> list[EmbedderRow]:
    """The active embedder and the one that is moved to, where there are such."""
    return [EmbedderRow(**row) for row in await tx.fetch(LIST)]


REGISTER = """
INSERT INTO embedders (name, dimensions, related_at, unrelated_at, state) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING RETURNING id
"""


async def register(tx: Tx, *, name: str, dimensions: int, related_at: float, unrelated_at: float, state: State) -> int | None:
    """Add an embedder; None where there is another one in that state already."""
    return await tx.fetchval(REGISTER, name, dimensions, related_at, unrelated_at, state)


HOLD = "SELECT id FROM embedders WHERE id = ANY ($1) AND state IN ('active', 'building') FOR SHARE"


async def hold(tx: Tx, embedder_ids: list[int]) -> set[int]:
    """Those of the embedders that still count; they keep their states until the transaction ends."""
    return {row["id"] for row in await tx.fetch(HOLD, embedder_ids)}


LOCK = "SELECT id FROM embedders WHERE state IN ('active', 'building') ORDER BY id FOR UPDATE"
RETIRE = "UPDATE embedders SET state = 'retired' WHERE state = 'active'"
PROMOTE = "UPDATE embedders SET state = 'active' WHERE state = 'building' RETURNING id"
DISCARD = "UPDATE embedders SET state = 'retired' WHERE state = 'building'"


async def lock(tx: Tx) -> None:
    """Wait for everyone who stores vectors, and let nobody store any until the transaction ends."""
    await tx.fetch(LOCK)


async def promote(tx: Tx) -> None:
    """Let searches use the one that was built, from the end of the transaction on. Needs `lock`."""
    await tx.execute(RETIRE)
    await tx.execute(PROMOTE)


async def discard(tx: Tx) -> None:
    """Give up the one that is being built."""
    await tx.execute(DISCARD)


LACKS_INDEX = """
SELECT to_regclass('vectors_nearest_' || $1::smallint) IS NULL AND (SELECT count(*) FROM (SELECT FROM vectors v LIMIT $2) x) >= $2
"""


async def lacks_index(tx: Tx, embedder_id: int, *, vectors_min: int) -> bool:
    """Whether there is no index of this embedder's vectors, and there are at least `vectors_min` vectors in all."""
    return await tx.fetchval(LACKS_INDEX, embedder_id, vectors_min)


# By the cluster's order of docs, so that a reader goes on from where it was.
LACKING = """
SELECT d.tenant_id, d.id FROM docs d
WHERE d.embedded_at IS NOT NULL AND (d.tenant_id, d.id) > ($2, $3)
    AND EXISTS (SELECT FROM chunks c WHERE c.tenant_id = d.tenant_id AND c.doc_id = d.id AND NOT EXISTS (
        SELECT FROM vectors v WHERE v.tenant_id = c.tenant_id AND v.doc_id = c.doc_id AND v.index = c.index AND v.embedder_id = $1))
ORDER BY d.tenant_id, d.id LIMIT $4
"""


async def lacking(tx: Tx, embedder_id: int, *, after: tuple[UUID, UUID], limit: int) -> list[tuple[UUID, UUID]]:
    """Docs, of all tenants, that were embedded by another embedder and not by this one: tenant and id, in order, after the given ones."""
    return [(row["tenant_id"], row["id"]) for row in await tx.fetch(LACKING, embedder_id, *after, limit)]


RETIRED_WITH_INDEX = "SELECT id FROM embedders WHERE state = 'retired' AND to_regclass('vectors_nearest_' || id) IS NOT NULL ORDER BY id"


async def retired_with_index(tx: Tx) -> list[int]:
    """The embedders that are no longer used, and still have an index of their vectors."""
    return [row["id"] for row in await tx.fetch(RETIRED_WITH_INDEX)]


SWEEP = """
DELETE FROM vectors v WHERE (v.tenant_id, v.doc_id, v.index, v.embedder_id) IN (
    SELECT o.tenant_id, o.doc_id, o.index, o.embedder_id FROM vectors o JOIN embedders e ON e.id = o.embedder_id WHERE e.state = 'retired' LIMIT $1)
"""


async def sweep(tx: Tx, *, rows_max: int) -> int:
    """Drop vectors of retired embedders; returns how many."""
    done: str = await tx.execute(SWEEP, rows_max)
    return int(done.rpartition(" ")[2])
