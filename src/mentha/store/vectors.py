"""The work of making vectors, as the docs' rows tell it: who takes what, what is left of it, and what was made.

    claim → lacking → save (again and again) → finish | fail

A claim is a lease: a worker that died, or froze, loses its docs to the next one, and what it stores later is refused. Made for all tenants at
once, by workers alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mentha.store.pool import Tx

# A doc's key: tenant and id.
Key = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A doc that this worker makes vectors for.

    Attributes:
        attempts: how often it was taken, this time included.
    """

    tenant_id: UUID
    id: UUID
    title: str
    embed_instruction: str | None
    job_id: UUID
    attempts: int


CLAIM = """
WITH due AS (
    SELECT d.tenant_id, d.id FROM docs d WHERE d.embedded_at IS NULL AND d.due_at <= now() ORDER BY d.due_at LIMIT $2 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE docs d SET claim = $1, due_at = now() + make_interval(secs => $3), attempts = d.attempts + 1
    FROM due WHERE d.tenant_id = due.tenant_id AND d.id = due.id
    RETURNING d.tenant_id, d.id, d.title, d.embed_instruction, d.job_id, d.attempts
), told AS (
    UPDATE jobs j SET state = 'in_progress', updated_at = now() FROM taken t WHERE j.tenant_id = t.tenant_id AND j.id = t.job_id
)
SELECT * FROM taken
"""


async def claim(tx: Tx, mark: UUID, *, docs_max: int, lease_s: float) -> list[Claimed]:
    """Take docs that are due, longest due first, for `lease_s` seconds. Two workers never get the same one.

    Args:
        mark: a new id; what this worker stores is checked against it.
    """
    return [Claimed(**row) for row in await tx.fetch(CLAIM, mark, docs_max, lease_s)]


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk without a vector."""

    tenant_id: UUID
    doc_id: UUID
    index: int
    owner: str
    text: str
    heading: str


LACKING = """
SELECT c.tenant_id, c.doc_id, c.index, c.owner, c.text, c.heading
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS k (tenant_id, doc_id, place)
JOIN chunks c ON c.tenant_id = k.tenant_id AND c.doc_id = k.doc_id
WHERE NOT EXISTS (
    SELECT FROM vectors v WHERE v.tenant_id = c.tenant_id AND v.doc_id = c.doc_id AND v.index = c.index AND v.embedder_id = $3)
ORDER BY k.place, c.index LIMIT $4
"""


async def lacking(tx: Tx, keys: Sequence[Key], embedder_id: int, *, pieces_max: int) -> list[Piece]:
    """Chunks of these docs that have no vector of this embedder, at most `pieces_max`, doc by doc."""
    rows = await tx.fetch(LACKING, [tenant for tenant, _ in keys], [doc for _, doc in keys], embedder_id, pieces_max)
    return [Piece(**row) for row in rows]


RENEW = """
UPDATE docs d SET due_at = now() + make_interval(secs => $4) FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id)
WHERE d.tenant_id = k.tenant_id AND d.id = k.id AND d.claim = $3 RETURNING d.tenant_id, d.id
"""


async def renew(tx: Tx, keys: Sequence[Key], mark: UUID, *, lease_s: float) -> set[Key]:
    """Those of the docs that are still this worker's, for `lease_s` seconds more; nobody changes them until the transaction ends."""
    rows = await tx.fetch(RENEW, [tenant for tenant, _ in keys], [doc for _, doc in keys], mark, lease_s)
    return {(row["tenant_id"], row["id"]) for row in rows}


@dataclass(frozen=True, slots=True)
class Described:
    """A doc as its vectors are made from it; `job_id` is another one once its text was changed."""

    tenant_id: UUID
    id: UUID
    title: str
    embed_instruction: str | None
    job_id: UUID


DESCRIBE = """
SELECT d.tenant_id, d.id, d.title, d.embed_instruction, d.job_id FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id)
JOIN docs d ON d.tenant_id = k.tenant_id AND d.id = k.id WHERE d.embedded_at IS NOT NULL
"""


async def describe(tx: Tx, keys: Sequence[Key]) -> list[Described]:
    """Those of the docs that have vectors of some embedder."""
    rows = await tx.fetch(DESCRIBE, [tenant for tenant, _ in keys], [doc for _, doc in keys])
    return [Described(**row) for row in rows]


UNCHANGED = """
SELECT d.tenant_id, d.id FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS k (tenant_id, id, job_id)
JOIN docs d ON d.tenant_id = k.tenant_id AND d.id = k.id AND d.job_id = k.job_id WHERE d.embedded_at IS NOT NULL FOR SHARE OF d
"""


async def unchanged(tx: Tx, docs: Sequence[Described]) -> set[Key]:
    """Those of the docs whose texts are still the same; they stay so until the transaction ends."""
    rows = await tx.fetch(UNCHANGED, [doc.tenant_id for doc in docs], [doc.id for doc in docs], [doc.job_id for doc in docs])
    return {(row["tenant_id"], row["id"]) for row in rows}


async def save(tx: Tx, embedder_id: int, pieces: Sequence[Piece], made: Sequence[bytes]) -> None:
    """Store the vectors of chunks. The docs must be held (`renew`, `unchanged`) and the embedder too (`store/embedders.py`).

    Args:
        made: one vector for each piece, as `store/pool.py` has them.
    """
    records = [
        (piece.tenant_id, piece.doc_id, piece.index, embedder_id, piece.owner, vector) for piece, vector in zip(pieces, made, strict=True)
    ]
    columns = ("tenant_id", "doc_id", "index", "embedder_id", "owner", "vector")
    await tx.copy_records_to_table("vectors", records=records, columns=columns)


PROGRESS = """
UPDATE jobs j SET progress = p.done, updated_at = now() FROM (
    SELECT d.tenant_id, d.job_id, 99.0 * count(v.index) / count(*) AS done
    FROM unnest($1::uuid[], $2::uuid[]) AS k (tenant_id, id) JOIN docs d ON d.tenant_id = k.tenant_id AND d.id = k.id
    JOIN chunks c ON c.tenant_id = d.tenant_id AND c.doc_id = d.id
    LEFT JOIN vectors v ON v.tenant_id = c.tenant_id AND v.doc_id = c.doc_id AND v.index = c.index AND v.embedder_id = $3
    GROUP BY d.tenant_id, d.job_id) p
WHERE j.tenant_id = p.tenant_id AND j.id = p.job_id
"""


async def tell_progress(tx: Tx, keys: Sequence[Key], embedder_id: int) -> None:
    """Let the docs' jobs say how much of each is done."""
    await tx.execute(PROGRESS, [tenant for tenant, _ in keys], [doc for _, doc in keys], embedder_id)


FINISH = """
WITH done AS (
    UPDATE docs d SET claim = NULL, due_at = NULL, failure = NULL, embedded_at = now()
    WHERE d.claim = $1 AND (d.tenant_id, d.id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[])) AND NOT EXISTS (
        SELECT FROM chunks c CROSS JOIN unnest($4::smallint[]) AS e (id)
        WHERE c.tenant_id = d.tenant_id AND c.doc_id = d.id AND NOT EXISTS (
            SELECT FROM vectors v WHERE v.tenant_id = c.tenant_id AND v.doc_id = c.doc_id AND v.index = c.index AND v.embedder_id = e.id))
    RETURNING d.tenant_id, d.job_id
), told AS (
    UPDATE jobs j SET state = 'succeeded', reason = '', progress = 100, updated_at = now()
    FROM done WHERE j.tenant_id = done.tenant_id AND j.id = done.job_id
)
SELECT count(*) FROM done
"""


async def finish(tx: Tx, keys: Sequence[Key], mark: UUID, embedder_ids: Sequence[int]) -> int:
    """Mark the docs done that are this worker's and have all their vectors; returns how many."""
    return await tx.fetchval(FINISH, mark, [tenant for tenant, _ in keys], [doc for _, doc in keys], list(embedder_ids))


FAIL = """
WITH failed AS (
    UPDATE docs d SET claim = NULL, failure = $4, due_at = now() + make_interval(secs => $5)
    WHERE d.claim = $1 AND (d.tenant_id, d.id) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[]))
    RETURNING d.tenant_id, d.job_id
)
UPDATE jobs j SET state = 'retrying', reason = $4, updated_at = now() FROM failed WHERE j.tenant_id = failed.tenant_id AND j.id = failed.job_id
"""


async def fail(tx: Tx, keys: Sequence[Key], mark: UUID, *, reason: str, retry_after_s: float) -> None:
    """Give the docs back, to be tried again after `retry_after_s`; their jobs say why. `reason` is shown to the tenant."""
    await tx.execute(FAIL, mark, [tenant for tenant, _ in keys], [doc for _, doc in keys], reason, retry_after_s)


RELEASE = """
UPDATE docs d SET claim = NULL, due_at = now(), attempts = d.attempts - 1
WHERE d.embedded_at IS NULL AND d.claim = $1
"""


async def release(tx: Tx, mark: UUID) -> None:
    """Give all docs of a mark back as if they had not been taken. Looks through all docs that wait for vectors."""
    await tx.execute(RELEASE, mark)


DUE = "SELECT min(d.due_at) <= now() FROM docs d WHERE d.embedded_at IS NULL"


async def any_due(tx: Tx) -> bool:
    """Whether some doc waits for a worker."""
    return bool(await tx.fetchval(DUE))


LEARN = """
INSERT INTO vocabulary (tenant_id, word) SELECT k.tenant_id, k.word FROM unnest($1::uuid[], $2::text[]) AS k (tenant_id, word)
ORDER BY k.tenant_id, k.word ON CONFLICT DO NOTHING
"""


async def learn(tx: Tx, words: Sequence[tuple[UUID, str]]) -> None:
    """Add words to the tenants' vocabularies. In one order, so that two workers never wait for each other."""
    await tx.execute(LEARN, [tenant for tenant, _ in words], [word for _, word in words])


LARGE = """
SELECT EXISTS (SELECT FROM unnest($1::uuid[], $2::text[]) AS k (tenant_id, owner)
    WHERE (SELECT count(*) FROM (
        SELECT FROM vectors v WHERE v.tenant_id = k.tenant_id AND v.owner = k.owner AND v.embedder_id = $3 LIMIT $4) x) >= $4)
"""


async def any_large(tx: Tx, owners: Sequence[tuple[UUID, str]], embedder_id: int, *, vectors_min: int) -> bool:
    """Whether one of these owners (tenant and owner) has at least `vectors_min` vectors."""
    return await tx.fetchval(LARGE, [tenant for tenant, _ in owners], [owner for _, owner in owners], embedder_id, vectors_min)
