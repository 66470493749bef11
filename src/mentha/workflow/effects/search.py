"""Steps that search documents and make vectors: the same calls as tools of type `system` make, with the same defaults and limits."""

import time

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.system import Caller
from mentha.workflow import policy
from mentha.workflow.effects.parts import Job, Stopped
from mentha.workflow.moves import Done


async def search(job: Job) -> Done:
    """What a search finds, as `agent.doc.search` answers it: `docs`, best first, `time`, `warnings`. Whose, unless told: the run's agent's.

    Raises:
        Stopped: the query is not right.
        ExpressionFailed, MenthaError: what its expressions or the search failed with.
    """
    step = job.command.args["step"]
    owner: str = step["owner"]
    given = await job.evaluated({"id": step["owner_id"], "query": step["query"]})
    owner_id = given["id"] or job.run.around.agent["id"]
    return Done(await _called(job, f"{owner}.doc.search", {**given["query"], f"{owner}_id": owner_id}))


async def embed(job: Job) -> Done:
    """The `vectors` of a text or of several, by the embedder that searches use, in their order.

    Raises:
        Stopped: the texts are none, or too many.
        ExpressionFailed, MenthaError: what their expressions or the embedder failed with.
    """
    return Done(await _called(job, "doc.embed", {"text": await job.evaluated(job.command.args["step"]["text"])}))


async def _called(job: Job, name: str, given: JsonObject) -> JsonValue:
    operation = job.parts.tools.system[name]
    try:
        return await operation(Caller(job.run.tenant, executions=job.run.depth + 1), given)
    except ToolFailed as error:
        raise Stopped(policy.of_tool(error, {"name": name}, given, time.time())) from None
