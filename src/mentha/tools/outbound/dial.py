"""From a host to a connection: the name is looked up once, every address of it is checked, and one of those is dialled.

This is the only module that connects to where a tenant wants. Whoever dials gets addresses, never the name: a name server that would give
another answer the second time ("DNS rebinding") is not asked a second time. `door.py` is what stands in front.

Each connection takes a place among those of its tenant, of its host, and of the process, and gives it back when it is closed.
"""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from uuid import UUID

from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.providers import network
from mentha.tools.outbound import addresses
from mentha.tools.outbound.addresses import Place

LOOKUP_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10.0
# A look-up holds a thread until the system's resolver gives up, which may be half a minute after we did. Apart from the threads of the
# process, so that tenants with dead name servers don't hold up everything else; each tenant has its share.
LOOKUPS_MAX = 32
LOOKUPS_PER_TENANT_MAX = 8
TENANT_SHARE = 4
READ_BYTES_MAX = 16_384
# Any will do: nothing is sent there.
PROBE_PORT = 9

# Finds the addresses of a name. Raises OSError where it has none.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Checked:
    """A host that may be reached, with the addresses that may be dialled for it, in their order."""

    place: Place
    addresses: tuple[str, ...]


class Slots:
    """Counted places, `each_max` for a key. Waiting is fair; a key that nobody holds or waits for leaves nothing behind."""

    def __init__(self, each_max: int) -> None:
        self._each_max = each_max
        self._free: dict[object, asyncio.Semaphore] = {}
        self._users: Counter[object] = Counter()

    async def take(self, key: object) -> None:
        """Take a place, waiting for one."""
        self._users[key] += 1
        try:
            await self._free.setdefault(key, asyncio.Semaphore(self._each_max)).acquire()
        except BaseException:
            self._leave(key)
            raise

    def give(self, key: object) -> None:
        """Give a place back."""
        self._free[key].release()
        self._leave(key)

    @asynccontextmanager
    async def held(self, key: object) -> AsyncGenerator[None]:
        """A place while the block runs."""
        await self.take(key)
        try:
            yield
        finally:
            self.give(key)

    def _leave(self, key: object) -> None:
        self._users[key] -= 1
        if not self._users[key]:
            del self._users[key], self._free[key]


class Connection(network.Stream):
    """An open connection, which gives its places back when it is closed.

    It hands on what came in by small pieces, with a turn of the event loop before each but the first. A parser that makes ten thousand
    events of one read (empty messages, pieces of a byte) would hold the loop all the while.
    """

    def __init__(self, pipe: network.Pipe, release: Callable[[], None]) -> None:
        super().__init__(pipe)
        self._release: Callable[[], None] | None = release
        self._came = b""
        self._given = 0
        self._bytes_left: int | None = None

    def allow(self, bytes_max: int) -> None:
        """Let no more than so many bytes be read from now on; without it any number may."""
        self._bytes_left = bytes_max

    @property
    def is_read_up(self) -> bool:
        """Whether all that came in was read, and the other side is there."""
        return self._given == len(self._came) and not self.get_extra_info("is_readable")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some of what came in, waiting for something; empty at the end.

        Raises:
            OutboundRefused: it would be more than `allow` has let.
        """
        if self._given < len(self._came):
            await asyncio.sleep(0)
        else:
            self._came, self._given = await super().read(max_bytes, timeout), 0
        piece = self._came[self._given : self._given + min(max_bytes, READ_BYTES_MAX)]
        self._given += len(piece)
        if self._bytes_left is not None:
            self._bytes_left -= len(piece)
            if self._bytes_left < 0:
                raise OutboundRefused("the server sends more around its answer than an answer needs", rule="response_framing")
        return piece

    async def receive(self, max_bytes: int) -> bytes:
        """The same for protocols that are not HTTP: empty also where the connection broke."""
        http: Any = lazy.load("httpcore2")
        try:
            return await self.read(max_bytes)
        except http.NetworkError:
            return b""

    async def send(self, data: bytes) -> bool:
        """Send all of it; false where the connection is broken. For protocols that are not HTTP."""
        http: Any = lazy.load("httpcore2")
        try:
            await self.write(data)
        except http.NetworkError:
            return False
        return True

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> network.Stream:
        """The same connection with TLS on it.

        Raises:
            OutboundRefused: the certificate is not trusted, or not for this name; in a minute it is no other one.
        """
        http: Any = lazy.load("httpcore2")
        try:
            return await super().start_tls(ssl_context, server_hostname, timeout)
        except http.ConnectError as error:
            if not isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise
            raise OutboundRefused(
                f"`{addresses.shown(server_hostname or '')}` has no valid certificate for its name",
                rule="certificate",
                fix="check the address; the server needs a certificate of a public authority for this name",
            ) from None

    async def aclose(self) -> None:
        """Close at once; more than once is the same as once."""
        release, self._release = self._release, None
        if release is not None:
            release()
        await super().aclose()


class Dialler:
    """One per process. Holds nothing but counts.

    Args:
        resolve: finds the addresses of a name; `None` asks the system.
    """

    def __init__(self, settings: Settings, resolve: Resolve | None = None) -> None:
        self._rules = addresses.parse_rules(settings.outbound_allow)
        self._resolve = resolve
        self._all = Slots(settings.outbound_connections_max)
        self._by_tenant = Slots(max(1, settings.outbound_connections_max // TENANT_SHARE))
        self._by_host = Slots(settings.outbound_connections_per_host_max)
        self._lookups = Slots(LOOKUPS_MAX)
        self._lookups_by_tenant = Slots(LOOKUPS_PER_TENANT_MAX)

    async def check(self, tenant: UUID, there: Place, *, ports: Collection[int] | None = None) -> Checked:
        """Look the host up and check all that it has. Nothing is dialled.

        Args:
            ports: those that may be reached without a rule that names the port; `None` is all but `addresses.BLOCKED_PORTS`.

        Raises:
            OutboundRefused: it may not be reached.
            OutboundFailed: the name is not known.
            OutboundTimeout: no answer within `LOOKUP_TIMEOUT_S`.
        """
        addresses.check_name(there, self._rules)
        found = [there.host] if there.literal is not None else await self._look_up(tenant, there)
        dialled = addresses.checked(there, found, self._rules, ports)
        if any(not addresses.opened(there, address, self._rules) and _is_own(address) for address in dialled):
            raise OutboundRefused(
                f"`{addresses.shown(there.host)}` leads to this server's own machine",
                rule="own_machine",
                fix=f"the operator can add the host, or its network, to {addresses.SETTING}",
            )
        return Checked(there, dialled[: network.ADDRESSES_MAX])

    async def open(self, tenant: UUID, to: Checked) -> Connection:
        """A connection to the first of the checked addresses that accepts one. The caller closes it.

        Waits where too many are open. Bound the whole by a limit of your own.

        Raises:
            OutboundFailed: none accepts one within `CONNECT_TIMEOUT_S`.
        """
        release = await self._take(tenant, to.place)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return Connection(await network.dial(to.addresses, to.place.port), release)
        except BaseException as error:
            release()
            if not isinstance(error, OSError):
                raise
            name = addresses.shown(to.place.host)
            raise OutboundFailed(
                f"`{name}` can't be reached at port {to.place.port}", fix="check the address, or try again later"
            ) from None

    async def _look_up(self, tenant: UUID, there: Place) -> Sequence[str]:
        name = addresses.shown(there.host)
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                return await (self._resolve(there.host, there.port) if self._resolve else self._ask_system(tenant, there))
        except TimeoutError:
            raise OutboundTimeout(f"the name `{name}` could not be looked up within {LOOKUP_TIMEOUT_S:g} s") from None
        except (OSError, UnicodeError):
            raise OutboundFailed(f"the name `{name}` can't be found", fix="check the host, or try again later") from None

    async def _ask_system(self, tenant: UUID, there: Place) -> Sequence[str]:
        await self._lookups_by_tenant.take(tenant)
        try:
            await self._lookups.take("")
        except BaseException:
            self._lookups_by_tenant.give(tenant)
            raise

        def ended(_: object) -> None:
            self._lookups.give("")
            self._lookups_by_tenant.give(tenant)

        answer = _ask_in_thread(there.host, there.port)
        # When the thread ends, which may be long after nobody waits any more.
        answer.add_done_callback(ended)
        return await asyncio.shield(answer)

    async def _take(self, tenant: UUID, there: Place) -> Callable[[], None]:
        # The narrow ones first: who waits for a host holds none of the places that all share.
        wanted = ((self._by_tenant, tenant), (self._by_host, there.netloc), (self._all, ""))
        taken: list[tuple[Slots, object]] = []

        def release() -> None:
            for slots, key in taken:
                slots.give(key)

        try:
            for slots, key in wanted:
                await slots.take(key)
                taken.append((slots, key))
        except BaseException:
            release()
            raise
        return release


def _is_own(address: str) -> bool:
    """Whether this machine has the address itself: then the system would take it for both ends. No packet is sent."""
    wanted = ip_address(address)
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET6 if wanted.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe,
    ):
        probe.connect((address, PROBE_PORT))
        return ip_address(str(probe.getsockname()[0])) == wanted
    return False


def _ask_in_thread(host: str, port: int) -> "asyncio.Future[list[str]]":
    """What the system's resolver says, in a thread of its own that a process which ends does not wait for."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str] | None, error: Exception | None) -> None:
        if error is not None:
            answer.set_exception(error)
            # Where nobody waits any more, nobody asks for the exception either, which is no fault.
            answer.exception()
        else:
            answer.set_result(found or [])

    def ask() -> None:
        found, failure = None, None
        try:
            found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            failure = error
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, found, failure)

    threading.Thread(target=ask, name="outbound-lookup", daemon=True).start()
    return answer
