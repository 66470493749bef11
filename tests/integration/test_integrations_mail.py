"""The provider `email`, against a mail server of ours that does what such servers do."""

import email.policy
import ssl
from collections.abc import AsyncIterator, Collection
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.errors import MenthaError, OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.tools import integrations
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import Means
from mentha.tools.outbound import Outbound
from tests.support import certificates
from tests.support.vendors.smtp_server import PASSWORD, USER, MailServer, mail_server
from tests.support.wild_server import saying, wild_server

MAIL = {"to": "bo@example.org, Cy <cy@example.org>", "from": "Ann Ü <ann@example.com>", "subject": "Täglich", "body": "Hi\n.\n..two\nTea?"}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates.make(tmp_path_factory.mktemp("tls") / "one.pem", "mail.example.com", "localhost")


@pytest.fixture
def served(pem: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


@pytest.fixture
async def server(served: ssl.SSLContext) -> AsyncIterator[MailServer]:
    async with mail_server(served) as running:
        yield running


async def send(server: MailServer, pem: Path, *, host: str = "mail.example.com", setup: Any = None, allow: Any = None, **given: Any) -> Any:
    async def names(*_: Any) -> list[str]:
        return ["127.0.0.1"]

    async def none(_: UUID, names: Collection[str]) -> dict[str, str]:
        return {}

    limits = {name: given.pop(name) for name in list(given) if name.startswith("outbound_")}
    trusted = ssl.create_default_context(cafile=pem)
    settings = config.load(environ={}, flags={"outbound_allow": allow or (f"127.0.0.1:{server.port}",), **limits})
    means = Means(settings, Outbound(settings, resolve=names, certificates=trusted), none)
    spec = {"provider": "email", "setup": {"host": host, "port": server.port, "user": USER, "password": PASSWORD, **(setup or {})}}
    return await integrations.run(means, UUID(int=7), spec, {**MAIL, **given})


async def refusal(kind: type[Exception], *args: Any, **given: Any) -> Any:
    with pytest.raises(kind) as raised:
        await send(*args, **given)
    assert PASSWORD not in repr(raised.value) + str(vars(raised.value))
    return raised.value


def read(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


async def test_message_is_sent_under_tls_as_it_was_written(server: MailServer, pem: Path) -> None:
    assert await send(server, pem) == {"success": True}
    (letter,) = server.letters
    assert (letter.sender, letter.recipients) == ("ann@example.com", ["bo@example.org", "cy@example.org"])
    message = read(letter.data)
    assert (message["subject"], message["from"]) == ("Täglich", "Ann Ü <ann@example.com>")
    assert message.get_content().replace("\r\n", "\n").rstrip("\n") == MAIL["body"]
    assert message.get_content_type() == "text/plain"
    assert [line.split(" ")[0] for line in server.in_the_clear] == ["EHLO", "STARTTLS"]


async def test_body_that_looks_like_html_is_sent_as_html(server: MailServer, pem: Path) -> None:
    await send(server, pem, body="<p>Tee für dich</p>")
    await send(server, pem, body="1 < 2 and 3 > 2")
    assert [read(letter.data).get_content_type() for letter in server.letters] == ["text/html", "text/plain"]


async def test_server_that_knows_only_login_is_logged_in_to(served: ssl.SSLContext, pem: Path) -> None:
    async with mail_server(served, ways="CRAM-MD5 LOGIN") as server:
        assert await send(server, pem) == {"success": True}
        server.ways = "CRAM-MD5"
        assert "log in" in (await refusal(ToolFailed, server, pem)).message


@pytest.mark.parametrize("way", ["PLAIN", "LOGIN"])
async def test_wrong_password_names_the_fields_and_is_not_tried_again(served: ssl.SSLContext, pem: Path, way: str) -> None:
    async with mail_server(served, ways=way) as server:
        with pytest.raises(ToolFailed) as failed:
            await send(server, pem, setup={"password": "another-password-77"})
        assert "`password`" in failed.value.message
        assert "another-password-77" not in failed.value.message
        assert "YW5vdGhlci1wYXNzd29yZC03Nw==" not in failed.value.message
        assert not failed.value.retry
        assert sum(line.startswith("AUTH") for line in server.commands) == 1


@pytest.mark.parametrize(
    ("replies", "retry", "said"),
    [
        ({"greeting": "421 too many connections"}, True, "too many connections"),
        ({"AUTH": "454 4.7.0 try later"}, True, "try later"),
        ({"MAIL": "550 5.7.1 not yours"}, False, "not yours"),
        ({"RCPT": "450 4.2.1 greylisted"}, True, "greylisted"),
        ({".": "554 5.7.1 spam"}, False, "spam"),
    ],
)
async def test_refusal_of_the_server_says_whether_it_may_go_well_later(
    server: MailServer, pem: Path, replies: dict[str, str], retry: bool, said: str
) -> None:
    server.replies = replies
    error = await refusal(ToolFailed, server, pem)
    assert (error.retry, said in error.message) == (retry, True)
    assert server.letters == []


async def test_password_goes_to_no_server_without_tls_for_its_name(served: ssl.SSLContext, pem: Path) -> None:
    async with mail_server(served, has_tls=False) as server:
        assert "TLS" in (await refusal(ToolFailed, server, pem)).message
    async with mail_server(served) as server:
        assert "certificate" in (await refusal(OutboundRefused, server, pem, host="other.example.com")).message
        server.after_tls_reply = b"250 injected\r\n"
        assert "TLS" in (await refusal(OutboundFailed, server, pem)).message
        assert not any(line.startswith(("AUTH", "MAIL")) for line in server.commands)


async def test_server_that_breaks_off_while_it_takes_the_message_leaves_it_open(server: MailServer, pem: Path) -> None:
    server.replies = {".": ""}
    error = await refusal(OutboundTimeout, server, pem)
    assert not error.retry
    assert "whether" in error.message
    server.replies = {"RCPT": ""}
    assert (await refusal(OutboundFailed, server, pem)).retry


@pytest.mark.parametrize("greeting", ["HTTP/1.1 400 Bad Request", "220" + "x" * 5_000, "\r\n".join(["220-a"] * 200)])
async def test_server_that_speaks_no_smtp_is_given_up(server: MailServer, pem: Path, greeting: str) -> None:
    server.replies = {"greeting": greeting}
    await refusal(OutboundFailed, server, pem)


async def test_server_that_says_nothing_is_given_up_in_time(pem: Path) -> None:
    async with wild_server(saying(b"")) as silent:
        error = await refusal(ToolFailed, MailServer(port=silent.port), pem, outbound_timeout_s=0.2)
        assert not error.retry


@pytest.mark.parametrize(
    "given",
    [
        {"to": "bo@example.org\r\nRCPT TO:<eve@example.org>"},
        {"to": "bo@example.org>\nDATA"},
        {"from": "<ann@example.com> SIZE=1"},
        {"from": "a@example.com, b@example.com"},
        {"to": '"a b"@example.org'},
        {"to": ""},
        {"to": ", ".join(f"a{n}@example.org" for n in range(51))},
        {"subject": "Hi\r\nBcc: eve@example.org"},
    ],
)
async def test_address_or_subject_with_more_in_it_is_refused_before_anything_is_sent(
    server: MailServer, pem: Path, given: dict[str, str]
) -> None:
    with pytest.raises(ToolFailed):
        await send(server, pem, **given)
    assert server.commands == []


async def test_mail_server_must_be_one_that_may_be_reached(server: MailServer, pem: Path) -> None:
    for allow in (("10.0.0.1",), ("127.0.0.1",)):
        with pytest.raises(OutboundRefused):
            await send(server, pem, allow=allow)
    with pytest.raises((ToolFailed, MenthaError)):
        await send(server, pem, host="127.0.0.1 x")
    assert server.commands == []
