"""Regular cleaning, for all tenants at once."""

from mentha.store.pool import Tx

PURGE_ROWS_MAX = 5_000
PURGE_TURNS = """
DELETE FROM turns WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM turns WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)
"""
PURGE_TOOL_RUNS = """
DELETE FROM tool_runs WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM tool_runs WHERE created_at < now() - make_interval(secs => $1) ORDER BY created_at LIMIT $2)
"""
PURGE_JOBS = """
DELETE FROM jobs WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM jobs
    WHERE created_at < now() - make_interval(secs => $1) AND state IN ('succeeded', 'aborted', 'failed') ORDER BY created_at LIMIT $2)
"""
PURGE_USAGE = """
DELETE FROM usage WHERE (tenant_id, id) IN (
    SELECT tenant_id, id FROM usage WHERE created_at < now() - make_interval(secs => $1) LIMIT $2)
"""


async def purge_turns(tx: Tx, *, older_than_s: float) -> int:
    """Drop kept answers that no retry will ask for any more; at most 5,000 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_TURNS, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_tool_runs(tx: Tx, *, older_than_s: float) -> int:
    """Drop what turns did with tools that no retry will ask for any more; at most 5,000 turns at a time. Returns how many."""
    done: str = await tx.execute(PURGE_TOOL_RUNS, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_jobs(tx: Tx, *, older_than_s: float) -> int:
    """Drop the states of jobs that have ended and were made that long ago; at most 5,000 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_JOBS, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])


async def purge_usage(tx: Tx, *, older_than_s: float) -> int:
    """Drop what calls of providers cost that long ago; at most 5,000 at a time. Returns how many."""
    done: str = await tx.execute(PURGE_USAGE, older_than_s, PURGE_ROWS_MAX)
    return int(done.rpartition(" ")[2])
