"""PATCH: what was sent changes, an explicit null sets back, metadata merges by key, and nothing else changes."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.store import agents, projects, sessions, users
from mentha.wire.agents import CreateAgentRequest, PatchAgentRequest
from mentha.wire.default_template import DEFAULT_SYSTEM_TEMPLATE
from mentha.wire.projects import CreateProjectRequest, PatchProjectRequest
from mentha.wire.recall import merge
from mentha.wire.sessions import CreateSessionRequest, PatchSessionRequest
from mentha.wire.users import CreateUserRequest, PatchUserRequest
from tests.support.transactions import Transactions

PROJECTS = ("default", "Work", "play")

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
# Neither blank nor null: what the data model asks of templates and situations.
said = texts.map(lambda text: f"x{text}")
names = st.text("abcXYZ -.é", min_size=1, max_size=20).map(lambda text: f"N{text}")
canonical = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,10}", fullmatch=True).filter(
    lambda name: name.lower() not in {"default", "work", "play"}
)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
metadata = st.dictionaries(
    st.sampled_from("abcd") | texts, scalars | st.lists(scalars, max_size=2) | st.dictionaries(texts, scalars, max_size=2), max_size=3
)
recall = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.sampled_from(("vector", "text", "hybrid")),
        "limit": st.integers(1, 50),
        "alpha": st.floats(0, 1),
        "lang": st.just("de"),
    },
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A body with any of these fields, each with a value or null."""
    return st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in fields.items()})


def named(name: st.SearchStrategy[Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A body with a name and any of the other fields."""
    return st.fixed_dictionaries({"name": name}, optional=fields)


@pytest.fixture(scope="module")
def transactions(worker_dsn: str) -> Iterator[Transactions]:
    with Transactions(worker_dsn) as opened:
        yield opened


async def make_projects(tx: Any, tenant: UUID) -> None:
    for name in PROJECTS[1:]:
        await projects.create(tx, tenant, CreateProjectRequest(name=name, canonical_name=name))


def assert_patched(before: dict[str, Any], after: dict[str, Any], sent: dict[str, Any], nulls: dict[str, Any]) -> None:
    """`nulls`: what an explicit null makes of a field; of one that is not in it, null changes nothing."""
    expected = dict(before)
    for field, value in sent.items():
        if field == "metadata":
            expected[field] = before[field] | (value or {})
        elif value is not None:
            expected[field] = value
        elif field in nulls:
            expected[field] = nulls[field]
    assert after.pop("updated_at") >= expected.pop("updated_at")
    assert after == expected


def test_patch_of_an_agent_changes_what_was_sent_and_nothing_else(transactions: Transactions) -> None:
    fields = {
        "name": names,
        "about": texts,
        "model": texts,
        "instructions": st.lists(texts, max_size=3),
        "default_settings": metadata,
        "default_system_template": said,
        "metadata": metadata,
        "canonical_name": canonical,
        "project": st.sampled_from(PROJECTS),
    }
    nulls = {"about": "", "model": "", "instructions": [], "default_settings": None, "default_system_template": DEFAULT_SYSTEM_TEMPLATE}

    @settings(max_examples=150, deadline=None)
    @given(made=named(**fields), sent=some(**fields))
    def holds(made: dict[str, Any], sent: dict[str, Any]) -> None:
        async def patch(tx: Any, tenant: UUID) -> None:
            await make_projects(tx, tenant)
            before = await agents.create(tx, tenant, CreateAgentRequest.model_validate(made))
            after = await agents.patch(tx, tenant, before.id, PatchAgentRequest.model_validate(sent))
            assert_patched(before.model_dump(), after.model_dump(), sent, nulls)
            assert await agents.get(tx, tenant, before.id) == after

        transactions.rolled_back(patch)

    holds()


def test_patch_of_a_user_changes_what_was_sent_and_nothing_else(transactions: Transactions) -> None:
    fields = {"name": names, "about": texts, "metadata": metadata, "project": st.sampled_from(PROJECTS)}

    @settings(max_examples=150, deadline=None)
    @given(made=st.fixed_dictionaries({}, optional=fields), sent=some(**fields))
    def holds(made: dict[str, Any], sent: dict[str, Any]) -> None:
        async def patch(tx: Any, tenant: UUID) -> None:
            await make_projects(tx, tenant)
            before = await users.create(tx, tenant, CreateUserRequest.model_validate(made))
            after = await users.patch(tx, tenant, before.id, PatchUserRequest.model_validate(sent))
            assert_patched(before.model_dump(), after.model_dump(), sent, {"name": "", "about": ""})
            assert await users.get(tx, tenant, before.id) == after

        transactions.rolled_back(patch)

    holds()


def test_patch_of_a_project_changes_what_was_sent_and_nothing_else(transactions: Transactions) -> None:
    fields = {"name": names, "canonical_name": canonical, "metadata": metadata}

    @settings(max_examples=150, deadline=None)
    @given(made=named(**fields), sent=some(**fields))
    def holds(made: dict[str, Any], sent: dict[str, Any]) -> None:
        async def patch(tx: Any, tenant: UUID) -> None:
            before = await projects.create(tx, tenant, CreateProjectRequest.model_validate(made))
            after = await projects.patch(tx, tenant, before.id, PatchProjectRequest.model_validate(sent))
            assert_patched(before.model_dump(), after.model_dump(), sent, {})
            assert await projects.get(tx, tenant, before.id) == after

        transactions.rolled_back(patch)

    holds()


def test_patch_of_a_session_changes_what_was_sent_and_nothing_else(transactions: Transactions) -> None:
    fields = {
        "situation": said,
        "system_template": said,
        "render_templates": st.booleans(),
        "token_budget": st.integers(1, 2**40),
        "context_overflow": st.sampled_from(("truncate", "adaptive")),
        "auto_run_tools": st.booleans(),
        "forward_tool_calls": st.booleans(),
        "recall_options": recall,
        "metadata": metadata,
    }
    nulls = {
        **dict.fromkeys(("situation", "system_template", "token_budget", "context_overflow")),
        "render_templates": True,
        "auto_run_tools": False,
        "forward_tool_calls": False,
        "recall_options": merge(None, {}),
    }

    @settings(max_examples=250, deadline=None)
    @given(made=st.fixed_dictionaries({}, optional=fields), sent=some(**fields))
    def holds(made: dict[str, Any], sent: dict[str, Any]) -> None:
        async def patch(tx: Any, tenant: UUID) -> None:
            agent = await agents.create(tx, tenant, CreateAgentRequest(name="Mia"))
            user = await users.create(tx, tenant, CreateUserRequest())
            whole = {**made, "agent": agent.id, "user": user.id}
            before = await sessions.create(tx, tenant, CreateSessionRequest.model_validate(whole))
            after = await sessions.patch(tx, tenant, before.id, PatchSessionRequest.model_validate(sent))
            expected = dict(sent)
            if sent.get("recall_options") is not None:
                expected["recall_options"] = merge(stored_recall(made), sent["recall_options"])
            assert_patched(before.model_dump(mode="json"), after.model_dump(mode="json"), expected, nulls)
            assert await sessions.get(tx, tenant, before.id) == after

        transactions.rolled_back(patch)

    holds()


def stored_recall(made: dict[str, Any]) -> dict[str, Any] | None:
    """The recall options that a session was made with, None for none."""
    return merge(None, made["recall_options"]) if "recall_options" in made else None
