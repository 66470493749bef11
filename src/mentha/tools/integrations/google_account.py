"""Tokens of Google's service accounts, each kept as long as it is good: a claim costs a signature and a request."""

import asyncio
import hashlib
import time
from collections import OrderedDict

from mentha.auth import service_accounts
from mentha.auth.service_accounts import ServiceAccount
from mentha.core import clock
from mentha.tools.integrations import answers
from mentha.tools.integrations.service import Question, Service

TOKENS_MAX = 256
# A token is given up this long before it ends, and is never kept longer than Google's longest.
SPARE_S = 300.0
TOKEN_S_MAX = 3_600.0

# Digest of an account and a scope → its token, and until when it is used.
tokens: OrderedDict[bytes, tuple[str, float]] = OrderedDict()


def account_of(service: Service) -> ServiceAccount:
    """The account of the setup.

    Raises:
        ToolFailed: there is none that can be read.
    """
    text = service.text("service_account_json")
    if not text:
        raise service.failed(
            "`google_sheets` needs the field `service_account_json` in the tool's `setup`, a secret named `GOOGLE_SERVICE_ACCOUNT_JSON`,"
            " or an account of the operator with `use_julep_service`"
        )
    try:
        account = service_accounts.parse(text)
    except ValueError as error:
        raise service.failed(f"the field `service_account_json` of the tool's `setup` is {error}") from None
    service.hide(account.private_key)
    return account


async def token_of(service: Service, account: ServiceAccount, scope: str) -> str:
    """A token of the account for the scope.

    Raises:
        ToolFailed: Google does not accept the account, or is busy.
    """
    key = _key(account, scope)
    known = tokens.get(key)
    if known and known[1] > time.monotonic():
        return service.hide(known[0])
    try:
        signed = await asyncio.to_thread(service_accounts.claim, account, scope, int(clock.now().timestamp()))
    except ValueError as error:
        raise service.failed(str(error)) from None
    question = Question(
        method="POST",
        url=service.base(account.token_uri, "token"),
        form={"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": service.hide(signed)},
        again=True,
        # `invalid_grant` is a 400.
        is_key_refused=lambda response: response.status in (400, 401, 403),
    )
    answer = answers.object_of(await service.ask(question), "google_sheets")
    token, lasts_s = answers.words(answer.get("access_token")), answer.get("expires_in")
    if not token:
        raise answers.odd("google_sheets")
    if isinstance(lasts_s, int) and lasts_s > SPARE_S:
        tokens[key] = (token, time.monotonic() + min(lasts_s, TOKEN_S_MAX) - SPARE_S)
        while len(tokens) > TOKENS_MAX:
            tokens.popitem(last=False)
    return service.hide(token)


def forget(account: ServiceAccount, scope: str) -> None:
    """Give up a token that was not accepted."""
    tokens.pop(_key(account, scope), None)


def _key(account: ServiceAccount, scope: str) -> bytes:
    parts = (account.email, account.private_key, account.token_uri, scope)
    return hashlib.sha256("\0".join(parts).encode()).digest()
