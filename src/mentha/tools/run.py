"""Runs calls of tools on the server: finds the tool, opens what it hides, and hands it to the one that knows its type.

    api_call → api_call.py      system → system.py      integration → integrations/

Whatever goes wrong is a result that the model can read; only a cancellation comes through.
"""

import asyncio
import contextlib
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from mentha import observe
from mentha.core.config import Settings
from mentha.core.errors import MenthaError, SecretsUnavailable
from mentha.core.json import JsonObject, JsonValue
from mentha.core.redact import Redactor, is_large
from mentha.observe.events import ToolBroke
from mentha.tools import api_call, arguments, integrations, references, system
from mentha.tools.api_call import How
from mentha.tools.calls import SERVER_TYPES, Call, Result, ToolFailed, arguments_of, failed, told
from mentha.tools.hidden import texts_of_all
from mentha.tools.integrations import setup
from mentha.tools.mcp import discovery
from mentha.tools.mcp.servers import Servers
from mentha.tools.outbound import Outbound
from mentha.tools.system import Caller, Operation
from mentha.wire import masks

# The values of a tenant's secrets by name.
Values = Callable[[UUID, Collection[str]], Awaitable[dict[str, str]]]
# What opens a sealed secret of this tenant's tool with this id, and keeps it out of the log. Without an id it was never sealed: a request
# has brought it.
Unseal = Callable[[UUID, UUID | None, JsonValue], JsonValue]


# Puts values into a tool's opened member right before it is used; gives the member, and the secrets that must not come back.
Fill = Callable[[JsonObject, JsonObject], Awaitable[tuple[JsonObject, Collection[str]]]]


def not_sealed(_tenant: UUID, _tool_id: UUID | None, secret: JsonValue) -> JsonValue:
    """Opens what was never sealed."""
    return secret


@dataclass(frozen=True, slots=True)
class Toolbox:
    """What calls are run with; one for the process.

    Attributes:
        system: calls of this API by name, filled in by whoever knows all of it (`server/system_ops.py`).
        values: reads tenants' secrets.
        mcp: connects to MCP servers; None where nothing does.
    """

    settings: Settings
    outbound: Outbound
    system: Mapping[str, Operation]
    values: Values
    unseal: Unseal = not_sealed
    mcp: Servers | None = None


class ServerTools:
    """The runner of one turn, over the tools that were offered.

    Args:
        tools: create-tool objects; those of an agent have an `id`, and their secrets are sealed.
        fill: what the text of a tool stands for, the tools of type `system` included. Without it only references to secrets are looked
            up, and not those of `system` tools.
    """

    def __init__(self, box: Toolbox, caller: Caller, tools: Sequence[JsonObject], *, fill: Fill | None = None) -> None:
        self._box = box
        self._caller = caller
        self._fill = fill
        self._tools = {tool["name"]: tool for tool in tools}
        # What one call has sent somewhere, another may bring back.
        self._hidden: dict[str, None] = {}
        self._made: Redactor | None = None
        self._learning = asyncio.Lock()
        self._has_learned = False

    def redacted(self, text: str) -> str:
        """A text without the secrets of tools that were opened so far."""
        return self._redactor.text(text)

    @property
    def hidden(self) -> Collection[str]:
        """The texts that give away the secrets of tools that were opened so far."""
        return list(self._hidden)

    def is_ours(self, name: str) -> bool:
        """Whether the server runs this call. What was not offered is ours to refuse."""
        tool = self._tools.get(name)
        return tool is None or tool["type"] in SERVER_TYPES

    async def run(self, call: Call, *, key: str | None = None) -> Result:
        """Run a call that a model makes.

        Args:
            key: the same for a repetition of this call, and for no other. Sent along where the call is an HTTP request, so that the other
                side can tell; what this API starts under it is started once.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(f"`{name}`" for name in self._tools) or "none"
            return failed(ToolFailed(f"there is no such tool; there are: {known}"))
        kind = tool["type"]
        try:
            value = await self._dispatch(tool, arguments_of(call), key=key)
        except ToolFailed as error:
            return failed(await self._redacted_failure(error), kind)
        except MenthaError as error:
            return failed(await self._redacted_failure(told(error)), kind)
        except Exception as error:  # noqa: BLE001 - a fault of ours fails the call, not the turn; the log has it
            observe.emit(ToolBroke(kind=kind, exception=type(error).__name__, detail=_where(error)))
            return failed(ToolFailed("the tool failed in the server; its log says why"), kind)
        return Result(await _redacted(self._redactor, value), kind=kind)

    async def call(self, name: str, given: JsonObject, *, key: str | None = None) -> JsonValue:
        """Run a call that the author of a task has written, of a tool that there is.

        Args:
            given: for an `api_call`, parts of a request where they are named like parts and the tool's schema does not name them.
            key: as in `run`.

        Raises:
            ToolFailed, MenthaError: it failed; no message of theirs has a secret of the tool.
        """
        try:
            value = await self._dispatch(self._tools[name], given, key=key, by_author=True)
        except ToolFailed as error:
            raise await self._redacted_failure(error) from None
        except MenthaError as error:
            error.message = self._redactor.text(error.message)
            raise
        return await _redacted(self._redactor, value)

    async def _dispatch(self, tool: JsonObject, given: JsonObject, *, key: str | None, by_author: bool = False) -> JsonValue:
        kind = tool["type"]
        await self._learn()
        if kind == "system":
            # What it names of secrets stays a name: nothing of this API needs a value, and a tool that it makes looks it up by itself.
            spec = self._opened(tool)
            filled = (await self._fill(tool, spec))[0] if self._fill else spec
            return await system.run(self._box.system, replace(self._caller, key=key), {**tool, kind: filled}, given)
        by_parts = by_author and kind == "api_call" and api_call.are_parts(tool, given)
        if not by_parts:
            arguments.check(tool, given)
        filled = await self.filled(tool)
        if kind == "api_call":
            how = How(by_parts=by_parts, content_always=by_author, key=key)
            return await api_call.run(self._box.outbound, self._caller, tool, filled, given, how)
        depth = (self._caller.depth, self._caller.executions)
        means = integrations.Means(self._box.settings, self._box.outbound, self._box.values, mcp=self._box.mcp, depth=depth)
        if "discovered" not in tool:
            return await integrations.run(means, self._caller.tenant, filled, given)
        return discovery.answer_of(await integrations.run(means, self._caller.tenant, *discovery.call_of(tool, filled, given)))

    async def filled(self, tool: JsonObject) -> JsonObject:
        """A tool's member with its secrets open and all that its text stands for. What is a secret of it is shown by nothing from now on.

        Raises:
            ToolFailed, MenthaError: it refers to a secret that does not exist, or that can't be read.
        """
        spec = self._opened(tool)
        if self._fill:
            filled, hidden = await self._fill(tool, spec)
            self._hide(hidden)
            return filled
        names = references.names_in(spec)
        values = await self._box.values(self._caller.tenant, names) if names else {}
        self._hide(values.values())
        return references.filled(spec, values)

    async def _learn(self) -> None:
        """Know the secrets of all tools, also of those that are not called now: a call of an earlier turn may have left one where this one
        finds it.
        """
        async with self._learning:
            if self._has_learned:
                return
            names: set[str] = set()
            for tool in (tool for tool in self._tools.values() if tool["type"] in SERVER_TYPES):
                # One that can't be read is told by the call that needs it.
                with contextlib.suppress(SecretsUnavailable):
                    names |= _names_in(tool, self._opened(tool))
            # An execution has marks for those that are named.
            if names and not self._fill:
                with contextlib.suppress(SecretsUnavailable):
                    self._hide((await self._box.values(self._caller.tenant, names)).values())
            self._has_learned = True

    def _opened(self, tool: JsonObject) -> JsonObject:
        """A tool's member with its secrets open."""
        found: list[JsonValue] = []

        def opened(secret: JsonValue) -> JsonValue:
            value = self._box.unseal(self._caller.tenant, UUID(tool["id"]) if tool.get("id") else None, secret)
            found.append(value)
            return value

        spec = masks.each_secret(tool["type"], tool[tool["type"]], opened)
        self._hide(found)
        return spec

    def _hide(self, secrets: Iterable[JsonValue]) -> None:
        """Take these out of all that this turn's tools give from now on."""
        new = [text for text in texts_of_all(secrets) if text not in self._hidden]
        if new:
            self._hidden |= dict.fromkeys(new)
            self._made = None

    @property
    def _redactor(self) -> Redactor:
        if self._made is None:
            self._made = Redactor(self._hidden)
        return self._made

    async def _redacted_failure(self, error: ToolFailed) -> ToolFailed:
        more = await _redacted(self._redactor, error.more)
        return ToolFailed(self._redactor.text(error.message), retry=error.retry, more=more)


class KeyedTools:
    """Runs the calls of a loop, each under a key of its own.

    Args:
        key: of the loop; the same when it is run again.
    """

    def __init__(self, tools: ServerTools, key: str) -> None:
        self._tools = tools
        self._key = key

    def is_ours(self, name: str) -> bool:
        """See `tools.loop.Runner`."""
        return self._tools.is_ours(name)

    async def run(self, call: Call, *, place: str) -> Result:
        """See `tools.loop.Runner`."""
        return await self._tools.run(call, key=f"{self._key}/{place}")


def _names_in(tool: JsonObject, spec: JsonObject) -> set[str]:
    """The tenant's secrets that a tool refers to, or takes by their names."""
    if tool["type"] == "system":
        return set()
    unsaid = setup.names_of(spec["provider"], spec.get("setup") or {}) if tool["type"] == "integration" else {}
    return references.names_in(spec) | unsaid.keys()


def _where(error: Exception) -> str:
    """The place that raised it; its message may hold what it failed on."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


async def _redacted(redactor: Redactor, value: JsonValue) -> JsonValue:
    """What a service answered, without the secrets that it was sent."""
    if not redactor:
        return value
    if is_large(value):
        return await asyncio.to_thread(redactor.value, value)
    return redactor.value(value)
