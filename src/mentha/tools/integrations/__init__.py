"""Services that tools of type `integration` call, one file each; `run` finds the one."""

from collections.abc import Awaitable, Callable

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import dummy

Service = Callable[[JsonObject, str | None, JsonObject], Awaitable[JsonValue]]

# Provider → what runs its methods: setup, method, arguments.
SERVICES: dict[str, Service] = {"dummy": dummy.run}


async def run(spec: JsonObject, arguments: JsonObject) -> JsonValue:
    """Call a service; what the tool fixes wins.

    Args:
        spec: the tool's member, its secrets open.

    Raises:
        ToolFailed: this version does not serve the provider, or the service failed.
    """
    service = SERVICES.get(spec["provider"])
    if service is None:
        raise ToolFailed(f"the provider `{spec['provider']}` is not in this version of the server")
    return await service(spec.get("setup") or {}, spec.get("method"), {**arguments, **(spec.get("arguments") or {})})
