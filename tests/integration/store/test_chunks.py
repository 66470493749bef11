"""The words of large owners: their common ones are looked for beside the index, which must make no difference."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.ids import new_id
from mentha.store import chunks
from mentha.store.chunks import Scope, WordHits, owner_of

COMMON_AT = 100
AGENT = """INSERT INTO agents (tenant_id, id, project_id, canonical_name, name, about, model, instructions)
    VALUES ($1, $2, $1, 'a' || md5($2::uuid::text), '-', '', '', '{}')"""
PROJECT = "INSERT INTO projects (tenant_id, id, canonical_name, name) VALUES ($1, $1, 'default', 'Default')"
# Piece n says `every` and `number<n>`, and others at their rates; `late` is in many, but in none of the first.
DOC = """INSERT INTO docs (tenant_id, id, agent_id, title, content, language, digest, job_id) VALUES ($1, $2, $3, '', '{}', 'english', $4, $2)"""
PIECES = """INSERT INTO chunks SELECT $1, $2, n, $3, 'simple', '', '', array_to_tsvector(ARRAY['#' || $3])
    || to_tsvector('simple', 'every number' || n || repeat(' more', n % 7) || CASE WHEN n % 2 = 0 THEN ' half' ELSE '' END
    || CASE WHEN n % 50 = 3 THEN ' rare' ELSE '' END || CASE WHEN n >= 400 THEN ' late' ELSE '' END)
    FROM generate_series(0, 799) n"""


@pytest.fixture
async def owner(connection: Any, tenant: UUID) -> str:
    """An agent with 800 pieces of one doc, among those of another agent."""
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM projects WHERE tenant_id = $1 AND id = $1)", tenant):
        await connection.execute(PROJECT, tenant)
    for agent in (new_id(), agent_id := new_id()):
        doc = new_id()
        await connection.execute(AGENT, tenant, agent)
        await connection.execute(DOC, tenant, doc, agent, doc.bytes * 2)
        await connection.execute(PIECES, tenant, doc, owner_of("agent", agent))
    return owner_of("agent", agent_id)


async def found(connection: Any, tenant: UUID, owner: str, words: list[str], *, anchored: bool) -> WordHits:
    anchor = f"'#{owner}'" if anchored else ""
    terms = [(f"'{word}'", f"'{word}':*", 1.0) for word in words]
    options: dict[str, Any] = {"pairs": [], "suspects": {}, "similar_max": 1, "chunks": 800, "common_at_chunks": COMMON_AT, "limit": 40}
    together = " & ".join([*([anchor] if anchored else []), *(exact for exact, _, _ in terms)])
    return await chunks.by_words(connection, tenant, Scope((owner,)), terms, anchor=anchor, together=together, **options)


@pytest.mark.parametrize(
    "words",
    [
        ["every"],
        ["every", "half"],
        ["every", "rare"],
        ["half", "number17"],
        ["late"],
        ["late", "rare", "more"],
        ["none", "every"],
        ["none"],
    ],
    ids=" ".join,
)
async def test_common_words_of_a_large_owner_find_and_score_the_same_as_by_the_index(
    connection: Any, tenant: UUID, owner: str, words: list[str]
) -> None:
    large = await found(connection, tenant, owner, words, anchored=False)
    small = await found(connection, tenant, owner, words, anchored=True)
    assert [hit.key for hit in large.hits] == [hit.key for hit in small.hits]
    assert [hit.score for hit in large.hits] == pytest.approx([hit.score for hit in small.hits])
    assert large.missing == small.missing == [place for place, word in enumerate(words) if word == "none"]


async def test_words_that_may_be_misspelled_and_are_nowhere_come_with_those_that_resemble_them(
    connection: Any, tenant: UUID, owner: str
) -> None:
    await connection.execute("INSERT INTO vocabulary SELECT $1, unnest($2::text[])", tenant, ["kettle", "kettles", "metal", "every"])
    options: dict[str, Any] = {"together": "", "pairs": [], "similar_max": 2, "chunks": 800, "common_at_chunks": COMMON_AT, "limit": 5}
    terms = [(f"'{word}'", f"'{word}':*", 1.0) for word in ("every", "ketle", "evrey")]
    scope = Scope((owner,))
    known = await chunks.by_words(connection, tenant, scope, terms, anchor=f"'#{owner}'", suspects={0: "every", 1: "ketle"}, **options)
    assert known.missing == [1, 2]
    assert [(place, word) for place, word, _ in known.similar] == [(1, "kettle"), (1, "kettles")]
