"""Calls of integrations as tools make them, with services that stand on loopback and waits that take no time."""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from mentha.core.config import Settings
from mentha.core.errors import MenthaError
from mentha.observe import events
from mentha.observe.events import Event
from mentha.tools import integrations
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import Means, google_account
from mentha.tools.outbound import Outbound
from mentha.wire import masks
from tests.support.vendors.vendor import Vendor
from tests.support.wild_server import Answer, Seen, WildServer, saying, wild_server

TENANT = UUID(int=7)
Says = Callable[[Seen], bytes]


@dataclass
class Caller:
    """Calls one service. What it gave, what it raised and what was told of it are kept, to be searched for secrets."""

    vendor: Vendor
    server: WildServer
    secrets: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    async def __call__(self, arguments: Any = None, *, method: str | None = None, setup: Any = None, **fixed: Any) -> Any:
        """The result of a call, by default of the vendor's own."""
        spec = {**self.vendor.spec, "method": method or self.vendor.method, "arguments": fixed}
        if setup is not None:
            spec["setup"] = setup
        seen: list[Event] = []
        events.subscribe(seen.append)
        try:
            result = await integrations.run(self._means(), TENANT, spec, self.vendor.arguments if arguments is None else arguments)
            self.shown.append(repr(result))
            return result
        except (ToolFailed, MenthaError) as error:
            self.shown.append(f"{error!r} {vars(error)}")
            raise
        finally:
            events.unsubscribe(seen.append)
            self.shown += map(repr, seen)
            for text in self.texts(spec["setup"]):
                assert not any(text in each for each in self.shown), "a secret was shown"

    @staticmethod
    def texts(setup: Any) -> list[str]:
        return [value for name, value in setup.items() if masks.is_secret(name)]

    def _means(self) -> Means:
        names = [self.vendor.provider, *(f"{self.vendor.provider}.{each}" for each in self.vendor.bases)]
        given = {
            "outbound_allow": ("127.0.0.1",),
            "integration_base_urls": {name: self.server.url(target=f"/{name}") for name in names},
            **self.settings,
        }
        settings = Settings(**given)

        async def values(tenant: UUID, names: Collection[str]) -> dict[str, str]:
            assert tenant == TENANT
            return {name: self.secrets[name] for name in names if name in self.secrets}

        async def wait(seconds: float) -> None:
            self.waited.append(seconds)
            await asyncio.sleep(0)

        return Means(settings, Outbound(settings), values, wait)


class calling:
    """A caller and its service, as a context. `says` is what the service answers in place of the vendor's own."""

    def __init__(self, vendor: Vendor, says: Says | Answer | None = None, **settings: Any) -> None:
        given: Any = says or vendor.says
        self._vendor = vendor
        self._settings = settings
        self._context = wild_server(given if asyncio.iscoroutinefunction(given) else saying(given))

    async def __aenter__(self) -> Caller:
        google_account.tokens.clear()
        return Caller(self._vendor, await self._context.__aenter__(), settings=self._settings)

    async def __aexit__(self, *error: object) -> None:
        await self._context.__aexit__(*error)


def first(answer: bytes, then: Says) -> Says:
    """One answer, and from then on another."""
    left = [answer]
    return lambda seen: left.pop() if left else then(seen)
