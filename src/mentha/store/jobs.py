"""Background work in PostgreSQL: the truth behind `GET /jobs/{id}`."""

from uuid import UUID

from mentha.core.errors import NotFound
from mentha.store.pool import Tx
from mentha.wire.jobs import JobStatus

GET = """
SELECT x.id, x.created_at, x.updated_at, x.name, x.reason, x.progress IS NOT NULL AS has_progress, COALESCE(x.progress, 0) AS progress, x.state
FROM jobs x WHERE x.tenant_id = $1 AND x.id = $2
"""


async def get(tx: Tx, tenant: UUID, job_id: UUID) -> JobStatus:
    """The state of one job.

    Raises:
        NotFound: the tenant has none with this id.
    """
    row = await tx.fetchrow(GET, tenant, job_id)
    if row is None:
        raise NotFound("Job not found during get")
    return JobStatus.model_validate(dict(row))
