"""An HTTP client for libraries that make their calls themselves (MCP): theirs is the HTTP, ours are the connections and the limits."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from mentha import __version__
from mentha.core import lazy
from mentha.core.errors import OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.tools.outbound.calls import Headers, OutboundLimits
from mentha.tools.outbound.dial import Connection

if TYPE_CHECKING:
    import httpx2

CONNECTIONS_MAX = 10
KEEPALIVE_S = 30.0

Connect = Callable[[str, int], Awaitable[Connection]]


def make(
    connect: Connect,
    certificates: ssl.SSLContext,
    limits: OutboundLimits,
    *,
    headers: Headers = (),
    silence_s: float | None = None,
    objects_max: int | None = None,
) -> "httpx2.AsyncClient":
    """A client whose connections `connect` opens, checked. It follows no redirects and reads no environment; its cookies are its own.

    Args:
        headers: of each of its calls, checked.
        silence_s: how long an answer may say nothing in its middle; None: as long as `limits` let a call take.
        objects_max: most objects and lists in an answer that is JSON; None: any number.
    """
    httpx2, httpcore2 = lazy.load("httpx2"), lazy.load("httpcore2")
    transport = httpx2.AsyncHTTPTransport(verify=certificates, trust_env=False)
    # The transport has no parameter for the backend of its pool, which the pool itself does have.
    transport._pool = httpcore2.AsyncConnectionPool(  # noqa: SLF001 - see above
        ssl_context=certificates,
        max_connections=CONNECTIONS_MAX,
        max_keepalive_connections=CONNECTIONS_MAX,
        keepalive_expiry=KEEPALIVE_S,
        network_backend=_Backend(connect),
    )
    limited = _transport_class()(transport, limits.response_bytes_max, objects_max)
    return httpx2.AsyncClient(
        transport=limited,
        headers=[("user-agent", f"mentha/{__version__}"), *headers],
        timeout=httpx2.Timeout(limits.timeout_s, read=silence_s or limits.timeout_s),
        trust_env=False,
        follow_redirects=False,
        max_redirects=limits.redirects_max,
    )


class _Meter:
    """Counts what came of one answer."""

    def __init__(self, bytes_max: int, objects_max: int | None) -> None:
        self._bytes_max = bytes_max
        self._bytes_left = bytes_max
        self._objects_max = objects_max
        self._objects = 0

    def count(self, piece: bytes) -> None:
        """Note a piece.

        Raises:
            OutboundRefused: it is one too many.
        """
        self._bytes_left -= len(piece)
        if self._bytes_left < 0:
            raise OutboundRefused(
                f"the answer has more than {self._bytes_max:,} bytes",
                rule="response_size",
                fix="ask for less; the operator can raise MENTHA_OUTBOUND_RESPONSE_BYTES_MAX",
            )
        if self._objects_max is None:
            return
        # What a library makes of JSON costs by its objects, not by its bytes. Those inside of texts count too.
        self._objects += piece.count(b"{") + piece.count(b"[")
        if self._objects > self._objects_max:
            raise OutboundRefused(
                f"the answer has more than {self._objects_max:,} objects and lists", rule="response_objects", fix="ask for less"
            )


class _Backend:
    """What a pool of `httpcore2` takes as `network_backend`."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **_: Any) -> Connection:
        """A connection to a host that may be reached; what fails is told by the library's errors, which its callers expect."""
        httpcore2: Any = lazy.load("httpcore2")
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(host, port)
        except (TimeoutError, OutboundTimeout) as error:
            raise httpcore2.ConnectTimeout(str(error)) from error
        except OutboundFailed as error:
            raise httpcore2.ConnectError(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        """Wait; the pool does so between attempts to connect."""
        await asyncio.sleep(seconds)


@cache
def _transport_class() -> Any:
    """A transport that takes no more of an answer than it may. Made here, since its base classes load late."""
    httpx2: Any = lazy.load("httpx2")

    class Counted(httpx2.AsyncByteStream):
        def __init__(self, stream: Any, meter: _Meter) -> None:
            self._stream = stream
            self._meter = meter

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for piece in self._stream:
                self._meter.count(piece)
                yield piece

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Limited(httpx2.AsyncBaseTransport):
        def __init__(self, inner: Any, bytes_max: int, objects_max: int | None) -> None:
            self._inner = inner
            self._bytes_max = bytes_max
            self._objects_max = objects_max

        async def handle_async_request(self, request: "httpx2.Request") -> "httpx2.Response":
            # The library decompresses without a limit that we could set, codings inside of codings included.
            request.headers["accept-encoding"] = "identity"
            response = await self._inner.handle_async_request(request)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                await response.aclose()
                raise httpx2.RemoteProtocolError("the answer is compressed, which was not asked for", request=request)
            response.stream = Counted(response.stream, _Meter(self._bytes_max, self._objects_max))
            return response

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Limited
