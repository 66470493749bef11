"""Calls of integrations as tools make them, with services that stand on loopback and waits that take no time."""

import asyncio
import inspect
import ssl
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID

from mentha.core import config
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


@cache
def trusted() -> ssl.SSLContext:
    """Whom to trust: read once, since reading takes longer than all of a call."""
    return ssl.create_default_context()


Says = Callable[[Seen], bytes]


@dataclass
class Caller:
    """Calls one service. What it gave, what it raised and what was told of it are kept, to be searched for secrets."""

    vendor: Vendor
    server: WildServer
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    waited: list[float] = field(default_factory=list[float])
    shown: list[str] = field(default_factory=list[str])

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
        given: dict[str, Any] = {
            "outbound_allow": ("127.0.0.1",),
            "integration_base_urls": {name: self.server.url(target=f"/{name}") for name in names},
            **self.settings,
        }
        settings = config.load(environ={}, flags=given)

        async def values(tenant: UUID, names: Collection[str]) -> dict[str, str]:
            assert tenant == TENANT
            return {name: self.secrets[name] for name in names if name in self.secrets}

        async def wait(seconds: float) -> None:
            self.waited.append(seconds)
            await asyncio.sleep(0)

        return Means(settings, Outbound(settings, certificates=trusted()), values, wait)


@asynccontextmanager
async def calling(vendor: Vendor, says: Says | Answer | None = None, **settings: Any) -> AsyncGenerator[Caller]:
    """A caller and its service. `says` is what the service answers in place of the vendor's own."""
    given: Any = says or vendor.says
    google_account.tokens.clear()
    async with wild_server(given if inspect.iscoroutinefunction(given) else saying(given)) as server:
        yield Caller(vendor, server, settings=settings)


def first(answer: bytes, then: Says) -> Says:
    """One answer, and from then on another."""
    left = [answer]
    return lambda seen: left.pop() if left else then(seen)
