"""What a call to where a tenant wants is: what is asked, what may be sent, where a redirect leads, what came back. Pure.

`Sent` is one request of a call; `follow` makes the next one of it, and is the only place that decides what of a request goes to another
address. Source: RFC 9110 sections 5 (fields) and 15.4 (redirects).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from mentha import __version__
from mentha.core.config import Settings
from mentha.core.errors import OutboundRefused
from mentha.tools.outbound.urls import Url, join, parse

HEADERS_MAX = 100
HEADER_BYTES_MAX = 32_768
METHOD_CHARS_MAX = 20
# CONNECT makes a tunnel; TRACE sends the headers back, which would show a secret to whoever reads the answer.
METHODS_REFUSED = frozenset({"CONNECT", "TRACE", "TRACK"})
# They frame the message or rule the connection: set here, or not at all.
HEADERS_REFUSED = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "trailer", "te", "expect"),
        *("connection", "keep-alive", "upgrade", "http2-settings", "proxy-connection", "proxy-authorization"),
    }
)
# What another origin may see after a redirect. A list of what is harmless: any other header may hold a secret.
HEADERS_FOR_ANYONE = frozenset({"accept", "accept-language", "user-agent"})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE_REFUSED = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundCall:
    """What a tenant wants to be asked.

    Attributes:
        tenant: whose call it is; connections are shared out by it.
        url: in full, secrets filled in.
        headers: names and values, secrets filled in. `host` and what frames the message can't be set.
        body: the body; `None` is none, and `b""` an empty one.
        follow_redirects: whether a redirect is followed, or is the answer.
    """

    tenant: UUID
    method: str
    url: str
    headers: Mapping[str, str] | Headers = ()
    body: bytes | None = None
    follow_redirects: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundLimits:
    """The limits of one call. `dataclasses.replace` makes tighter ones of those that the settings give; wider ones have no effect."""

    timeout_s: float
    response_bytes_max: int
    request_bytes_max: int
    redirects_max: int

    @classmethod
    def of(cls, settings: Settings) -> "OutboundLimits":
        """What the operator's settings give."""
        return cls(
            timeout_s=settings.outbound_timeout_s,
            response_bytes_max=settings.outbound_response_bytes_max,
            request_bytes_max=settings.outbound_request_bytes_max,
            redirects_max=settings.outbound_redirects_max,
        )

    def at_most(self, other: "OutboundLimits") -> "OutboundLimits":
        """The tighter of each."""
        return OutboundLimits(
            timeout_s=min(self.timeout_s, other.timeout_s),
            response_bytes_max=min(self.response_bytes_max, other.response_bytes_max),
            request_bytes_max=min(self.request_bytes_max, other.request_bytes_max),
            redirects_max=min(self.redirects_max, other.redirects_max),
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, ready to be sent to where `url` leads. Headers without those that frame the message."""

    method: str
    url: Url
    headers: Headers
    body: bytes | None

    @property
    def lines(self) -> list[tuple[bytes, bytes]]:
        """All header lines."""
        given = {name for name, _ in self.headers}
        ours = [("host", self.url.authority), ("connection", "close"), ("accept-encoding", "gzip, deflate")]
        ours += [pair for pair in (("user-agent", f"mentha/{__version__}"), ("accept", "*/*")) if pair[0] not in given]
        if self.body is not None or self.method in ("POST", "PUT", "PATCH"):
            ours.append(("content-length", str(len(self.body or b""))))
        return [(name.encode("ascii"), value.encode()) for name, value in (*ours, *self.headers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundResponse:
    """The answer to a call, whatever its status.

    Attributes:
        headers: names in lower case, in the order in which they came; a name may come twice.
        body: whole and decompressed.
        url: where it came from in the end.
        redirects: how many were followed.
    """

    status: int
    headers: Headers
    body: bytes
    url: str
    redirects: int

    def header(self, name: str) -> str | None:
        """The first header of this name, in lower case."""
        return next((value for found, value in self.headers if found == name), None)


def first(call: OutboundCall, limits: OutboundLimits) -> Sent:
    """The call as its first request.

    Raises:
        OutboundRefused: its address, method, headers or body are not what may be sent.
    """
    method = call.method.upper()
    if not _TOKEN.fullmatch(method) or len(method) > METHOD_CHARS_MAX or method in METHODS_REFUSED:
        raise _refused("the method of the call is not allowed", "use GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS")
    url = parse(call.url)
    pairs = tuple(call.headers.items()) if isinstance(call.headers, Mapping) else call.headers
    headers = checked_headers(pairs)
    if call.body is not None and len(call.body) > limits.request_bytes_max:
        raise OutboundRefused(
            f"the body of the call has more than {limits.request_bytes_max:,} bytes",
            rule="request_size",
            fix="send less; the operator can raise MENTHA_OUTBOUND_REQUEST_BYTES_MAX",
        )
    return Sent(method, url, headers, call.body)


def checked_headers(pairs: Headers) -> Headers:
    """Headers that may be sent, their names in lower case.

    Raises:
        OutboundRefused: one has a line break or another control character, or frames the message; or they are too many or too long. The
            message has the name of a header at most.
    """
    if len(pairs) > HEADERS_MAX or sum(len(name) + len(value) for name, value in pairs) > HEADER_BYTES_MAX:
        raise _refused(f"the call has more than {HEADERS_MAX} headers, or more than {HEADER_BYTES_MAX:,} characters in them", "send fewer")
    checked: list[tuple[str, str]] = []
    for name, value in pairs:
        lowered = name.lower()
        if not _TOKEN.fullmatch(lowered):
            raise _refused("the name of a header has characters that can't stand there", "use letters, digits and `-`")
        if lowered in HEADERS_REFUSED:
            raise _refused(f"the header `{lowered}` can't be set", "leave it out: it follows from the call")
        stripped = value.strip(" \t")
        if _VALUE_REFUSED.search(stripped) or not _is_text(stripped):
            raise _refused(f"the header `{lowered}` has line breaks or other control characters", "send it in one line")
        # What encodings there are is a matter of whoever decodes them.
        if lowered != "accept-encoding":
            checked.append((lowered, stripped))
    return tuple(checked)


def follow(sent: Sent, status: int, location: str | None) -> Sent | None:
    """The request that a redirect asks for; `None` where the answer is none.

    To the same origin it is the same request, with the method that RFC 9110 and every browser make of it. To another origin go none of its
    headers, but for those of `HEADERS_FOR_ANYONE`, and never its body.

    Raises:
        OutboundRefused: it leads to an address that can't be, or would send the body to another origin.
    """
    if status not in REDIRECTS or not location:
        return None
    url = join(sent.url, location)
    method, headers, body = sent.method, sent.headers, sent.body
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = tuple(pair for pair in headers if not pair[0].startswith("content-"))
    if url.origin != sent.url.origin:
        if body is not None:
            raise OutboundRefused(
                "the server redirects the body of the call to another origin", rule="redirect_body", fix="call the final address itself"
            )
        headers = tuple(pair for pair in headers if pair[0] in HEADERS_FOR_ANYONE)
    return Sent(method, url, headers, body)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(message: str, fix: str) -> OutboundRefused:
    return OutboundRefused(message, rule="form", fix=fix)
