"""What PATCH, PUT and POST with an id do to agents, users and projects, and which ids, names and sizes are taken: sections 2.4 and 2.5."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from julep import AsyncJulep, BadRequestError, ConflictError, NotFoundError, UnprocessableEntityError

from tests.support.talk import Client

FULL: dict[str, Any] = {
    "name": "Mia",
    "about": "a poet",
    "model": "gpt-x",
    "instructions": ["rhyme"],
    "default_settings": {"temperature": 0.5},
    "default_system_template": "You are {{ agent.name }}",
    "metadata": {"a": 1, "b": {"c": 1}},
}


def fields(resource: Any, names: Any) -> dict[str, Any]:
    return {name: getattr(resource, name) for name in names}


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"about": "a cook"}, {"about": "a cook"}),
        ({"model": "no-such-model"}, {"model": "no-such-model"}),
        ({"instructions": ["x", "y"]}, {"instructions": ["x", "y"]}),
        ({"default_settings": {"top_p": 0.1}}, {"default_settings": {"top_p": 0.1}}),
        ({"default_settings": None}, {"default_settings": None}),
        ({"metadata": {"b": 2, "d": None}}, {"metadata": {"a": 1, "b": 2, "d": None}}),
        ({"name": "Ina"}, {"name": "Ina"}),
        ({}, {}),
    ],
)
async def test_agent_patch_changes_only_what_is_sent(sdk: AsyncJulep, change: dict[str, Any], after: dict[str, Any]) -> None:
    agent = await sdk.agents.create(**FULL)
    patched = await sdk.agents.update(agent.id, **change)
    assert fields(patched, FULL) == {**FULL, **after}
    assert (patched.canonical_name, patched.project, patched.created_at) == (agent.canonical_name, agent.project, agent.created_at)
    assert patched.updated_at > agent.updated_at


async def test_agent_put_replaces_everything_but_keeps_canonical_name_and_project(sdk: AsyncJulep) -> None:
    await sdk.projects.create(name="P", canonical_name="p")
    agent = await sdk.agents.create(**FULL, canonical_name="mia", project="p")
    put = await sdk.agents.reset(agent.id, name="Ina")
    assert (put.name, put.about, put.model, put.instructions, put.metadata) == ("Ina", "", "", [], {})
    assert put.default_settings is None
    assert (put.canonical_name, put.project) == ("mia", "p")


async def test_agent_put_applies_instructions_canonical_name_and_project(sdk: AsyncJulep) -> None:
    await sdk.projects.create(name="P", canonical_name="p")
    agent = await sdk.agents.create(name="Mia")
    put = await sdk.agents.reset(agent.id, name="Mia", instructions=["new"], canonical_name="renamed", project="p")
    assert (put.instructions, put.canonical_name, put.project) == (["new"], "renamed", "p")


async def test_agent_put_keeps_its_tools(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia")
    tool = await sdk.agents.tools.create(agent.id, name="t", type="function", function={})
    await sdk.agents.reset(agent.id, name="Ina")
    assert [each.id async for each in sdk.agents.tools.list(agent.id)] == [tool.id]


async def test_agent_upsert_creates_under_the_given_id_then_replaces(sdk: AsyncJulep) -> None:
    wanted = str(uuid4())
    made = await sdk.agents.create_or_update(wanted, **FULL, canonical_name="mia")
    assert made.id == wanted
    assert fields(made, FULL) == FULL
    again = await sdk.agents.create_or_update(wanted, name="Ina")
    assert (again.id, again.name, again.about, again.canonical_name, again.metadata) == (wanted, "Ina", "", "mia", {})
    assert again.created_at == made.created_at


async def test_user_patch_changes_only_what_is_sent(sdk: AsyncJulep) -> None:
    await sdk.projects.create(name="P", canonical_name="p")
    user = await sdk.users.create(name="Ann", about="x", metadata={"a": 1}, project="p")
    patched = await sdk.users.update(user.id, metadata={"b": 2})
    assert (patched.name, patched.about, patched.metadata, patched.project) == ("Ann", "x", {"a": 1, "b": 2}, "p")


async def test_user_put_replaces_everything_but_the_project(sdk: AsyncJulep) -> None:
    await sdk.projects.create(name="P", canonical_name="p")
    user = await sdk.users.create(name="Ann", about="x", metadata={"a": 1}, project="p")
    put = await sdk.users.reset(user.id)
    assert (put.name, put.about, put.metadata, put.project) == ("", "", {}, "p")


async def test_user_upsert_creates_under_the_given_id_then_replaces(sdk: AsyncJulep) -> None:
    wanted = str(uuid4())
    assert (await sdk.users.create_or_update(wanted, name="Ann", about="x")).id == wanted
    again = await sdk.users.create_or_update(wanted, name="Ben")
    assert (again.id, again.name, again.about) == (wanted, "Ben", "")


async def test_unknown_project_is_not_found_wherever_it_is_named(sdk: AsyncJulep) -> None:
    agent, user = await sdk.agents.create(name="Mia"), await sdk.users.create()
    for write in (
        sdk.agents.create(name="Ina", project="nowhere"),
        sdk.agents.update(agent.id, project="nowhere"),
        sdk.agents.reset(agent.id, name="Ina", project="nowhere"),
        sdk.users.create(project="nowhere"),
        sdk.users.update(user.id, project="nowhere"),
    ):
        with pytest.raises(NotFoundError, match="Project 'nowhere' not found"):
            await write


async def test_project_given_moves_and_omitted_or_null_stays(sdk: AsyncJulep) -> None:
    await sdk.projects.create(name="P", canonical_name="p")
    agent = await sdk.agents.create(name="Mia")
    assert (await sdk.agents.update(agent.id, project="p")).project == "p"
    assert (await sdk.agents.update(agent.id, about="x")).project == "p"
    assert (await sdk.agents.update(agent.id, project=None)).project == "p"


async def test_canonical_name_is_unique_in_a_tenant_whatever_its_case(sdk: AsyncJulep, stranger: AsyncJulep) -> None:
    await sdk.agents.create(name="Mia", canonical_name="mia")
    with pytest.raises(ConflictError) as caught:
        await sdk.agents.create(name="Mia", canonical_name="MIA")
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert (await stranger.agents.create(name="Mia", canonical_name="mia")).canonical_name == "mia"
    assert (await sdk.projects.create(name="Mia", canonical_name="mia")).canonical_name == "mia"


@pytest.mark.parametrize("name", ["", "1a", "_a", "a-b", "a b", "ä", "a" * 256])
async def test_canonical_name_outside_the_pattern_is_unprocessable(sdk: AsyncJulep, name: str) -> None:
    with pytest.raises(UnprocessableEntityError):
        await sdk.agents.create(name="Mia", canonical_name=name)


async def test_names_that_are_missing_or_too_long_are_unprocessable(sdk: AsyncJulep) -> None:
    for name in ("", "x" * 256):
        with pytest.raises(UnprocessableEntityError):
            await sdk.agents.create(name=name)
    with pytest.raises(UnprocessableEntityError):
        await sdk.projects.create(name="")
    assert (await sdk.agents.create(name="x" * 255)).name == "x" * 255
    assert (await sdk.agents.create(name="  1 Любое имя 🎈 ")).name == "  1 Любое имя 🎈 "


@pytest.mark.parametrize("name", ["Ann", "Ünal", "李雷", "a_b-c 9", "!x", "Ann\u0301"])
async def test_user_name_of_safe_characters_is_taken(sdk: AsyncJulep, name: str) -> None:
    assert (await sdk.users.create(name=name)).name == name


@pytest.mark.parametrize("name", ["", "9lives", "_x", "\u0301x", "x" * 121, "a\x07"])
async def test_user_name_of_other_characters_is_unprocessable(sdk: AsyncJulep, name: str) -> None:
    with pytest.raises(UnprocessableEntityError):
        await sdk.users.create(name=name)


@pytest.mark.parametrize("name", ["", "9x", "a-b", "x" * 41, "a b"])
async def test_tool_name_that_is_no_identifier_is_unprocessable(sdk: AsyncJulep, name: str) -> None:
    agent = await sdk.agents.create(name="Mia")
    with pytest.raises(UnprocessableEntityError):
        await sdk.agents.tools.create(agent.id, name=name, type="function", function={})


async def test_tool_without_its_member_is_unprocessable_and_a_second_one_of_its_name_a_conflict(sdk: AsyncJulep) -> None:
    agent = await sdk.agents.create(name="Mia")
    with pytest.raises(UnprocessableEntityError):
        await sdk.agents.tools.create(agent.id, name="t", type="function")
    await sdk.agents.tools.create(agent.id, name="t", type="function", function={})
    with pytest.raises(ConflictError) as caught:
        await sdk.agents.tools.create(agent.id, name="t", type="function", function={})
    assert caught.value.response.headers["x-should-retry"] == "false"


async def test_about_of_an_agent_is_bounded_and_a_blank_template_refused(sdk: AsyncJulep) -> None:
    assert (await sdk.agents.create(name="Mia", about="x" * 16_000)).about == "x" * 16_000
    with pytest.raises(BadRequestError, match="about"):
        await sdk.agents.create(name="Mia", about="x" * 16_001)
    with pytest.raises(BadRequestError, match="default_system_template"):
        await sdk.agents.create(name="Mia", default_system_template=" \n")


async def test_ids_are_ordered_by_time(sdk: AsyncJulep) -> None:
    ids = [UUID((await sdk.users.create()).id) for _ in range(3)]
    assert ids == sorted(ids)
    assert {each.version for each in ids} == {7}


async def test_metadata_of_any_shape_comes_back_and_null_becomes_empty(sdk: AsyncJulep, raw: Client) -> None:
    metadata = {"a": [1, 2.5, "x", None, {"b": {}}], "ключ": "ü", "": True}
    assert (await sdk.users.create(metadata=metadata)).metadata == metadata
    assert (await raw.post("/users", json={"metadata": None})).json()["metadata"] == {}
    assert (await raw.post("/users", json={"metadata": [1]})).status_code == 422


async def test_nul_characters_are_removed(raw: Client) -> None:
    user = (await raw.post("/users", content=b'{"about": "a\\u0000b", "metadata": {"k\\u0000": "v\\u0000"}}')).json()
    assert (user["about"], user["metadata"]) == ("ab", {"k": "v"})


async def test_unknown_fields_are_ignored_and_strings_are_no_booleans(raw: Client) -> None:
    agent = (await raw.post("/agents", json={"name": "Mia", "no_such_field": 1})).json()
    assert "no_such_field" not in agent
    refused = await raw.post("/sessions", json={"agent": agent["id"], "render_templates": "true"})
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "render_templates"]


async def test_times_are_utc_with_microseconds_and_z(raw: Client) -> None:
    agent = (await raw.post("/agents", json={"name": "Mia"})).json()
    session = (await raw.post("/sessions", json={"agent": agent["id"]})).json()
    for resource in (agent, session, (await raw.post("/users", json={})).json()):
        for name in ("created_at", "updated_at"):
            assert resource[name].endswith("Z"), resource[name]
