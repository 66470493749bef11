"""The HTTP calls: bytes out, an open response in, through the `openai` SDK on one shared HTTP client.

What the SDK would add by itself is switched off here, each for a reason: keys, headers and organisation ids out of its own environment
variables (they would go to every provider), proxies out of the environment, redirects (they would carry the key to another address),
cookies (they would join what different tenants do), retries (a turn would be billed twice), telemetry headers.

Everything that is slow to import loads at the first call, in a thread.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterable, AsyncIterator
from functools import cache, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, cast

from mentha import __version__
from mentha.core import lazy
from mentha.core.config import Settings
from mentha.providers import network
from mentha.providers.types import Route

if TYPE_CHECKING:
    import httpx2

CLIENTS_MAX = 32
CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 30.0
KEEPALIVE_CONNECTIONS_MAX = 100
# Connections beyond those of turns: lists of models, checks.
SPARE_CONNECTIONS = 16
ERROR_BODY_BYTES_MAX = 64_000


class BodyTooLarge(Exception):
    """The body of the answer exceeds the limit that the caller gave."""


class Transport:
    """One per process. Holds connections once it was used; `close` ends them."""

    def __init__(self, settings: Settings) -> None:
        self._connections_max = settings.turns_at_once_max + SPARE_CONNECTIONS
        self._http: httpx2.AsyncClient | None = None
        self._clients: OrderedDict[tuple[str, str, bytes], _Client] = OrderedDict()
        self._loading = asyncio.Lock()
        self._closed = False

    async def post(self, route: Route, body: bytes) -> "httpx2.Response":
        """Send `body` to `/chat/completions`; gives the response with its body unread. The caller closes it.

        Raises:
            openai.OpenAIError: the call failed, or the status is no 2xx; `failures.from_exception` knows what it means.
        """
        client = await self._client(route)
        return await client.sdk.post(client.chat_url, content=body, **client.call)

    async def post_embeddings(self, route: Route, body: bytes) -> "httpx2.Response":
        """Send `body` to `/embeddings`; otherwise as `post`."""
        client = await self._client(route)
        return await client.sdk.post(client.embeddings_url, content=body, **client.call)

    async def get(self, route: Route, path: str) -> "httpx2.Response":
        """Ask for `path` below the base URL; otherwise as `post`."""
        client = await self._client(route)
        return await client.sdk.get(path, **client.call)

    async def close(self) -> None:
        """Close every connection. Calls made later fail."""
        self._closed = True
        self._clients.clear()
        if self._http is not None:
            await self._http.aclose()

    async def _client(self, route: Route) -> "_Client":
        key = route.api_key.get_secret_value() if route.api_key else ""
        slot = (route.provider, route.base_url, hashlib.sha256(key.encode()).digest())
        client = self._clients.get(slot)
        if client is None:
            http = await self._loaded()
            client = self._clients[slot] = _Client(http, route.base_url, key)
            while len(self._clients) > CLIENTS_MAX:
                # The SDK's client owns nothing: the connections are those of the shared HTTP client.
                self._clients.popitem(last=False)
        else:
            self._clients.move_to_end(slot)
        return client

    async def _loaded(self) -> "httpx2.AsyncClient":
        async with self._loading:
            if self._closed:
                raise ConnectionError("the server is stopping")
            if self._http is None:
                # 0.5 s of imports and 20 ms to read the certificates: not on the event loop.
                self._http = await asyncio.to_thread(_make_http_client, self._connections_max)
            return self._http


class _Client:
    """The SDK's client for one address and key, with what every call of it needs, built once."""

    __slots__ = ("call", "chat_url", "embeddings_url", "sdk")

    def __init__(self, http: "httpx2.AsyncClient", base_url: str, key: str) -> None:
        openai, httpx2 = lazy.load("openai"), lazy.load("httpx2")
        # A key must be given, or the SDK takes the one in OPENAI_API_KEY for any address; where there is none the header is left out.
        self.sdk: Any = _client_class()(
            api_key=key or "none",
            admin_api_key="",
            base_url=base_url,
            http_client=http,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
        )
        # Whole, so that the SDK does not put it together, and take it apart, for each call.
        self.chat_url = f"{base_url.rstrip('/')}/chat/completions"
        self.embeddings_url = f"{base_url.rstrip('/')}/embeddings"
        omitted = ["x-stainless-retry-count", "x-stainless-read-timeout", *([] if key else ["Authorization"])]
        headers = dict.fromkeys(omitted, openai.Omit())
        # Asking for the response class itself gives the raw response, and with `stream` its body is left unread.
        self.call: dict[str, Any] = {
            "cast_to": httpx2.Response,
            "options": {"headers": headers},
            "stream": True,
            "stream_cls": openai.AsyncStream,
        }


def pieces(response: "httpx2.Response") -> AsyncIterator[bytes]:
    """The body as it comes off the wire. We ask for no compression; a server that compresses all the same is decoded."""
    # Not `aiter_raw`, which adds a layer to each piece only to count bytes.
    return response.aiter_bytes() if response.headers.get("content-encoding") else aiter(cast("AsyncIterable[bytes]", response.stream))


def limit(response: "httpx2.Response", deadline: float) -> asyncio.TimerHandle:
    """Let reading this answer fail with a timeout from `deadline` on; cancel what it returns when the answer was read. See `network`."""
    stream: network.Stream = response.extensions["network_stream"]
    return stream.limit(deadline)


async def read(response: "httpx2.Response", bytes_max: int) -> bytes:
    """The whole body; the response is closed in any case.

    Raises:
        BodyTooLarge: it has more than `bytes_max` bytes; no more than that was read.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for piece in pieces(response):
            size += len(piece)
            if size > bytes_max:
                raise BodyTooLarge
            parts.append(piece)
    finally:
        await response.aclose()
    return b"".join(parts)


def _make_http_client(connections_max: int) -> "httpx2.AsyncClient":
    httpx2 = lazy.load("httpx2")
    lazy.load("openai")
    _client_class()
    transport = _make_http_transport(connections_max)
    capped = _capped_class()

    class Client(httpx2.AsyncClient):
        """The library's client without what it does around each request and we have no use for: its own headers, cookies, redirects, logs.

        That was a tenth of the cost of a call.
        """

        def build_request(self, method: str, url: Any, **given: Any) -> "httpx2.Request":
            extensions = {"timeout": httpx2.Timeout(given.pop("timeout")).as_dict()}
            return httpx2.Request(method, _url(url), extensions=extensions, **given)

        async def send(self, request: "httpx2.Request", *, stream: bool = False, **_: Any) -> "httpx2.Response":
            if self.is_closed:
                raise ConnectionError("the server is stopping")
            response = await transport.handle_async_request(request)
            response.request = request
            if response.status_code >= 300:
                # The SDK reads the body of an error whole, whatever its size.
                response.stream = capped(response.stream)
            if not stream:
                await response.aread()
            return response

    return Client(transport=transport, trust_env=False, follow_redirects=False, cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())))


def _make_http_transport(connections_max: int) -> "httpx2.AsyncHTTPTransport":
    httpx2, httpcore2 = lazy.load("httpx2"), lazy.load("httpcore2")
    certificates = httpx2.create_ssl_context(trust_env=False)
    made = httpx2.AsyncHTTPTransport(verify=certificates, trust_env=False)
    # The transport has no parameter for the backend of its pool, which the pool itself does have.
    made._pool = httpcore2.AsyncConnectionPool(  # noqa: SLF001 - see above
        ssl_context=certificates,
        max_connections=connections_max,
        max_keepalive_connections=min(connections_max, KEEPALIVE_CONNECTIONS_MAX),
        keepalive_expiry=KEEPALIVE_S,
        network_backend=network.Backend(),
    )
    return made


@lru_cache(maxsize=2 * CLIENTS_MAX)
def _url(url: str) -> Any:
    return lazy.load("httpx2").URL(url)


@cache
def _client_class() -> Any:
    """The SDK's client with our headers in place of its own. Made here, since its base class loads late."""
    openai = lazy.load("openai")
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": f"mentha/{__version__}",
    }

    class Client(openai.AsyncOpenAI):
        @property
        def default_headers(self) -> dict[str, str]:
            return headers

        def _prepare_url(self, url: str) -> Any:
            # The SDK's own parses the address for each call. Should a later SDK not ask here any more, calls cost a little more.
            return _url(url) if url.startswith("http") else super()._prepare_url(url)

    return Client


@cache
def _capped_class() -> Any:
    """A stream of a body that ends after `ERROR_BODY_BYTES_MAX`."""
    httpx2 = lazy.load("httpx2")

    class Capped(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = ERROR_BODY_BYTES_MAX
            async for piece in self._stream:
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Capped
