"""Secrets over HTTP. No answer has a value."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import PlainPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import secrets
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.secrets import CreateSecretRequest, PatchSecretRequest, Secret, UpdateSecretRequest

router = APIRouter(tags=["secrets"], route_class=Route)


@router.post("/secrets", status_code=201, responses=errors(400, 409))
async def create_secret(body: CreateSecretRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Secret:
    """Create Secret"""
    return await secrets.create(tx, tenant, body, vault=runtime.vault)


@router.get("/secrets", responses=errors())
async def list_secrets(tenant: TenantId, tx: Statement, page: PlainPage) -> list[Secret]:
    """List Secrets, without their values"""
    return await secrets.list_(tx, tenant, page)


@router.get("/secrets/{secret_id}", responses=errors(404))
async def get_secret(secret_id: UUID, tenant: TenantId, tx: Statement) -> Secret:
    """Get Secret, without its value"""
    return await secrets.get(tx, tenant, secret_id)


@router.put("/secrets/{secret_id}", responses=errors(400, 404, 409))
async def update_secret(secret_id: UUID, body: UpdateSecretRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Secret:
    """Replace Secret"""
    return await secrets.update(tx, tenant, secret_id, body, vault=runtime.vault)


@router.patch("/secrets/{secret_id}", responses=errors(400, 404, 409))
async def patch_secret(secret_id: UUID, body: PatchSecretRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Secret:
    """Patch Secret"""
    return await secrets.patch(tx, tenant, secret_id, body, vault=runtime.vault)


@router.delete("/secrets/{secret_id}", status_code=202, responses=errors(404))
async def delete_secret(secret_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete Secret"""
    return ResourceDeletedResponse(id=secret_id, deleted_at=await secrets.delete(tx, tenant, secret_id))
