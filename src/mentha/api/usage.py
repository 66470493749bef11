"""What calls of providers cost, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from mentha.api.body import Route
from mentha.api.deps import TenantId, Tx
from mentha.api.responses import errors
from mentha.core import clock
from mentha.core.errors import FieldInvalid
from mentha.store import usage
from mentha.wire.usage import GROUPS_AT_ONCE_MAX, Group, Kind, Usage, UsageGroup, UsageSums

router = APIRouter(tags=["usage"], route_class=Route)

DAYS_DEFAULT = 30
# Far enough from what moments in other zones, and spans before them, can be.
YEAR_MIN, YEAR_MAX = 1970, 9_000


@router.get("/usage", responses=errors(422))
async def get_usage(
    tenant: TenantId,
    tx: Tx,
    start: Annotated[datetime | None, Query(description="Calls from this time on; 30 days before `end` by default")] = None,
    end: Annotated[datetime | None, Query(description="Calls before this time; now by default")] = None,
    agent_id: Annotated[UUID | None, Query()] = None,
    session_id: Annotated[UUID | None, Query()] = None,
    execution_id: Annotated[UUID | None, Query()] = None,
    key_id: Annotated[UUID | None, Query(description="The id of a key, as `mentha keys list` shows it")] = None,
    model: Annotated[str | None, Query(max_length=255, description="As it was sent to the provider")] = None,
    provider: Annotated[str | None, Query(max_length=255)] = None,
    kind: Annotated[Kind | None, Query()] = None,
    group_by: Annotated[list[Group] | None, Query(max_length=GROUPS_AT_ONCE_MAX, description="Repeat it for several")] = None,
) -> Usage:
    """Tokens and cost of calls of providers, in sum and by group"""
    until = _utc(end, "end") if end else clock.now() + timedelta(seconds=1)
    since = _utc(start, "start") if start else until - timedelta(days=DAYS_DEFAULT)
    if since >= until:
        raise FieldInvalid("`start` has to be before `end`", loc=("query", "start"), kind="span_invalid")
    equal = {
        "agent_id": agent_id,
        "session_id": session_id,
        "execution_id": execution_id,
        "key_id": key_id,
        "model": model,
        "provider": provider,
        "kind": kind,
    }
    query = usage.Query(since, until, equal, list(dict.fromkeys(group_by or ())))
    groups = await usage.grouped(tx, tenant, query) if query.groups else []
    total = await usage.total(tx, tenant, query)
    return Usage(start=since, end=until, total=UsageSums(**total), groups=[UsageGroup(**group) for group in groups])


def _utc(moment: datetime, name: str) -> datetime:
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise FieldInvalid(f"`{name}` has to be in the years {YEAR_MIN} to {YEAR_MAX}", loc=("query", name), kind="span_invalid")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
