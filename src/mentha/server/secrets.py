"""Tenants' secrets in the clear, for tools and for calls of models. Handed down as functions; nothing of it is ever part of an answer."""

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from uuid import UUID

from pydantic import SecretStr

from mentha.auth.vault import Vault
from mentha.core.config import Settings
from mentha.core.json import JsonValue
from mentha.core.redact import InUse
from mentha.providers import routing
from mentha.store import sealing, secrets
from mentha.store.pool import Database
from mentha.tools.hidden import texts_of, texts_of_all

# A key that was changed or deleted is used for at most this long by turns that begin.
CACHE_S = 5.0
CACHE_ENTRIES_MAX = 1_000


class Secrets:
    """Reads and decrypts. What it gives is kept out of the log from then on.

    Args:
        clock: seconds; for tests.

    Attributes:
        in_use: the values that it gave lately.
    """

    def __init__(self, settings: Settings, database: Database, vault: Vault, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._key_names = routing.key_names(settings)
        self._known: OrderedDict[UUID, tuple[float, Mapping[str, SecretStr]]] = OrderedDict()
        self.in_use = InUse()

    async def values(self, tenant: UUID, names: Collection[str]) -> dict[str, str]:
        """The values of these secrets by name, as they are now; names that the tenant has no secret for are left out.

        Whoever uses them makes a `Redactor` of them, for whatever comes back.

        Raises:
            SecretsUnavailable: this server has not the key, or a row was changed.
            Unavailable: the database is away.
        """
        if not names:
            return {}
        async with self._database.connection() as connection:
            found = await secrets.values(connection, tenant, names)
        values = {name: self._vault.decrypt(tenant, sealed) for name, sealed in found.items()}
        self.in_use.add(texts_of_all(values.values()))
        return values

    def unsealed(self, tenant: UUID, tool_id: UUID | None, stored: JsonValue) -> JsonValue:
        """A secret of a tool in the clear.

        Args:
            tool_id: None for a tool that a request has brought, whose secrets were never sealed.

        Raises:
            SecretsUnavailable: this server has not the key, or the row was changed.
        """
        value = stored if tool_id is None else sealing.opened(self._vault, tenant, tool_id, stored)
        self.in_use.add(texts_of(value))
        return value

    async def provider_keys(self, tenant: UUID) -> Mapping[str, SecretStr]:
        """The tenant's own keys by provider: its secrets that are named like the providers' variables. Cached for `CACHE_S`.

        Source: section 3.5 of the behaviour spec.

        Raises:
            SecretsUnavailable, Unavailable: as `values`. The operator's key must not take the place of one that can't be read.
        """
        known = self._known.get(tenant)
        if known is None or known[0] < self._clock():
            values = await self.values(tenant, set(self._key_names.values()))
            keys = {provider: SecretStr(values[name]) for provider, name in self._key_names.items() if name in values}
            known = self._known[tenant] = (self._clock() + CACHE_S, keys)
            self._known.move_to_end(tenant)
            while len(self._known) > CACHE_ENTRIES_MAX:
                self._known.popitem(last=False)
        return known[1]
