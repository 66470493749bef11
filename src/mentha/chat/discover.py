"""After the draft: the tools of MCP servers in the place of those that stand for them, where this server runs them."""

from uuid import UUID

from mentha.chat import prompt
from mentha.chat.prompt import Drafted
from mentha.tools import expand
from mentha.tools.mcp import discovery
from mentha.tools.run import Toolbox


async def discover(tools: Toolbox, tenant: UUID, drafted: Drafted, *, runs_tools: bool) -> Drafted:
    """What is about to be sent, with the tools that the servers have now. One that fails costs its tools and a warning.

    Args:
        runs_tools: whether this server runs the turn's tools; a client could not call those of a server that it does not know.

    Raises:
        FieldInvalid: `tool_choice` names a tool that is not offered.
    """
    if not any(discovery.stands_for_many(tool) for tool in drafted.tools):
        return drafted
    if not runs_tools:
        return prompt.with_tools(drafted, drafted.tools, [])
    found = await expand.expand(tools, tenant, drafted.tools)
    return prompt.with_tools(drafted, found.tools, found.warnings)
