"""Users over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import ProjectPage, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import users
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.users import CreateOrUpdateUserRequest, CreateUserRequest, PatchUserRequest, UpdateUserRequest, User, UserPage

router = APIRouter(tags=["users"], route_class=Route)


@router.post("/users", status_code=201, responses=errors(400, 404, 409))
async def create_user(body: CreateUserRequest, tenant: TenantId, tx: Tx) -> User:
    """Create User"""
    return await users.create(tx, tenant, body)


@router.get("/users", responses=errors(404))
async def list_users(tenant: TenantId, tx: Statement, page: ProjectPage) -> UserPage:
    """List Users"""
    return UserPage(items=await users.list_(tx, tenant, page))


@router.get("/users/{user_id}", responses=errors(404))
async def get_user(user_id: UUID, tenant: TenantId, tx: Statement) -> User:
    """Get User"""
    return await users.get(tx, tenant, user_id)


@router.post("/users/{user_id}", status_code=201, responses=errors(400, 404, 409))
async def create_or_update_user(user_id: UUID, body: CreateOrUpdateUserRequest, tenant: TenantId, tx: Tx) -> User:
    """Create or update User"""
    return await users.upsert(tx, tenant, user_id, body)


@router.put("/users/{user_id}", responses=errors(400, 404, 409))
async def update_user(user_id: UUID, body: UpdateUserRequest, tenant: TenantId, tx: Tx) -> User:
    """Replace User"""
    return await users.update(tx, tenant, user_id, body)


@router.patch("/users/{user_id}", responses=errors(400, 404, 409))
async def patch_user(user_id: UUID, body: PatchUserRequest, tenant: TenantId, tx: Tx) -> User:
    """Patch User"""
    return await users.patch(tx, tenant, user_id, body)


@router.delete("/users/{user_id}", status_code=202, responses=errors(404, 409))
async def delete_user(user_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete User"""
    return ResourceDeletedResponse(id=user_id, deleted_at=await users.delete(tx, tenant, user_id))
