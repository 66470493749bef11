"""`Servers`: what an MCP server has, and what it does. One for the process.

A call goes: target → catalogue, where it is about tools → pool → connection. What only reads is asked again, once, on another connection
where the first one broke; a call of a tool is, where the server certainly did not begin with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any
from uuid import UUID

from mentha.core.config import Settings
from mentha.core.json import JsonObject, JsonValue
from mentha.core.redact import Redactor
from mentha.tools.calls import ToolFailed
from mentha.tools.mcp import answers
from mentha.tools.mcp.catalogue import Catalogues
from mentha.tools.mcp.client import HEADER_MISMATCH, Connection, ConnectionLost
from mentha.tools.mcp.discovery import Catalogue, catalogue_of
from mentha.tools.mcp.pool import Pool
from mentha.tools.mcp.target import Target
from mentha.tools.outbound import Outbound

# A list that never ends is cut; who wants more of a server than this does not want it in one answer.
PAGES_MAX = 20
ITEMS_MAX = 1_000

# Under this name the `_meta` of a call says how deep it stands: turns, executions.
DEPTH = "mentha/depth"
# The server took nothing: asking again does no harm.
BUSY = frozenset({429, 503})

Page = Callable[[Connection, str | None], Awaitable[JsonObject]]
Read = Callable[[JsonValue], JsonObject | None]


class Servers:
    """All MCP servers that tools of this process name. Close it when no call runs any more."""

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        self._settings = settings
        self._catalogues = Catalogues(settings.mcp_tools_ttl_s)
        self.pool = Pool(settings, outbound, self._catalogues.forget)

    async def close(self) -> None:
        """Close all connections."""
        await self._catalogues.close()
        await self.pool.close()

    async def catalogue(self, tenant: UUID, target: Target, *, hidden: Collection[str] = ()) -> Catalogue:
        """The tools of a server that a model can be offered, kept for a while; without the secrets that the server is told.

        Args:
            hidden: texts to take out of them, beside what the target's headers and environment say: what of the address is a secret,
                say. The same for the same target.

        Raises:
            ToolFailed: the server could not be asked.
        """

        async def ask() -> Catalogue:
            listed = await self.list_tools(tenant, target, timeout_s=self._settings.mcp_discovery_timeout_s)
            redactor = Redactor([*hidden, *target.secrets])
            return await asyncio.to_thread(catalogue_of, listed["tools"], tools_max=self._settings.mcp_tools_max, redactor=redactor)

        return await self._catalogues.get((tenant, target.digest), ask)

    async def list_tools(self, tenant: UUID, target: Target, *, timeout_s: float) -> JsonObject:
        """`tools`: `name`, `description` and `input_schema` of each. Raises as `Pool.lent` and `Connection.ask`."""

        async def page(connection: Connection, cursor: str | None) -> JsonObject:
            return await connection.list_tools(cursor, timeout_s=timeout_s)

        return await self._list(tenant, target, "tools", page, answers.tool_of, timeout_s)

    async def call_tool(
        self, tenant: UUID, target: Target, name: str, arguments: JsonObject, *, timeout_s: float, depth: tuple[int, int] = (0, 0)
    ) -> JsonObject:
        """What the tool gave, as `answers.result_of`. Raises as `Pool.lent` and `Connection.ask`.

        Args:
            depth: in how many turns and executions the call stands, which a server that is a Mentha goes on counting from.
        """
        meta = {"_meta": {DEPTH: list(depth)}} if any(depth) else {}

        def make(types: Any) -> Any:
            return types.CallToolRequest(params=types.CallToolRequestParams(name=name, arguments=arguments, **meta))

        async def call(connection: Connection) -> JsonObject:
            try:
                return await connection.ask(make, timeout_s=timeout_s)
            except ToolFailed as error:
                if error.more.get("code") != HEADER_MISMATCH:
                    raise _once(error) from None
            # It wants some arguments in headers too, which its list says; it took nothing.
            await connection.list_tools(None, timeout_s=timeout_s)
            try:
                return await connection.ask(make, timeout_s=timeout_s)
            except ToolFailed as error:
                raise _once(error) from None

        result = await self._within(timeout_s, self._on(tenant, target, call, again=False))
        if result.get("resultType") == "input_required":
            raise ToolFailed("the MCP server asks for input of a person, which nobody gives here")
        return answers.result_of(result)

    async def list_resources(self, tenant: UUID, target: Target, *, timeout_s: float) -> JsonObject:
        """`resources`: `uri`, `name`, `description` and `mime_type` of each. Raises as `Pool.lent` and `Connection.ask`."""

        def page(connection: Connection, cursor: str | None) -> Awaitable[JsonObject]:
            return connection.ask(
                lambda types: types.ListResourcesRequest(params=types.PaginatedRequestParams(cursor=cursor)), timeout_s=timeout_s
            )

        return await self._list(tenant, target, "resources", page, answers.resource_of, timeout_s)

    async def read_resource(self, tenant: UUID, target: Target, uri: str, *, timeout_s: float) -> JsonObject:
        """What it holds, as `answers.contents_of`. Raises as `Pool.lent` and `Connection.ask`."""
        result = await self._ask(
            tenant, target, lambda types: types.ReadResourceRequest(params=types.ReadResourceRequestParams(uri=uri)), timeout_s
        )
        return answers.contents_of(result)

    async def list_prompts(self, tenant: UUID, target: Target, *, timeout_s: float) -> JsonObject:
        """`prompts`: `name`, `description` and `arguments` of each. Raises as `Pool.lent` and `Connection.ask`."""

        def page(connection: Connection, cursor: str | None) -> Awaitable[JsonObject]:
            return connection.ask(
                lambda types: types.ListPromptsRequest(params=types.PaginatedRequestParams(cursor=cursor)), timeout_s=timeout_s
            )

        return await self._list(tenant, target, "prompts", page, answers.prompt_of, timeout_s)

    async def get_prompt(self, tenant: UUID, target: Target, name: str, arguments: dict[str, str], *, timeout_s: float) -> JsonObject:
        """The prompt, filled in, as `answers.messages_of`. Raises as `Pool.lent` and `Connection.ask`."""
        result = await self._ask(
            tenant,
            target,
            lambda types: types.GetPromptRequest(params=types.GetPromptRequestParams(name=name, arguments=arguments)),
            timeout_s,
        )
        return answers.messages_of(result)

    async def _ask(self, tenant: UUID, target: Target, make: Callable[[Any], Any], timeout_s: float) -> JsonObject:
        def ask(connection: Connection) -> Awaitable[JsonObject]:
            return connection.ask(make, timeout_s=timeout_s)

        return await self._within(timeout_s, self._on(tenant, target, ask, again=True))

    async def _list(self, tenant: UUID, target: Target, name: str, page: Page, read: Read, timeout_s: float) -> JsonObject:
        """All pages of a list, up to `PAGES_MAX` of them and `ITEMS_MAX` items; `truncated` where there are more."""

        async def pages(connection: Connection) -> JsonObject:
            items: list[JsonObject] = []
            cursor: str | None = None
            for _ in range(PAGES_MAX):
                answer = await page(connection, cursor)
                listed: Any = answer.get(name)
                items += [item for each in (listed if isinstance(listed, list) else []) if (item := read(each)) is not None]
                cursor = answer.get("nextCursor")
                if not isinstance(cursor, str) or not cursor or len(items) >= ITEMS_MAX:
                    break
            is_cut = bool(cursor) or len(items) > ITEMS_MAX
            return {name: items[:ITEMS_MAX], **({"truncated": True} if is_cut else {})}

        return await self._within(timeout_s, self._on(tenant, target, pages, again=True))

    async def _on(self, tenant: UUID, target: Target, work: Callable[[Connection], Awaitable[JsonObject]], *, again: bool) -> JsonObject:
        """Do it on a connection; where that one is lost, on another.

        Args:
            again: whether doing it twice does no more than doing it once.
        """
        try:
            async with self.pool.lent(tenant, target) as connection:
                return await self._done(connection, work)
        except ConnectionLost as error:
            if not (again or error.took_nothing):
                raise
        async with self.pool.lent(tenant, target) as connection:
            return await self._done(connection, work)

    async def _done(self, connection: Connection, work: Callable[[Connection], Awaitable[JsonObject]]) -> JsonObject:
        try:
            return await work(connection)
        except ConnectionLost:
            # Those who use it go on; nobody else shall get it.
            connection.is_stale = True
            raise

    async def _within(self, timeout_s: float, work: Awaitable[JsonObject]) -> JsonObject:
        try:
            async with asyncio.timeout(timeout_s):
                return await work
        except TimeoutError:
            raise ToolFailed(f"the MCP server did not answer within {timeout_s:.3g} s; the call may have had its effect") from None


def _once(error: ToolFailed) -> ToolFailed:
    """The failure of a call of a tool, which nobody repeats by themselves where the tool may have done its work."""
    took_nothing = error.more.get("status") in BUSY or (isinstance(error, ConnectionLost) and error.took_nothing)
    if not error.retry or took_nothing:
        return error
    message = f"{error.message}; the call may have had its effect"
    return ConnectionLost(message, retry=False) if isinstance(error, ConnectionLost) else ToolFailed(message, more=error.more)
