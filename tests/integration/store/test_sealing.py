"""Secrets of tools in their rows: sealed, opened, moved to another key."""

from typing import Any
from uuid import UUID

import pytest

from mentha.auth.vault import Vault, fingerprint
from mentha.core.errors import SecretsUnavailable
from mentha.store import agents, encryption_keys, sealing, tools
from mentha.wire import masks
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.tools import CreateToolRequest, PatchToolRequest
from tests.support.vaults import KEY, OTHER_KEY, make_vault


@pytest.fixture
def worker_dsn(database_dsn: str) -> str:
    """A database of each test's own: these look at rows of all tenants, and servers of other tests write into the one that is shared."""
    return database_dsn


NOBODY = (UUID(int=0), UUID(int=0))
SPEC = "SELECT spec FROM tools WHERE tenant_id = $1 AND id = $2"
ENDPOINT = {"method": "GET", "url": "http://u:p%20w@x/?api_key=k%26&a=b", "headers": {"X-Token": "t"}, "json": {"password": {"n": [1]}}}


def tool(**spec: Any) -> CreateToolRequest:
    return CreateToolRequest.model_validate({"name": "call", "type": "api_call", "api_call": {**ENDPOINT, **spec}})


async def planted(connection: Any, tenant: UUID, vault: Vault) -> UUID:
    agent = await agents.create(connection, tenant, CreateAgentRequest.model_validate({"name": "Mia"}))
    body = tool()
    seal = await sealing.seal_for(connection, tenant, vault, [body])
    return (await tools.create(connection, tenant, agent.id, body, seal=seal)).id


async def opened(connection: Any, tenant: UUID, vault: Vault, tool_id: UUID) -> Any:
    spec = await connection.fetchval(SPEC, tenant, tool_id)
    return masks.each_secret("api_call", spec, lambda value: sealing.opened(vault, tenant, tool_id, value))


async def test_sealed_secrets_open_to_what_was_given(connection: Any, tenant: UUID) -> None:
    vault = await make_vault(connection)
    tool_id = await planted(connection, tenant, vault)
    stored = str(await connection.fetchval(SPEC, tenant, tool_id))
    assert stored.count("sealed.") == 4
    assert (await opened(connection, tenant, vault, tool_id)).items() >= ENDPOINT.items()


async def test_sealed_secret_opens_in_its_own_tool_alone(connection: Any, tenant: UUID) -> None:
    vault = await make_vault(connection)
    spec = await connection.fetchval(SPEC, tenant, await planted(connection, tenant, vault))
    other = await planted(connection, tenant, vault)
    with pytest.raises(SecretsUnavailable):
        sealing.opened(vault, tenant, other, spec["headers"]["X-Token"])


async def test_secrets_move_to_another_key_and_the_old_one_retires(connection: Any, tenant: UUID) -> None:
    old = await make_vault(connection)
    tool_id = await planted(connection, tenant, old)
    both, key_id = await make_vault(connection, OTHER_KEY, KEY), fingerprint(OTHER_KEY)
    (row,) = await sealing.others(connection, key_id, after=NOBODY, rows_max=9)
    await sealing.move(connection, both, row, key_id)
    assert await sealing.others(connection, key_id, after=NOBODY, rows_max=9) == []
    await encryption_keys.retire(connection)
    assert (await encryption_keys.in_use(connection)).all == (key_id,)
    assert (await opened(connection, tenant, Vault([OTHER_KEY]), tool_id)).items() >= ENDPOINT.items()


async def test_tool_without_secrets_needs_no_key_and_one_with_some_does(connection: Any, tenant: UUID) -> None:
    bare = CreateToolRequest.model_validate({"name": "f", "type": "function", "function": {}})
    assert await sealing.seal_for(connection, tenant, Vault(), [bare, PatchToolRequest(name="g")]) is tools.unsealed
    with pytest.raises(SecretsUnavailable):
        await sealing.seal_for(connection, tenant, Vault(), [tool()])


async def test_secret_that_was_stored_before_there_was_a_seal_is_given_as_it_is(tenant: UUID) -> None:
    assert sealing.opened(Vault(), tenant, tenant, "plain") == "plain"
    assert sealing.opened(Vault(), tenant, tenant, {"a": 1}) == {"a": 1}


async def test_text_that_looks_like_a_sealed_secret_holds_no_rotation_up(connection: Any, tenant: UUID) -> None:
    vault = await make_vault(connection)
    agent = await agents.create(connection, tenant, CreateAgentRequest.model_validate({"name": "Mia"}))
    lookalike = f"sealed.{fingerprint(KEY)}.AAAA"
    for number in range(3):
        # The first and the last one say it where no secret stands.
        spec = {"method": "GET", "url": "http://x", "headers": {"X-Token" if number == 1 else "X-Harmless": lookalike}}
        body = CreateToolRequest.model_validate({"name": f"t{number}", "type": "api_call", "api_call": spec})
        await tools.create(connection, tenant, agent.id, body, seal=await sealing.seal_for(connection, tenant, vault, [body]))
    found = await sealing.others(connection, fingerprint(OTHER_KEY), after=NOBODY, rows_max=1)
    assert [row.spec["headers"].keys() for row in found] == [{"X-Token": ""}.keys()]
    after = (found[0].tenant, found[0].id)
    assert await sealing.others(connection, fingerprint(OTHER_KEY), after=after, rows_max=1) == []


async def test_secrets_that_are_given_up_say_so_and_are_in_nobodys_way(connection: Any, tenant: UUID) -> None:
    vault = await make_vault(connection)
    tool_id = await planted(connection, tenant, vault)
    assert await sealing.give_up(connection) == 1
    spec = await connection.fetchval(SPEC, tenant, tool_id)
    assert (spec["headers"], spec["url"]) == ({"X-Token": sealing.LOST}, f"http://u:{sealing.LOST}@x/?api_key={sealing.LOST}&a=b")
    with pytest.raises(SecretsUnavailable, match="given up"):
        sealing.opened(vault, tenant, tool_id, spec["headers"]["X-Token"])
    assert await sealing.others(connection, fingerprint(OTHER_KEY), after=NOBODY, rows_max=9) == []
    assert await sealing.give_up(connection) == 0
