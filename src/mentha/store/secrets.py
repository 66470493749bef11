"""Secrets in PostgreSQL. Values are encrypted here on their way in; on their way out they stay so, but for whoever asks the vault."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.auth.vault import Sealed, Vault
from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.store import current_key
from mentha.store.paging import ordered, statement
from mentha.store.pool import Tx
from mentha.wire.common import Page
from mentha.wire.secrets import CreateSecretRequest, PatchSecretRequest, Secret, UpdateSecretRequest

COLUMNS = "x.id, x.name, x.description, x.metadata, x.created_at, x.updated_at"

INSERT = f"""
INSERT INTO secrets AS x (tenant_id, id, name, value, key_id, description, metadata) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING {COLUMNS}
"""


async def create(tx: Tx, tenant: UUID, secret: CreateSecretRequest, *, vault: Vault) -> Secret:
    """Store a new secret. Needs a transaction around it.

    Raises:
        Conflict: the tenant has a secret with this name.
        ConstraintViolated: the name has characters that it may not have.
        SecretsUnavailable: the server lacks the key.
    """
    key_id = await current_key.of(tx)
    sealed = vault.encrypt(tenant, new_id(), secret.value.get_secret_value(), key_id=key_id)
    row = await tx.fetchrow(INSERT, tenant, sealed.id, secret.name, sealed.data, sealed.key_id, secret.description, secret.metadata)
    return Secret.model_validate(dict(row))


GET = f"SELECT {COLUMNS} FROM secrets x WHERE x.tenant_id = $1 AND x.id = $2"


async def get(tx: Tx, tenant: UUID, secret_id: UUID) -> Secret:
    """One secret, without its value.

    Raises:
        NotFound: the tenant has none with this id.
    """
    return _one(await tx.fetchrow(GET, tenant, secret_id), "get")


LIST = ordered(f"SELECT {COLUMNS} FROM secrets x WHERE x.tenant_id = $1")


async def list_(tx: Tx, tenant: UUID, page: Page) -> list[Secret]:
    """One page of secrets, without their values."""
    rows = await tx.fetch(statement(LIST, page), tenant, page.limit, page.offset)
    return [Secret.model_validate(dict(row)) for row in rows]


UPDATE = f"""
UPDATE secrets x
SET name = $3, value = $4, key_id = $5, description = COALESCE($6, x.description), metadata = COALESCE($7::jsonb, x.metadata), updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def update(tx: Tx, tenant: UUID, secret_id: UUID, secret: UpdateSecretRequest, *, vault: Vault) -> Secret:
    """Replace name and value; description and metadata stay where none are given. Needs a transaction around it.

    Raises:
        NotFound: the tenant has none with this id.
        Conflict, ConstraintViolated, SecretsUnavailable: as `create`.
    """
    key_id = await current_key.of(tx)
    sealed = vault.encrypt(tenant, secret_id, secret.value.get_secret_value(), key_id=key_id)
    given = (secret.name, sealed.data, sealed.key_id, secret.description, secret.metadata)
    return _one(await tx.fetchrow(UPDATE, tenant, secret_id, *given), "update")


PATCH = f"""
UPDATE secrets x
SET name = COALESCE($3, x.name), value = COALESCE($4, x.value), key_id = COALESCE($5, x.key_id),
    description = CASE WHEN $8 THEN $6 ELSE x.description END, metadata = x.metadata || COALESCE($7::jsonb, '{{}}'), updated_at = now()
WHERE x.tenant_id = $1 AND x.id = $2
RETURNING {COLUMNS}
"""


async def patch(tx: Tx, tenant: UUID, secret_id: UUID, secret: PatchSecretRequest, *, vault: Vault) -> Secret:
    """Change the given fields; metadata is merged; an explicit null removes the description. Needs a transaction around it.

    Raises:
        NotFound: the tenant has none with this id.
        Conflict, ConstraintViolated, SecretsUnavailable: as `create`; the last only with a value.
    """
    data = key_id = None
    if secret.value is not None:
        key_id = await current_key.of(tx)
        data = vault.encrypt(tenant, secret_id, secret.value.get_secret_value(), key_id=key_id).data
    given = (secret.name, data, key_id, secret.description, secret.metadata, "description" in secret.model_fields_set)
    return _one(await tx.fetchrow(PATCH, tenant, secret_id, *given), "patch")


DELETE = "DELETE FROM secrets WHERE tenant_id = $1 AND id = $2 RETURNING now()"


async def delete(tx: Tx, tenant: UUID, secret_id: UUID) -> datetime:
    """Delete a secret.

    Raises:
        NotFound: the tenant has none with this id.
    """
    deleted_at = await tx.fetchval(DELETE, tenant, secret_id)
    if deleted_at is None:
        raise NotFound("Secret not found during delete")
    return deleted_at


VALUES = "SELECT x.name, x.id, x.key_id, x.value FROM secrets x WHERE x.tenant_id = $1 AND x.name = ANY ($2::text[])"


async def values(tx: Tx, tenant: UUID, names: Collection[str]) -> dict[str, Sealed]:
    """The encrypted values of those secrets that exist, by name."""
    rows = await tx.fetch(VALUES, tenant, list(names))
    return {row["name"]: Sealed(row["id"], row["key_id"], row["value"]) for row in rows}


def _one(row: Any, operation: str) -> Secret:
    if row is None:
        raise NotFound(f"Secret not found during {operation}")
    return Secret.model_validate(dict(row))
