"""Tools of type `integration`, run in chat: set up by secrets, changed by metadata. What the services do is in tests/integration."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from julep import AsyncJulep

from tests.contract.test_sdk_tool_loop import results
from tests.support import vendors
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import ask, asked
from tests.support.vendors import unstructured
from tests.support.wild_server import WildServer, saying, wild_server

VENDOR = vendors.named("unstructured")


@pytest.fixture
async def outside() -> AsyncIterator[WildServer]:
    async with wild_server(saying(unstructured.says)) as server:
        yield server


async def session_of(sdk: AsyncJulep, setup: Any, *, agent: Any = None, session: Any = None) -> str:
    """The id of a session with the tool `read`, of an agent with this metadata."""
    made = await sdk.agents.create(name="Mia", model="gpt-x", metadata=agent or {})
    spec: Any = {"provider": "unstructured", "setup": setup}
    await sdk.agents.tools.create(agent_id=made.id, name="read", type="integration", integration=spec)
    return (await sdk.sessions.create(agent=made.id, auto_run_tools=True, metadata=session or {})).id


async def test_setup_refers_to_a_secret_whose_value_the_service_gets_and_the_model_does_not(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer
) -> None:
    await sdk.secrets.create(name="READER", value=unstructured.KEY)
    there = outside.url(target="/own/eu")
    models.script("gpt-x", tool_calls([("read", VENDOR.arguments), ("read", {"file": "VGVh"})]), text("done"))
    await ask(sdk, await session_of(sdk, {"unstructured_api_key": "$ secrets.READER", "server_url": there}))
    right, wrong = results(models)
    assert right["content"] == [{**unstructured.ELEMENT, "strategy": "fast"}]
    # The tool without its own way to split fails there, and the service says what of.
    assert "error" in wrong
    assert unstructured.KEY not in str(asked(models))


async def test_metadata_of_agent_and_session_changes_the_tool_and_its_arguments_are_not_asked_for(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer
) -> None:
    await sdk.secrets.create(name="UNSTRUCTURED_API_KEY", value=unstructured.KEY)
    tool = {"unstructured_api_key": "a wrong one", "server_url": "https://nowhere.example"}
    agent = {
        "x-integrations-setup": {"read": {"unstructured_api_key": unstructured.KEY, "server_url": "https://example.invalid"}},
        "x-integrations-args": {"read": {"file": "bm9uZQ==", "partition_params": {"strategy": "fast"}}, "other": {"file": ""}},
    }
    session = {
        "x-integrations-setup": {"read": {"server_url": outside.url(target="/own/eu"), "unknown": 1}},
        "x-integrations-args": {"read": {"file": "VGVh"}, "nobody": 7},
    }
    models.script("gpt-x", tool_calls([("read", {"file": "b3RoZXI=", "partition_params": {}})]), text("done"))
    await ask(sdk, await session_of(sdk, tool, agent=agent, session=session))
    assert results(models)[0]["content"] == [{**unstructured.ELEMENT, "strategy": "fast"}]
    (offered,) = asked(models)[0]["tools"]
    assert set(offered["function"]["parameters"]["properties"]) == {"filename"}
