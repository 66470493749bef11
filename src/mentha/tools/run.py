"""Runs calls of tools on the server: finds the tool, opens what it hides, and hands it to the one that knows its type.

    api_call → api_call.py      system → system.py      integration → integrations/

Whatever goes wrong is a result that the model can read; only a cancellation comes through.
"""

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote
from uuid import UUID

from mentha import observe
from mentha.core.config import Settings
from mentha.core.errors import MenthaError
from mentha.core.json import JsonObject, JsonValue
from mentha.core.redact import Redactor
from mentha.observe.events import ToolBroke
from mentha.tools import api_call, integrations, references, system
from mentha.tools.calls import SERVER_TYPES, Call, Result, ToolFailed, arguments_of, failed, told
from mentha.tools.outbound import Outbound
from mentha.tools.system import Caller, Operation
from mentha.wire import masks

# The values of a tenant's secrets by name.
Values = Callable[[UUID, Collection[str]], Awaitable[dict[str, str]]]
# What opens a sealed secret of this tenant's tool with this id.
Unseal = Callable[[UUID, UUID, JsonValue], JsonValue]


def not_sealed(_tenant: UUID, _tool_id: UUID, secret: JsonValue) -> JsonValue:
    """Opens what was never sealed."""
    return secret


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What calls are run with; one for the process.

    Attributes:
        system: calls of this API by name, filled in by whoever knows all of it (`server/system_ops.py`).
        values: reads tenants' secrets.
    """

    settings: Settings
    outbound: Outbound
    system: Mapping[str, Operation]
    values: Values
    unseal: Unseal = not_sealed


class ServerTools:
    """The runner of one turn, over the tools that were offered.

    Args:
        tools: create-tool objects; those of an agent have an `id`, and their secrets are sealed.
    """

    def __init__(self, box: Toolbox, caller: Caller, tools: Sequence[JsonObject]) -> None:
        self._box = box
        self._caller = caller
        self._tools = {tool["name"]: tool for tool in tools}

    def is_ours(self, name: str) -> bool:
        """Whether the server runs this call. What was not offered is ours to refuse."""
        tool = self._tools.get(name)
        return tool is None or tool["type"] in SERVER_TYPES

    async def run(self, call: Call) -> Result:
        """Run a call."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(f"`{name}`" for name in self._tools) or "none"
            return failed(ToolFailed(f"there is no such tool; there are: {known}"))
        kind = tool["type"]
        try:
            value = await self._dispatch(tool, arguments_of(call))
        except ToolFailed as error:
            return failed(error, kind)
        except MenthaError as error:
            return failed(told(error), kind)
        except Exception as error:  # noqa: BLE001 - a fault of ours fails the call, not the turn; the log has it
            observe.emit(ToolBroke(kind=kind, exception=type(error).__name__, detail=_where(error)))
            return failed(ToolFailed("the tool failed in the server; its log says why"), kind)
        return Result(value, kind=kind)

    async def _dispatch(self, tool: JsonObject, arguments: JsonObject) -> JsonValue:
        kind, stored = tool["type"], tool[tool["type"]]
        if kind == "system":
            return await system.run(self._box.system, self._caller, stored, arguments)
        spec, hidden = self._opened(tool)
        names = references.names_in(spec)
        values = await self._box.values(self._caller.tenant, names) if names else {}
        redactor = Redactor([*hidden, *values.values()])
        try:
            filled = references.filled(spec, values)
            if kind == "api_call":
                value = await api_call.run(self._box.outbound, self._caller.tenant, tool, filled, arguments)
            else:
                means = integrations.Means(self._box.settings, self._box.outbound, self._box.values)
                value = await integrations.run(means, self._caller.tenant, filled, arguments)
        except ToolFailed as error:
            raise ToolFailed(redactor.text(error.message), retry=error.retry, more=redactor.value(error.more)) from None
        return await _redacted(redactor, value)

    def _opened(self, tool: JsonObject) -> tuple[JsonObject, list[str]]:
        """A tool's member with its secrets open, and those that are text."""
        hidden: list[str] = []

        def opened(secret: JsonValue) -> JsonValue:
            # What a request brings was never sealed.
            value = self._box.unseal(self._caller.tenant, UUID(tool["id"]), secret) if tool.get("id") else secret
            hidden.extend(_texts(value))
            return value

        return masks.each_secret(tool["type"], tool[tool["type"]], opened), hidden


def _texts(secret: JsonValue) -> list[str]:
    """The texts of a secret, in an address as they are and decoded."""
    if isinstance(secret, dict | list):
        return [text for part in (secret.values() if isinstance(secret, dict) else secret) for text in _texts(part)]
    return [secret, unquote(secret)] if isinstance(secret, str) else []


def _where(error: Exception) -> str:
    """The place that raised it; its message may hold what it failed on."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


# Larger values are looked through in a thread.
INLINE_CHARS_MAX = 100_000


async def _redacted(redactor: Redactor, value: JsonValue) -> JsonValue:
    """What a service answered, without the secrets that it was sent."""
    if not redactor:
        return value
    if isinstance(value, dict) and sum(len(part) for part in value.values() if isinstance(part, str)) > INLINE_CHARS_MAX:
        return await asyncio.to_thread(redactor.value, value)
    return redactor.value(value)
