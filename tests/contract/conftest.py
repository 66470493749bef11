"""One server and one model server a worker; a fresh tenant a test, so that nothing that a test makes can disturb another."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from julep import AsyncJulep, Julep
from openai import AsyncOpenAI

from tests.support import published
from tests.support import sdk as sdks
from tests.support.model_server import ModelServerHandle, running_model_server
from tests.support.openai_sdk import client_of
from tests.support.sdk import Account, NewAccount
from tests.support.server import ServerProcess, running
from tests.support.talk import Client
from tests.support.vaults import KEY_TEXT

# A port on which nothing listens.
NOWHERE = "http://127.0.0.1:1/v1"


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServerHandle]:
    """The model server of this worker."""
    with running_model_server() as handle:
        yield handle


@pytest.fixture
def models(model_server: ModelServerHandle) -> Iterator[ModelServerHandle]:
    """The model server, without scripts and requests of other tests."""
    model_server.reset()
    yield model_server
    # Whatever a failed test left at a gate would hold the server's turns.
    model_server.reset()


@pytest.fixture(scope="session")
def services() -> Iterator[published.Services]:
    """The services that integrations call."""
    with published.running_services() as running_ones:
        yield running_ones


@pytest.fixture(scope="session")
def server(
    worker_dsn: str, model_server: ModelServerHandle, services: published.Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server as most people run it, with more providers beside the default one; `gone` can't be reached."""
    others = {
        "other": {"base_url": f"{model_server.url}/other/v1", "api_key": sdks.OTHER_KEY, "prefixes": ["oth-"], "models": ["oth-1"]},
        "ollama": {"base_url": f"{model_server.url}/ollama/v1"},
        "gone": {"base_url": NOWHERE},
    }
    with running(
        home=tmp_path_factory.mktemp("home"),
        dsn=worker_dsn,
        environ={"OPENAI_BASE_URL": model_server.base_url, "OPENAI_API_KEY": sdks.PROVIDER_KEY},
        providers=json.dumps(others),
        jwt_secret=sdks.JWT_SECRET,
        encryption_key=KEY_TEXT,
        outbound_allow=f"127.0.0.1,127.0.0.1:{services.mail['port']}",
        integration_base_urls=json.dumps(services.base_urls()),
        log_level="debug",
    ) as process:
        yield process


@pytest.fixture(scope="session")
def odd_server(worker_dsn: str, model_server: ModelServerHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with every limit small, without a default provider, which cancels the turn of a client that hangs up."""
    providers = {"fake": {"base_url": model_server.base_url}, "other": {"base_url": f"{model_server.url}/other/v1"}}
    with running(
        home=tmp_path_factory.mktemp("odd"),
        dsn=worker_dsn,
        providers=json.dumps(providers),
        # Of this an answer after a call that took too long has 0.9 s.
        turn_timeout_s="6",
        stream_ping_s="0.05",
        hangup_cancels="true",
        body_bytes_max="100000",
        messages_max="10",
        json_depth_max_levels="16",
        outbound_allow="127.0.0.1",
        tool_rounds_max="2",
        tool_calls_at_once_max="2",
        tool_result_bytes_max="200",
        encryption_key=KEY_TEXT,
        # Whatever is begun at the other server is not to be carried out by this one, which knows no such models.
        worker="false",
    ) as process:
        yield process


@pytest.fixture
async def rows(worker_dsn: str) -> AsyncIterator[Any]:
    """A connection to the servers' database; what it writes is committed."""
    connection = await asyncpg.connect(worker_dsn)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
def new_account(rows: Any) -> NewAccount:
    """Makes tenants."""
    return lambda: sdks.make_account(rows)


@pytest.fixture
async def account(new_account: NewAccount) -> Account:
    """The tenant of this test."""
    return await new_account()


@pytest.fixture
async def sdk(server: ServerProcess, account: Account) -> AsyncIterator[AsyncJulep]:
    """The official client with this test's key."""
    async with sdks.async_sdk(server.url, account.key) as client:
        yield client


@pytest.fixture
def blocking(server: ServerProcess, account: Account) -> Iterator[Julep]:
    """The official client that blocks."""
    with sdks.sync_sdk(server.url, account.key) as client:
        yield client


@pytest.fixture
async def ai(server: ServerProcess, account: Account) -> AsyncIterator[AsyncOpenAI]:
    """OpenAI's official client with this test's key."""
    async with client_of(server.url, account.key) as client:
        yield client


@pytest.fixture
async def raw(server: ServerProcess, account: Account) -> AsyncIterator[Client]:
    """A plain HTTP client with this test's key."""
    async with sdks.raw_client(server.url, account.key) as client:
        yield client


@pytest.fixture
async def odd_sdk(odd_server: ServerProcess, account: Account) -> AsyncIterator[AsyncJulep]:
    """The official client of the odd server."""
    async with sdks.async_sdk(odd_server.url, account.key) as client:
        yield client


@pytest.fixture
async def odd_raw(odd_server: ServerProcess, account: Account) -> AsyncIterator[Client]:
    """A plain HTTP client of the odd server."""
    async with sdks.raw_client(odd_server.url, account.key) as client:
        yield client


@pytest.fixture
async def stranger(server: ServerProcess, new_account: NewAccount) -> AsyncIterator[AsyncJulep]:
    """The official client of another tenant."""
    async with sdks.async_sdk(server.url, (await new_account()).key) as client:
        yield client
