"""Mail as it is sent: addresses, header and body. Pure.

Source: RFC 5322 for the message, RFC 5321 for addresses; that HTML is told by looks is the original's way.
"""

import re
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses, make_msgid

from mentha.tools.calls import ToolFailed

RECIPIENTS_MAX = 50
SUBJECT_CHARS_MAX = 2_000
_HTML = re.compile(
    r"<(?:!doctype html|/?(?:html|body|head|p|br|div|span|table|tr|td|a|ul|ol|li|b|i|strong|em|h[1-6]|img))\b[^<>]*>", re.IGNORECASE
)
# What may stand in an address on the wire. No quotes, so no spaces and brackets, with which another command could be written.
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message, ready to be sent: bare addresses, and the bytes with lines that end as SMTP wants it."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes


def is_html(body: str) -> bool:
    """Whether a text looks like HTML."""
    return _HTML.search(body[:20_000]) is not None


def mail(sender: str, recipients: str, subject: str, body: str) -> Mail:
    """A message.

    Args:
        sender: one address, with or without a name.
        recipients: some, separated by commas.

    Raises:
        ToolFailed: an address is none, or there are too many, or the subject has line breaks.
    """
    from_, to = _addresses(sender, "from"), _addresses(recipients, "to")
    if len(from_) != 1:
        raise ToolFailed("the argument `from` must be one address")
    if len(subject) > SUBJECT_CHARS_MAX:
        raise ToolFailed(f"the argument `subject` has more than {SUBJECT_CHARS_MAX:,} characters")
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    try:
        message["From"], message["To"], message["Subject"] = from_[0], to, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=from_[0].domain)
        message.set_content(body.replace("\x00", ""), subtype="html" if is_html(body) else "plain")
        data = message.as_bytes()
    except (ValueError, MessageError):
        raise ToolFailed("the arguments `subject` and `body` must be texts, the subject in one line") from None
    return Mail(from_[0].addr_spec, tuple(each.addr_spec for each in to), data)


def _addresses(text: str, name: str) -> list[Address]:
    found = getaddresses([text]) if not re.search(r"[\r\n\x00]", text) else []
    if not 1 <= len(found) <= RECIPIENTS_MAX:
        raise ToolFailed(f"the argument `{name}` must have 1 to {RECIPIENTS_MAX} addresses, separated by commas")
    return [_address(shown, bare, name) for shown, bare in found]


def _address(shown: str, bare: str, name: str) -> Address:
    local, _, domain = bare.rpartition("@")
    try:
        spec = f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        spec = ""
    if not _ADDRESS.fullmatch(spec):
        raise ToolFailed(f"the argument `{name}` must be an address like ann@example.com")
    return Address(shown, addr_spec=spec)
