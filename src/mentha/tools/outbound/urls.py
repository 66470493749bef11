"""Addresses of HTTP calls, read once and strictly. Pure.

What is connected to, what the certificate must name and what the request says are all made of the parts found here; no second parser looks
at the text. So there is nothing on which two could disagree, which is what most tricks with addresses rest on. What is odd is refused, not
mended; only characters of path and query that must be percent-encoded are.

Source: RFC 3986 for the parts, RFC 9110 section 4.2 for `http` and `https`.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from mentha.core.errors import OutboundRefused
from mentha.tools.outbound.addresses import Place, place

URL_CHARS_MAX = 8_192
PORTS = {"http": 80, "https": 443}
# What may stand in path and query as it is; everything else is percent-encoded. A `%` stays: it is the encoding itself.
_PLAIN = "!$%&'()*+,/:;=?@[]~"
_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_URL = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)(?:#.*)?", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]:@]*))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Url:
    """An address in its parts: `target` is path and query, encoded. Where it leads was not checked yet."""

    scheme: str
    place: Place
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port. What one origin may see, no other one may."""
        return self.scheme, self.place.host, self.place.port

    @property
    def authority(self) -> str:
        """The host as the request names it: with its port only where it is not the scheme's own."""
        netloc = self.place.netloc
        return netloc.removesuffix(f":{PORTS[self.scheme]}") if self.place.port == PORTS[self.scheme] else netloc

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str) -> Url:
    """The parts of an absolute address.

    Raises:
        OutboundRefused: it is no `http` or `https` address, is too long, names a user, or has a host or port of an odd form. The message
            does not repeat it: it may hold a secret.
    """
    if len(text) > URL_CHARS_MAX:
        raise _refused(f"the address has more than {URL_CHARS_MAX:,} characters", "shorten it, or send the data as the body")
    if _CONTROL.search(text):
        raise _refused("the address has line breaks or other control characters", "leave them out, or percent-encode them")
    match = _URL.fullmatch(text.strip(" "))
    if match is None:
        raise _refused("the address is not `http://…` or `https://…`", "write it in full, with its scheme")
    scheme, authority = match["scheme"].lower(), match["authority"]
    if "@" in authority:
        raise _refused("the address names a user before its host", "send the credentials in the header `Authorization`")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or (parts["v6"] is not None and ":" not in parts["v6"]):
        raise _refused("the address has a host or port of an odd form", "write it as `host` or `host:port`, IPv6 in brackets")
    port = int(parts["port"]) if parts["port"] else PORTS[scheme]
    return Url(scheme, place(parts["v6"] or parts["host"], port), _target(match["rest"]))


def join(base: Url, reference: str) -> Url:
    """Where a reference, as a redirect gives it, leads from `base`; it may be relative.

    Raises:
        OutboundRefused: as `parse`.
    """
    if len(reference) > URL_CHARS_MAX or _CONTROL.search(reference):
        raise _refused("the redirect has an address that is too long or has control characters", "call the final address itself")
    if _SCHEME.match(reference):
        return parse(reference)
    try:
        # It only puts the texts together: what comes out is read by `parse`, like any other address.
        joined = urljoin(str(base), reference)
    except ValueError:
        raise _refused("the redirect has an address of an odd form", "call the final address itself") from None
    return parse(joined)


def _target(rest: str) -> str:
    try:
        target = quote(rest, safe=_PLAIN)
    except UnicodeEncodeError:
        raise _refused("the address has characters that are no text", "leave them out") from None
    return target if target.startswith("/") else f"/{target}"


def _refused(message: str, fix: str) -> OutboundRefused:
    return OutboundRefused(message, rule="url", fix=fix)
