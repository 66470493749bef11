"""Tenants in PostgreSQL. For the operator's commands and for the check of who is asking: nothing here is scoped to one tenant."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.store.pool import Tx

DEFAULT_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant, with how many keys it has in use."""

    id: UUID
    name: str
    created_at: datetime
    keys: int


INSERT = "INSERT INTO tenants (id, name) VALUES ($1, $2)"


async def create(tx: Tx, name: str) -> UUID:
    """Make a tenant and its project `default`.

    Raises:
        Conflict: the name is taken.
        ConstraintViolated: the name has characters that it may not have.
    """
    tenant = new_id()
    await tx.execute(INSERT, tenant, name)
    return tenant


LIST = """
SELECT x.id, x.name, x.created_at, (SELECT count(*) FROM api_keys k WHERE k.tenant_id = x.id AND k.revoked_at IS NULL) AS keys
FROM tenants x ORDER BY x.created_at, x.id LIMIT 10000
"""


async def list_(tx: Tx) -> list[TenantRow]:
    """All tenants, oldest first, at most 10,000."""
    return [TenantRow(**row) for row in await tx.fetch(LIST)]


EXISTS = "SELECT true FROM tenants WHERE id = $1"


async def exists(tx: Tx, tenant: UUID) -> bool:
    """Whether there is a tenant with this id."""
    return bool(await tx.fetchval(EXISTS, tenant))


RESOLVE = "SELECT id FROM tenants WHERE name = $1 OR id::text = $1"


async def resolve(tx: Tx, name: str) -> UUID:
    """The id of the tenant with this name or id.

    Raises:
        NotFound: there is none.
    """
    found = await tx.fetchval(RESOLVE, name)
    if found is None:
        raise NotFound(f"there is no tenant '{name}'", fix="see `mentha tenants list`")
    return found


DELETE_PARTS = (
    "DELETE FROM sessions WHERE tenant_id = $1",
    "DELETE FROM files WHERE tenant_id = $1",
    "DELETE FROM agents WHERE tenant_id = $1",
    "DELETE FROM users WHERE tenant_id = $1",
)
DELETE = "DELETE FROM tenants WHERE id = $1"


async def delete(tx: Tx, tenant: UUID) -> None:
    """Delete a tenant with all that it has. Needs a transaction around it; nothing brings it back."""
    for part in DELETE_PARTS:
        await tx.execute(part, tenant)
    await tx.execute(DELETE, tenant)
