"""The door for calls that tenants direct: where it leads, and where it does not. The servers are real; names are answered by a table."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid, OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.observe import events
from mentha.observe.events import Event, OutboundCalled, OutboundRefusedSeen
from mentha.tools.outbound import Outbound, OutboundCall, OutboundResponse, dial
from tests.support import certificates
from tests.support.wild_server import Seen, WildServer, answer, saying, wild_server

TENANT = UUID(int=7)
SECRET = "s3cr3t-value"
# In these tests 127.0.0.1 and ::1 stand for the public internet; all else of loopback is private.
OPEN = ("127.0.0.1", "::1")


class Names:
    """A table of names in place of a name server; each list is given once, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        given = self.answers.get(host)
        if not given:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return given.pop(0) if len(given) > 1 else given[0]


def outbound(
    names: dial.Resolve | None = None, *, allow: Sequence[str] = OPEN, tls: ssl.SSLContext | None = None, **limits: Any
) -> Outbound:
    settings = Settings(outbound_allow=tuple(allow), **{f"outbound_{name}": value for name, value in limits.items()})
    return Outbound(settings, resolve=names or Names(), certificates=tls)


async def get(door: Outbound, url: str, *, method: str = "GET", **given: Any) -> OutboundResponse:
    return await door.request(OutboundCall(tenant=TENANT, method=method, url=url, **given))


async def refusal(door: Outbound, url: str, **given: Any) -> OutboundRefused:
    with pytest.raises(OutboundRefused) as refused:
        await get(door, url, **given)
    return refused.value


@pytest.fixture
def told() -> Iterator[list[Event]]:
    seen: list[Event] = []
    events.subscribe(seen.append)
    yield seen
    events.unsubscribe(seen.append)


@pytest.fixture
async def server() -> AsyncIterator[WildServer]:
    """It answers with what it was asked."""
    async with wild_server(
        saying(lambda seen: answer(body=f"{seen.method} {seen.target}".encode(), x_mine="yes", connection="close"))
    ) as running:
        yield running


@pytest.fixture
async def inner() -> AsyncIterator[WildServer]:
    """A server on an address that is private to these tests. It must never be connected to."""
    async with wild_server(saying(answer(body=b"secret of the inside")), host="127.0.0.2") as running:
        yield running
        assert running.connections == 0


# --- calls


async def test_call_gets_the_whole_answer_and_is_told_without_its_path(server: WildServer, told: list[Event]) -> None:
    body = b'{"a": 1}'
    call = OutboundCall(tenant=TENANT, method="post", url=server.url(target=f"/x?key={SECRET}"), headers={"X-Key": SECRET}, body=body)
    response = await outbound().request(call)
    assert (response.status, response.body) == (200, f"POST /x?key={SECRET}".encode())
    assert (response.header("x-mine"), response.header("content-length"), response.redirects) == ("yes", None, 0)
    assert (server.seen[0].body, server.seen[0].headers["x-key"]) == (body, SECRET)
    assert server.seen[0].headers["host"] == f"127.0.0.1:{server.port}"
    (event,) = told
    assert isinstance(event, OutboundCalled)
    assert (event.tenant, event.host, event.method, event.outcome, event.status) == (str(TENANT), "127.0.0.1", "POST", "answered", 200)
    assert SECRET not in str(event)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content", "304 Not Modified"])
async def test_call_answered_with_any_status_gives_that_status(status: str) -> None:
    async with wild_server(saying(answer(status))) as server:
        assert (await get(outbound(), server.url())).status == int(status[:3])


async def test_call_by_head_gives_no_body() -> None:
    async with wild_server(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")) as server:
        assert (await get(outbound(), server.url(), method="HEAD")).body == b""


async def test_call_reads_no_proxy_and_no_password_from_the_environment(
    server: WildServer, inner: WildServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, inner.url("127.0.0.2"))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    await get(outbound(), server.url())
    assert "authorization" not in server.seen[0].headers


async def test_call_keeps_no_cookie_and_no_connection_for_the_next_one() -> None:
    async with wild_server(saying(answer(set_cookie=f"session={SECRET}"))) as server:
        door = outbound()
        for _ in range(3):
            await get(door, server.url())
        assert server.connections == 3
        assert not any("cookie" in seen.headers for seen in server.seen)


async def test_call_over_ipv6_reaches_its_server() -> None:
    try:
        async with wild_server(saying(answer(body=b"six")), host="::1") as server:
            assert (await get(outbound(), server.url("[::1]"))).body == b"six"
            assert server.seen[0].headers["host"] == f"[::1]:{server.port}"
    except OSError:
        pytest.skip("this machine has no IPv6")


# --- where calls may lead


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.2", "localhost", "0.0.0.0", "2130706434", "0x7f000002", "0x7f.2", "127.2", "0177.0.0.2", "127.0.0.2.", "①②⑦.⓪.⓪.②"),
        *("[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[::127.0.0.2]", "[64:ff9b::7f00:2]", "[2002:7f00:2::]", "[::]", "[fe80::1%25lo]"),
        *("127.0.0.1@127.0.0.2", "127.0.0.1%40127.0.0.2", "inner.example", "metadata.google.internal", "[::1]:80@127.0.0.2"),
    ],
)
async def test_call_to_a_private_address_in_any_spelling_is_refused(inner: WildServer, host: str, told: list[Event]) -> None:
    names = Names(inner_example=[["127.0.0.2"]])
    error = await refusal(outbound(names), inner.url(host))
    assert "127.0.0.2" not in error.message or host == "127.0.0.2"
    assert isinstance(told[0], OutboundRefusedSeen)
    assert told[0].rule == error.rule


@pytest.mark.parametrize(
    "found", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%lo"]]
)
async def test_call_to_a_name_with_one_private_address_among_others_is_refused(inner: WildServer, found: list[str]) -> None:
    error = await refusal(outbound(Names(a_example=[found])), inner.url("a.example"))
    assert error.rule == "address_not_public"


async def test_call_whose_name_changes_after_the_check_reaches_the_checked_address(server: WildServer, inner: WildServer) -> None:
    """DNS rebinding: the second answer would be private, and is not asked for; the next call asks again and is refused."""
    names = Names(a_example=[["127.0.0.1"], ["127.0.0.2"]])
    door = outbound(names)
    assert (await get(door, server.url("a.example"))).status == 200
    assert names.asked == ["a.example"]
    assert server.seen[0].headers["host"] == f"a.example:{server.port}"
    assert (await refusal(door, server.url("a.example"))).rule == "address_not_public"


async def test_call_tries_the_next_checked_address_where_one_refuses(server: WildServer) -> None:
    names = Names(a_example=[["::1", "127.0.0.1"]])
    assert (await get(outbound(names), server.url("a.example"))).status == 200


async def test_call_to_a_name_that_the_operator_allows_reaches_it() -> None:
    async with wild_server(saying(answer(body=b"in")), host="127.0.0.2") as server:
        names = Names(mine_corp=[["127.0.0.2"]])
        door = outbound(names, allow=[f"mine.corp:{server.port}"])
        assert (await get(door, server.url("mine.corp"))).body == b"in"
        assert (await refusal(door, server.url("127.0.0.2"))).rule == "address_not_public"
        assert (await refusal(door, "http://mine.corp:1234/")).rule == "name_not_public"


async def test_call_to_localhost_that_the_operator_allows_asks_the_system(server: WildServer) -> None:
    door = Outbound(Settings(outbound_allow=("localhost",)))
    assert (await get(door, server.url("localhost"))).status == 200


async def test_call_to_a_name_that_nobody_knows_fails(told: list[Event]) -> None:
    with pytest.raises(OutboundFailed, match="can't be found"):
        await get(outbound(), "http://nobody.example/")
    assert isinstance(told[0], OutboundCalled)
    assert (told[0].outcome, told[0].status, told[0].host) == ("failed", 0, "nobody.example")


async def test_call_to_a_port_where_nobody_listens_fails(server: WildServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(OutboundFailed, match="can't be reached"):
            await get(outbound(), f"http://127.0.0.1:{taken.getsockname()[1]}/")


def test_address_of_this_machine_is_known_as_its_own() -> None:
    assert dial._is_own("127.0.0.1")
    assert not dial._is_own("192.0.2.1")


def test_setting_that_is_no_rule_stops_the_start() -> None:
    with pytest.raises(ConfigInvalid, match="MENTHA_OUTBOUND_ALLOW"):
        outbound(allow=["not a host"])


# --- redirects


def redirecting(where: Callable[[Seen], str | None], status: str = "302 Found") -> Any:
    def say(seen: Seen) -> bytes:
        location = where(seen)
        return answer(status, location=location) if location else answer(body=f"{seen.method} {seen.target}".encode())

    return saying(say)


async def test_redirects_are_followed_to_the_answer() -> None:
    async with wild_server(redirecting(lambda seen: {"/": "/a?b", "/a?b": "c"}.get(seen.target))) as server:
        response = await get(outbound(), server.url(), headers={"Authorization": SECRET})
        assert (response.body, response.redirects, response.url) == (b"GET /c", 2, server.url(target="/c"))
        assert [seen.headers["authorization"] for seen in server.seen] == [SECRET] * 3


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "2130706434", "inner.example", "[::ffff:127.0.0.2]", "x@127.0.0.2"])
async def test_redirect_to_a_private_address_is_refused(inner: WildServer, host: str, told: list[Event]) -> None:
    async with wild_server(redirecting(lambda _: inner.url(host))) as server:
        await refusal(outbound(Names(inner_example=[["127.0.0.2"]])), server.url())
        assert server.connections == 1
    assert [type(event) for event in told] == [OutboundRefusedSeen]


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1:6379/_x", "data:text/plain,hi", "http:/x", "http:x"]
)
async def test_redirect_to_another_scheme_is_refused(location: str) -> None:
    async with wild_server(redirecting(lambda _: location)) as server:
        assert (await refusal(outbound(), server.url())).rule == "url"


async def test_redirect_to_a_name_that_changed_is_checked_again(inner: WildServer) -> None:
    names = Names(a_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with wild_server(redirecting(lambda _: "/again")) as server:
        assert (await refusal(outbound(names), server.url("a.example"))).rule == "address_not_public"
        assert (names.asked, server.connections) == (["a.example"] * 2, 1)


async def test_redirect_to_another_origin_takes_no_secret_along(server: WildServer) -> None:
    headers = {"Authorization": SECRET, "Cookie": SECRET, "X-Api-Key": SECRET, "User-Agent": "me"}
    async with wild_server(redirecting(lambda _: server.url(target="/there"))) as first:
        response = await get(outbound(), first.url(), headers=headers)
    assert response.body == b"GET /there"
    assert first.seen[0].headers["x-api-key"] == SECRET
    assert SECRET not in str(server.seen)
    assert server.seen[0].headers["user-agent"] == "me"


@pytest.mark.parametrize(("status", "arrives"), [("303 See Other", ("GET", b"")), ("307 Temporary Redirect", ("POST", b"data"))])
async def test_redirect_of_a_post_keeps_or_drops_its_body_by_its_status(status: str, arrives: tuple[str, bytes]) -> None:
    async with wild_server(redirecting(lambda seen: "/b" if seen.target == "/" else None, status)) as server:
        await get(outbound(), server.url(), method="POST", body=b"data")
        assert (server.seen[1].method, server.seen[1].body) == arrives


async def test_redirect_that_would_send_the_body_elsewhere_is_refused(server: WildServer) -> None:
    async with wild_server(redirecting(lambda _: server.url(), "308 Permanent Redirect")) as first:
        assert (await refusal(outbound(), first.url(), method="POST", body=b"data")).rule == "redirect_body"
    assert server.connections == 0


async def test_redirects_beyond_their_number_are_refused() -> None:
    async with wild_server(redirecting(lambda seen: seen.target + "x")) as server:
        error = await refusal(outbound(redirects_max=3), server.url())
        assert (error.rule, server.connections) == ("redirects", 4)
        assert "MENTHA_OUTBOUND_REDIRECTS_MAX" in (error.fix or "")


async def test_redirect_that_is_not_to_be_followed_is_the_answer(inner: WildServer) -> None:
    async with wild_server(redirecting(lambda _: inner.url("127.0.0.2"))) as server:
        response = await get(outbound(), server.url(), follow_redirects=False)
        assert (response.status, response.header("location")) == (302, inner.url("127.0.0.2"))


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.make(tmp_path_factory.mktemp("tls") / "both.pem", "a.example", "mail.example")


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_call_over_tls_names_the_host_and_checks_its_certificate(certificate: Path) -> None:
    names = Names(a_example=[["127.0.0.1"]], b_example=[["127.0.0.1"]])
    trusting = ssl.create_default_context(cafile=certificate)
    async with wild_server(saying(answer(body=b"safe")), tls=server_tls(certificate)) as server:
        door = outbound(names, tls=trusting)
        assert (await get(door, server.url("a.example", scheme="https"))).body == b"safe"
        assert server.names == ["a.example"]
        for url in (server.url("b.example", scheme="https"), server.url("127.0.0.1", scheme="https")):
            assert (await refusal(door, url)).rule == "certificate"
        # It is the same one at the next attempt, so none is made.
        refused = await refusal(outbound(names), server.url("a.example", scheme="https"))
        assert (refused.rule, refused.retry) == ("certificate", False)
        async with await outbound(names).client(tenant=TENANT) as library:
            with pytest.raises(OutboundRefused, match="no valid certificate"):
                await library.get(server.url("a.example", scheme="https"))
        assert len(server.seen) == 1


async def test_call_over_tls_to_a_server_without_it_fails() -> None:
    async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer("400 Bad Request"))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as listening:
        with pytest.raises(OutboundFailed, match="TLS"):
            await get(outbound(), f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")


# --- other ways through the door


async def test_checked_address_has_what_may_be_dialled(told: list[Event]) -> None:
    names = Names(a_example=[["1.1.1.1", "2606:4700::1"]], b_example=[["10.0.0.1"]])
    door = outbound(names)
    found = await door.check_url("https://A.example:8443/x?y#z", tenant=TENANT)
    assert (found.url, found.scheme, found.host, found.port) == ("https://a.example:8443/x?y", "https", "a.example", 8443)
    assert (found.target, found.addresses) == ("/x?y", ("1.1.1.1", "2606:4700::1"))
    assert told == []
    with pytest.raises(OutboundRefused):
        await door.check_url("https://b.example/", tenant=TENANT)
    assert [type(event) for event in told] == [OutboundRefusedSeen]


async def test_connection_for_another_protocol_is_checked_and_dialled(inner: WildServer) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await writer.drain()
        writer.close()

    names = Names(mail_example=[["127.0.0.1"]])
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        door = outbound(names)
        async with door.open_tcp("mail.example", port, tenant=TENANT, ports={port}) as stream:
            assert await stream.read(100) == b"220 hello\r\n"
        for host, allowed in (("mail.example", {25}), ("127.0.0.2", {port})):
            with pytest.raises(OutboundRefused):
                async with door.open_tcp(host, port, tenant=TENANT, ports=allowed):
                    pytest.fail("opened")


async def test_connection_for_another_protocol_takes_tls_at_once_or_later(certificate: Path) -> None:
    names = Names(mail_example=[["127.0.0.1"]])
    async with wild_server(saying(answer(body=b"x")), tls=server_tls(certificate)) as server:
        door = outbound(names, tls=ssl.create_default_context(cafile=certificate))
        for at_once in (True, False):
            async with door.open_tcp("mail.example", server.port, tenant=TENANT, ports={server.port}, tls=at_once) as stream:
                if not at_once:
                    await door.secure(stream, "mail.example")
                await stream.write(b"GET / HTTP/1.1\r\n\r\n")
                assert (await stream.read(1_000)).startswith(b"HTTP/1.1 200 OK")
        assert server.names == ["mail.example"] * 2


async def test_client_for_libraries_goes_through_the_same_door(server: WildServer, inner: WildServer) -> None:
    names = Names(a_example=[["127.0.0.1"]], b_example=[["127.0.0.2"]])
    door = outbound(names)
    async with await door.client(tenant=TENANT) as client:
        response = await client.post(server.url("a.example", "/rpc"), content=b"{}", headers={"Accept-Encoding": "gzip"})
        assert response.text == "POST /rpc"
        assert server.seen[0].headers["accept-encoding"] == "identity"
        for url in (inner.url("b.example"), inner.url("127.0.0.2"), inner.url("2130706434"), inner.url("localhost")):
            with pytest.raises(OutboundRefused):
                await client.get(url)


async def test_client_for_libraries_follows_no_redirect_and_takes_no_more_than_the_limit(inner: WildServer) -> None:
    bodies = {
        "/far": answer("302 Found", location=inner.url("127.0.0.2"), connection="close"),
        "/big": answer(body=b"x" * 5_000, connection="close"),
        "/gz": answer(content_encoding="gzip", connection="close"),
    }
    async with wild_server(saying(lambda seen: bodies[seen.target])) as server:
        async with await outbound(response_bytes_max=1_000).client(tenant=TENANT) as client:
            assert (await client.get(server.url(target="/far"))).status_code == 302
            with pytest.raises(OutboundRefused, match="1,000"):
                await client.get(server.url(target="/big"))
            with pytest.raises(Exception, match="compressed"):
                await client.get(server.url(target="/gz"))


async def test_client_for_libraries_tells_failures_by_the_librarys_errors() -> None:
    httpx2 = pytest.importorskip("httpx2")
    async with await outbound().client(tenant=TENANT) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://nobody.example/")


# --- time


async def test_look_up_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_host: str, _port: int) -> Sequence[str]:
        await asyncio.get_running_loop().create_future()
        return []

    monkeypatch.setattr(dial, "LOOKUP_TIMEOUT_S", 0.02)
    with pytest.raises(OutboundTimeout, match="looked up"):
        await get(outbound(never), "http://a.example/")


async def test_call_that_is_cancelled_leaves_nothing_open() -> None:
    arrived = asyncio.Event()

    async def hang(_: Seen, __: asyncio.StreamWriter) -> None:
        arrived.set()
        await asyncio.get_running_loop().create_future()

    async with wild_server(hang) as server:
        door = outbound()
        task = asyncio.create_task(get(door, server.url()))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert all(not slots._users for slots in (door._dialler._all, door._dialler._by_host, door._dialler._by_tenant))
