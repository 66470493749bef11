"""Paging: whatever the order and the slices, each row comes exactly once, rows with equal times included."""

from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.ids import new_id
from mentha.store import agents, projects, sessions, tools, users
from mentha.wire.common import Direction, Page, SortBy
from tests.support.transactions import Transactions

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROWS_MAX = 25

# Few different minutes, so that many rows have equal times.
minutes = st.integers(0, 3)
times = st.lists(st.tuples(minutes, minutes), max_size=ROWS_MAX)
orders = st.tuples(st.sampled_from(get_args(SortBy)), st.sampled_from(get_args(Direction)))

Row = tuple[UUID, datetime, datetime]
INSERTS = {
    "agents": """INSERT INTO agents (tenant_id, id, created_at, updated_at, project_id, canonical_name, name, about, model, instructions)
        VALUES ($1, $2, $3, $4, $1, 'a' || md5($2::uuid::text), '-', '', '', '{}')""",
    "users": "INSERT INTO users (tenant_id, id, created_at, updated_at, project_id, name, about) VALUES ($1, $2, $3, $4, $1, '', '')",
    "projects": """INSERT INTO projects (tenant_id, id, created_at, updated_at, canonical_name, name)
        VALUES ($1, $2, $3, $4, 'p' || md5($2::uuid::text), '-')""",
    "sessions": """INSERT INTO sessions (tenant_id, id, created_at, updated_at, render_templates, auto_run_tools, forward_tool_calls)
        VALUES ($1, $2, $3, $4, true, false, false)""",
    "tools": """INSERT INTO tools (tenant_id, id, created_at, updated_at, agent_id, name, type, spec)
        VALUES ($1, $2, $3, $4, $1, 't' || md5($2::uuid::text), 'function', '{}')""",
}
LISTS: dict[str, Callable[[Any, UUID, Page], Awaitable[list[Any]]]] = {
    "agents": agents.list_,
    "users": users.list_,
    "projects": projects.list_,
    "sessions": sessions.list_,
    # The agent has the tenant's id.
    "tools": lambda tx, tenant, page: tools.list_(tx, tenant, tenant, page),
}


@pytest.fixture(scope="module")
def transactions(worker_dsn: str) -> Iterator[Transactions]:
    with Transactions(worker_dsn) as opened:
        yield opened


async def fill(tx: Any, tenant: UUID, kind: str, minutes_of: list[tuple[int, int]]) -> list[Row]:
    """Store a row for each pair of times, in place of any that are there."""
    if kind == "tools":
        await tx.execute(INSERTS["agents"], tenant, tenant, NOON, NOON)
    if kind == "projects":
        await tx.execute("DELETE FROM projects WHERE tenant_id = $1", tenant)
    rows = [(new_id(), NOON + timedelta(minutes=created), NOON + timedelta(minutes=updated)) for created, updated in minutes_of]
    await tx.executemany(INSERTS[kind], [(tenant, *row) for row in rows])
    return rows


def in_order(rows: list[Row], sort_by: str, direction: str) -> list[UUID]:
    """The ids as they must come."""
    column = 1 if sort_by == "created_at" else 2
    return [row[0] for row in sorted(rows, key=lambda row: (row[column], row[0]), reverse=direction == "desc")]


@pytest.mark.parametrize("kind", LISTS)
def test_list_walked_page_by_page_gives_each_row_once_in_order(transactions: Transactions, kind: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(times=times, order=orders, limit=st.integers(1, 7))
    def holds(times: list[tuple[int, int]], order: tuple[SortBy, Direction], limit: int) -> None:
        async def walk(tx: Any, tenant: UUID) -> tuple[list[UUID], list[Row]]:
            rows, seen = await fill(tx, tenant, kind, times), list[UUID]()
            for _ in range(ROWS_MAX + 2):
                page = await LISTS[kind](tx, tenant, Page(limit=limit, offset=len(seen), sort_by=order[0], direction=order[1]))
                assert len(page) <= limit
                if not page:
                    break
                seen += [item.id for item in page]
            return seen, rows

        seen, rows = transactions.rolled_back(walk)
        assert seen == in_order(rows, *order)

    holds()


@pytest.mark.parametrize("kind", LISTS)
def test_any_slice_of_a_list_is_that_slice_of_the_whole(transactions: Transactions, kind: str) -> None:
    @settings(max_examples=40, deadline=None)
    @given(times=times, order=orders, slices=st.lists(st.tuples(st.integers(1, 1_000), st.integers(0, 40)), min_size=1, max_size=5))
    def holds(times: list[tuple[int, int]], order: tuple[SortBy, Direction], slices: list[tuple[int, int]]) -> None:
        async def read(tx: Any, tenant: UUID) -> None:
            whole = in_order(await fill(tx, tenant, kind, times), *order)
            for limit, offset in slices:
                page = await LISTS[kind](tx, tenant, Page(limit=limit, offset=offset, sort_by=order[0], direction=order[1]))
                assert [item.id for item in page] == whole[offset : offset + limit]

        transactions.rolled_back(read)

    holds()
