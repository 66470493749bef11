"""The tools that an execution can use, as they are at the time."""

from mentha.core.json import JsonObject
from mentha.store import tools as agent_tools
from mentha.tools.integrations.overrides import overridden
from mentha.workflow.effects.parts import Job


async def toolset(job: Job) -> dict[str, JsonObject]:
    """The task's tools by name, then, where it inherits, those of its agent. Of two with one name the task's counts.

    Raises:
        Unavailable: the database is away.
    """
    plan, run = job.run.plan, job.run
    found: dict[str, JsonObject] = {tool["name"]: tool for tool in plan["tools"]}
    if plan["inherit_tools"]:
        async with job.parts.database.connection() as connection:
            for tool in await agent_tools.sealed(connection, run.tenant, run.around.agent["id"]):
                found.setdefault(tool["name"], tool)
    around = run.around
    return {tool["name"]: tool for tool in overridden(list(found.values()), [around.agent.get("metadata"), around.task.get("metadata")])}
