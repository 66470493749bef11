"""Which hosts, addresses and ports a tenant may point at. Pure: nothing here looks a name up or connects.

Two things are asked of every call, in this order: whether the *host as written* has a form that every program reads alike (`place`), and,
once it was looked up, whether *every address* that it has may be reached (`checked`). What is not public may be reached only where the
operator's setting `outbound_allow` says so (`parse_rules`).

Sources: the IANA registries of special-purpose addresses (RFC 6890 and what followed it), RFC 6761, 6762 and 8375 for names, the "port
blocking" section of the Fetch standard, and the vendors' pages for the addresses of their metadata services.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from mentha.core.errors import ConfigInvalid, OutboundRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING = "MENTHA_OUTBOUND_ALLOW"
HOST_CHARS_MAX = 253
SHOWN_CHARS_MAX = 100
ENTRIES_MAX = 1_000


def _v4(text: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(word) for word in text.split())


def _v6(text: str) -> tuple[IPv6Network, ...]:
    return tuple(IPv6Network(word) for word in text.split())


# A list of ours, since `is_global` of older Pythons knows fewer of them. The one in the second line is public by its number, but answers
# inside of a vendor's cloud alone, as its metadata service.
SPECIAL_V4 = (
    *_v4("0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24"),
    *_v4("168.63.129.16/32"),
    *_v4("192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"),
)
# All of IPv6 that is assigned for use lies in here; the rest is loopback, mapped, link-local, local, multicast or nobody's.
UNICAST_V6 = IPv6Network("2000::/3")
SPECIAL_V6 = _v6("2001::/23 2001:db8::/32 2002::/16 3fff::/20")
# A rule for a *name* does not open these, whatever its owner makes the name lead to: unspecified, link-local and multicast addresses, and
# the metadata services of clouds, which hand out the machine's own credentials.
NEVER_BY_NAME: tuple[Network, ...] = (
    *_v4("0.0.0.0/8 169.254.0.0/16 224.0.0.0/4 240.0.0.0/4 100.100.100.200/32 168.63.129.16/32 192.0.0.192/32"),
    *_v6("::/128 fe80::/10 ff00::/8 fd00:ec2::254/128 fd20:ce::254/128"),
)
# Ways to write an IPv4 address inside of an IPv6 one, with the address in the last 32 bits.
CARRIERS = _v6("::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48")
SIX_TO_FOUR, TEREDO = _v6("2002::/16 2001::/32")

# Names that lead to a machine itself or into its own network, and a name without a dot, which a resolver completes as it likes.
PRIVATE_NAMES = (
    *("localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "home.arpa", "onion"),
    *("in-addr.arpa", "ip6.arpa"),
)
# Ports of services that take an HTTP request for commands of their own: the Fetch standard's, and those of common data stores.
BLOCKED_PORTS = frozenset(
    int(word)
    for line in (
        "0 1 7 9 11 13 15 17 19 20 21 22 23 25 37 42 43 53 69 77 79 87 95 101 102 103 104 109 110 111 113 115 117 119 123 135 137 139 143",
        "161 179 389 427 465 512 513 514 515 526 530 531 532 540 548 554 556 563 587 601 636 989 990 993 995 1719 1720 1723 2049 3659",
        "4045 4190 5060 5061 6000 6566 6665 6666 6667 6668 6669 6679 6697 10080",
        "2375 2376 2379 3306 5432 6379 10250 11211 27017",
    )
    for word in line.split()
)

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOTTED = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_ENTRY = re.compile(r"(?:\[(?P<bracketed>[^\[\]]+)\]|(?P<plain>[^\[\]:]+|[^\[\]]+/\d{1,3}))(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Place:
    """A host as written, lower-cased, with a port. `literal` is its address where it was written as one."""

    host: str
    port: int
    literal: Address | None

    @property
    def netloc(self) -> str:
        """`host:port`, in brackets where it must be."""
        return f"[{self.host}]:{self.port}" if isinstance(self.literal, IPv6Address) else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of `outbound_allow`: a name, or a network; for one port, or for all."""

    name: str
    network: Network | None
    port: int | None

    def names(self, host: str) -> bool:
        """Whether it is a rule for this name. `*.x` stands for everything below `x`, not for `x`."""
        return host.endswith(self.name[1:]) if self.name.startswith("*.") else bool(self.name) and host == self.name

    def covers(self, address: Address) -> bool:
        """Whether it is a rule for this address."""
        return self.network is not None and self.network.version == address.version and address in self.network


Rules = tuple[Rule, ...]


def parse_rules(entries: Sequence[str]) -> Rules:
    """The setting `outbound_allow`, read.

    Raises:
        ConfigInvalid: an entry is none of the forms, or there are more than `ENTRIES_MAX`. The operator mends the setting.
    """
    if len(entries) > ENTRIES_MAX:
        raise ConfigInvalid(f"setting `outbound_allow` ({SETTING}) has more than {ENTRIES_MAX:,} entries: use networks")
    return tuple(_rule(entry) for entry in entries)


def place(host: str, port: int) -> Place:
    """The host, where it has a form that can't be misread.

    Args:
        host: without brackets, userinfo or port.

    Raises:
        OutboundRefused: it is a number that some read as an address (`2130706433`, `0x7f.1`, `127.1`, `0177.0.0.1`), or has characters
            beyond letters, digits, `-`, `_` and `.`, or a zone, or ends with a dot. Write it in its usual form.
    """
    if not 0 < port < 65_536:
        raise OutboundRefused("the port is not between 1 and 65535", rule="port", fix="name another port")
    if not host or not host.isascii() or len(host) > HOST_CHARS_MAX:
        raise _malformed("is empty, too long or not ASCII", "write a name with other letters in its ASCII form, which begins with `xn--`")
    host = host.lower()
    if ":" in host:
        literal = _literal(IPv6Address, host)
        return Place(str(literal), port, literal)
    if _DOTTED.fullmatch(host):
        return Place(host, port, _literal(IPv4Address, host))
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise _malformed(
            "is a number that programs read differently", "write an IPv4 address as four decimal numbers without leading zeros"
        )
    if not _NAME.fullmatch(host):
        raise _malformed("has a form that programs read differently", "use letters, digits, `-` and dots between, with no dot at the end")
    return Place(host, port, None)


def check_name(there: Place, rules: Rules) -> None:
    """Let a name pass that may be looked up at all.

    Raises:
        OutboundRefused: it is a name of private networks, and no rule names it.
    """
    if there.literal is not None or _by_name(there, rules):
        return
    labels = there.host
    if "." not in labels or any(labels.endswith(f".{private}") for private in PRIVATE_NAMES):
        raise OutboundRefused(
            f"`{shown(there.host)}` is a name of private networks", rule="name_not_public", fix=f"the operator can add it to {SETTING}"
        )


def checked(there: Place, addresses: Sequence[str], rules: Rules, ports: Collection[int] | None = None) -> tuple[str, ...]:
    """The addresses in their order, each once and written in one form, where *all* of them may be reached at this port.

    Args:
        addresses: what the name was found to have, or the literal itself.
        ports: those that may be reached without a rule that names the port; `None` is all but `BLOCKED_PORTS`.

    Raises:
        OutboundRefused: one may not. The message does not say which: what a name leads to inside is nobody's business outside.
    """
    check_name(there, rules)
    found = tuple(dict.fromkeys(_read(text) for text in addresses))
    by_name = _by_name(there, rules)
    if not found or any(address is None or not _may_reach(address, there.port, rules, by_name=by_name) for address in found):
        raise OutboundRefused(
            f"`{shown(there.host)}` does not lead to public addresses alone",
            rule="address_not_public",
            fix=f"the operator can add the host, or its network, to {SETTING}",
        )
    known = [address for address in found if address is not None]
    usual = there.port not in BLOCKED_PORTS if ports is None else there.port in ports
    if not usual and not _names_port(there, known, rules):
        raise OutboundRefused(
            f"port {there.port} is not for such a call", rule="port", fix=f"the operator can add the host with this port to {SETTING}"
        )
    return tuple(str(address) for address in known)


def opened(there: Place, address: str, rules: Rules) -> bool:
    """Whether a rule, and not its being public, lets this address of the host be reached."""
    read = _read(address)
    return read is not None and (_by_name(there, rules) or any(rule.covers(read) for rule in _for_port(rules, there.port)))


def is_public(address: Address) -> bool:
    """Whether this is an address of the public internet: not a machine's own, not a private or special network's, no way into one."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in SPECIAL_V4)
    if address.scope_id is not None or address not in UNICAST_V6:
        return False
    return address.is_global and not any(address in network for network in SPECIAL_V6)


def carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, compatible, translated (NAT64), 6to4, Teredo."""
    if isinstance(address, IPv4Address):
        return None
    number = int(address)
    if address in SIX_TO_FOUR:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    if address in TEREDO:
        return IPv4Address(~number & 0xFFFFFFFF)
    is_own = number < 2  # `::` and `::1` are addresses of their own
    return IPv4Address(number & 0xFFFFFFFF) if not is_own and any(address in network for network in CARRIERS) else None


def shown(host: str) -> str:
    """A host for messages and events, which the other side may have chosen: no longer than a line takes."""
    return host if len(host) <= SHOWN_CHARS_MAX else f"{host[:SHOWN_CHARS_MAX]}…"


def _may_reach(address: Address, port: int, rules: Rules, *, by_name: bool) -> bool:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    inner = carried(address)
    if any(rule.covers(address) for rule in _for_port(rules, port)):
        # Opening the network of a translator must not open the private networks behind it.
        return inner is None or is_public(inner) or any(rule.covers(inner) for rule in _for_port(rules, port))
    if by_name and inner is None and not any(address.version == network.version and address in network for network in NEVER_BY_NAME):
        return True
    return is_public(address)


def _for_port(rules: Rules, port: int) -> Rules:
    return tuple(rule for rule in rules if rule.port in (None, port))


def _by_name(there: Place, rules: Rules) -> bool:
    return there.literal is None and any(rule.names(there.host) for rule in _for_port(rules, there.port))


def _names_port(there: Place, addresses: Sequence[Address], rules: Rules) -> bool:
    explicit = tuple(rule for rule in rules if rule.port == there.port)
    return _by_name(there, explicit) or all(any(rule.covers(address) for rule in explicit) for address in addresses)


def _read(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _literal(kind: type[IPv4Address] | type[IPv6Address], text: str) -> Address:
    try:
        address = kind(text)
    except ValueError:
        address = None
    if address is None or "%" in text:
        raise _malformed("is no address", "write an IPv4 address as four decimal numbers, an IPv6 address in brackets and without a zone")
    return address


def _malformed(what: str, fix: str) -> OutboundRefused:
    return OutboundRefused(f"the host of the address {what}", rule="host_form", fix=fix)


def _rule(entry: str) -> Rule:
    text = entry.strip().lower()
    whole = _network(text)
    if whole is not None:
        return Rule("", whole, None)
    match = _ENTRY.fullmatch(text)
    if match is not None:
        port = int(match["port"]) if match["port"] else None
        network = _network(match["bracketed"] or match["plain"])
        name = (match["plain"] or "").removeprefix("*.")
        if port is None or 0 < port < 65_536:
            if network is not None:
                return Rule("", network, port)
            if _NAME.fullmatch(name) and not _NUMBER.fullmatch(name.rpartition(".")[2]):
                return Rule(match["plain"], None, port)
    raise ConfigInvalid(
        f"setting `outbound_allow` ({SETTING}): `{shown(entry)}` is no host, `*.domain`, address or network (bits below its prefix 0);"
        " each stands alone or with `:port`, IPv6 with a port in brackets"
    )


def _network(text: str) -> Network | None:
    try:
        return ip_network(text)
    except ValueError:
        return None
