"""Tables of documents are counted as they grow, so that plans fit them."""

from typing import Any
from uuid import UUID

from mentha.store import maintenance

WORDS = "INSERT INTO vocabulary SELECT $1, 'word' || n FROM generate_series($2::int, $3::int) n"
COUNTED = "SELECT reltuples::int FROM pg_class WHERE oid = 'vocabulary'::regclass"


async def test_table_is_counted_when_it_has_doubled_and_not_before(connection: Any, tenant: UUID) -> None:
    await connection.execute("ANALYZE docs, chunks, vectors, vocabulary")
    had = await connection.fetchval(COUNTED)
    # Other tests have left words there, and some of its pages may be free.
    many = 3 * had + 5_000
    await connection.execute(WORDS, tenant, 1, many)
    assert await maintenance.count_outgrown(connection) == ["vocabulary"]
    assert await connection.fetchval(COUNTED) == had + many
    await connection.execute(WORDS, tenant, many + 1, many + 1_000)
    assert await maintenance.count_outgrown(connection) == []
    await connection.execute(WORDS, tenant, many + 1_001, 4 * many)
    assert await maintenance.count_outgrown(connection) == ["vocabulary"]
