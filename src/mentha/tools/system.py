"""Calls of this API by a model: what a tool fixes and what the model gives become the arguments of one operation. Tenant-scoped.

The operations are made by `server/system_ops.py`, which knows the whole API, and handed down as a table: tools can chat while chats use
tools, and this is where that knot is untied.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from mentha.core.json import JsonObject, JsonValue
from mentha.tools import arguments
from mentha.tools.calls import ToolFailed
from mentha.wire import system_calls

# A chat whose agent chats, whose agent chats: each takes a turn of the server, and none of them ends before the next.
DEPTH_MAX = 3
# Executions that start executions: without an end, each of them would take a worker for ever.
EXECUTIONS_DEPTH_MAX = 10


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a call is run.

    Attributes:
        depth: in how many turns the call stands: 0 for one that a client asked for.
        executions: in how many executions: 0 for one that no execution makes.
        key: the same for a repetition of the call, and for no other; None where nobody would repeat it.
    """

    tenant: UUID
    depth: int = 0
    executions: int = 0
    key: str | None = None


Operation = Callable[[Caller, JsonObject], Awaitable[JsonValue]]


def joined(spec: JsonObject, arguments: JsonObject) -> JsonObject:
    """The arguments of a call, flat: what the tool fixes wins."""
    flat = dict(arguments)
    for name in system_calls.NESTING:
        inner = flat.get(name)
        if isinstance(inner, dict):
            del flat[name]
            flat |= inner
    return {**flat, **system_calls.presets_of(spec)}


async def run(operations: Mapping[str, Operation], caller: Caller, tool: JsonObject, given: JsonObject) -> JsonValue:
    """Make a call of the API.

    Args:
        tool: its secrets open.
        given: what the model gave.

    Raises:
        ToolFailed: an argument is missing or does not fit, or this version does not serve the call.
        MenthaError: what the call failed with.
    """
    spec = tool["system"]
    name = system_calls.call_name(spec)
    operation = operations.get(name)
    if operation is None:
        raise ToolFailed(f"`{name}` is not served by this version of the server")
    whole = joined(spec, given)
    missing = [each for each in system_calls.CALLS[name].required if whole.get(each) is None]
    if missing:
        raise ToolFailed("these arguments are missing: " + ", ".join(f"`{each}`" for each in missing))
    arguments.check(tool, whole)
    return await operation(caller, whole)
