"""What of a call is sent, and to whom: headers, bodies, redirects, compressed answers."""

import gzip
import zlib
from uuid import UUID

import pytest

from mentha.core.config import Settings
from mentha.core.errors import OutboundRefused
from mentha.tools.outbound.calls import HEADERS_MAX, OutboundCall, OutboundLimits, Sent, checked_headers, first, follow
from mentha.tools.outbound.inflate import PIECE_BYTES_MAX, Broken, Inflater
from mentha.tools.outbound.urls import parse

TENANT = UUID(int=1)
LIMITS = OutboundLimits.of(Settings())
SECRET = "s3cr3t-value"


def sent(method: str = "POST", url: str = "https://a.com/x", *, body: bytes | None = b"{}") -> Sent:
    headers = {"Authorization": SECRET, "X-Api-Key": SECRET, "Cookie": SECRET, "Content-Type": "application/json", "Accept": "text/x"}
    return first(OutboundCall(tenant=TENANT, method=method, url=url, headers=headers, body=body), LIMITS)


# --- what is sent


def test_call_is_sent_with_what_frames_it_and_nothing_of_the_environment() -> None:
    lines = dict(first(OutboundCall(tenant=TENANT, method="get", url="https://a.com:8443/"), LIMITS).lines)
    assert lines.pop(b"user-agent").startswith(b"mentha/")
    assert lines == {b"host": b"a.com:8443", b"connection": b"close", b"accept-encoding": b"gzip, deflate", b"accept": b"*/*"}


def test_call_with_headers_of_its_own_keeps_them() -> None:
    call = OutboundCall(
        tenant=TENANT, method="PUT", url="https://a.com/", headers=(("User-Agent", "mine"), ("Accept-Encoding", "br")), body=b"ab"
    )
    lines = dict(first(call, LIMITS).lines)
    assert (lines[b"user-agent"], lines[b"accept-encoding"], lines[b"content-length"]) == (b"mine", b"gzip, deflate", b"2")


def test_call_without_a_body_tells_its_length_where_one_is_expected() -> None:
    for method, told in (("POST", b"0"), ("GET", None), ("DELETE", None)):
        lines = dict(first(OutboundCall(tenant=TENANT, method=method, url="https://a.com/"), LIMITS).lines)
        assert lines.get(b"content-length") == told


@pytest.mark.parametrize("method", ["CONNECT", "trace", "TRACK", "GET /x HTTP/1.1\r\nX: y", "", "GE T", "G" * 21, "GÉT"])
def test_method_that_is_not_allowed_is_refused(method: str) -> None:
    with pytest.raises(OutboundRefused):
        first(OutboundCall(tenant=TENANT, method=method, url="https://a.com/"), LIMITS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", f"{SECRET}\r\nHost: evil"),
        ("X-A", f"{SECRET}\nX: y"),
        ("X-A", f"{SECRET}\r"),
        ("X-A", f"{SECRET}\x00"),
        ("X-A", f"{SECRET}\x7f"),
        ("X-A", f"{SECRET}\ud800"),
        ("X A", SECRET),
        ("X-A:", SECRET),
        ("X-A\r\nY", SECRET),
        ("", SECRET),
        ("X-Ä", SECRET),
        ("Host", SECRET),
        ("hOsT", SECRET),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
        ("Upgrade", "h2c"),
        ("Expect", "100-continue"),
        ("Proxy-Authorization", SECRET),
    ],
)
def test_header_that_could_change_the_message_is_refused_without_its_value(name: str, value: str) -> None:
    with pytest.raises(OutboundRefused) as refused:
        checked_headers((("X-Good", "1"), (name, value)))
    assert SECRET not in str(refused.value)


def test_headers_beyond_their_number_or_size_are_refused() -> None:
    checked_headers((("x", "y"),) * HEADERS_MAX)
    for pairs in ((("x", "y"),) * (HEADERS_MAX + 1), (("x", "y" * 33_000),)):
        with pytest.raises(OutboundRefused):
            checked_headers(pairs)


def test_body_beyond_its_size_is_refused_with_the_setting_that_allows_it() -> None:
    with pytest.raises(OutboundRefused) as refused:
        first(OutboundCall(tenant=TENANT, method="POST", url="https://a.com/", body=b"x" * (LIMITS.request_bytes_max + 1)), LIMITS)
    assert "MENTHA_OUTBOUND_REQUEST_BYTES_MAX" in (refused.value.fix or "")


def test_limits_of_a_caller_are_never_wider_than_those_of_the_settings() -> None:
    wide = OutboundLimits(timeout_s=1e9, response_bytes_max=10**12, request_bytes_max=5, redirects_max=1)
    assert wide.at_most(LIMITS) == OutboundLimits(
        timeout_s=LIMITS.timeout_s, response_bytes_max=LIMITS.response_bytes_max, request_bytes_max=5, redirects_max=1
    )


# --- redirects


@pytest.mark.parametrize(
    ("method", "status", "then", "keeps_body"),
    [
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("POST", 303, "GET", False),
        ("POST", 307, "POST", True),
        ("POST", 308, "POST", True),
        ("PUT", 301, "PUT", True),
        ("PUT", 303, "GET", False),
        ("DELETE", 303, "GET", False),
        ("DELETE", 302, "DELETE", True),
        ("GET", 301, "GET", True),
        ("HEAD", 303, "HEAD", True),
        ("HEAD", 302, "HEAD", True),
    ],
)
def test_redirect_to_the_same_origin_keeps_headers_and_follows_the_method_rules(
    method: str, status: int, then: str, keeps_body: bool
) -> None:
    before = sent(method)
    after = follow(before, status, "/y")
    assert after is not None
    assert (after.method, after.body is not None, str(after.url)) == (then, keeps_body, "https://a.com/y")
    kept = dict(after.headers)
    assert kept["authorization"] == kept["x-api-key"] == kept["cookie"] == SECRET
    assert ("content-type" in kept) == keeps_body


@pytest.mark.parametrize("location", ["https://b.com/", "http://a.com/x", "https://a.com:444/", "//sub.a.com/", "https://a.com.evil.com/"])
def test_redirect_to_another_origin_takes_no_secret_along(location: str) -> None:
    after = follow(sent("GET", body=None), 302, location)
    assert after is not None
    assert after.headers == (("accept", "text/x"),)
    assert SECRET.encode() not in b"".join(value for _, value in after.lines)


def test_redirect_back_to_the_first_origin_does_not_bring_the_secret_back() -> None:
    away = follow(sent("GET", body=None), 302, "https://b.com/")
    assert away is not None
    back = follow(away, 302, "https://a.com/")
    assert back is not None
    assert SECRET not in str(back.headers)


@pytest.mark.parametrize(("method", "status"), [("POST", 307), ("POST", 308), ("PUT", 301), ("DELETE", 302)])
def test_redirect_that_would_send_the_body_to_another_origin_is_refused(method: str, status: int) -> None:
    with pytest.raises(OutboundRefused) as refused:
        follow(sent(method), status, "https://b.com/")
    assert refused.value.rule == "redirect_body"


def test_redirect_of_a_post_to_another_origin_by_303_goes_without_its_body() -> None:
    after = follow(sent("POST"), 303, "https://b.com/")
    assert after is not None
    assert (after.method, after.body, after.headers) == ("GET", None, (("accept", "text/x"),))


@pytest.mark.parametrize(("status", "location"), [(200, "/x"), (300, "/x"), (304, "/x"), (305, "/x"), (302, None), (302, ""), (201, "/x")])
def test_answer_that_is_no_redirect_is_the_answer(status: int, location: str | None) -> None:
    assert follow(sent(), status, location) is None


def test_redirect_with_default_port_spelled_out_stays_the_same_origin() -> None:
    after = follow(sent("GET", body=None), 302, "https://A.com:443/z")
    assert after is not None
    assert dict(after.headers)["authorization"] == SECRET
    assert parse("https://a.com").origin == after.url.origin


# --- compressed bodies


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [("gzip", gzip.compress(b"hello" * 99, mtime=0)), ("deflate", zlib.compress(b"hello" * 99)), ("deflate", bare(b"hello" * 99))],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_compressed_body_comes_out_whole_in_whatever_pieces_it_came(coding: str, packed: bytes, step: int) -> None:
    inflater = Inflater(coding)
    pieces = [piece for start in range(0, len(packed), step) for piece in inflater.feed(packed[start : start + step])]
    inflater.end()
    assert b"".join(pieces) == b"hello" * 99


def test_bomb_comes_out_in_pieces_of_bounded_size() -> None:
    pieces = Inflater("gzip").feed(gzip.compress(b"\0" * 50_000_000))
    assert all(len(piece) <= PIECE_BYTES_MAX for _, piece in zip(range(20), pieces, strict=False))


def test_body_that_is_not_compressed_as_it_says_is_broken() -> None:
    with pytest.raises(Broken):
        list(Inflater("gzip").feed(b"plain text that is no gzip at all"))
    cut = Inflater("gzip")
    list(cut.feed(gzip.compress(b"x" * 100)[:-9]))
    with pytest.raises(Broken):
        cut.end()


def test_what_stands_behind_compressed_data_is_ignored() -> None:
    inflater = Inflater("gzip")
    assert b"".join(inflater.feed(gzip.compress(b"x") + b"rest")) == b"x"
    assert list(inflater.feed(b"more")) == []
