"""A service as one call of a tool meets it: set up, with its arguments, and with one way to ask it something.

`Service.ask` knows a key that is wrong from a server that is busy: the first is told at once, with the field to look at; the second is
asked again, as often and as long as `tries` and `WAIT_S_MAX` let, and later by whoever reads `retry`.
"""

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from mentha.core import clock
from mentha.core.config import Settings
from mentha.core.errors import OutboundFailed
from mentha.core.json import JsonObject, JsonValue, dumps
from mentha.core.redact import Redactor
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import answers, setup
from mentha.tools.mcp.servers import Servers
from mentha.tools.outbound import Outbound, OutboundCall, OutboundResponse

TRIES_MAX = 3
# A longer wait is for the caller to decide on.
WAIT_S_MAX = 8.0
WAIT_FIRST_S = 0.4
# The service took nothing: asking again does no harm, whatever was asked.
BUSY = frozenset({429, 503})
# It may have taken it, or not.
BROKEN = frozenset({408, 425, 500, 502, 504, 520, 522, 524})
SAFE_METHODS = frozenset({"GET", "HEAD"})

# The values of a tenant's secrets by name.
Values = Callable[[UUID, Collection[str]], Awaitable[dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Means:
    """What calls of services are made with; one for the process.

    Attributes:
        values: reads tenants' secrets.
        wait: waits so many seconds.
        mcp: connects to MCP servers; None where nothing does.
        depth: in how many turns, and in how many executions, the call stands.
    """

    settings: Settings
    outbound: Outbound
    values: Values
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    mcp: Servers | None = None
    depth: tuple[int, int] = (0, 0)


def refuses_key(response: OutboundResponse) -> bool:
    """Whether an answer says that the key is wrong, or may not do this."""
    return response.status in (401, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request to a service.

    Attributes:
        query: texts, numbers, flags and lists of them; null is left out.
        body: bytes, with `content-type` in `headers`; `json` and `form` are other ways to give one.
        again: whether asking twice does no more than asking once; None: as the method says.
        tries: how often to ask at most, the first time included.
        is_key_refused: tells an answer to a wrong key from others.
        passes: statuses beside 2xx that are answers, and no failures.
    """

    url: str
    method: str = "GET"
    query: Mapping[str, JsonValue] = field(default_factory=dict[str, Any])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    json: JsonValue = None
    form: Mapping[str, JsonValue] | None = None
    body: bytes | None = None
    follow_redirects: bool = False
    again: bool | None = None
    timeout_s: float | None = None
    tries: int = TRIES_MAX
    passes: Collection[int] = ()
    is_key_refused: Callable[[OutboundResponse], bool] = refuses_key

    @property
    def is_repeatable(self) -> bool:
        """Whether asking twice does no more than asking once."""
        return self.method in SAFE_METHODS if self.again is None else self.again

    def call(self, tenant: UUID) -> OutboundCall:
        """It as a call through the door."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.body
        if self.json is not None:
            body = dumps(self.json)
            headers.setdefault("content-type", "application/json")
        elif self.form is not None:
            body = urlencode(pairs(self.form)).encode()
            headers["content-type"] = "application/x-www-form-urlencoded"
        asked = urlencode(pairs(self.query))
        url = f"{self.url}{'&' if '?' in self.url else '?'}{asked}" if asked else self.url
        return OutboundCall(tenant=tenant, method=self.method, url=url, headers=headers, body=body, follow_redirects=self.follow_redirects)


def pairs(fields: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    """Fields of a query or a form: a list is several of one name, null is none, what is nested is JSON."""
    found: list[tuple[str, str]] = []
    for name, value in fields.items():
        several = value if isinstance(value, list) else [value]
        found += [(name, each if isinstance(each, str) else dumps(each).decode()) for each in several if each is not None]
    return found


@dataclass(slots=True)
class Service:
    """A service, set up, and what one call wants of it.

    Attributes:
        arguments: complete: what the tool fixes, what the call gives, and defaults.
        hidden: texts that no answer and no error may show; those that come up on the way join them.
        has_acted: the service has done something that doing twice would do two times.
    """

    means: Means
    tenant: UUID
    provider: str
    setup: JsonObject
    arguments: JsonObject
    hidden: list[str]
    has_acted: bool = False

    def base(self, default: str, name: str = "") -> str:
        """Where the service is, without a slash at the end.

        Args:
            name: of one of several addresses; the setting has it as `provider.name`.
        """
        key = f"{self.provider}.{name}" if name else self.provider
        return self.means.settings.integration_base_urls.get(key, default).rstrip("/")

    def hide(self, text: str) -> str:
        """Let nobody see this text; gives it back."""
        self.hidden.append(text)
        return text

    def text(self, name: str) -> str:
        """An argument or, where there is none, a field of the setup, as a text; empty for none."""
        return answers.words(self.arguments.get(name) or self.setup.get(name))

    async def ask(self, question: Question) -> OutboundResponse:
        """Ask, and again where that may help; gives an answer with a status of success.

        Raises:
            ToolFailed: the key is wrong, what was asked for is, or the service is busy or broken: then `retry` is true.
            OutboundError: no answer came, or none that can be taken.
        """
        call = question.call(self.tenant)
        limits = self.means.outbound.limits
        if question.timeout_s is not None:
            limits = dataclasses.replace(limits, timeout_s=question.timeout_s)
        for tried in range(1, question.tries + 1):
            try:
                response = await self.means.outbound.request(call, limits=limits)
            except OutboundFailed as error:
                if error.is_sent and not question.is_repeatable:
                    raise self.failed(f"{error.message}; the call may have had its effect") from None
                if not question.is_repeatable or tried == question.tries:
                    raise
                await self.means.wait(_pause_s(tried))
                continue
            if 200 <= response.status < 300 or response.status in question.passes:
                self.has_acted = self.has_acted or not question.is_repeatable
                return response
            pause_s = self._pause_s(question, response, tried)
            if pause_s is None:
                raise self._failure(question, response)
            await self.means.wait(pause_s)
        raise AssertionError("unreachable: the last try returns or raises")

    def failed(self, message: str, *, retry: bool = False, said: str = "", **more: JsonValue) -> ToolFailed:
        """A failure with what the service said about it, without secrets."""
        shown = Redactor(self.hidden).text(said)[: answers.MESSAGE_CHARS_MAX]
        return ToolFailed(f"{message}: {shown}" if shown else message, retry=retry, more=more)

    def _pause_s(self, question: Question, response: OutboundResponse, tried: int) -> float | None:
        """How long to wait before the next try; None for no further one."""
        if tried == question.tries or question.is_key_refused(response):
            return None
        if response.status not in BUSY and not (response.status in BROKEN and question.is_repeatable):
            return None
        told_s = answers.retry_after_s(response, clock.now())
        if told_s is None:
            return _pause_s(tried)
        return told_s if told_s <= WAIT_S_MAX else None

    def _failure(self, question: Question, response: OutboundResponse) -> ToolFailed:
        status, said = response.status, answers.message_of(response)
        if question.is_key_refused(response):
            message = f"`{self.provider}` does not accept {setup.fields_of_key(self.provider)} of the tool's `setup`, or not for this"
            return self.failed(message, said=said, status=status)
        if status in BUSY:
            after_s = answers.retry_after_s(response, clock.now())
            later = {} if after_s is None else {"retry_after_s": after_s}
            return self.failed(f"`{self.provider}` is busy or its quota is used up", retry=True, said=said, status=status, **later)
        if status >= 500 or status in BROKEN:
            perhaps = "" if question.is_repeatable else "; it may have done it all the same"
            message = f"`{self.provider}` failed with status {status}{perhaps}"
            return self.failed(message, retry=question.is_repeatable, said=said, status=status)
        return self.failed(f"`{self.provider}` refused the call with status {status}", said=said, status=status)


def _pause_s(tried: int) -> float:
    """Twice as long each time, and never the same for two that failed together."""
    return WAIT_FIRST_S * 2 ** (tried - 1) * random.uniform(0.5, 1.5)  # noqa: S311 - no secret rests on it
