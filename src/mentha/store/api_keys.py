"""Keys in PostgreSQL, as hashes. For the operator's commands and for the check of who is asking: nothing here is scoped to one tenant."""

from dataclasses import dataclass
from datetime import datetime
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


INSERT = "INSERT INTO api_keys (tenant_id, id, name, digest, hint) VALUES ($1, $2, $3, $4, $5)"


async def create(tx: Tx, tenant: UUID, *, name: str, digest: bytes, hint: str) -> UUID:
    """Store a key's SHA-256.

    Raises:
        Conflict: the same key is stored already.
    """
    key_id = new_id()
    await tx.execute(INSERT, tenant, key_id, name, digest, hint)
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
SELECT x.id, t.name AS tenant, x.name, x.hint, x.created_at, x.revoked_at
FROM api_keys x JOIN tenants t ON t.id = x.tenant_id ORDER BY t.name, x.created_at LIMIT 10000
"""


async def list_(tx: Tx) -> list[KeyRow]:
    """All keys, by tenant, at most 10,000."""
    return [KeyRow(**row) for row in await tx.fetch(LIST)]


FIND = "SELECT tenant_id FROM api_keys WHERE digest = $1 AND revoked_at IS NULL"


async def find(tx: Tx, digest: bytes) -> UUID | None:
    """The tenant whose key has this digest; None where no key in use has it."""
    return await tx.fetchval(FIND, digest)


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
    rows = await tx.fetch(REVOKE, key_id)
    if len(rows) != 1:
        raise NotFound(f"{len(rows)} keys in use have an id that begins with '{key_id}'", fix="see `mentha keys list`")
    return rows[0]["id"]
