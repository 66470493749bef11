"""Background work over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import Statement, TenantId
from mentha.api.responses import errors
from mentha.store import jobs
from mentha.wire.jobs import JobStatus

router = APIRouter(tags=["jobs"], route_class=Route)


@router.get("/jobs/{job_id}", responses=errors(404))
async def get_job(job_id: UUID, tenant: TenantId, tx: Statement) -> JobStatus:
    """Get the state of a job"""
    return await jobs.get(tx, tenant, job_id)
