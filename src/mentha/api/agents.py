"""Agents over HTTP, and the models that they can use."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header

from mentha.api.body import Route
from mentha.api.deps import ProjectPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import agents, sealing
from mentha.wire.agents import (
    Agent,
    AgentPage,
    CreateAgentRequest,
    CreateOrUpdateAgentRequest,
    ListModelsResponse,
    ModelInfo,
    PatchAgentRequest,
    UpdateAgentRequest,
)
from mentha.wire.common import ResourceDeletedResponse

router = APIRouter(tags=["agents"], route_class=Route)


@router.post("/agents", status_code=201, responses=errors(400, 404, 409))
async def create_agent(body: CreateAgentRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Agent:
    """Create Agent"""
    return await agents.create(tx, tenant, body, seal=await sealing.seal_for(tx, tenant, runtime.vault, body.tools or ()))


@router.get("/agents", responses=errors(404))
async def list_agents(tenant: TenantId, tx: Statement, page: ProjectPage) -> AgentPage:
    """List Agents"""
    return AgentPage(items=await agents.list_(tx, tenant, page))


# Before `/agents/{agent_id}`, which would take "models" for an id.
@router.get("/agents/models", responses=errors(400))
async def list_models(
    runtime: RuntimeOf,
    tenant: TenantId,
    x_custom_api_key: Annotated[str | None, Header(description="A key for the default provider, in place of the server's")] = None,
) -> ListModelsResponse:
    """List the models of all configured providers"""
    own_keys = None if x_custom_api_key else await runtime.secrets.provider_keys(tenant)
    names = await runtime.providers.list_models(custom_key=x_custom_api_key, own_keys=own_keys)
    return ListModelsResponse(models=[ModelInfo(id=name) for name in names])


@router.get("/agents/{agent_id}", responses=errors(404))
async def get_agent(agent_id: UUID, tenant: TenantId, tx: Statement) -> Agent:
    """Get Agent"""
    return await agents.get(tx, tenant, agent_id)


@router.post("/agents/{agent_id}", status_code=201, responses=errors(400, 404, 409))
async def create_or_update_agent(agent_id: UUID, body: CreateOrUpdateAgentRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Agent:
    """Create or update Agent"""
    return await agents.upsert(tx, tenant, agent_id, body, seal=await sealing.seal_for(tx, tenant, runtime.vault, body.tools or ()))


@router.put("/agents/{agent_id}", responses=errors(400, 404, 409))
async def update_agent(agent_id: UUID, body: UpdateAgentRequest, tenant: TenantId, tx: Tx) -> Agent:
    """Replace Agent"""
    return await agents.update(tx, tenant, agent_id, body)


@router.patch("/agents/{agent_id}", responses=errors(400, 404, 409))
async def patch_agent(agent_id: UUID, body: PatchAgentRequest, tenant: TenantId, tx: Tx) -> Agent:
    """Patch Agent"""
    return await agents.patch(tx, tenant, agent_id, body)


@router.delete("/agents/{agent_id}", status_code=202, responses=errors(404, 409))
async def delete_agent(agent_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Delete Agent"""
    return ResourceDeletedResponse(id=agent_id, deleted_at=await agents.delete(tx, tenant, agent_id))
