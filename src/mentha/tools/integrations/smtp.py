"""One message over one connection in SMTP: greeting, TLS, login, envelope, data. The connection comes from the door and is the caller's.

Only what a submission takes: no pipelining, no 8-bit addresses, one message. Whatever the server says is bounded.
"""

import base64
import re
from collections.abc import Iterable

from mentha.core.errors import OutboundFailed, OutboundTimeout
from mentha.tools.integrations.message import Mail
from mentha.tools.outbound import Connection

LINE_BYTES_MAX = 2_048
REPLY_LINES_MAX = 100
READ_BYTES_MAX = 4_096
# What a client calls itself where it has no name of its own (RFC 5321 section 4.1.3).
NAME = "[127.0.0.1]"
_REPLY = re.compile(rb"(\d{3})([ -]?)(.*)", re.DOTALL)


class SmtpRefused(Exception):
    """The server said no.

    Args:
        stage: what it refused, in words.
        code: its reply; 4xx may go well later, 5xx does not.
        text: what it said; may repeat what it was sent.
    """

    def __init__(self, stage: str, code: int, text: str) -> None:
        super().__init__(stage)
        self.stage = stage
        self.code = code
        self.text = text


class Dialogue:
    """Commands and replies on a connection. Every method raises `SmtpRefused` for a no, `OutboundFailed` for what is no SMTP."""

    def __init__(self, stream: Connection) -> None:
        self._stream = stream
        self._unread = b""
        self._offers: dict[str, str] = {}

    async def greet(self) -> None:
        """Wait for the server's greeting, and say hello."""
        await self._reply("the connection", 220)
        await self.hello()

    async def hello(self) -> None:
        """Say hello, and learn what the server offers; after TLS again, since before it anybody could have said so."""
        lines = await self._command("the greeting", f"EHLO {NAME}", 250)
        words = (line.upper().split(" ", 1) for line in lines[1:])
        self._offers = {each[0]: each[1] if len(each) > 1 else "" for each in words}

    async def start_tls(self) -> None:
        """Ask for TLS; the caller puts it on the connection then. Without it no password is sent.

        Raises:
            OutboundFailed: more came than the reply. Taken for a part of the dialogue under TLS, it would be somebody's words in the
                server's mouth.
        """
        if "STARTTLS" not in self._offers:
            raise SmtpRefused("TLS, without which nothing is sent", 502, "")
        await self._command("TLS", "STARTTLS", 220)
        if self._unread:
            raise OutboundFailed("the mail server sent something between its reply and TLS")

    def credentials(self, user: str, password: str) -> Iterable[str]:
        """The login in the forms in which it is sent."""
        return _plain(user, password), _base64(user), _base64(password)

    async def login(self, user: str, password: str) -> None:
        """Log in by what the server offers: `PLAIN`, else `LOGIN`."""
        ways = self._offers.get("AUTH", "").split()
        if "PLAIN" in ways or not ways:
            await self._command("login", f"AUTH PLAIN {_plain(user, password)}", 235)
        elif "LOGIN" in ways:
            await self._command("login", "AUTH LOGIN", 334)
            await self._command("login", _base64(user), 334)
            await self._command("login", _base64(password), 235)
        else:
            raise SmtpRefused("the ways to log in that are known here (PLAIN, LOGIN)", 504, "")

    async def send(self, letter: Mail) -> None:
        """Give the message; it is taken when this returns. Saying goodbye is left out: the connection is closed anyway.

        Raises:
            OutboundTimeout: it was given, and nobody knows whether it was taken.
        """
        await self._command("the sender", f"MAIL FROM:<{letter.sender}>", 250)
        for recipient in letter.recipients:
            await self._command("a recipient", f"RCPT TO:<{recipient}>", 250, 251)
        await self._command("the message", "DATA", 354)
        try:
            await self._write(b"".join(_stuffed(letter.data)) + b".\r\n")
            await self._reply("the message", 250)
        except OutboundFailed:
            raise OutboundTimeout(
                "the mail server broke off before it said whether it took the message",
                fix="look whether it was sent before sending it again",
            ) from None

    async def _command(self, stage: str, line: str, *wanted: int) -> list[str]:
        await self._write(f"{line}\r\n".encode())
        return await self._reply(stage, *wanted)

    async def _reply(self, stage: str, *wanted: int) -> list[str]:
        lines: list[str] = []
        while len(lines) < REPLY_LINES_MAX:
            match = _REPLY.fullmatch(await self._line())
            if match is None:
                break
            lines.append(match[3].decode("utf-8", "replace"))
            if match[2] != b"-":
                code = int(match[1])
                if code not in wanted:
                    raise SmtpRefused(stage, code, " ".join(lines))
                return lines
        raise OutboundFailed("the mail server sent something that is no reply of SMTP", fix="check `host` and `port`")

    async def _line(self) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > LINE_BYTES_MAX:
                raise OutboundFailed("the mail server sent a line that is too long", fix="check `host` and `port`")
            self._unread += await self._read()
        line, _, self._unread = self._unread.partition(b"\n")
        return line.rstrip(b"\r")

    async def _read(self) -> bytes:
        data = await self._stream.receive(READ_BYTES_MAX)
        if not data:
            raise _gone()
        return data

    async def _write(self, data: bytes) -> None:
        if not await self._stream.send(data):
            raise _gone()


def _gone() -> OutboundFailed:
    return OutboundFailed("the mail server closed the connection", fix="try again later")


def _plain(user: str, password: str) -> str:
    return _base64(f"\0{user}\0{password}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _stuffed(data: bytes) -> Iterable[bytes]:
    """The lines, those that begin with a dot with one more (RFC 5321 section 4.5.2)."""
    for line in data.splitlines(keepends=True):
        whole = line if line.endswith(b"\r\n") else line.rstrip(b"\r\n") + b"\r\n"
        yield b"." + whole if whole.startswith(b".") else whole
