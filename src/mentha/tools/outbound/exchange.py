"""One request and its answer over one open connection, each part of the answer counted before it is kept."""

import asyncio
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mentha.core import lazy
from mentha.core.errors import OutboundFailed, OutboundRefused
from mentha.providers import network
from mentha.tools.outbound.addresses import shown
from mentha.tools.outbound.calls import Headers, Sent
from mentha.tools.outbound.dial import Connection
from mentha.tools.outbound.inflate import CODINGS, Broken, Inflater

if TYPE_CHECKING:
    import httpcore2

TLS_TIMEOUT_S = 10.0
HEADERS_MAX = 256
# All that may come before the answer's own head has ended: announcements (1xx) may be sent without end.
HEAD_BYTES_MAX = 65_536
# What may frame the body: sizes of pieces, with their extensions, and trailers.
FRAMING_BYTES_MAX = 2_000_000
# A server may send its body in pieces of one byte, each of which costs as much as a large one.
PIECES_MAX = 50_000
# After so many pieces, or any that was decompressed, the event loop gets its turn: one read may hold thousands of them.
PIECES_A_TURN = 32
# What tells how the body was sent. It is told of a body that was put together and decompressed here, so it is not true any more.
HEADERS_OF_FRAMING = frozenset({"connection", "keep-alive", "transfer-encoding", "content-encoding", "content-length", "trailer"})


@dataclass(frozen=True, slots=True)
class Head:
    """The first part of an answer. Names of headers are in lower case."""

    status: int
    headers: Headers

    def header(self, name: str) -> str:
        """The first header of this name; empty where there is none."""
        return next((value for found, value in self.headers if found == name), "")

    @property
    def lasting(self) -> Headers:
        """The headers but for those that told how the body was sent."""
        return tuple(pair for pair in self.headers if pair[0] not in HEADERS_OF_FRAMING)


class Exchange:
    """A request that was sent on a connection, and its answer. The caller closes the connection."""

    def __init__(self, sent: Sent, response: "httpcore2.Response", bytes_max: int) -> None:
        self._sent = sent
        self._response = response
        self._bytes_max = bytes_max
        self.head = _head(sent, response)

    @classmethod
    async def begin(cls, stream: Connection, sent: Sent, bytes_max: int) -> "Exchange":
        """Send the request and wait for the head of the answer.

        Raises:
            OutboundFailed: the connection broke, or what came is no HTTP.
            OutboundRefused: the head has more than `HEADERS_MAX` headers.
        """
        http: Any = lazy.load("httpcore2")
        place = sent.url.place
        origin = http.Origin(sent.url.scheme.encode(), place.host.encode(), place.port)
        address = http.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=sent.url.target)
        request = http.Request(sent.method, address, headers=sent.lines, content=sent.body)
        stream.allow(HEAD_BYTES_MAX)
        with _broken(place.host):
            response = await http.AsyncHTTP11Connection(origin, stream).handle_async_request(request)
        stream.allow(bytes_max + FRAMING_BYTES_MAX)
        return cls(sent, response, bytes_max)

    async def body(self) -> bytes:
        """The whole body, decompressed.

        Raises:
            OutboundFailed: it broke off, or is not compressed as it says.
            OutboundRefused: it has more than `bytes_max` bytes, before or after decompression, or comes in too many pieces.
        """
        told = self.head.header("content-length")
        if self._sent.method != "HEAD" and told.isdigit() and int(told[:20]) > self._bytes_max:
            raise self._too_large()
        name = self._sent.url.place.host
        try:
            with _broken(name):
                return await self._read(self._inflater())
        except Broken:
            raise OutboundFailed(f"`{shown(name)}` sent a body that is not compressed as its header says") from None

    async def _read(self, inflater: Inflater | None) -> bytes:
        parts: list[bytes] = []
        left, raw_left, pieces = self._bytes_max, self._bytes_max, 0
        stream: Any = self._response.stream
        async for raw in stream:
            pieces += 1
            raw_left -= len(raw)
            if raw_left < 0 or pieces > PIECES_MAX:
                raise self._too_large()
            for part in inflater.feed(raw) if inflater else (raw,):
                left -= len(part)
                if left < 0:
                    raise self._too_large()
                parts.append(part)
                if inflater:
                    await asyncio.sleep(0)
            if pieces % PIECES_A_TURN == 0:
                await asyncio.sleep(0)
        if inflater and pieces:
            inflater.end()
        return b"".join(parts)

    def _inflater(self) -> Inflater | None:
        # In one header or in several, they are one list.
        told = ",".join(value for name, value in self.head.headers if name == "content-encoding")
        codings = [word for word in told.lower().replace(" ", "").split(",") if word not in ("", "identity")]
        if not codings:
            return None
        # One inside of another makes a terabyte of a kilobyte, none of which would ever come out to be counted.
        if len(codings) > 1 or codings[0] not in CODINGS:
            raise OutboundFailed(f"`{shown(self._sent.url.place.host)}` sent a body in a coding that was not asked for")
        return Inflater(codings[0])

    def _too_large(self) -> OutboundRefused:
        return OutboundRefused(
            f"the answer of `{shown(self._sent.url.place.host)}` has more than {self._bytes_max:,} bytes, or comes in too many pieces",
            rule="response_size",
            fix="ask for less; the operator can raise MENTHA_OUTBOUND_RESPONSE_BYTES_MAX",
        )


def _head(sent: Sent, response: "httpcore2.Response") -> Head:
    name = shown(sent.url.place.host)
    if response.status < 200:
        raise OutboundFailed(f"`{name}` wants to change to another protocol")
    if len(response.headers) > HEADERS_MAX:
        raise OutboundRefused(f"the answer of `{name}` has more than {HEADERS_MAX} headers", rule="response_headers")
    return Head(response.status, tuple((key.decode("latin-1").lower(), _text(value)) for key, value in response.headers))


def _text(value: bytes) -> str:
    """A header's value: UTF-8 where it is that, else each byte as a character."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


async def secure(stream: network.Stream, host: str, certificates: ssl.SSLContext) -> None:
    """Put TLS on a connection, for the host's name.

    Raises:
        OutboundRefused: the certificate is not trusted, or not for this name.
        OutboundFailed: there is no TLS that can be used, or the connection broke.
    """
    with _broken(host):
        await stream.start_tls(certificates, server_hostname=host, timeout=TLS_TIMEOUT_S)


@contextmanager
def _broken(host: str) -> Generator[None]:
    """Raise our error in place of the library's, whose messages may repeat what the server sent."""
    http: Any = lazy.load("httpcore2")
    try:
        yield
    except http.TimeoutException:
        raise OutboundFailed(f"`{shown(host)}` does not answer", fix="try again later") from None
    except (http.NetworkError, http.ProtocolError) as error:
        what = "broke the connection off before its answer was complete"
        if isinstance(error, http.ProtocolError):
            what = "sent something that is no HTTP answer, or not all of it"
        if isinstance(error.__cause__, ssl.SSLError):
            what = "has no TLS that can be used"
        raise OutboundFailed(f"`{shown(host)}` {what}", fix="check the address, or try again later") from None
