"""Lists: paging, order and metadata filters. Section 2.1 of the behaviour spec, ruling 5."""

import json
from typing import Any

import pytest
from julep import AsyncJulep, BadRequestError, Julep, NotFoundError, UnprocessableEntityError

from tests.support.talk import Client

METADATA: dict[str, Any] = {
    "text": {"k": "red"},
    "number": {"k": 5},
    "numeric text": {"k": "5"},
    "float": {"k": 2.5},
    "true": {"k": True},
    "true text": {"k": "true"},
    "false": {"k": False},
    "list": {"k": ["red", "blue"]},
    "nested": {"a": {"b": 1}},
    "dotted": {"a.b": 1},
    "deep": {"a": {"b": 1, "c": {"d": "x"}}},
    "other": {"z": 0},
}
LISTS = ("/agents", "/users", "/projects", "/sessions")


@pytest.fixture
async def users(sdk: AsyncJulep) -> None:
    """One user for each kind of metadata; the name says which."""
    for name, metadata in METADATA.items():
        await sdk.users.create(name=name, metadata=metadata)


async def names(sdk: AsyncJulep, **query: Any) -> set[str]:
    return {user.name async for user in sdk.users.list(**query)}


async def test_list_pages_until_the_empty_page_without_skipping_or_repeating(sdk: AsyncJulep) -> None:
    made = [(await sdk.users.create()).id for _ in range(7)]
    assert [user.id async for user in sdk.users.list(limit=3)] == made[::-1]
    assert [user.id async for user in sdk.users.list(limit=3, direction="asc")] == made
    assert [user.id async for user in sdk.users.list(limit=3, offset=5)] == made[1::-1]
    assert (await sdk.users.list(offset=7)).items == []


def test_list_pages_in_the_blocking_client_as_well(blocking: Julep) -> None:
    made = [blocking.agents.create(name="Mia").id for _ in range(5)]
    assert [agent.id for agent in blocking.agents.list(limit=2)] == made[::-1]


async def test_list_of_every_resource_pages_by_offset(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia")
    for number in range(3):
        await sdk.agents.create(name="Ina")
        await sdk.projects.create(name="P")
        await sdk.sessions.create(agent=agent.id)
        await sdk.agents.tools.create(agent.id, name=f"t{number}", type="function", function={})
    for listed, count in (
        (sdk.agents.list(limit=2), 4),
        (sdk.projects.list(limit=2), 4),
        (sdk.sessions.list(limit=2), 3),
        (sdk.agents.tools.list(agent.id, limit=2), 3),
    ):
        ids = [each.id async for each in listed]
        assert (len(ids), len(set(ids))) == (count, count)


async def test_list_is_sorted_newest_first_by_default_and_by_the_wanted_time(sdk: AsyncJulep) -> None:
    first, second = (await sdk.users.create(name="a")).id, (await sdk.users.create(name="b")).id
    await sdk.users.update(first, about="x")
    assert [user.id async for user in sdk.users.list()] == [second, first]
    assert [user.id async for user in sdk.users.list(sort_by="updated_at")] == [first, second]
    assert [user.id async for user in sdk.users.list(sort_by="updated_at", direction="asc")] == [second, first]


async def test_list_limit_is_clamped_above_and_unprocessable_below_one(sdk: AsyncJulep, raw: Client) -> None:
    await sdk.users.create()
    assert len((await sdk.users.list(limit=100_000)).items) == 1
    for path in LISTS:
        for query in ("limit=0", "limit=-1", "offset=-1", "limit=x", "sort_by=name", "direction=up"):
            answer = await raw.get(f"{path}?{query}")
            assert answer.status_code == 422, (path, query)
            assert answer.json()["detail"][0]["loc"] == ["query", query.split("=")[0]]


async def test_list_default_limit_is_a_hundred(sdk: AsyncJulep, rows: Any, account: Any) -> None:
    # Through the API this would be a hundred requests for one number.
    await rows.execute(
        "INSERT INTO users (tenant_id, id, project_id, name, about) SELECT $1, gen_random_uuid(), $1, 'x', '' FROM generate_series(1, 101)",
        account.id,
    )
    assert len((await sdk.users.list()).items) == 100
    assert len([user async for user in sdk.users.list()]) == 101


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"k": "red"}, {"text", "list"}),
        ({"k": 5}, {"number", "numeric text"}),
        ({"k": "5"}, {"number", "numeric text"}),
        ({"k": 2.5}, {"float"}),
        ({"k": True}, {"true", "true text"}),
        ({"k": False}, {"false"}),
        ({"k": ["red", "blue"]}, {"list"}),
        ({"a": {"b": 1}}, {"nested", "dotted", "deep"}),
        ({"a": {"b": 1, "c": {"d": "x"}}}, {"deep"}),
        ({"k": "no such"}, set()),
    ],
)
async def test_list_filter_as_the_sdk_sends_it_finds_what_matches(sdk: AsyncJulep, wanted: Any, found: set[str]) -> None:
    assert await names(sdk, metadata_filter=wanted) == found


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("metadata_filter.k=red", {"text", "list"}),
        ("metadata_filter[k]=red", {"text", "list"}),
        ("metadata_filter[a][b]=1", {"nested", "dotted", "deep"}),
        ('metadata_filter={"k":"red"}', {"text", "list"}),
        ('metadata_filter={"a":{"b":1}}', {"nested", "deep"}),
        ("metadata_filter=", set(METADATA)),
        ("metadata_filter={}", set(METADATA)),
        ("metadata_filter.k=red&metadata_filter.k=blue", {"list"}),
    ],
)
async def test_list_filter_in_every_encoding_finds_the_same(raw: Client, query: str, found: set[str]) -> None:
    assert {user["name"] for user in (await raw.get(f"/users?{query}")).json()["items"]} == found


async def test_list_filter_works_on_every_list_and_with_paging(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia", metadata={"team": "a"})
    await sdk.agents.create(name="Ina", metadata={"team": "b"})
    for team in ("a", "b", "a"):
        await sdk.sessions.create(agent=agent.id, metadata={"team": team})
    await sdk.projects.create(name="P", metadata={"team": "a"})
    wanted: Any = {"team": "a"}
    assert [each.id async for each in sdk.agents.list(metadata_filter=wanted)] == [agent.id]
    assert len([each async for each in sdk.sessions.list(metadata_filter=wanted, limit=1)]) == 2
    assert len([each async for each in sdk.projects.list(metadata_filter=wanted)]) == 1


@pytest.mark.parametrize("value", ["[1]", "x", "{", json.dumps({f"k{n}": 1 for n in range(100)})])
async def test_list_filter_that_is_none_is_unprocessable(raw: Client, value: str) -> None:
    answer = await raw.get("/users", params={"metadata_filter": value})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "metadata_filter"])


@pytest.mark.parametrize("hostile", ['" || true || "', "') OR 1=1 --", "$.k", "\\", '"', "a" * 1000, "ключ"])
async def test_list_filter_of_hostile_text_is_only_text(raw: Client, hostile: str) -> None:
    await raw.post("/users", json={"name": "Ann", "metadata": {"k": hostile}})
    await raw.post("/users", json={"name": "Ben", "metadata": {hostile: "v"}})
    await raw.post("/users", json={"name": "Cid", "metadata": {"k": "innocent"}})
    by_value = await raw.get("/users", params={"metadata_filter.k": hostile})
    assert [user["name"] for user in by_value.json()["items"]] == ["Ann"]
    by_key = await raw.get("/users", params={"metadata_filter": json.dumps({hostile: "v"})})
    assert [user["name"] for user in by_key.json()["items"]] == ["Ben"]


async def test_list_by_project_finds_what_is_in_it(sdk: AsyncJulep) -> None:
    await sdk.projects.create(name="P", canonical_name="p")
    agent, user = await sdk.agents.create(name="Mia", project="p"), await sdk.users.create(project="p")
    await sdk.agents.create(name="Ina")
    assert [each.id async for each in sdk.agents.list(extra_query={"project": "p"})] == [agent.id]
    assert [each.id async for each in sdk.users.list(extra_query={"project": "p"})] == [user.id]
    with pytest.raises(NotFoundError):
        await sdk.agents.list(extra_query={"project": "nowhere"})


async def test_list_tools_of_an_unknown_agent_is_not_found(sdk: AsyncJulep, account: Any) -> None:
    with pytest.raises(NotFoundError):
        await sdk.agents.tools.list(str(account.id))


async def test_list_offset_beyond_any_table_is_refused_not_a_fault(sdk: AsyncJulep) -> None:
    with pytest.raises((UnprocessableEntityError, BadRequestError)):
        await sdk.users.list(offset=2**63)
