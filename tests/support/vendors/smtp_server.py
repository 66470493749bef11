"""A mail server for tests: STARTTLS or TLS from the start, logins, and whatever can go wrong. It remembers what it was given."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

USER, PASSWORD = "ann@example.com", "smtp-passw0rd-0123"


@dataclass
class Letter:
    sender: str
    recipients: list[str]
    data: bytes


@dataclass
class MailServer:
    """What it does and what it got.

    Attributes:
        ways: of logging in that it offers.
        replies: what it answers to a command (its first word) in place of the usual; empty closes the connection.
        after_tls_reply: sent right behind the reply to STARTTLS, in the clear.
    """

    port: int = 0
    ways: str = "PLAIN LOGIN"
    has_tls: bool = True
    replies: dict[str, str] = field(default_factory=dict[str, str])
    after_tls_reply: bytes = b""
    letters: list[Letter] = field(default_factory=list[Letter])
    commands: list[str] = field(default_factory=list[str])
    in_the_clear: list[str] = field(default_factory=list[str])


@contextlib.asynccontextmanager
async def mail_server(certificates: ssl.SSLContext, *, at_once: bool = False, **given: Any) -> AsyncGenerator[MailServer]:
    """A running server; `at_once` for TLS from the first byte on."""
    server = MailServer(**given)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await _Session(server, certificates, reader, writer, is_secure=at_once).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificates if at_once else None) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Session:
    def __init__(
        self,
        server: MailServer,
        certificates: ssl.SSLContext,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_secure: bool,
    ) -> None:
        self.server = server
        self.certificates = certificates
        self.reader = reader
        self.writer = writer
        self.is_secure = is_secure
        self.letter = Letter("", [], b"")

    async def run(self) -> None:
        await self.say(self.server.replies.get("greeting", "220 mail.example.com ESMTP"))
        while line := await self.line():
            self.server.commands.append(line)
            if not self.is_secure:
                self.server.in_the_clear.append(line)
            word = line.split(" ")[0].upper()
            if word in self.server.replies:
                reply = self.server.replies[word]
                if not reply:
                    return
                await self.say(reply)
            else:
                await getattr(self, f"do_{word.lower()}")(line)

    async def line(self) -> str:
        return (await self.reader.readline()).decode().rstrip("\r\n")

    async def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()

    async def do_ehlo(self, _: str) -> None:
        offers = ["SIZE 1000000", "8BITMIME"]
        if not self.is_secure and self.server.has_tls:
            offers.append("STARTTLS")
        if self.is_secure:
            offers.append(f"AUTH {self.server.ways}")
        await self.say("250-mail.example.com", *(f"250-{each}" for each in offers[:-1]), f"250 {offers[-1]}")

    async def do_starttls(self, _: str) -> None:
        self.writer.write(b"220 go ahead\r\n" + self.server.after_tls_reply)
        await self.writer.drain()
        await self.writer.start_tls(self.certificates)
        self.is_secure = True

    async def do_auth(self, line: str) -> None:
        way = line.split(" ")[1]
        if way == "PLAIN":
            _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
        else:
            await self.say("334 VXNlcm5hbWU6")
            user = base64.b64decode(await self.line()).decode()
            await self.say("334 UGFzc3dvcmQ6")
            password = base64.b64decode(await self.line()).decode()
        is_right = (user, password) == (USER, PASSWORD)
        await self.say("235 welcome" if is_right else f"535 5.7.8 wrong: {user} {password} {base64.b64encode(password.encode()).decode()}")

    async def do_mail(self, line: str) -> None:
        self.letter = Letter(line.partition("<")[2].partition(">")[0], [], b"")
        await self.say("250 ok")

    async def do_rcpt(self, line: str) -> None:
        self.letter.recipients.append(line.partition("<")[2].partition(">")[0])
        await self.say("250 ok")

    async def do_data(self, _: str) -> None:
        await self.say("354 go ahead")
        whole = await self.reader.readuntil(b"\r\n.\r\n")
        if self.server.replies.get("."):
            await self.say(self.server.replies["."])
            return
        if "." in self.server.replies:
            raise ConnectionError
        self.letter.data = whole[:-3].replace(b"\r\n..", b"\r\n.")
        self.server.letters.append(self.letter)
        await self.say("250 queued")
