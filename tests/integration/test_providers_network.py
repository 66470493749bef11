"""The network backend below the HTTP client: TLS, names with several addresses, slow readers, broken connections."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpcore2
import pytest

from mentha.core.config import ProviderSettings, Settings
from mentha.core.errors import ProviderUnavailable
from mentha.providers import Providers, network

x509 = pytest.importorskip("cryptography.x509", reason="the package cryptography, which makes the test's certificate, is missing")

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a fresh key and a certificate for `localhost` that nobody else trusts."""
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
async def tls_port(certificate: Path) -> AsyncIterator[int]:
    """The port of a server that answers `hello` over TLS, again and again on one connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with await asyncio.start_server(answer_all, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        writer.close()


def pool(context: ssl.SSLContext | None = None) -> Any:
    return httpcore2.AsyncConnectionPool(ssl_context=context, network_backend=network.Backend())


async def test_backend_speaks_tls_and_keeps_the_connection(tls_port: int, certificate: Path) -> None:
    async with pool(ssl.create_default_context(cafile=certificate)) as connections:
        for _ in range(3):
            response = await connections.request("GET", f"https://localhost:{tls_port}/")
            assert response.content == b"hello"
        assert len(connections.connections) == 1


async def test_backend_refuses_a_certificate_that_is_not_trusted(tls_port: int) -> None:
    async with pool(ssl.create_default_context()) as connections:
        with pytest.raises(httpcore2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await connections.request("GET", f"https://localhost:{tls_port}/")


async def test_backend_refuses_a_certificate_for_another_name(tls_port: int, certificate: Path) -> None:
    async with pool(ssl.create_default_context(cafile=certificate)) as connections:
        with pytest.raises(httpcore2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await connections.request("GET", f"https://127.0.0.1:{tls_port}/")


async def test_providers_take_an_untrusted_certificate_for_unavailable(tls_port: int) -> None:
    providers = Providers(Settings(providers={"own": ProviderSettings(base_url=f"https://localhost:{tls_port}/v1")}))
    with pytest.raises(ProviderUnavailable, match="can't be reached"):
        await providers.complete(providers.route("m"), b"{}", timeout_s=20)
    await providers.close()


async def test_backend_tries_the_next_address_where_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with await asyncio.start_server(answer_all, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async def two_addresses(*_: Any, **__: Any) -> list[Any]:
            return [(0, 0, 0, "", ("127.0.0.2", port)), (0, 0, 0, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two_addresses)
        pipe = await network._connect("some.host", port)  # noqa: SLF001 - the resolver's answer can't be had otherwise
        assert pipe.transport.get_extra_info("peername") == ("127.0.0.1", port)
        pipe.transport.abort()
        await asyncio.sleep(0)


async def test_backend_maps_a_refused_connection_to_the_librarys_error() -> None:
    with pytest.raises(httpcore2.ConnectError):
        await network.Backend().connect_tcp("127.0.0.1", 1, timeout=5)


async def test_stream_reads_all_of_a_large_body_that_came_while_nobody_read() -> None:
    size = 4 * network.UNREAD_BYTES_MAX

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * size)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        stream = await network.Backend().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        seen = 0
        while data := await stream.read(1_000):
            seen += len(data)
        assert seen == size
        assert stream.get_extra_info("is_readable")
        await stream.aclose()


async def test_stream_writes_more_than_the_other_side_takes_at_once() -> None:
    taken = asyncio.get_running_loop().create_future()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set_result(len(await reader.readexactly(5_000_000)))
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        stream = await network.Backend().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        await stream.write(b"y" * 5_000_000)
        assert await taken == 5_000_000
        await stream.aclose()


async def test_stream_read_over_time_raises_the_librarys_timeout() -> None:
    async with await asyncio.start_server(answer_all, "127.0.0.1", 0) as server:
        stream = await network.Backend().connect_tcp("127.0.0.1", server.sockets[0].getsockname()[1])
        assert not stream.get_extra_info("is_readable")
        with pytest.raises(httpcore2.ReadTimeout):
            await stream.read(10, timeout=0.05)
        await stream.aclose()
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"after the end")
