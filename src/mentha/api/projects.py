"""Projects over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import FilteredPage, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import projects
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.projects import (
    CreateOrUpdateProjectRequest,
    CreateProjectRequest,
    PatchProjectRequest,
    Project,
    ProjectPage,
    UpdateProjectRequest,
)

router = APIRouter(tags=["projects"], route_class=Route)


@router.post("/projects", status_code=201, responses=errors(400, 404, 409))
async def create_project(body: CreateProjectRequest, tenant: TenantId, tx: Tx) -> Project:
    """Create Project"""
    return await projects.create(tx, tenant, body)


@router.get("/projects", responses=errors(404))
async def list_projects(tenant: TenantId, tx: Statement, page: FilteredPage) -> ProjectPage:
    """List Projects"""
    return ProjectPage(items=await projects.list_(tx, tenant, page))


@router.get("/projects/{project_id}", responses=errors(404))
async def get_project(project_id: UUID, tenant: TenantId, tx: Statement) -> Project:
    """Get Project"""
    return await projects.get(tx, tenant, project_id)


@router.post("/projects/{project_id}", status_code=201, responses=errors(400, 404, 409))
async def create_or_update_project(project_id: UUID, body: CreateOrUpdateProjectRequest, tenant: TenantId, tx: Tx) -> Project:
    """Create or update Project"""
    return await projects.upsert(tx, tenant, project_id, body)


@router.put("/projects/{project_id}", responses=errors(400, 404, 409))
async def update_project(project_id: UUID, body: UpdateProjectRequest, tenant: TenantId, tx: Tx) -> Project:
    """Replace Project"""
    return await projects.update(tx, tenant, project_id, body)


@router.patch("/projects/{project_id}", responses=errors(400, 404, 409))
async def patch_project(project_id: UUID, body: PatchProjectRequest, tenant: TenantId, tx: Tx) -> Project:
    """Patch Project"""
    return await projects.patch(tx, tenant, project_id, body)


@router.delete("/projects/{project_id}", status_code=202, responses=errors(404, 409))
async def delete_project(project_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete Project"""
    return ResourceDeletedResponse(id=project_id, deleted_at=await projects.delete(tx, tenant, project_id))
