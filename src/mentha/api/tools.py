"""Tools of agents over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from mentha.api.body import Route
from mentha.api.deps import PlainPage, Statement, TenantId, Tx
from mentha.api.responses import errors
from mentha.store import tools
from mentha.wire.common import ResourceDeletedResponse
from mentha.wire.tools import CreateToolRequest, Tool, ToolPage

router = APIRouter(tags=["agents"], route_class=Route)


@router.post("/agents/{agent_id}/tools", status_code=201, responses=errors(404, 409, 501))
async def create_agent_tool(agent_id: UUID, body: CreateToolRequest, tenant: TenantId, tx: Tx) -> Tool:
    """Give an agent a tool. This version serves the type `function`."""
    return await tools.create(tx, tenant, agent_id, body)


@router.get("/agents/{agent_id}/tools", responses=errors(404))
async def list_agent_tools(agent_id: UUID, tenant: TenantId, tx: Statement, page: PlainPage) -> ToolPage:
    """List the tools of an agent"""
    return ToolPage(items=await tools.list_(tx, tenant, agent_id, page))


# 200 and not 202: so the original answered, and clients check for it.
@router.delete("/agents/{agent_id}/tools/{tool_id}", responses=errors(404))
async def delete_agent_tool(agent_id: UUID, tool_id: UUID, tenant: TenantId, tx: Tx) -> ResourceDeletedResponse:
    """Take a tool from an agent"""
    return ResourceDeletedResponse(id=tool_id, deleted_at=await tools.delete(tx, tenant, agent_id, tool_id))
