"""Cleaning and counting, for all tenants at once."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from mentha.store.pool import Tx

PURGE_ROWS_MAX = 5_000
PURGE_TURNS = """
DELETE FROM turns WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM turns WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)
"""
PURGE_TOOL_RUNS = """
DELETE FROM tool_runs WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM tool_runs
    WHERE session_id IS NOT NULL AND created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)
"""
PURGE_TOOL_RUNS_OF_EXECUTIONS = """
DELETE FROM tool_runs WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM tool_runs
    WHERE execution_id IS NOT NULL AND created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)
"""
# No execution that has lost its worker waits longer for another one.
EXECUTIONS_KEPT_S = 7 * 86_400.0
PURGE_JOBS = """
DELETE FROM jobs WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM jobs
    WHERE created_at < now() - make_interval(secs => $1) AND state IN ('succeeded', 'aborted', 'failed') ORDER BY created_at LIMIT $2)
"""
PURGE_USAGE = """
DELETE FROM usage WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM usage WHERE created_at < now() - make_interval(secs => $1) LIMIT $2)
"""
PURGE_EXECUTIONS = """
DELETE FROM executions WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM executions WHERE finished_at < now() - make_interval(secs => $1) ORDER BY finished_at LIMIT $2)
"""
# Each goes with all lines of its log.
PURGE_EXECUTIONS_MAX = 200


async def purge_turns(tx: Tx, *, older_than_s: float) -> int:
    """Drop kept answers that no retry will ask for any more; at most 5,000 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_TURNS, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_tool_runs(tx: Tx, *, older_than_s: float) -> int:
    """Drop what turns did with tools that no retry will ask for any more; at most 5,000 turns at a time. Returns how many.

    Drops what executions did a week ago as well.
    """
    done: str = await tx.execute(PURGE_TOOL_RUNS, older_than_s, PURGE_ROWS_MAX)
    await tx.execute(PURGE_TOOL_RUNS_OF_EXECUTIONS, EXECUTIONS_KEPT_S, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_jobs(tx: Tx, *, older_than_s: float) -> int:
    """Drop the states of jobs that have ended and were made that long ago; at most 5,000 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_JOBS, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_usage(tx: Tx, *, older_than_s: float) -> int:
    """Drop what calls of providers cost that long ago; at most 5,000 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_USAGE, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_executions(tx: Tx, *, older_than_s: float) -> int:
    """Drop executions that ended that long ago, with their logs; at most 200 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_EXECUTIONS, older_than_s, PURGE_EXECUTIONS_MAX)
    return int(done.rpartition(" ")[2])


# Their sizes now and when they were last counted, in pages, which PostgreSQL knows at once; how many rows changed it tells a second later.
# A table that was never counted has 0 then.
OUTGROWN = """
SELECT c.relname FROM pg_class c WHERE c.oid IN ('docs'::regclass, 'chunks'::regclass, 'vectors'::regclass, 'vocabulary'::regclass)
    AND pg_relation_size(c.oid) / current_setting('block_size')::int >= greatest(2 * c.relpages, $1)
"""
COUNTED_PAGES_MIN = 8
# A table that another process counts, or builds an index of, is left out.
COUNT: dict[str, LiteralString] = {
    "docs": "ANALYZE (SKIP_LOCKED) docs",
    "chunks": "ANALYZE (SKIP_LOCKED) chunks",
    "vectors": "ANALYZE (SKIP_LOCKED) vectors",
    "vocabulary": "ANALYZE (SKIP_LOCKED) vocabulary",
}


async def count_outgrown(tx: Tx) -> list[str]:
    """Let PostgreSQL count the tables of documents that have doubled since it did, or never were; gives their names.

    It would do so by itself some minutes later; until then its plans are those for an empty table, and searches take twice as long.
    Costs 0.1 s for each of them, and up to some seconds where they are very large, which happens once for each doubling.
    """
    names = [row["relname"] for row in await tx.fetch(OUTGROWN, COUNTED_PAGES_MIN)]
    for name in names:
        await tx.execute(COUNT[name])
    return names


# Doomed first, in a transaction of its own, deleted then: a slow upload that is still to be stored finds its key doomed, and stores nothing.
DOOM_BLOBS = """
UPDATE blobs_pending b SET doomed = true, due_at = now() + make_interval(secs => $2)
FROM (SELECT tenant_id, id FROM blobs_pending WHERE due_at <= now() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED) AS due
WHERE b.tenant_id = due.tenant_id AND b.id = due.id
RETURNING b.tenant_id, b.id
"""


async def doom_blobs(tx: Tx, *, limit: int, lease_s: float) -> list[tuple[UUID, UUID]]:
    """Take blobs that no file needs, with their tenants; from then on no file can take them. Commit, delete them, then `forget_blobs`.

    Args:
        lease_s: where that does not happen, they are given out again after so long.
    """
    return [(row["tenant_id"], row["id"]) for row in await tx.fetch(DOOM_BLOBS, limit, lease_s)]


FORGET_BLOBS = """
DELETE FROM blobs_pending b USING unnest($1::uuid[], $2::uuid[]) AS gone (tenant_id, id)
WHERE b.tenant_id = gone.tenant_id AND b.id = gone.id AND b.doomed
"""


async def forget_blobs(tx: Tx, blobs: Sequence[tuple[UUID, UUID]]) -> None:
    """Drop the notes on blobs that were deleted."""
    await tx.execute(FORGET_BLOBS, [tenant for tenant, _ in blobs], [blob_id for _, blob_id in blobs])
