"""Which models the configured providers have, and whether the providers answer at all."""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from mentha.core.config import Settings
from mentha.core.errors import MenthaError, ProviderError
from mentha.core.json import JsonInvalid, loads_hostile
from mentha.observe.events import ProviderFailed, emit
from mentha.providers import failures, routing, transport
from mentha.providers.answers import BadAnswer, model_names
from mentha.providers.transport import Transport
from mentha.providers.types import ECHO_MODEL, ECHO_PROVIDER, ProviderCheck, Route

LIST_TIMEOUT_S = 10.0
LIST_BYTES_MAX = 4_000_000
MODELS_MAX = 5_000
# A provider that failed is asked again after this long: not at every request, since each would wait for its timeout.
FAILED_CACHE_S = 15.0
# Lists for tenants' own keys that are kept.
OWNED_MAX = 200
# These answer `/models` to anybody, so that a list does not prove the key.
LISTS_WITHOUT_KEY = ("openrouter.ai",)


@dataclass(frozen=True, slots=True)
class _Listed:
    names: tuple[str, ...]
    until: float


class Catalogue:
    """The lists of models, cached by provider; one request to a provider at a time."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._cache: dict[str, _Listed] = {}
        self._owned_cache: OrderedDict[tuple[str, bytes], _Listed] = OrderedDict()
        self._asking = {name: asyncio.Lock() for name in settings.providers}

    async def list_models(self, *, custom_key: str | None = None, own_keys: Mapping[str, SecretStr] | None = None) -> list[str]:
        """Names as a request may write them, sorted, `mentha/echo` first. A provider that fails adds only its configured `models`.

        Args:
            custom_key: ask the default provider with this key, without the cache. No other provider ever sees it.
            own_keys: the tenant's own keys by provider: each is asked with it, and what it lists is nobody else's.
        """
        default = routing.default_provider(self._settings)
        if custom_key:
            names = await self._with_key(default, custom_key)
        else:
            keys = own_keys or {}
            providers = routing.reached(self._settings, keys)
            lists = await asyncio.gather(*(self._owned(name, keys) if name in keys else self._cached(name) for name in providers))
            names = {
                model if provider == default else f"{provider}/{model}"
                for provider, models in zip(providers, lists, strict=True)
                for model in models
            }
        return [ECHO_MODEL, *sorted(names)[:MODELS_MAX]]

    async def check(self) -> list[ProviderCheck]:
        """Ask every provider now; in the order of the settings. Without any provider, one failing check that says what to set."""
        if not self._settings.providers:
            return [ProviderCheck(ECHO_PROVIDER, False, f"no provider is configured: {routing.remedy(self._settings, '')}")]
        return list(await asyncio.gather(*map(self._check, self._settings.providers)))

    async def _check(self, provider: str) -> ProviderCheck:
        try:
            route = routing.to_provider(self._settings, provider)
            names = await self._ask(route)
        except MenthaError as error:
            if error.details.get("provider_status") == 404:
                return ProviderCheck(provider, True, "reachable; it has no list of models, so the key was not tried")
            return ProviderCheck(provider, False, f"{error.message}. To fix: {error.fix}" if error.fix else error.message)
        proven = "key not tried" if any(host in route.base_url for host in LISTS_WITHOUT_KEY) else "key accepted"
        return ProviderCheck(provider, True, f"reachable, {proven if route.api_key else 'no key set'}, {len(names)} models")

    async def _with_key(self, default: str | None, custom_key: str) -> set[str]:
        route = routing.to_provider(self._settings, default or "openai", custom_key=custom_key)
        return set(await self._ask(route))

    async def _cached(self, provider: str) -> tuple[str, ...]:
        async with self._asking[provider]:
            kept = self._cache.get(provider)
            if kept is None or kept.until <= time.monotonic():
                kept = self._cache[provider] = await self._fresh(provider)
            return kept.names

    async def _owned(self, provider: str, keys: Mapping[str, SecretStr]) -> tuple[str, ...]:
        """What a provider lists for a tenant's own key; of the keys only digests are kept."""
        place = (provider, hashlib.sha256(keys[provider].get_secret_value().encode()).digest())
        kept = self._owned_cache.get(place)
        if kept is None or kept.until <= time.monotonic():
            kept = self._owned_cache[place] = await self._fresh(provider, keys)
            self._owned_cache.move_to_end(place)
            while len(self._owned_cache) > OWNED_MAX:
                self._owned_cache.popitem(last=False)
        return kept.names

    async def _fresh(self, provider: str, own_keys: Mapping[str, SecretStr] | None = None) -> _Listed:
        settings = self._settings.providers.get(provider)
        configured = settings.models if settings else ()
        keep_s = self._settings.models_cache_s
        try:
            names = await self._ask(routing.to_provider(self._settings, provider, own_keys=own_keys))
        except ProviderError as error:
            detail = str(error.details.get("cause", ""))
            emit(ProviderFailed(provider=provider, model="", reason=error.reason, detail=detail))
            return _Listed(configured, time.monotonic() + min(keep_s, FAILED_CACHE_S))
        return _Listed(tuple({*configured, *names}), time.monotonic() + keep_s)

    async def _ask(self, route: Route) -> list[str]:
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                response = await self._transport.get(route, "/models")
                raw = await transport.read(response, LIST_BYTES_MAX)
            return model_names(loads_hostile(raw))[:MODELS_MAX]
        except (JsonInvalid, transport.BodyTooLarge):
            error: Exception = BadAnswer("the list of models is no JSON, or too long")
        except Exception as caught:  # noqa: BLE001 - whatever is not a provider's failure is raised again in there
            error = caught
        raise failures.from_exception(error, route, timeout_s=LIST_TIMEOUT_S, hint="check its `base_url`") from None
