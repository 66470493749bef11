"""Mailgun: sending mail over HTTP.

Source: Mailgun's reference of `POST /v3/{domain}/messages`. The domain is that of the tool's setup, else the sender's; where Mailgun does
not know that one, it is tried with `email.` before it, which the original always did.
"""

import base64
import re
from email.utils import getaddresses

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers
from mentha.tools.integrations.message import is_html
from mentha.tools.integrations.service import Question, Service

BASE_URLS = {"us": "https://api.mailgun.net", "eu": "https://api.eu.mailgun.net"}
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)


async def send_email(service: Service) -> JsonValue:
    """`success`. A message is never sent twice by itself."""
    fixed = service.text("domain")
    sender = getaddresses([service.text("from")])
    domain = fixed or (sender[0][1].rpartition("@")[2] if sender else "")
    if not _DOMAIN.fullmatch(domain):
        raise service.failed("the argument `from` must be an address, like ann@example.com")
    body = service.text("body")
    form: JsonObject = {name: service.arguments.get(name) for name in ("from", "to", "cc", "bcc", "subject")}
    form["html" if is_html(body) else "text"] = body
    # An address that is not given is not to be sent as an empty one.
    form = {name: value for name, value in form.items() if value or name == "subject"}
    if await _sent(service, domain, form, is_last=bool(fixed)):
        return {"success": True, "error": None}
    await _sent(service, f"email.{domain}", form, is_last=True)
    return {"success": True, "error": None}


async def _sent(service: Service, domain: str, form: JsonObject, *, is_last: bool) -> bool:
    """Send; false where Mailgun has no such domain, and another one is left to be tried."""
    login = base64.b64encode(f"api:{service.text('api_key')}".encode()).decode()
    question = Question(
        method="POST",
        url=f"{service.base(BASE_URLS[service.text('region') or 'us'])}/v3/{domain}/messages",
        headers={"authorization": f"Basic {service.hide(login)}"},
        form=form,
        passes=(404,),
    )
    response = await service.ask(question)
    if response.status != 404:
        answers.object_of(response, "mailgun")
        return True
    if is_last:
        raise service.failed(
            "`mailgun` does not know the domain: name one of the account's in the field `domain` of the tool's `setup`",
            said=answers.message_of(response),
            status=404,
        )
    return False


METHODS = {"send_email": send_email}
