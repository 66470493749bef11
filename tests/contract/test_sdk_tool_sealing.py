"""Secrets that stand in a tool: sealed in the database, sent where the tool says, shown nowhere."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from julep import AsyncJulep

from tests.contract.test_sdk_tool_api_calls import mirror
from tests.contract.test_sdk_tool_loop import results
from tests.support.model_server import ModelServerHandle, text, tool_calls
from tests.support.sdk import Account, ask
from tests.support.talk import Client
from tests.support.wild_server import WildServer, saying, wild_server

KEY = "sk-planted-in-a-tool-0123456789"
SEALED = "SELECT spec::text FROM tools WHERE tenant_id = $1"


@pytest.fixture
async def outside() -> AsyncIterator[WildServer]:
    async with wild_server(saying(mirror)) as server:
        yield server


def tool_of(outside: WildServer) -> Any:
    spec = {"method": "GET", "url": outside.url(target=f"/x?api_key={KEY}"), "headers": {"Authorization": f"Bearer {KEY}"}}
    return {"name": "call", "type": "api_call", "api_call": {**spec, "cookies": {"sid": KEY}, "params": {"token": [KEY, "b"]}}}


async def test_secrets_of_a_tool_are_sealed_in_the_row_and_open_in_the_call(
    sdk: AsyncJulep, raw: Client, models: ModelServerHandle, outside: WildServer, account: Account, rows: Any
) -> None:
    agent = (await raw.post("/agents", json={"name": "Mia", "model": "gpt-x", "tools": [tool_of(outside)]})).json()["id"]
    (tool,) = (await raw.get(f"/agents/{agent}/tools")).json()["items"]
    # Sent back as it is shown: what is sealed stays.
    changed = await raw.put(f"/agents/{agent}/tools/{tool['id']}", json={**tool, "description": "changed"})
    patched = await raw.patch(f"/agents/{agent}/tools/{tool['id']}", json={"api_call": {"cookies": {"sid": KEY}}})
    assert (changed.status_code, patched.status_code) == (200, 200)
    (stored,) = [row["spec"] for row in await rows.fetch(SEALED, account.id)]
    assert KEY not in stored
    assert stored.count("sealed.") == 4
    session = (await sdk.sessions.create(agent=agent, auto_run_tools=True)).id
    models.script("gpt-x", tool_calls([("call", {})]), text("done"))
    await ask(sdk, session)
    (seen,) = outside.seen
    assert seen.target == f"/x?api_key={KEY}&token={KEY}&token=b"
    assert (seen.headers["authorization"], seen.headers["cookie"]) == (f"Bearer {KEY}", f"sid={KEY}")
    (result,) = results(models)
    assert result["status_code"] == 200
    assert KEY not in str(result)


async def test_secrets_of_a_tool_that_a_model_makes_are_sealed_too(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer, account: Account, rows: Any
) -> None:
    maker = {"name": "make", "type": "system", "system": {"resource": "agent", "subresource": "tool", "operation": "create"}}
    agent = await sdk.agents.create(name="Mia", model="gpt-x", extra_body={"tools": [maker]})
    session = (await sdk.sessions.create(agent=agent.id, auto_run_tools=True)).id
    models.script("gpt-x", tool_calls([("make", {"agent_id": agent.id, **tool_of(outside)})]), text("done"))
    await ask(sdk, session)
    assert results(models)[0]["api_call"]["headers"] == {"Authorization": "ENCRYPTED"}
    assert KEY not in str([row["spec"] for row in await rows.fetch(SEALED, account.id)])


async def test_secret_that_a_system_tool_fixes_is_open_in_the_tool_that_it_makes_and_sealed_there_again(
    sdk: AsyncJulep, models: ModelServerHandle, outside: WildServer, account: Account, rows: Any
) -> None:
    call = {"resource": "agent", "subresource": "tool", "operation": "create", "arguments": {"type": "api_call", **tool_of(outside)}}
    maker = {"name": "make", "type": "system", "system": call}
    agent = (await sdk.agents.create(name="Mia", model="gpt-x", extra_body={"tools": [maker]})).id
    session = (await sdk.sessions.create(agent=agent, auto_run_tools=True)).id
    models.script("gpt-x", tool_calls([("make", {"agent_id": agent})]), text("done"), tool_calls([("call", {})]), text("done"))
    await ask(sdk, session)
    await ask(sdk, session)
    assert [seen.headers["authorization"] for seen in outside.seen] == [f"Bearer {KEY}"]
    stored = [str(row["spec"]) for row in await rows.fetch(SEALED, account.id)]
    assert [spec.count("sealed.") for spec in stored] == [4, 4]
    assert KEY not in str(stored)
