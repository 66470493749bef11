"""What handlers ask for: the runtime, the tenant, a connection, a page.

`Tx` and `Statement` end before the answer is sent (`scope="function"`), so what was answered is committed. No other dependency here yields.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from pydantic_core import PydanticCustomError
from starlette.requests import HTTPConnection

from mentha.api.identity import Identity
from mentha.auth.vault import Vault
from mentha.core.config import Settings
from mentha.core.errors import FieldInvalid
from mentha.store.blobs import Blobs
from mentha.store.pool import Database
from mentha.store.pool import Tx as Connection
from mentha.tools import depth
from mentha.tools.attachments import Attachments
from mentha.tools.system import DEPTH_MAX, EXECUTIONS_DEPTH_MAX
from mentha.wire import filters
from mentha.wire.common import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, OFFSET_MAX, Direction, Page, SortBy


class Runtime(Protocol):
    """What the handlers use of `server/runtime.py`; each engine adds its own attribute there."""

    settings: Settings
    database: Database
    identity: Identity
    turns: Any
    providers: Any
    vault: Vault
    blobs: Blobs
    attachments: Attachments


# Dependencies are coroutines, those too that never wait: the framework runs plain functions in a thread, 0.2 ms of CPU each time.
def is_retry(request: Request) -> bool:
    """Whether the client says that it has sent this before. What is no number says nothing."""
    count = request.headers.get("x-stainless-retry-count", "")
    # Not by `int`: it refuses numbers of very many digits.
    return count.isdecimal() and count.strip("0") != ""


def turn_depth(request: Request) -> tuple[int, int]:
    """In how many turns, and in how many executions, the turn stands that is asked for.

    Raises:
        FieldInvalid: in too many.
    """
    told = depth.heard(request.headers.get(depth.HEADER))
    if told is None:
        return 0, 0
    if told[0] >= DEPTH_MAX:
        raise _too_deep(f"a chat within a chat goes no deeper than {DEPTH_MAX} levels")
    return told[0] + 1, told[1]


def execution_depth(request: Request) -> int:
    """How many executions stand above the one that is asked for.

    Raises:
        FieldInvalid: too many.
    """
    told = depth.heard(request.headers.get(depth.HEADER)) or (0, 0)
    if told[1] >= EXECUTIONS_DEPTH_MAX:
        raise _too_deep(f"executions that start executions go no deeper than {EXECUTIONS_DEPTH_MAX} levels")
    return told[1]


def _too_deep(message: str) -> FieldInvalid:
    return FieldInvalid(message, loc=("header", "Mentha-Depth"), kind="too_deep", fix="let the tool call something else")


async def runtime(request: Request) -> Any:
    """The runtime of this server."""
    return request.app.state.runtime


class _Tenant(APIKeyHeader):
    """The tenant who is asking. Its header is for the published description: the check reads all those that `auth/keys.py` knows."""

    async def __call__(self, request: HTTPConnection) -> Any:
        return await request.app.state.runtime.identity.tenant(request.headers, request.scope)


tenant = _Tenant(name="Authorization", scheme_name="APIKeyHeader")


async def transaction(request: Request, _: Annotated[UUID, Depends(tenant)]) -> AsyncIterator[Connection]:
    """A transaction, committed before the answer goes out."""
    async with request.app.state.runtime.database.transaction() as tx:
        yield tx


async def connection(request: Request, _: Annotated[UUID, Depends(tenant)]) -> AsyncIterator[Connection]:
    """A connection for a handler that makes one statement, which is a transaction of its own."""
    async with request.app.state.runtime.database.connection() as tx:
        yield tx


async def page(
    limit: Annotated[int, Query(ge=1, description="Rows, 1 to 1000; more is taken as 1000")] = LIST_LIMIT_DEFAULT,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX, description="Rows to skip")] = 0,
    sort_by: Annotated[SortBy, Query(description="Which time to sort by")] = "created_at",
    direction: Annotated[Direction, Query(description="Newest first, or oldest")] = "desc",
) -> Page:
    """How to list, from the query string, without a filter."""
    return Page(limit=min(limit, LIST_LIMIT_MAX), offset=offset, sort_by=sort_by, direction=direction)


async def filtered_page(
    request: Request,
    plain: Annotated[Page, Depends(page)],
    # Only for the published description: the filter is read from the whole query string, where keys can be part of its name.
    _: Annotated[
        str | None,
        Query(
            alias="metadata_filter", description="A JSON object; `metadata_filter.key=value` and `metadata_filter[key]=value` work as well"
        ),
    ] = None,
) -> Page:
    """How to list, with a filter by metadata."""
    try:
        wanted = filters.from_query(request.query_params.multi_items())
        predicate = filters.to_jsonpath(wanted) if wanted else None
    except PydanticCustomError as error:
        fault = {"loc": ("query", "metadata_filter"), "msg": error.message(), "type": error.type}
        raise RequestValidationError([fault]) from None
    return plain.model_copy(update={"metadata_filter": predicate})


async def project_page(
    plain: Annotated[Page, Depends(filtered_page)],
    project: Annotated[str | None, Query(max_length=255, description="Only what is in the project with this canonical name")] = None,
) -> Page:
    """How to list, with a filter by metadata and by project."""
    return plain.model_copy(update={"project": project})


RuntimeOf = Annotated[Any, Depends(runtime)]
TenantId = Annotated[UUID, Depends(tenant)]
Tx = Annotated[Connection, Depends(transaction, scope="function")]
Statement = Annotated[Connection, Depends(connection, scope="function")]
PlainPage = Annotated[Page, Depends(page)]
FilteredPage = Annotated[Page, Depends(filtered_page)]
ProjectPage = Annotated[Page, Depends(project_page)]
