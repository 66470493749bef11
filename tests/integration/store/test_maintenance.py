"""Tables of documents are counted as they grow, so that plans fit them."""

from typing import Any
from uuid import UUID

from mentha.store import maintenance

WORDS = "INSERT INTO vocabulary SELECT $1, 'word' || n FROM generate_series($2::int, $3::int) n"
COUNTED = "SELECT reltuples::int FROM pg_class WHERE oid = 'vocabulary'::regclass"


async def test_table_is_counted_when_it_has_doubled_and_not_before(connection: Any, tenant: UUID) -> None:
    await connection.execute("ANALYZE docs, chunks, vectors, vocabulary")
    had = await connection.fetchval(COUNTED)
    await connection.execute(WORDS, tenant, had + 1, had + 5_000)
    assert await maintenance.count_outgrown(connection) == ["vocabulary"]
    assert await connection.fetchval(COUNTED) == 5_000 + had
    await connection.execute(WORDS, tenant, had + 5_001, 6_000 + had)
    assert await maintenance.count_outgrown(connection) == []
    await connection.execute(WORDS, tenant, 6_001 + had, 2 * (had + 6_000))
    assert await maintenance.count_outgrown(connection) == ["vocabulary"]
