"""Tasks in PostgreSQL: their versions, what an execution begins with, secrets of their tools."""

from typing import Any
from uuid import UUID

import pytest

from mentha.auth.vault import Vault, fingerprint
from mentha.core.errors import FieldInvalid, NotFound, SecretsUnavailable
from mentha.core.ids import new_id
from mentha.store import agents, encryption_keys, executions, sealing, tasks
from mentha.store.tools import unsealed
from mentha.wire import masks
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.common import Page
from mentha.wire.tasks import Draft, UpdateTaskRequest, definition_of
from mentha.workflow.checks import draft_of
from mentha.workflow.plan import assembled
from tests.support.transactions import refusal
from tests.support.vaults import KEY, OTHER_KEY, make_vault

START = (UUID(int=0), UUID(int=0), 0)
CALL: Any = {"name": "call", "api_call": {"method": "GET", "url": "https://x.example/?key=k%26", "headers": {"X-Token": "t"}}}
HELD: Any = {"prompt": "x", "tools": [{**CALL, "name": "held"}, {**CALL, "name": "held2"}]}
STORED = "SELECT version, tools FROM task_versions WHERE task_id = $1 ORDER BY version"


@pytest.fixture
def worker_dsn(database_dsn: str) -> str:
    """A database of each test's own: one looks at rows of all tenants."""
    return database_dsn


@pytest.fixture
async def agent(connection: Any, tenant: UUID) -> UUID:
    """An agent without tools."""
    return (await agents.create(connection, tenant, CreateAgentRequest.model_validate({"name": "Mia"}))).id


def draft(canonical_name: str | None = None, **more: Any) -> Draft:
    task = UpdateTaskRequest.model_validate({"name": "T", "main": [{"log": "x"}], **more})
    return draft_of(definition_of(task), canonical_name=canonical_name, strays=(), agent_tools=())


async def changed(connection: Any, tenant: UUID, made: Any, with_: Draft, **options: Any) -> Any:
    stored = await tasks.lock(connection, tenant, UUID(made["id"]))
    assert stored
    return await tasks.update(connection, tenant, UUID(made["id"]), with_, stored, **options)


async def test_versions_beyond_the_last_ones_go_and_the_others_stay_as_they_were(
    connection: Any, tenant: UUID, agent: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "VERSIONS_MAX", 3)
    made = await tasks.create(connection, tenant, agent, draft(description="1"))
    for number in range(2, 6):
        await changed(connection, tenant, made, draft(description=str(number)))
    task_id = UUID(made["id"])
    listed = await tasks.versions(connection, tenant, task_id, Page())
    assert [(each["version"], each["description"]) for each in listed] == [(5, "5"), (4, "4"), (3, "3")]
    assert (await tasks.get_version(connection, tenant, task_id, 3))["description"] == "3"
    assert isinstance(await refusal(connection, tasks.get_version(connection, tenant, task_id, 2)), NotFound)


async def test_version_is_run_with_its_plan_its_tools_and_what_expressions_can_ask(connection: Any, tenant: UUID, agent: UUID) -> None:
    given = draft("mine", description="d", main=[{"tool": "call"}, HELD], tools=[CALL], metadata={"a": 1}, input_schema={"type": "object"})
    made = await tasks.create(connection, tenant, agent, given)
    await changed(connection, tenant, made, given)
    start = await executions.definition(connection, tenant, UUID(made["id"]), 2)
    plan = assembled(start.plan, start.tools, start.task)
    assert {name: value for name, value in plan["task"].items() if name not in ("tools", "workflows")} == {
        "id": made["id"],
        "canonical_name": "mine",
        "version": 2,
        "name": "T",
        "description": "d",
        "input_schema": {"type": "object"},
        "inherit_tools": False,
        "metadata": {"a": 1},
    }
    assert [each["name"] for each in plan["task"]["workflows"]] == ["main"]
    assert [(each["name"], each["spec"]["headers"]) for each in plan["task"]["tools"]] == [("call", {"X-Token": masks.MARKER})]
    (tool,) = plan["tools"]
    assert (tool["name"], tool["api_call"]["headers"], UUID(tool["id"]).version) == ("call", {"X-Token": "t"}, 7)
    assert [held["name"] for held in plan["workflows"]["main"][1]["tools"]] == ["held", "held2"]
    for tenant_of, task_id in ((tenant, new_id()), (new_id(), UUID(made["id"]))):
        assert isinstance(await refusal(connection, executions.definition(connection, tenant_of, task_id, 2)), NotFound)


async def test_tool_keeps_its_id_and_its_secrets_as_long_as_it_has_its_name(connection: Any, tenant: UUID, agent: UUID) -> None:
    vault = await make_vault(connection)

    async def seal_for(given: Draft) -> Any:
        return await sealing.seal_for_task(connection, tenant, vault, given.tools)

    first = draft(main=[HELD], tools=[CALL])
    made = await tasks.create(connection, tenant, agent, first, seal=await seal_for(first))
    marked = masks.MARKER
    hidden = {**CALL["api_call"], "url": f"https://x.example/?key={marked}", "headers": {"X-Token": marked}}
    second = draft(main=[{**HELD, "tools": HELD["tools"][:1]}], tools=[{**CALL, "api_call": hidden}, {**CALL, "name": "new"}])
    await changed(connection, tenant, made, second, seal=await seal_for(second))
    before, after = [row["tools"] for row in await connection.fetch(STORED, UUID(made["id"]))]
    assert [tool["name"] for tool in after] == ["call", "new", "held"]
    assert after[0] == before[0]
    assert (after[2]["id"], after[1]["id"] in {tool["id"] for tool in before}) == (before[1]["id"], False)
    opened = masks.each_secret("api_call", after[0]["api_call"], lambda value: sealing.opened(vault, tenant, UUID(after[0]["id"]), value))
    assert (opened["headers"], opened["url"]) == ({"X-Token": "t"}, "https://x.example/?key=k%26")
    with pytest.raises(SecretsUnavailable):
        sealing.opened(vault, tenant, UUID(after[1]["id"]), after[0]["api_call"]["headers"]["X-Token"])
    # For another method of the same name nothing is kept, and a marker of a prompt's tool is no marker of the task's.
    other = draft(tools=[{**CALL, "name": "held", "api_call": hidden}])
    error = await refusal(connection, changed(connection, tenant, made, other))
    assert isinstance(error, FieldInvalid)
    assert error.loc == ("body", "tools", 0, "api_call")


async def test_secrets_of_all_versions_move_to_another_key_and_the_old_one_retires(connection: Any, tenant: UUID, agent: UUID) -> None:
    given = draft(main=[HELD], tools=[CALL])
    assert await sealing.seal_for_task(connection, tenant, Vault(), draft().tools) is unsealed
    with pytest.raises(SecretsUnavailable):
        await sealing.seal_for_task(connection, tenant, Vault(), given.tools)
    old = await make_vault(connection)
    made = await tasks.create(connection, tenant, agent, given, seal=await sealing.seal_for_task(connection, tenant, old, given.tools))
    await changed(connection, tenant, made, given, seal=await sealing.seal_for_task(connection, tenant, old, given.tools))
    # What only looks like a secret of another key.
    await tasks.create(
        connection,
        tenant,
        agent,
        draft(tools=[{**CALL, "api_call": {**CALL["api_call"], "url": "https://x.example/sealed.0123456789abcdef.x", "headers": {}}}]),
    )
    both, key_id = await make_vault(connection, OTHER_KEY, KEY), fingerprint(OTHER_KEY)
    assert await sealing.is_any_left(connection, key_id)
    rows = await sealing.others_of_tasks(connection, key_id, after=START, rows_max=9)
    assert [row.version for row in rows] == [1, 2]
    assert await sealing.others_of_tasks(connection, key_id, after=(tenant, UUID(made["id"]), 1), rows_max=9) == rows[1:]
    for row in rows:
        await sealing.move_task(connection, both, row, key_id)
    assert await sealing.others_of_tasks(connection, key_id, after=START, rows_max=9) == []
    assert not await sealing.is_any_left(connection, key_id)
    await encryption_keys.retire(connection)
    assert (await encryption_keys.in_use(connection)).all == (key_id,)
    for row in await connection.fetch(STORED, UUID(made["id"])):
        for tool in row["tools"]:
            token = tool["api_call"]["headers"]["X-Token"]
            assert sealing.opened(Vault([OTHER_KEY]), tenant, UUID(tool["id"]), token) == "t"
    assert await sealing.give_up(connection) == 2
    assert not await sealing.is_any_left(connection, fingerprint(KEY))
    for row in await connection.fetch(STORED, UUID(made["id"])):
        assert {tool["api_call"]["headers"]["X-Token"] for tool in row["tools"]} == {sealing.LOST}
