"""Servers that speak MCP: their tools, resources and prompts, one call each. Where a model is asked, their tools are an agent's own.

Source: section 5.5 of the tasks' spec for `list_tools` and `call_tool`; the others are ours.
"""

from mentha.core.json import JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations.service import Service
from mentha.tools.mcp.servers import Servers
from mentha.tools.mcp.target import Target, target_of

LIST_TIMEOUT_S = 30.0


async def list_tools(service: Service) -> JsonValue:
    """`tools`: `name`, `description` and `input_schema` of each."""
    return await _servers(service).list_tools(service.tenant, _target(service), timeout_s=LIST_TIMEOUT_S)


async def call_tool(service: Service) -> JsonValue:
    """`text`, `structured`, `content` and `is_error`."""
    arguments = service.arguments
    # 0 is "no limit" in the original; here there is always one.
    timeout_s = arguments["timeout_seconds"] or service.means.settings.tool_timeout_s
    return await _servers(service).call_tool(
        service.tenant, _target(service), arguments["tool_name"], arguments["arguments"], timeout_s=timeout_s, depth=service.means.depth
    )


async def list_resources(service: Service) -> JsonValue:
    """`resources`: `uri`, `name`, `description` and `mime_type` of each."""
    return await _servers(service).list_resources(service.tenant, _target(service), timeout_s=LIST_TIMEOUT_S)


async def read_resource(service: Service) -> JsonValue:
    """`contents`: `uri`, `mime_type`, and `text` or `blob` of each."""
    return await _servers(service).read_resource(service.tenant, _target(service), service.arguments["uri"], timeout_s=LIST_TIMEOUT_S)


async def list_prompts(service: Service) -> JsonValue:
    """`prompts`: `name`, `description` and `arguments` of each."""
    return await _servers(service).list_prompts(service.tenant, _target(service), timeout_s=LIST_TIMEOUT_S)


async def get_prompt(service: Service) -> JsonValue:
    """`description` and `messages`."""
    arguments = service.arguments
    return await _servers(service).get_prompt(
        service.tenant, _target(service), arguments["name"], arguments["arguments"], timeout_s=LIST_TIMEOUT_S
    )


def _servers(service: Service) -> Servers:
    if service.means.mcp is None:
        raise ToolFailed("MCP servers are not connected to from here")
    return service.means.mcp


def _target(service: Service) -> Target:
    target = target_of(service.setup, service.means.settings)
    service.hidden += target.secrets
    return target


METHODS = {
    "list_tools": list_tools,
    "call_tool": call_tool,
    "list_resources": list_resources,
    "read_resource": read_resource,
    "list_prompts": list_prompts,
    "get_prompt": get_prompt,
}
