"""Services that tools of type `integration` call, one file each; `run` finds the one, sets it up, and takes secrets out of what it gives.

setup (pure) → arguments → the service's own function → service.ask → tools/outbound
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from mentha.core.json import JsonObject, JsonValue
from mentha.core.redact import Redactor, is_large
from mentha.tools.calls import ToolFailed
from mentha.tools.integrations import (
    algolia,
    arxiv,
    brave,
    browserbase,
    cloudinary,
    dummy,
    ffmpeg,
    google_sheets,
    llama_parse,
    mail,
    mailgun,
    mcp,
    remote_browser,
    setup,
    spider,
    unstructured,
    weather,
    wikipedia,
)
from mentha.tools.integrations.service import Means, Service
from mentha.wire.integrations import PROVIDERS
from mentha.wire.schemas import Schema, faults, known

__all__ = ["SERVICES", "Means", "Service", "run"]

Method = Callable[[Service], Awaitable[JsonValue]]

# Provider → its methods by name.
SERVICES: dict[str, Mapping[str, Method]] = {
    "algolia": algolia.METHODS,
    "arxiv": arxiv.METHODS,
    "brave": brave.METHODS,
    "browserbase": browserbase.METHODS,
    "cloudinary": cloudinary.METHODS,
    "dummy": dummy.METHODS,
    "email": mail.METHODS,
    "ffmpeg": ffmpeg.METHODS,
    "google_sheets": google_sheets.METHODS,
    "llama_parse": llama_parse.METHODS,
    "mailgun": mailgun.METHODS,
    "mcp": mcp.METHODS,
    "remote_browser": remote_browser.METHODS,
    "spider": spider.METHODS,
    "unstructured": unstructured.METHODS,
    "weather": weather.METHODS,
    "wikipedia": wikipedia.METHODS,
}


async def run(means: Means, tenant: UUID, spec: JsonObject, arguments: JsonObject) -> JsonValue:
    """Call a service; what the tool fixes wins over what a call gives.

    Args:
        spec: the tool's member, its secrets open and its references to secrets filled in.

    Raises:
        ToolFailed: this version does not serve the provider, it is not set up, the arguments are not its, or it failed. Without secrets.
        OutboundError: it was not reached, or gave no answer that can be taken.
        SecretsUnavailable, Unavailable: the tenant's secrets can't be read.
    """
    provider: str = spec["provider"]
    name: str = spec.get("method") or next(iter(PROVIDERS[provider].methods))
    method = SERVICES.get(provider, {}).get(name)
    if method is None:
        raise ToolFailed(f"`{name}` of the provider `{provider}` is not in this version of the server")
    given = spec.get("setup") or {}
    names = setup.names_of(provider, given)
    ready = setup.complete(provider, given, await means.values(tenant, names) if names else {}, means.settings)
    fitting = _fitting(PROVIDERS[provider].methods[name].arguments, {**arguments, **(spec.get("arguments") or {})})
    service = Service(means, tenant, provider, ready.setup, fitting, ready.hidden)
    try:
        value = await method(service)
    except ToolFailed as error:
        redactor = Redactor(service.hidden)
        retry = error.retry and not service.has_acted
        raise ToolFailed(redactor.text(error.message), retry=retry, more=_members(redactor, error.more)) from None
    return await _redacted(Redactor(service.hidden), value)


def _fitting(schema: Schema, given: JsonObject) -> JsonObject:
    """The arguments with their defaults, without what the method does not know."""
    properties = schema.get("properties")
    if properties is None:
        return given
    fitting = {**{name: each["default"] for name, each in properties.items() if "default" in each}, **known(schema, given)}
    for fault in faults(schema, fitting):
        raise ToolFailed(f"the argument `{'.'.join(str(step) for step in fault.loc)}` is wrong: {fault.message}")
    return fitting


def _members(redactor: Redactor, more: Mapping[str, JsonValue]) -> JsonObject:
    # Numbers that this server has put there are no secrets.
    return {name: value if isinstance(value, int | float) else redactor.value(value) for name, value in more.items()}


async def _redacted(redactor: Redactor, value: JsonValue) -> JsonValue:
    if not redactor:
        return value
    if is_large(value):
        return await asyncio.to_thread(redactor.value, value)
    return redactor.value(value)
