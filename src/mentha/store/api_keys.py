"""Keys in PostgreSQL, as hashes. For the operator's commands and for the check of who is asking: nothing here is scoped to one tenant."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.store.pool import Tx


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as the operator sees it: never the key itself."""

    id: UUID
    tenant: str
    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None
    limits: "Limits"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may use; None for no limit.

    Attributes:
        tokens_per_day_max: of prompts and answers together, in a day of UTC.
    """

    requests_per_minute_max: int | None = None
    tokens_per_day_max: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self.requests_per_minute_max is not None or self.tokens_per_day_max is not None


NO_LIMITS = Limits()
INSERT = """
INSERT INTO api_keys (tenant_id, id, name, digest, hint, requests_per_minute_max, tokens_per_day_max) VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def create(tx: Tx, tenant: UUID, *, name: str, digest: bytes, hint: str, limits: Limits = NO_LIMITS) -> UUID:
    """Store a key's SHA-256.

    Raises:
        Conflict: the same key is stored already.
    """
    key_id = new_id()
    await tx.execute(INSERT, tenant, key_id, name, digest, hint, limits.requests_per_minute_max, limits.tokens_per_day_max)
    return key_id


SET = """
INSERT INTO api_keys (tenant_id, id, name, digest, hint) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (digest) DO UPDATE SET revoked_at = NULL WHERE api_keys.tenant_id = $1 AND api_keys.name = $3
"""
REVOKE_OTHERS = "UPDATE api_keys SET revoked_at = now() WHERE tenant_id = $1 AND name = $2 AND digest <> $3 AND revoked_at IS NULL"


async def set_only(tx: Tx, tenant: UUID, *, name: str, digest: bytes, hint: str) -> None:
    """Make this the only key in use under its name. Needs a transaction around it; does nothing where it is so already."""
    await tx.execute(SET, tenant, new_id(), name, digest, hint)
    await tx.execute(REVOKE_OTHERS, tenant, name, digest)


LIST = """
SELECT x.id, t.name AS tenant, x.name, x.hint, x.created_at, x.revoked_at, x.requests_per_minute_max, x.tokens_per_day_max
FROM api_keys x JOIN tenants t ON t.id = x.tenant_id ORDER BY t.name, x.created_at LIMIT 10000
"""


async def list_(tx: Tx) -> list[KeyRow]:
    """All keys, by tenant, at most 10,000."""
    fields = ("id", "tenant", "name", "hint", "created_at", "revoked_at")
    return [KeyRow(**{name: row[name] for name in fields}, limits=_limits(row)) for row in await tx.fetch(LIST)]


@dataclass(frozen=True, slots=True)
class Known:
    """A key in use: whose it is, and what it may use."""

    tenant: UUID
    id: UUID
    limits: Limits


IDENTIFY = "SELECT tenant_id, id, requests_per_minute_max, tokens_per_day_max FROM api_keys WHERE digest = $1 AND revoked_at IS NULL"


async def identify(tx: Tx, digest: bytes) -> Known | None:
    """The key in use with this digest."""
    row = await tx.fetchrow(IDENTIFY, digest)
    return Known(row["tenant_id"], row["id"], _limits(row)) if row else None


@dataclass(frozen=True, slots=True)
class Used:
    """What a key has used.

    Attributes:
        requests: of this minute, the one that asks included.
        day: when this day began.
        minute_left_s: until the next minute begins.
    """

    requests: int
    day: datetime
    minute_left_s: float
    day_left_s: float


COUNT = """
UPDATE api_keys k SET minute_at = t.minute, minute_requests = CASE WHEN k.minute_at = t.minute THEN k.minute_requests + 1 ELSE 1 END
FROM (SELECT date_trunc('minute', now()) AS minute, date_trunc('day', now(), 'UTC') AS day) t
WHERE k.tenant_id = $1 AND k.id = $2
RETURNING k.minute_requests AS requests,
    t.day,
    extract(epoch FROM t.minute + interval '1 minute' - now())::float8 AS minute_left_s,
    extract(epoch FROM t.day + interval '1 day' - now())::float8 AS day_left_s
"""


async def count_request(tx: Tx, key: Known) -> Used | None:
    """Count a request with this key; what the key has used. None where the key is gone."""
    row = await tx.fetchrow(COUNT, key.tenant, key.id)
    return Used(**row) if row else None


TOKENS = """
SELECT COALESCE(sum(u.prompt_tokens + u.completion_tokens), 0)::bigint, count(*) FROM usage u
WHERE u.tenant_id = $1 AND u.key_id = $2 AND u.created_at >= $3
"""


async def tokens_since(tx: Tx, key: Known, since: datetime) -> tuple[int, int]:
    """The tokens that a key has used since then, and how many calls used them. With very many calls this takes long: 0.1 s for 100,000."""
    row: Any = await tx.fetchrow(TOKENS, key.tenant, key.id, since)
    return row[0], row[1]


LIMIT = """
UPDATE api_keys SET requests_per_minute_max = $2, tokens_per_day_max = $3
WHERE starts_with(id::text, lower($1)) AND $1 <> '' AND revoked_at IS NULL RETURNING id
"""


async def limit(tx: Tx, key_id: str, limits: Limits) -> UUID:
    """Replace the limits of the key with this id, or of the only one whose id begins so. Needs a transaction around it.

    Raises:
        NotFound: no key in use, or more than one, has such an id.
    """
    return _only(await tx.fetch(LIMIT, key_id, limits.requests_per_minute_max, limits.tokens_per_day_max), key_id)


ANY = "SELECT true FROM api_keys WHERE tenant_id = $1 LIMIT 1"


async def any_of(tx: Tx, tenant: UUID) -> bool:
    """Whether a key was ever made for this tenant, revoked ones included."""
    return bool(await tx.fetchval(ANY, tenant))


REVOKE = """
UPDATE api_keys SET revoked_at = now() WHERE starts_with(id::text, lower($1)) AND $1 <> '' AND revoked_at IS NULL RETURNING id
"""


async def revoke(tx: Tx, key_id: str) -> UUID:
    """Revoke the key with this id, or the only one whose id begins so. Needs a transaction around it.

    Raises:
        NotFound: no key in use, or more than one, has such an id.
    """
    return _only(await tx.fetch(REVOKE, key_id), key_id)


def _only(rows: Sequence[Any], key_id: str) -> UUID:
    if len(rows) != 1:
        raise NotFound(f"{len(rows)} keys in use have an id that begins with '{key_id}'", fix="see `mentha keys list`")
    return rows[0]["id"]


def _limits(row: Any) -> Limits:
    return Limits(row["requests_per_minute_max"], row["tokens_per_day_max"])
