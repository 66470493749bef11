"""Background work in PostgreSQL: the truth behind `GET /jobs/{id}`. Who works writes here how far it is; a job that has ended stays as it is.

The job of an execution has its id, and no row of its own: it is what the execution is.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.store.pool import Tx
from mentha.wire.jobs import JobStatus

GET = """
SELECT x.id, x.created_at, x.updated_at, x.name, x.reason, x.progress IS NOT NULL AS has_progress, COALESCE(x.progress, 0) AS progress, x.state
FROM jobs x WHERE x.tenant_id = $1 AND x.id = $2
UNION ALL
SELECT e.id, e.created_at, e.updated_at, 'run task ' || e.task_id, COALESCE(e.error, ''), false, 0,
    CASE e.status WHEN 'queued' THEN 'pending' WHEN 'succeeded' THEN 'succeeded' WHEN 'failed' THEN 'failed' WHEN 'cancelled' THEN 'aborted'
        ELSE 'in_progress' END
FROM executions e WHERE e.tenant_id = $1 AND e.id = $2
"""
CREATE = "INSERT INTO jobs (tenant_id, id, kind, name) VALUES ($1, $2, $3, $4)"
PROGRESS = """
UPDATE jobs SET state = 'in_progress', reason = '', progress = COALESCE($3, progress), updated_at = now()
WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND state NOT IN ('succeeded', 'aborted', 'failed')
"""
RETRYING = """
UPDATE jobs SET state = 'retrying', reason = $3, updated_at = now()
WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND state NOT IN ('succeeded', 'aborted', 'failed')
"""
FINISH = """
UPDATE jobs SET state = $3, reason = $4, progress = CASE WHEN $3 = 'succeeded' THEN 100 ELSE progress END, updated_at = now()
WHERE tenant_id = $1 AND id = ANY($2::uuid[]) AND state NOT IN ('succeeded', 'aborted', 'failed')
"""


async def create(tx: Tx, tenant: UUID, job_id: UUID, *, kind: str, name: str = "") -> None:
    """A new job that nobody works on yet. `name` is for its owner to read."""
    await tx.execute(CREATE, tenant, job_id, kind, name)


async def get(tx: Tx, tenant: UUID, job_id: UUID) -> JobStatus:
    """The state of one job.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = await tx.fetchrow(GET, tenant, job_id)
    if row is None:
        raise NotFound("Job not found during get")
    return JobStatus.model_validate(dict(row))


async def progress(tx: Tx, tenant: UUID, job_ids: Sequence[UUID], *, percent: float | None = None) -> None:
    """Somebody works on these, and has got as far as `percent`, 0 to 100; None leaves that as it is."""
    await tx.execute(PROGRESS, tenant, job_ids, percent)


async def retrying(tx: Tx, tenant: UUID, job_ids: Sequence[UUID], *, reason: str) -> None:
    """These failed and will be tried again. `reason` is for their owner to read."""
    await tx.execute(RETRYING, tenant, job_ids, reason)


async def finish(
    tx: Tx, tenant: UUID, job_ids: Sequence[UUID], *, state: Literal["succeeded", "aborted", "failed"], reason: str = ""
) -> None:
    """These have ended. `reason` is for their owner to read."""
    await tx.execute(FINISH, tenant, job_ids, state, reason)
