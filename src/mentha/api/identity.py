"""From a request's headers to its tenant and its key. Look-ups are cached for some seconds, so a revoked key dies within them."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mentha.api import limits
from mentha.auth import caller, jwt, keys
from mentha.core.config import Settings
from mentha.core.errors import Forbidden
from mentha.store import api_keys, tenants
from mentha.store.api_keys import Known
from mentha.store.pool import Database

CACHE_S = 5.0
CACHE_ENTRIES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking.

    Attributes:
        key: None for one who came with a token.
    """

    tenant: UUID
    key: Known | None = None


class Identity:
    """The check of who is asking, with its cache by digest."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._jwt_secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
        self._tokens = limits.Tokens()
        self._known: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def tenant(self, headers: Mapping[str, str], scope: Any) -> UUID:
        """The tenant whose key or token a request carries, once its key may be used. From then on what is recorded names the key.

        Args:
            scope: of the request; its answer gets the headers that tell what is left of the key's limits.

        Raises:
            Forbidden, Unavailable: as `caller`.
            RateLimited: the key has used up what it may.
        """
        known = await self.caller(headers)
        if known.key is not None:
            caller.key_id.set(known.key.id)
            if known.key.limits.any:
                await limits.check(self._database, self._tokens, known.key, scope)
        return known.tenant

    async def caller(self, headers: Mapping[str, str]) -> Caller:
        """The tenant whose key or token the request carries.

        Raises:
            Forbidden: none, or not a valid one; the two are not told apart.
            Unavailable: the database is away.
        """
        key = keys.from_headers(headers)
        if key is None:
            raise Forbidden("Could not validate API KEY")
        digest = keys.digest(key)
        cached = self._known.get(digest)
        if cached is None or cached[0] < time.monotonic():
            cached = (time.monotonic() + CACHE_S, await self._look_up(key, digest))
            self._remember(digest, cached)
        if cached[1] is None:
            raise Forbidden("Could not validate API KEY")
        return cached[1]

    async def _look_up(self, key: str, digest: bytes) -> Caller | None:
        claimed = jwt.tenant_of(key, self._jwt_secret) if self._jwt_secret and jwt.looks_like_jwt(key) else None
        async with self._database.connection() as connection:
            if claimed is not None:
                return Caller(claimed) if await tenants.exists(connection, claimed) else None
            known = await api_keys.identify(connection, digest)
            return Caller(known.tenant, known) if known else None

    def _remember(self, digest: bytes, entry: tuple[float, Caller | None]) -> None:
        # Unknown keys are kept apart from nothing: a flood of them only pushes out the oldest entries of a bounded cache.
        self._known[digest] = entry
        self._known.move_to_end(digest)
        while len(self._known) > CACHE_ENTRIES_MAX:
            self._known.popitem(last=False)
