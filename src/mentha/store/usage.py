"""What calls of providers cost, in PostgreSQL: one row a call. A turn stores its rows with itself (`stored_with_turn`); all others come
through `store/meter.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.auth import caller
from mentha.core.ids import new_id
from mentha.core.json import JsonObject
from mentha.store.pool import Tx

GROUPS_MAX = 1_000
FIELDS = """id uuid, kind text, ok boolean, provider text, model text, prompt_tokens bigint, completion_tokens bigint, estimated boolean,
    cost double precision, key_id uuid, agent_id uuid, session_id uuid, execution_id uuid, step text"""
NAMES = (
    """id, kind, ok, provider, model, prompt_tokens, completion_tokens, estimated, cost, key_id, agent_id, session_id, execution_id, step"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUsage:
    """One call of a provider.

    Attributes:
        kind: what it was for: `chat`, `response`, `summary`, `gateway`, `step`, `embedding`.
        ok: whether there was an answer; a call that failed has no tokens.
        estimated: the provider told no tokens, they were counted here.
        cost: US dollars, None where the price is not known.
        agent_id, session_id, execution_id, step: in the course of what it was made, as `auth/caller.py` has it unless told; the step by
            its key.
        key_id: of the request, or of the execution, that it was made for; likewise.
    """

    kind: str
    ok: bool
    provider: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: bool = False
    cost: float | None = None
    agent_id: UUID | None = field(default_factory=lambda: caller.work.get().agent_id)
    session_id: UUID | None = field(default_factory=lambda: caller.work.get().session_id)
    execution_id: UUID | None = field(default_factory=lambda: caller.work.get().execution_id)
    step: str | None = field(default_factory=lambda: caller.work.get().step)
    key_id: UUID | None = field(default_factory=caller.key_id.get)
    id: UUID = field(default_factory=new_id)


_FIELDS = [name.strip() for name in NAMES.split(",")]
_COLUMNS = ", ".join(f"u.{name}" for name in _FIELDS)


def stored_with_turn(rows: str) -> str:
    """The part of a statement that stores a turn: its calls, where the turn's own row is stored.

    Args:
        rows: the parameter that has `as_json`, like `$19`.
    """
    return f"INSERT INTO usage (tenant_id, {NAMES}) SELECT $1, {_COLUMNS} FROM turn, jsonb_to_recordset({rows}::jsonb) AS u ({FIELDS})"


def as_json(rows: Sequence[NewUsage]) -> list[JsonObject]:
    """Rows as the statements take them."""
    # Ids that come from the driver are of a class of its own, which no JSON is made of.
    # Field by field, for `asdict` copies each value deeply, which costs more than the rest of this.
    return [{name: str(value) if isinstance(value, UUID) else value for name in _FIELDS for value in (getattr(row, name),)} for row in rows]


ADD = f"""
INSERT INTO usage (tenant_id, {NAMES})
SELECT u.tenant_id, {_COLUMNS}
FROM jsonb_to_recordset($1::jsonb) AS u (tenant_id uuid, {FIELDS}) WHERE EXISTS (SELECT FROM tenants t WHERE t.id = u.tenant_id)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows to sum, and by what.

    Attributes:
        start: rows from this moment on.
        end: rows before this moment.
        equal: columns of `FILTERS` with the value that they must have.
        groups: names of `GROUPS`.
    """

    start: datetime
    end: datetime
    equal: Mapping[str, Any]
    groups: Sequence[str]


FILTERS = ("agent_id", "session_id", "execution_id", "key_id", "model", "provider", "kind")
DAY = "to_char(date_trunc('day', x.created_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD')"
HOUR = "to_char(date_trunc('hour', x.created_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"')"
GROUPS = {
    "day": f"{DAY} AS day",
    "hour": f"{HOUR} AS hour",
    "model": "x.model AS model",
    "provider": "x.provider AS provider",
    "kind": "x.kind AS kind",
    "agent": "x.agent_id AS agent_id",
    "session": "x.session_id AS session_id",
    "execution": "x.execution_id AS execution_id",
    "step": "x.step AS step",
    "key": "x.key_id AS key_id",
}
SUMS = """count(*) AS requests, count(*) FILTER (WHERE NOT x.ok) AS failed, count(*) FILTER (WHERE x.estimated) AS estimated,
    count(*) FILTER (WHERE x.ok AND x.cost IS NULL) AS unpriced, COALESCE(sum(x.prompt_tokens), 0)::bigint AS prompt_tokens,
    COALESCE(sum(x.completion_tokens), 0)::bigint AS completion_tokens,
    COALESCE(sum(x.prompt_tokens + x.completion_tokens), 0)::bigint AS total_tokens, COALESCE(sum(x.cost), 0)::float8 AS cost"""
WHERE = """x.tenant_id = $1 AND x.created_at >= $2 AND x.created_at < $3 AND ($4::uuid IS NULL OR x.agent_id = $4)
    AND ($5::uuid IS NULL OR x.session_id = $5) AND ($6::uuid IS NULL OR x.execution_id = $6) AND ($7::uuid IS NULL OR x.key_id = $7)
    AND ($8::text IS NULL OR x.model = $8) AND ($9::text IS NULL OR x.provider = $9) AND ($10::text IS NULL OR x.kind = $10)"""
TOTAL = f"SELECT {SUMS} FROM usage x WHERE {WHERE}"


async def total(tx: Tx, tenant: UUID, query: Query) -> JsonObject:
    """The sum of all rows of a query."""
    return dict(await tx.fetchrow(TOTAL, tenant, *_values(query)))


async def grouped(tx: Tx, tenant: UUID, query: Query) -> list[JsonObject]:
    """The sums by group, at most `GROUPS_MAX`: in the order of time where that is a group, else the most expensive first."""
    by = [GROUPS[name] for name in query.groups]
    places = ", ".join(str(place + 1) for place in range(len(by)))
    timed = [str(place + 1) for place, name in enumerate(query.groups) if name in ("day", "hour")]
    order = ", ".join([*timed, "cost DESC", "total_tokens DESC", places])
    sql = f"SELECT {', '.join(by)}, {SUMS} FROM usage x WHERE {WHERE} GROUP BY {places} ORDER BY {order} LIMIT {GROUPS_MAX}"
    return [dict(row) for row in await tx.fetch(sql, tenant, *_values(query))]


def _values(query: Query) -> list[Any]:
    return [query.start, query.end, *(query.equal.get(name) for name in FILTERS)]
