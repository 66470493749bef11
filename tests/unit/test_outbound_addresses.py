"""Which hosts, addresses and ports a tenant may point at, and how their addresses are read."""

from ipaddress import ip_address

import pytest

from mentha.core.errors import ConfigInvalid, OutboundRefused
from mentha.tools.outbound import addresses, urls
from mentha.tools.outbound.addresses import Rules, carried, check_name, checked, is_public, opened, parse_rules, place

NO_RULES: Rules = ()


def rule_of(refused: pytest.ExceptionInfo[OutboundRefused]) -> str:
    return refused.value.rule


# --- addresses


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.0.1", "172.32.0.1", "100.63.0.1", "192.0.1.1", "2606:4700:4700::1111", "2a00::1"],
)
def test_address_of_the_internet_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.1.2.3", "10.1.2.3", "127.0.0.1", "127.8.8.8", "100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2"),
        *("172.16.0.1", "172.31.255.255", "192.168.1.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1"),
        *("203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::2", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b::808:808", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
        *("2001:db8::1", "3fff::1", "5f00::1", "100::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254", "fe80::1", "fec0::1", "ff02::1"),
        *("fe80::1%eth0", "2606:4700:4700::1111%eth0", "4000::1"),
    ],
)
def test_special_address_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::10.0.0.1", "10.0.0.1"),
        ("::ffff:0:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("64:ff9b:1::10.0.0.1", "10.0.0.1"),
        ("2002:a00:1::5", "10.0.0.1"),
        ("2001:0:4136:e378:8000:63bf:f5ff:fffe", "10.0.0.1"),
        ("::1", None),
        ("::", None),
        ("2606:4700::1", None),
        ("10.0.0.1", None),
    ],
)
def test_ipv4_address_inside_of_an_ipv6_one_is_found(text: str, inner: str | None) -> None:
    assert carried(ip_address(text)) == (ip_address(inner) if inner else None)


# --- hosts as written


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("Example.COM", "example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a_b.example", "a_b.example"),
        ("1password.com", "1password.com"),
        ("1.2.3.4", "1.2.3.4"),
        ("2606:4700:0:0::1111", "2606:4700::1111"),
    ],
)
def test_host_of_a_usual_form_is_kept_in_its_one_spelling(host: str, kept: str) -> None:
    assert place(host, 80).host == kept


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "0x7F.0.0.1", "127.1", "127.0.1", "0177.0.0.1", "017700000001", "1.2.3.4.5", "256.1.1.1"),
        *("127.0.0.01", "127.0.0.1.", "1.2.3.0x4", "0x", "a.0x7f", "example.1", "example.com.", ".example.com", "example..com", "."),
        *("", "-a.com", "a-.com", "exa mple.com", "example.com%00.evil.com", "exam%70le.com", "127.0.0.1%25", "a/b", "a\\b", "a@b", "a:b"),
        *(
            "１２７.0.0.1",
            "①②⑦.⓪.⓪.①",
            "127。0。0。1",
            "ⓔxample.com",
            "exämple.com",
            "а.com",
            "fe80::1%eth0",
            "fe80::1%25eth0",
            "::1::",
            "[::1]",
        ),
        *("a" * 64 + ".com", ("a" * 60 + ".") * 5 + "com", "a\n.com", "a\x00.com", "١٢٧.0.0.1", "x.com\u200b"),
    ],
)
def test_host_that_programs_read_differently_is_refused(host: str) -> None:
    with pytest.raises(OutboundRefused) as refused:
        place(host, 80)
    assert rule_of(refused) == "host_form"


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(OutboundRefused) as refused:
        place("example.com", port)
    assert rule_of(refused) == "port"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "db",
        "x.lan",
        "a.home.arpa",
        "intranet",
        "x.corp",
        "a.onion",
    ],
)
def test_name_of_a_private_network_is_refused_until_a_rule_names_it(host: str) -> None:
    with pytest.raises(OutboundRefused) as refused:
        check_name(place(host, 80), parse_rules(["127.0.0.0/8"]))
    assert rule_of(refused) == "name_not_public"
    assert addresses.SETTING in (refused.value.fix or "")
    check_name(place(host, 80), parse_rules([host]))


def test_name_that_only_looks_private_may_be_looked_up() -> None:
    for host in ("notlocalhost.com", "local.example", "internal-tools.com"):
        check_name(place(host, 80), NO_RULES)


# --- addresses of a host


def test_public_addresses_are_kept_each_once_in_their_order() -> None:
    found = ["2606:4700:0::1", "1.1.1.1", "2606:4700::1"]
    assert checked(place("a.com", 443), found, NO_RULES) == ("2606:4700::1", "1.1.1.1")


@pytest.mark.parametrize(
    "found", [["1.1.1.1", "10.0.0.1"], ["10.0.0.1", "1.1.1.1"], ["1.1.1.1", "::1"], [], ["1.1.1.1", "nonsense"], ["0x7f.1"]]
)
def test_one_address_that_is_not_public_refuses_them_all(found: list[str]) -> None:
    with pytest.raises(OutboundRefused) as refused:
        checked(place("a.com", 443), found, NO_RULES)
    assert rule_of(refused) == "address_not_public"
    assert "10.0.0.1" not in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("db.corp", "db.corp", 80, "10.0.0.1"),
        ("db.corp:8080", "db.corp", 8080, "10.0.0.1"),
        ("DB.Corp", "db.corp", 80, "10.0.0.1"),
        ("*.corp", "a.b.corp", 80, "127.0.0.1"),
        ("10.0.0.0/8", "a.com", 80, "10.0.0.1"),
        ("10.0.0.0/8:81", "a.com", 81, "10.0.0.1"),
        ("127.0.0.1", "127.0.0.1", 80, "127.0.0.1"),
        ("[::1]:90", "::1", 90, "::1"),
        ("fd00::/8", "a.com", 80, "fd00::5"),
        ("169.254.169.254", "169.254.169.254", 80, "169.254.169.254"),
        ("64:ff9b::/96", "a.com", 443, "64:ff9b::808:808"),
    ],
)
def test_rule_of_the_operator_opens_what_it_names(entry: str, host: str, port: int, address: str) -> None:
    there, rules = place(host, port), parse_rules([entry])
    assert checked(there, [address], rules) == (address,)
    assert opened(there, address, rules)
    with pytest.raises(OutboundRefused):
        checked(there, [address], NO_RULES)


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("db.corp:8080", "db.corp", 80, "10.0.0.1"),
        ("*.corp", "corp", 80, "10.0.0.1"),
        ("*.corp.com", "evilcorp.com", 80, "10.0.0.1"),
        ("corp.com", "a.corp.com", 80, "10.0.0.1"),
        ("10.0.0.0/8", "a.com", 80, "192.168.0.1"),
        ("10.0.0.0/8:81", "a.com", 80, "10.0.0.1"),
        ("127.0.0.1", "::ffff:127.0.0.1", 80, "::ffff:127.0.0.1"),
        ("64:ff9b::/96", "a.com", 443, "64:ff9b::a9fe:a9fe"),
        ("2002::/16", "a.com", 443, "2002:a00:1::1"),
        ("fe80::/10", "a.com", 80, "fe80::1%eth0"),
    ],
)
def test_rule_of_the_operator_opens_nothing_beside(entry: str, host: str, port: int, address: str) -> None:
    with pytest.raises(OutboundRefused):
        checked(place(host, port), [address], parse_rules([entry]))


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "100.100.100.200", "168.63.129.16", "fe80::1", "::", "fd00:ec2::254", "::ffff:10.0.0.1"]
)
def test_rule_for_a_name_never_opens_a_metadata_service(address: str) -> None:
    with pytest.raises(OutboundRefused):
        checked(place("mine.corp", 80), [address], parse_rules(["mine.corp"]))


@pytest.mark.parametrize("port", [22, 25, 6379, 5432, 11211])
def test_port_of_another_protocol_needs_a_rule_that_names_it(port: int) -> None:
    there = place("a.com", port)
    for entry in ("a.com", "1.1.1.1"):
        with pytest.raises(OutboundRefused) as refused:
            checked(there, ["1.1.1.1"], parse_rules([entry]))
        assert rule_of(refused) == "port"
        assert checked(there, ["1.1.1.1"], parse_rules([f"{entry}:{port}"]))


def test_protocol_with_ports_of_its_own_gets_those_alone() -> None:
    assert checked(place("a.com", 587), ["1.1.1.1"], NO_RULES, ports=(25, 587))
    with pytest.raises(OutboundRefused):
        checked(place("a.com", 443), ["1.1.1.1"], NO_RULES, ports=(25, 587))
    assert checked(place("a.com", 2525), ["1.1.1.1"], parse_rules(["a.com:2525"]), ports=(25, 587))


@pytest.mark.parametrize(
    "entry",
    ["*", "*.*", "10.0.0.1/8", "a:b", "a:0", "a:99999", "http://x", "a/b", "1.2.3", "0x7f", "[a.b]:80", "", "a b", "256.1.1.1", "*."],
)
def test_rule_that_is_none_is_told_to_the_operator(entry: str) -> None:
    with pytest.raises(ConfigInvalid, match=addresses.SETTING):
        parse_rules([entry])


def test_rules_beyond_their_number_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match="1,000"):
        parse_rules(["a.com"] * 1_001)


# --- addresses of calls


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("http://Example.com", "http://example.com/"),
        ("HTTPS://example.com:443/a?b=c#d", "https://example.com/a?b=c"),
        ("http://example.com:443/", "http://example.com:443/"),
        ("http://example.com?x", "http://example.com/?x"),
        ("http://example.com/ä b/%20?q=ü&r=[1]", "http://example.com/%C3%A4%20b/%20?q=%C3%BC&r=[1]"),
        ("http://[2606:4700:0::1]:8080/x", "http://[2606:4700::1]:8080/x"),
        ("http://[2606:4700::1]", "http://[2606:4700::1]/"),
        ("http://a.com/x@y:z//\\w", "http://a.com/x@y:z//%5Cw"),
        (" http://a.com/ ", "http://a.com/"),
    ],
)
def test_address_of_a_call_is_read_and_written_in_one_form(text: str, whole: str) -> None:
    assert str(urls.parse(text)) == whole
    assert str(urls.parse(whole)) == whole


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "example.com",
            "//example.com/",
            "/a",
            "ftp://a.com/",
            "file:///etc/passwd",
            "gopher://a.com/",
            "data:text/plain,x",
            "ws://a.com",
        ),
        *("http:a.com", "http:/a.com", "http:///a.com", "http://", "http://?x", "javascript:alert(1)", "http//a.com", "jar:http://a.com!/"),
        *("http://user@a.com/", "http://user:pass@a.com/", "http://a.com@127.0.0.1/", "http://a.com:80@127.0.0.1/", "http://@a.com"),
        *(
            "http://a.com:",
            "http://a.com:x/",
            "http://a.com:080808/",
            "http://a.com:-1/",
            "http://[::1",
            "http://::1/",
            "http://[127.0.0.1]/",
        ),
        *("http://[::1]a/", "http://a[::1]/", "http://a.com\\@b.com/", "http://a.com\\.b.com/", "http:\\\\a.com/", "http://a.com /"),
        *("http://a.com/\r\nHost: b", "http://a.com/\n", "\thttp://a.com/", "http://a.com/\x00", "http://a.com/\x7f", "ht\ntp://a.com/"),
        *("http://a.com/\ud800", "http://a。com/", "http://１.1.1.1/", "http://[fe80::1%25eth0]/", "http://[::ffff:1.2.3.4%1]/"),
        "http://a.com/" + "x" * 8_192,
    ],
)
def test_address_of_a_call_that_is_odd_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(OutboundRefused) as refused:
        urls.parse(text)
    assert rule_of(refused) in ("url", "host_form", "port")
    assert "pass" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("/b", "https://a.com/b"),
        ("c", "https://a.com/x/c"),
        ("?q", "https://a.com/x/y?q"),
        ("//b.com/z", "https://b.com/z"),
        ("http://b.com", "http://b.com/"),
        ("../..", "https://a.com/"),
    ],
)
def test_redirect_leads_to_where_its_reference_says(reference: str, whole: str) -> None:
    assert str(urls.join(urls.parse("https://a.com/x/y?z"), reference)) == whole


@pytest.mark.parametrize(
    "reference", ["file:///etc/passwd", "//u@b.com/", "http://2130706433/", "http://[::1", "/a\nb", "x" * 9_000, "javascript:1"]
)
def test_redirect_to_an_odd_address_is_refused(reference: str) -> None:
    with pytest.raises(OutboundRefused):
        urls.join(urls.parse("https://a.com/"), reference)
