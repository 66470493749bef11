"""`Outbound`: what a tenant points at is reached through here, or not at all.

    request      one HTTP call, redirects included             → OutboundResponse
    client       an HTTP client for a library that makes its calls itself
    open_tcp     a connection for another protocol
    check_url    for what dials by itself, and can be given an address in place of a name

A call goes: form (`calls`, `urls`) → host and addresses (`dial`, `addresses`) → connection → TLS for the host's name → request and answer
(`exchange`), each with a limit, and the same again for each redirect. Nothing is taken from the environment: no proxy, no `.netrc`, no
certificates; no cookie is kept. No connection is used for two calls: what one tenant's left on it (a login, an answer half read) would be
another's.

No event and no message has more of an address than its host.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from mentha import observe
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.core.errors import OutboundError, OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.observe.events import OutboundCalled, OutboundRefusedSeen, redacted
from mentha.tools.outbound import addresses, client, exchange
from mentha.tools.outbound.calls import Headers, OutboundCall, OutboundLimits, OutboundResponse, Sent, checked_headers, first, follow
from mentha.tools.outbound.dial import Connection, Dialler, Resolve
from mentha.tools.outbound.urls import parse

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """An address that may be called, in its parts, with where it leads. Dial one of `addresses`, and let the certificate name `host`."""

    url: str
    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]


@dataclass(slots=True)
class _Trail:
    """How far a call came, for its event."""

    tenant: UUID
    host: str = ""
    status: int = 0
    redirects: int = 0
    is_sent: bool = False


class Outbound:
    """One per process. It holds no connection, so there is nothing to close.

    Args:
        resolve: finds the addresses of a name; `None` asks the system.
        certificates: whom to trust; `None` is the list that comes with the HTTP library.

    Raises:
        ConfigInvalid: `outbound_allow` has an entry that is none.
    """

    def __init__(self, settings: Settings, *, resolve: Resolve | None = None, certificates: ssl.SSLContext | None = None) -> None:
        self.limits = OutboundLimits.of(settings)
        self._dialler = Dialler(settings, resolve)
        self._certificates = certificates
        self._loading = asyncio.Lock()

    async def request(self, call: OutboundCall, *, limits: OutboundLimits | None = None) -> OutboundResponse:
        """Make a call and give its whole answer, whatever its status.

        Args:
            limits: tighter ones than `self.limits`, made of those by `dataclasses.replace`.

        Raises:
            OutboundRefused: the call is not allowed, the certificate is not valid, or the answer exceeds a limit. Sending it again changes
                nothing.
            OutboundFailed: the name is not known, nobody answers, the answer is broken. A retry may help; where `is_sent`, the call may
                have had its effect.
            OutboundTimeout: the answer was not complete in time. The call may have had its effect.
        """
        limits = limits.at_most(self.limits) if limits else self.limits
        trail = _Trail(call.tenant)
        with _told(trail, call.method.upper()):
            async with _limited(limits.timeout_s, trail):
                sent: Sent | OutboundResponse = first(call, limits)
                while isinstance(sent, Sent):
                    if trail.redirects > limits.redirects_max:
                        raise _too_many(limits)
                    try:
                        sent = await self._exchange(call, sent, limits, trail)
                    except OutboundFailed as error:
                        error.is_sent = trail.is_sent
                        raise
            return sent

    async def check_url(self, url: str, *, tenant: UUID) -> CheckedUrl:
        """Check an address and what its host leads to, for a library that dials by itself. Give it an address to dial, never the name.

        Raises:
            OutboundRefused: it may not be called.
            OutboundFailed: the name is not known.
            OutboundTimeout: it could not be looked up in time.
        """
        trail = _Trail(tenant)
        with _told(trail):
            parts = parse(url)
            trail.host = parts.place.host
            found = await self._dialler.check(tenant, parts.place)
        return CheckedUrl(str(parts), parts.scheme, found.place.host, found.place.port, parts.target, found.addresses)

    @asynccontextmanager
    async def open_tcp(
        self, host: str, port: int, *, tenant: UUID, ports: Collection[int] | None, tls: bool = False, timeout_s: float | None = None
    ) -> AsyncGenerator[Connection]:
        """A connection for a protocol that is not HTTP, closed at the end. For TLS later on (STARTTLS) give it to `secure`.

        Args:
            ports: those of the protocol; another one needs a rule of the operator that names it. None is all that HTTP may go to.
            timeout_s: for look-up, connection and TLS. What is done with the connection then is for the caller to bound.

        Raises:
            OutboundRefused: it may not be reached, or the certificate is not valid.
            OutboundFailed: the name is not known, or nobody answers.
            OutboundTimeout: it was not open in time.
        """
        trail = _Trail(tenant)
        limit_s = min(timeout_s or self.limits.timeout_s, self.limits.timeout_s)
        with _told(trail):
            async with _limited(limit_s, trail):
                connection = await self._open(tenant, addresses.place(host, port), trail, ports=ports, tls=tls)
        try:
            yield connection
        finally:
            await connection.aclose()

    async def secure(self, stream: Connection, host: str) -> None:
        """Put TLS on a connection of `open_tcp`, for the host's name. Read all that came before TLS first.

        Raises:
            OutboundRefused: the certificate is not trusted, or not for this name.
            OutboundFailed: the connection broke; or something came before TLS and was not read, which would pass for a part of what comes
                under TLS.
        """
        if not stream.is_read_up:
            raise OutboundFailed(f"`{addresses.shown(host)}` sent something before TLS that nobody asked for, or closed the connection")
        await exchange.secure(stream, host, await self._trusted())

    async def client(
        self,
        *,
        tenant: UUID,
        headers: Headers = (),
        limits: OutboundLimits | None = None,
        silence_s: float | None = None,
        objects_max: int | None = None,
    ) -> "httpx2.AsyncClient":
        """An HTTP client for a library that takes one. Each of its connections is checked like ours; close it at the end of its use.

        It follows no redirects, takes no compression, and fails an answer that has more bytes than `limits` while it is read. Connections
        and cookies stay among its own calls, so it serves one tenant's use of one service and no more. Its calls raise `OutboundRefused`
        for what is not allowed, and the library's errors for what fails.

        Args:
            headers: of each of its calls.
            limits: tighter ones than `self.limits`.
            silence_s: how long a stream may say nothing, where that is longer than a call may take.
            objects_max: most objects and lists in an answer that is JSON.

        Raises:
            OutboundRefused: a header is not what may be sent.
        """
        checked = checked_headers(headers)
        limits = limits.at_most(self.limits) if limits else self.limits
        certificates = await self._trusted()

        async def connect(host: str, port: int) -> Connection:
            trail = _Trail(tenant)
            with _told(trail):
                return await self._open(tenant, addresses.place(host, port), trail)

        return client.make(connect, certificates, limits, headers=checked, silence_s=silence_s, objects_max=objects_max)

    async def _exchange(self, call: OutboundCall, sent: Sent, limits: OutboundLimits, trail: _Trail) -> Sent | OutboundResponse:
        """Make one request; gives the answer, or the request that it redirects to."""
        connection = await self._open(call.tenant, sent.url.place, trail, tls=sent.url.scheme == "https")
        trail.is_sent = True
        try:
            going = await exchange.Exchange.begin(connection, sent, limits.response_bytes_max)
            trail.status = going.head.status
            following = follow(sent, trail.status, going.head.header("location")) if call.follow_redirects else None
            if following is not None:
                trail.redirects += 1
                return following
            body = await going.body()
        finally:
            await connection.aclose()
        return OutboundResponse(status=trail.status, headers=going.head.lasting, body=body, url=str(sent.url), redirects=trail.redirects)

    async def _open(
        self, tenant: UUID, place: addresses.Place, trail: _Trail, *, ports: Collection[int] | None = None, tls: bool = False
    ) -> Connection:
        trail.host = place.host
        certificates = await self._trusted()
        connection = await self._dialler.open(tenant, await self._dialler.check(tenant, place, ports=ports))
        if tls:
            try:
                await exchange.secure(connection, place.host, certificates)
            except BaseException:
                await connection.aclose()
                raise
        return connection

    async def _trusted(self) -> ssl.SSLContext:
        """Whom to trust; the HTTP libraries are loaded then."""
        async with self._loading:
            if self._certificates is None:
                # Imports, and 20 ms to read the certificates: not on the event loop.
                self._certificates = await asyncio.to_thread(_load_certificates)
            return self._certificates


def _load_certificates() -> ssl.SSLContext:
    http: Any = lazy.load("httpx2")
    lazy.load("httpcore2")
    return http.create_ssl_context(trust_env=False)


@asynccontextmanager
async def _limited(limit_s: float, trail: _Trail) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        told = f"`{addresses.shown(trail.host)}` gave no complete answer" if trail.host else "the call did not end"
        raise OutboundTimeout(
            f"{told} within {limit_s:.3g} s", fix="ask for less; the operator can raise MENTHA_OUTBOUND_TIMEOUT_S"
        ) from None


@contextmanager
def _told(trail: _Trail, method: str = "") -> Generator[None]:
    """Tell how it ended: what was refused in any case, what was answered or failed where it is a call."""
    began = time.perf_counter()

    def ended(outcome: Literal["answered", "failed", "timeout"], status: int) -> None:
        if method:
            # A redirect can lead to a host that is named after what it was sent.
            host, took_s = redacted(addresses.shown(trail.host)), time.perf_counter() - began
            observe.emit(
                OutboundCalled(
                    tenant=str(trail.tenant),
                    host=host,
                    method=method,
                    outcome=outcome,
                    status=status,
                    redirects=trail.redirects,
                    took_s=took_s,
                )
            )

    try:
        yield
    except OutboundRefused as error:
        observe.emit(OutboundRefusedSeen(tenant=str(trail.tenant), host=addresses.shown(trail.host), rule=error.rule))
        raise
    except OutboundError as error:
        ended("timeout" if isinstance(error, OutboundTimeout) else "failed", 0)
        raise
    ended("answered", trail.status)


def _too_many(limits: OutboundLimits) -> OutboundRefused:
    return OutboundRefused(
        f"the call was redirected more than {limits.redirects_max} times",
        rule="redirects",
        fix="call the final address itself; the operator can raise MENTHA_OUTBOUND_REDIRECTS_MAX",
    )
