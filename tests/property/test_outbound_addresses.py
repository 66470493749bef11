"""Laws of the door's pure part, over generated addresses, hosts, headers and redirects. Other programs' parsers are the witnesses."""

import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address, ip_network
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mentha.core.config import Settings
from mentha.core.errors import OutboundRefused
from mentha.tools.outbound.addresses import Address, carried, checked, is_public, parse_rules, place
from mentha.tools.outbound.calls import OutboundCall, OutboundLimits, checked_headers, first, follow
from mentha.tools.outbound.urls import parse

SECRET = "s3cr3t-value"
LIMITS = OutboundLimits.of(Settings())

v4 = st.one_of(
    st.ip_addresses(v=4),
    st.sampled_from(["10", "127", "169.254", "172.16", "192.168", "100.64", "224", "0"]).flatmap(
        lambda head: st.builds(lambda n: IPv4Address(int(IPv4Address(head + ".0" * (3 - head.count(".")))) + n), st.integers(0, 65_535))
    ),
)
v6 = st.one_of(
    st.ip_addresses(v=6),
    st.builds(
        lambda head, tail: IPv6Address(int(IPv6Address(head)) | tail),
        st.sampled_from(["::", "::ffff:0:0", "64:ff9b::", "2002::", "2001::", "fc00::", "fe80::", "ff00::", "2600::", "2001:db8::"]),
        st.integers(0, 2**32 - 1),
    ),
    st.builds(lambda inner, rest: IPv6Address(0x2002 << 112 | int(inner) << 80 | rest), v4, st.integers(0, 2**80 - 1)),
)
hosts = st.one_of(
    st.text(max_size=40),
    st.text("0123456789abcdefx.-:%[]@", max_size=30),
    st.lists(
        st.one_of(st.integers(0, 2**32).map(str), st.integers(0, 300).map(hex), st.integers(0, 300).map(oct)), min_size=1, max_size=5
    ).map(".".join),
    st.ip_addresses().map(str),
)


@settings(deadline=None)
@given(st.one_of(v4, v6))
def test_public_address_has_no_flag_of_a_special_one(address: Address) -> None:
    if is_public(address):
        assert address.is_global
        special = ("private", "loopback", "link_local", "multicast", "unspecified", "reserved")
        assert not [name for name in special if getattr(address, f"is_{name}")]


@settings(deadline=None)
@given(v6)
def test_address_that_carries_another_is_never_public(address: IPv6Address) -> None:
    if carried(address) is not None:
        assert not is_public(address)


@settings(deadline=None)
@given(v4, st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}", "::ffff:0:{}"]))
def test_address_carried_in_any_form_is_found(inner: IPv4Address, form: str) -> None:
    if int(inner) > 1:
        assert carried(IPv6Address(form.format(inner))) == inner


@settings(deadline=None)
@given(st.lists(st.one_of(v4, v6), max_size=5))
def test_host_is_reached_if_and_only_if_all_of_its_addresses_are_public(found: list[Address]) -> None:
    accepted = None
    with contextlib.suppress(OutboundRefused):
        accepted = checked(place("a.example", 443), [str(address) for address in found], ())
    assert (accepted is not None) == (bool(found) and all(is_public(address) for address in found))


@settings(deadline=None)
@given(st.one_of(v4, v6), st.integers(0, 128), st.integers(1, 65_535), st.integers(1, 65_535), st.one_of(v4, v6))
def test_rule_of_a_network_opens_its_addresses_at_its_port_alone(base: Address, bits: int, port: int, other: int, address: Address) -> None:
    network = ip_network(f"{base}/{min(bits, base.max_prefixlen)}", strict=False)
    (rule,) = parse_rules([f"[{network}]:{port}" if network.version == 6 else f"{network}:{port}"])
    assert (rule.network, rule.port) == (network, port)
    try:
        checked(place("a.example", other), [str(address)], (rule,))
    except OutboundRefused:
        return
    assert is_public(address) or (other == port and address.version == network.version and address in network)


@settings(deadline=None)
@given(hosts)
@example("127.1")
@example("0x7f.1")
@example("2130706433")
@example("017700000001")
def test_host_that_is_kept_is_no_address_in_disguise(host: str) -> None:
    try:
        there = place(host, 80)
    except OutboundRefused:
        return
    assert place(there.host, 80) == there
    if there.literal is not None:
        assert str(there.literal) == there.host
        return
    # The C library reads every spelling of an IPv4 address that there is.
    for disguised in (there.host, there.host.rstrip(".")):
        try:
            socket.inet_aton(disguised)
        except OSError:
            continue
        raise AssertionError(there.host)


@settings(deadline=None)
@given(
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "ftp"]),
        hosts,
        st.sampled_from(["", ":80", ":8080", ":443", ":", ":x"]),
        st.one_of(st.just(""), st.text(max_size=20).map("/{}".format), st.text(max_size=20).map("?{}".format), st.text(max_size=20)),
    )
)
def test_address_that_is_kept_is_read_alike_by_others(text: str) -> None:
    try:
        url = parse(text)
    except OutboundRefused:
        return
    written = str(url)
    assert parse(written) == url
    assert written.isascii()
    by_python, by_library = urlsplit(written), httpx2.URL(written)
    assert by_python.hostname == by_library.host.strip("[]") == url.place.host
    port = {"http": 80, "https": 443}[url.scheme]
    assert (by_python.port or port) == (by_library.port or port) == url.place.port
    assert not by_python.username
    # In the text as the tenant wrote it, too, Python's parser finds no other host.
    as_given = urlsplit(text.strip(" ")).hostname
    assert as_given is not None
    assert place(as_given, 80).host == url.place.host


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=10), st.text(max_size=20)), max_size=5))
def test_headers_that_are_kept_stay_in_their_lines(pairs: list[tuple[str, str]]) -> None:
    try:
        kept = checked_headers(tuple(pairs))
    except OutboundRefused:
        return
    for name, value in kept:
        raw = f"{name}: {value}".encode()
        assert not set(raw) & {0, 10, 13}
        assert name not in ("host", "content-length", "transfer-encoding", "connection")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([301, 302, 303, 307, 308]),
            st.sampled_from(["/x", "https://a.com/y", "https://b.com/", "http://a.com/", "//c.com", "z"]),
        ),
        max_size=6,
    ),
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.booleans(),
)
def test_secret_is_sent_to_its_own_origin_alone(hops: list[tuple[int, str]], method: str, has_body: bool) -> None:
    body = SECRET.encode() if has_body else None
    headers = {"Authorization": SECRET, "X-Token": SECRET, "Cookie": SECRET}
    sent = first(OutboundCall(tenant=UUID(int=1), method=method, url="https://a.com/", headers=headers, body=body), LIMITS)
    own = sent.url.origin
    for status, location in hops:
        try:
            following = follow(sent, status, location)
        except OutboundRefused:
            return
        assert following is not None
        sent = following
        if sent.url.origin != own:
            assert SECRET.encode() not in b"".join(value for _, value in sent.lines) + (sent.body or b"")
