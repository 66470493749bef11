"""Hostile expressions as steps of one tenant's tasks, all at once, while another tenant is served."""

import asyncio
import json

import julep
from julep import AsyncJulep

from tests.contract.test_sdk_steps import ended
from tests.support import shared

# They do what they say, within the limits: patterns are matched without backtracking, and Markdown is made in another process.
HARMLESS = {"md2 redos", "redos re", "10**1000000", "html2md deep", "str.mod", "redos search_regex"}
GETS = 20


async def run(sdk: AsyncJulep, agent: str, code: str) -> str:
    """How a task ended whose first step has this expression: `refused` where it was not taken at all."""
    try:
        task = await sdk.tasks.create(agent, name="t", main=[{"evaluate": {"value": f"$ {code}"}}, {"evaluate": {"size": "$ len(str(_))"}}])
    except julep.BadRequestError:
        return "refused"
    return (await ended(sdk, (await sdk.executions.create(task.id, input={"a": 1})).id)).status


async def test_hostile_expressions_of_one_tenant_end_and_another_is_answered_before_they_do(sdk: AsyncJulep, stranger: AsyncJulep) -> None:
    given = [json.loads(line) for line in shared.path("corpus/hostile-expressions.jsonl").read_text().splitlines()]
    agent, other = (await sdk.agents.create(name="Eve")).id, (await stranger.agents.create(name="Ann")).id
    runs = [asyncio.create_task(run(sdk, agent, each["code"])) for each in given]
    for _ in range(GETS):
        assert (await stranger.agents.get(other)).name == "Ann"
    assert not all(each.done() for each in runs)
    ends = dict(zip((each["name"] for each in given), await asyncio.gather(*runs), strict=True))
    assert {name for name, end in ends.items() if end == "succeeded"} == HARMLESS
    assert set(ends.values()) == {"refused", "failed", "succeeded"}
    assert (await stranger.agents.get(other)).name == "Ann"
