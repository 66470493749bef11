"""What the tests with the official SDK share: accounts, clients without retries, and the requests that reached the model server."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import julep
from julep import AsyncJulep, Julep

from mentha.auth import keys
from mentha.core.ids import new_id
from mentha.store import api_keys, tenants
from tests.support.model_server import ModelServerHandle
from tests.support.talk import DEADLINE_S, Client

CHAT = "/chat/completions"
JWT_SECRET = "a-secret-for-tests-that-is-as-long-as-a-real-one-has-to-be-0123456789"
PROVIDER_KEY = "sk-of-the-operator-0123456789"
OTHER_KEY = "sk-of-the-other-provider-0123456789"
FORBIDDEN = {"error": {"message": "Could not validate API KEY", "code": "http_403", "type": "http_error"}}


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant with a key."""

    id: UUID
    key: str


NewAccount = Callable[[], Awaitable[Account]]


async def make_account(connection: Any) -> Account:
    """A new tenant with a key of its own, committed."""
    tenant, key = await tenants.create(connection, f"t-{new_id().hex}"), keys.new_key()
    await api_keys.create(connection, tenant, name="test", digest=keys.digest(key), hint=keys.hint(key))
    return Account(tenant, key)


@asynccontextmanager
async def async_sdk(url: str, key: str, **options: Any) -> AsyncIterator[AsyncJulep]:
    """The official client; it checks every answer against its own models, and sends nothing twice unless `max_retries` says so."""
    # Its default client reads certificates for 20 ms; nothing here speaks TLS.
    http_client = julep.DefaultAsyncHttpxClient(verify=False, trust_env=False, timeout=DEADLINE_S)
    options = {"max_retries": 0, "_strict_response_validation": True, **options}
    async with AsyncJulep(api_key=key, base_url=url, http_client=http_client, **options) as client:
        yield client


def sync_sdk(url: str, key: str, **options: Any) -> Julep:
    """The same as a client that blocks; a context manager."""
    http_client = julep.DefaultHttpxClient(verify=False, trust_env=False, timeout=DEADLINE_S)
    options = {"max_retries": 0, "_strict_response_validation": True, **options}
    return Julep(api_key=key, base_url=url, http_client=http_client, **options)


@asynccontextmanager
async def raw_client(url: str, key: str | None) -> AsyncIterator[Client]:
    """An HTTP client, for what the SDK can't send or hides."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with Client(base_url=url, headers=headers, timeout=DEADLINE_S, verify=False, trust_env=False) as client:
        yield client


async def session_of(sdk: AsyncJulep, *, session: dict[str, Any] | None = None, **agent: Any) -> str:
    """The id of a new session with a new agent, whose fields are `agent`."""
    made = await sdk.agents.create(**{"name": "Mia", "model": "gpt-x", **agent})
    return (await sdk.sessions.create(agent=made.id, **(session or {}))).id


async def ask(sdk: AsyncJulep, session: str, text: str = "hi", **options: Any) -> Any:
    """One turn with one message of a user."""
    return await sdk.sessions.chat(session, messages=[said(text)], **options)


def said(text: str, role: str = "user", **more: Any) -> Any:
    """A message."""
    return {"role": role, "content": text, **more}


def asked(models: ModelServerHandle) -> list[Any]:
    """The bodies of all chat requests that reached the model server, oldest first."""
    return [request.json for request in models.requests if request.path.endswith(CHAT)]


async def history_of(sdk: AsyncJulep, session: str) -> list[tuple[str, str]]:
    """Role and text of every entry, in order."""
    entries = (await sdk.sessions.history(session)).entries
    return [(entry.role, "".join(part.text or "" for part in entry.content)) for entry in entries]  # type: ignore[union-attr]  # parts of text
