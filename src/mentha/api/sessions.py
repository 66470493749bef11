"""Sessions over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import FilteredPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import sessions
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.sessions import (
    CreateOrUpdateSessionRequest,
    CreateSessionRequest,
    PatchSessionRequest,
    Session,
    SessionPage,
    UpdateSessionRequest,
)

router = APIRouter(tags=["sessions"], route_class=Route)


@router.post("/sessions", status_code=201, responses=errors(400, 404, 409))
async def create_session(body: CreateSessionRequest, tenant: TenantId, runtime: RuntimeOf) -> Session:
    """Create Session"""
    # Not by `Statement`: among all writes this is the one that programs make most, and a dependency that yields is a tenth of its cost.
    async with runtime.database.connection() as tx:
        return await sessions.create(tx, tenant, body)


@router.get("/sessions", responses=errors(404))
async def list_sessions(tenant: TenantId, tx: Statement, page: FilteredPage) -> SessionPage:
    """List Sessions"""
    return SessionPage(items=await sessions.list_(tx, tenant, page))


@router.get("/sessions/{session_id}", responses=errors(404))
async def get_session(session_id: UUID, tenant: TenantId, tx: Statement) -> Session:
    """Get Session"""
    return await sessions.get(tx, tenant, session_id)


@router.post("/sessions/{session_id}", status_code=201, responses=errors(400, 404, 409))
async def create_or_update_session(session_id: UUID, body: CreateOrUpdateSessionRequest, tenant: TenantId, tx: Tx) -> Session:
    """Create or update Session"""
    return await sessions.upsert(tx, tenant, session_id, body)


@router.put("/sessions/{session_id}", responses=errors(400, 404, 409))
async def update_session(session_id: UUID, body: UpdateSessionRequest, tenant: TenantId, tx: Tx) -> Session:
    """Replace Session"""
    return await sessions.update(tx, tenant, session_id, body)


@router.patch("/sessions/{session_id}", responses=errors(400, 404, 409))
async def patch_session(session_id: UUID, body: PatchSessionRequest, tenant: TenantId, tx: Tx) -> Session:
    """Patch Session"""
    return await sessions.patch(tx, tenant, session_id, body)


@router.delete("/sessions/{session_id}", status_code=202, responses=errors(404, 409))
async def delete_session(session_id: UUID, tenant: TenantId, tx: Statement) -> ResourceDeletedResponse:
    """Delete Session"""
    return ResourceDeletedResponse(id=session_id, deleted_at=await sessions.delete(tx, tenant, session_id))
