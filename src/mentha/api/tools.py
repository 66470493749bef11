"""Tools of agents over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import PlainPage, RuntimeOf, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import sealing, tools
from mentha.wire.common import ResourceDeletedResponse, ours
from mentha.wire.tools import CreateToolRequest, PatchToolRequest, Tool, ToolPage, UpdateToolRequest

router = APIRouter(tags=["agents"], route_class=Route)


@router.post("/agents/{agent_id}/tools", status_code=201, responses=errors(404, 409))
async def create_agent_tool(agent_id: UUID, body: CreateToolRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Tool:
    """Give an agent a tool"""
    seal = await sealing.seal_for(tx, tenant, runtime.vault, [body])
    return await tools.create(tx, tenant, agent_id, body, seal=seal)


@router.get("/agents/{agent_id}/tools", responses=errors(404))
async def list_agent_tools(agent_id: UUID, tenant: TenantId, tx: Statement, page: PlainPage) -> ToolPage:
    """List the tools of an agent"""
    return ToolPage(items=await tools.list_(tx, tenant, agent_id, page))


@router.get("/agents/{agent_id}/tools/{tool_id}", responses=errors(404), openapi_extra=ours())
async def get_agent_tool(agent_id: UUID, tool_id: UUID, tenant: TenantId, tx: Statement) -> Tool:
    """Get a tool of an agent"""
    return await tools.get(tx, tenant, agent_id, tool_id)


@router.put("/agents/{agent_id}/tools/{tool_id}", responses=errors(404, 409))
async def update_agent_tool(agent_id: UUID, tool_id: UUID, body: UpdateToolRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Tool:
    """Replace a tool of an agent"""
    seal = await sealing.seal_for(tx, tenant, runtime.vault, [body])
    return await tools.update(tx, tenant, agent_id, tool_id, body, seal=seal)


@router.patch("/agents/{agent_id}/tools/{tool_id}", responses=errors(404, 409))
async def patch_agent_tool(agent_id: UUID, tool_id: UUID, body: PatchToolRequest, tenant: TenantId, tx: Tx, runtime: RuntimeOf) -> Tool:
    """Change some fields of a tool of an agent"""
    seal = await sealing.seal_for(tx, tenant, runtime.vault, [body])
    return await tools.patch(tx, tenant, agent_id, tool_id, body, seal=seal)


# 200 and not 202: so the original answered, and clients check for it.
@router.delete("/agents/{agent_id}/tools/{tool_id}", responses=errors(404))
async def delete_agent_tool(agent_id: UUID, tool_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Take a tool from an agent"""
    return ResourceDeletedResponse(id=tool_id, deleted_at=await tools.delete(tx, tenant, agent_id, tool_id))
