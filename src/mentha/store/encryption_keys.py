"""Which keys secrets are encrypted with, by their fingerprints, and the move of all secrets from one to the next. For all tenants at once.

The database decides which key is the current one, not the settings of a server: so all servers begin with a new key in the same moment, and
the old one can be dropped as soon as no row has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mentha.auth.vault import Sealed
from mentha.store.pool import Tx

LOCK_KEY = 0x6B657973  # "keys"
LOCK = "SELECT pg_advisory_xact_lock($1)"


async def lock(tx: Tx) -> None:
    """Hold off, until the transaction ends, everyone else who makes or changes a key."""
    await tx.execute(LOCK, LOCK_KEY)


@dataclass(frozen=True, slots=True)
class KeyIds:
    """The fingerprints of the keys in use: `current` is None before the first one, `previous` empty unless secrets are on the move."""

    current: str | None
    previous: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Those that there are, the current one first."""
        return self.previous if self.current is None else (self.current, *self.previous)


IN_USE = "SELECT id, state FROM encryption_keys ORDER BY created_at DESC, id"


async def in_use(tx: Tx) -> KeyIds:
    """The keys that values are encrypted with."""
    rows = await tx.fetch(IN_USE)
    current = next((row["id"] for row in rows if row["state"] == "current"), None)
    return KeyIds(current, tuple(row["id"] for row in rows if row["state"] == "previous"))


REGISTER = (
    "INSERT INTO encryption_keys (id, state) SELECT $1, 'current' WHERE NOT EXISTS (SELECT FROM encryption_keys) ON CONFLICT DO NOTHING"
)


async def register(tx: Tx, key_id: str) -> None:
    """Make this the current key where there never was one. Of two servers that do so at once, one wins: look with `in_use` which."""
    await tx.execute(REGISTER, key_id)


STEP_DOWN = "UPDATE encryption_keys SET state = 'previous' WHERE state = 'current' AND id <> $1"
STEP_UP = "INSERT INTO encryption_keys (id, state) VALUES ($1, 'current') ON CONFLICT (id) DO UPDATE SET state = 'current'"


async def switch(tx: Tx, key_id: str) -> None:
    """Encrypt with this key from the commit on. Waits for those who encrypt with the old one right now."""
    await tx.execute(STEP_DOWN, key_id)
    await tx.execute(STEP_UP, key_id)


@dataclass(frozen=True, slots=True)
class Row:
    """A secret of any tenant."""

    tenant: UUID
    sealed: Sealed


OTHERS = """
SELECT x.tenant_id, x.id, x.key_id, x.value FROM secrets x
WHERE x.key_id <> $1 AND (x.tenant_id, x.id) > ($2, $3) ORDER BY x.tenant_id, x.id LIMIT $4 FOR UPDATE
"""


async def others(tx: Tx, key_id: str, *, after: tuple[UUID, UUID], rows_max: int) -> list[Row]:
    """Secrets that are encrypted with another key, by tenant and id from `after` on; locked until the transaction ends."""
    rows = await tx.fetch(OTHERS, key_id, *after, rows_max)
    return [Row(row["tenant_id"], Sealed(row["id"], row["key_id"], row["value"])) for row in rows]


REPLACE = """
UPDATE secrets x SET value = new.value, key_id = new.key_id
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[]) AS new (tenant_id, id, key_id, value)
WHERE x.tenant_id = new.tenant_id AND x.id = new.id
"""


async def replace(tx: Tx, rows: Sequence[Row]) -> None:
    """Store the same values under another key. For their owners nothing has changed, the time of the last change neither."""
    columns = ((row.tenant, row.sealed.id, row.sealed.key_id, row.sealed.data) for row in rows)
    await tx.execute(REPLACE, *map(list, zip(*columns, strict=True)))


RETIRE = "DELETE FROM encryption_keys k WHERE k.state = 'previous' AND NOT EXISTS (SELECT FROM secrets x WHERE x.key_id = k.id)"


async def retire(tx: Tx) -> None:
    """Forget previous keys that no secret is encrypted with any more. Look before with `sealing.is_any_left`: tools have their secrets in themselves."""
    await tx.execute(RETIRE)


@dataclass(frozen=True, slots=True)
class Listed:
    """A secret as the operator sees it: never the value."""

    id: UUID
    tenant: str
    name: str
    key_id: str
    updated_at: datetime


LIST = """
SELECT x.id, t.name AS tenant, x.name, x.key_id, x.updated_at
FROM secrets x JOIN tenants t ON t.id = x.tenant_id ORDER BY t.name, x.name LIMIT 10000
"""


async def list_(tx: Tx) -> list[Listed]:
    """All secrets, by tenant, at most 10,000."""
    return [Listed(**row) for row in await tx.fetch(LIST)]


DELETE_SECRETS = "DELETE FROM secrets"
DELETE_KEYS = "DELETE FROM encryption_keys"


async def forget(tx: Tx) -> int:
    """Delete every tenant's secrets and all that is known of keys, for who has lost the key. Returns how many secrets there were."""
    done: str = await tx.execute(DELETE_SECRETS)
    await tx.execute(DELETE_KEYS)
    return int(done.rpartition(" ")[2])
