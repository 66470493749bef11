"""The tools of MCP servers in the place of the tools that stand for them: what a turn and a prompt of a task do before they offer any.

A server that fails costs its own tools and a warning, never the turn.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mentha.core.errors import MenthaError
from mentha.core.json import JsonObject
from mentha.tools.calls import ToolFailed, told
from mentha.tools.integrations import setup
from mentha.tools.mcp import discovery
from mentha.tools.mcp.discovery import Catalogue
from mentha.tools.mcp.target import target_of
from mentha.tools.run import Fill, ServerTools, Toolbox
from mentha.tools.system import Caller

# Of one turn; the tools of further ones are left out.
SERVERS_MAX = 16


@dataclass(frozen=True, slots=True)
class Expanded:
    """The tools to offer and to run, and what to tell of those that are not there."""

    tools: list[JsonObject]
    warnings: list[str]


async def expand(box: Toolbox, tenant: UUID, tools: Sequence[JsonObject], *, fill: Fill | None = None) -> Expanded:
    """The tools, with those of MCP servers in the place of the ones that stand for them.

    Takes `mcp_discovery_timeout_s` at most, and nothing where the servers' lists are known.

    Args:
        tools: create-tool objects, as `ServerTools` takes them.
        fill: as `ServerTools` takes it.
    """
    many = [tool for tool in tools if discovery.stands_for_many(tool)]
    if not many or box.mcp is None:
        return Expanded(list(tools), [])
    runner = ServerTools(box, Caller(tenant), tools, fill=fill)
    asked = many[:SERVERS_MAX]
    found = await asyncio.gather(*(_ask(box, runner, tenant, tool) for tool in asked))
    answers = dict(zip((tool["name"] for tool in asked), found, strict=True))
    return _joined(tools, answers)


def _joined(tools: Sequence[JsonObject], answers: dict[str, Catalogue | str]) -> Expanded:
    kept: list[JsonObject] = []
    warnings: list[str] = []
    taken = {tool["name"] for tool in tools if not discovery.stands_for_many(tool)}
    for tool in tools:
        if not discovery.stands_for_many(tool):
            kept.append(tool)
            continue
        answer = answers.get(tool["name"], f"more than {SERVERS_MAX} MCP servers are not asked")
        if isinstance(answer, str):
            warnings.append(f"the tools of `{tool['name']}` are left out: {answer}")
            continue
        new = discovery.offered(tool, answer.tools, taken)
        taken |= {each["name"] for each in new}
        kept += new
        if answer.left_out:
            warnings.append(
                f"`{tool['name']}` has {answer.left_out} more tools: they are too many, too large, or have schemas that are none"
            )
    return Expanded(kept, warnings)


async def _ask(box: Toolbox, runner: ServerTools, tenant: UUID, tool: JsonObject) -> Catalogue | str:
    """The tools of a server, or why there are none."""
    if box.mcp is None:
        return "MCP servers are not connected to from here"
    try:
        filled = await runner.filled(tool)
        ready = setup.complete("mcp", filled.get("setup") or {}, {}, box.settings).setup
        async with asyncio.timeout(box.settings.mcp_discovery_timeout_s):
            return await box.mcp.catalogue(tenant, target_of(ready, box.settings), hidden=runner.hidden)
    except TimeoutError:
        return f"the MCP server did not answer within {box.settings.mcp_discovery_timeout_s:.3g} s"
    except ToolFailed as error:
        return runner.redacted(error.message)
    except MenthaError as error:
        return runner.redacted(told(error).message)
