"""The provider `email`: a message given to the mail server of the tool's setup, always under TLS.

Source: RFC 5321 (SMTP), 3207 (STARTTLS), 4954 (AUTH), 6409 (submission). Why the dialogue is ours: `docs/decisions/0021-integrations.md`.
"""

import asyncio

from mentha.core.json import JsonValue
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations.message import Mail, mail
from mentha.tools.integrations.service import Service
from mentha.tools.integrations.smtp import Dialogue, SmtpRefused

# Those of mail, with the one that some services have beside them; another one needs a rule of the operator.
PORTS = frozenset({25, 465, 587, 2525})
# TLS from the first byte on (RFC 8314).
TLS_PORT = 465


async def send(service: Service) -> JsonValue:
    """`success`: the server has taken the message. It is never sent twice by itself."""
    letter = mail(service.text("from"), service.text("to"), service.text("subject"), service.text("body"))
    if len(letter.data) > service.means.outbound.limits.request_bytes_max:
        raise service.failed(f"the message has more than {service.means.outbound.limits.request_bytes_max:,} bytes")
    try:
        async with asyncio.timeout(service.means.outbound.limits.timeout_s):
            await _deliver(service, letter)
    except TimeoutError:
        raise service.failed("the mail server did not take the message in time; it may have been sent all the same") from None
    except SmtpRefused as refused:
        raise _told(service, refused) from None
    return {"success": True}


async def _deliver(service: Service, letter: Mail) -> None:
    host, port = service.text("host"), service.setup["port"]
    outbound = service.means.outbound
    async with outbound.open_tcp(host, port, tenant=service.tenant, ports=PORTS, tls=port == TLS_PORT) as stream:
        dialogue = Dialogue(stream)
        await dialogue.greet()
        if port != TLS_PORT:
            await dialogue.start_tls()
            await outbound.secure(stream, host)
            await dialogue.hello()
        user, password = service.text("user"), service.text("password")
        for secret in dialogue.credentials(user, password):
            service.hide(secret)
        await dialogue.login(user, password)
        await dialogue.send(letter)


def _told(service: Service, refused: SmtpRefused) -> ToolFailed:
    if refused.stage == "login":
        message = "the mail server does not accept `user` and `password` of the tool's `setup`"
        return service.failed(message, retry=400 <= refused.code < 500, said=refused.text, status=refused.code)
    message = f"the mail server refused {refused.stage}"
    return service.failed(message, retry=400 <= refused.code < 500, said=refused.text, status=refused.code)


METHODS = {"send": send}
