"""Who may run what: claims at the same time, the fence around a log, and what becomes of the runs of processes that died."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from mentha.core import config
from mentha.core.ids import new_id
from mentha.store import executions, pool, tenants, transitions, workers
from mentha.store.executions import NewExecution
from mentha.store.pool import Database
from mentha.store.transitions import Fence, Outcome
from mentha.store.workers import Claimed, Freed
from mentha.workflow.state import Row
from tests.support.runs import evaluate, new_task

TENANTS = 3
EACH = 60
MOST = 5
CLAIMERS = 8
TEXT = (None, '{"a":1}', None)


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    made = await pool.connect(database_dsn, config.load(environ={}, flags={"database_connections_max": CLAIMERS}))
    yield made
    await made.close()


async def new_runs(database: Database, count: int) -> tuple[UUID, list[UUID]]:
    """A tenant with so many runs that are ready."""
    async with database.transaction() as tx:
        tenant = await tenants.create(tx, f"t-{new_id().hex}")
        task = await new_task(tx, tenant, [evaluate(1)])
        ids = [new_id() for _ in range(count)]
        for execution in ids:
            await executions.create(tx, tenant, NewExecution(execution, task, 1, new_id(), 1, {}, {}))
    return tenant, ids


async def new_worker(database: Database, *, lease_s: float = 60) -> UUID:
    worker = new_id()
    async with database.connection() as tx:
        await workers.register(tx, worker, lease_s=lease_s)
    return worker


async def claim(database: Database, tenant: UUID, worker: UUID, *, limit: int = 10, most: int = 100, known: Any = (1,)) -> list[Any]:
    async with database.connection() as tx:
        return (await workers.claim(tx, tenant, worker, limit=limit, tenant_max=most, interpreters=known))[0]


async def write(
    database: Database, tenant: UUID, execution: UUID, fence: Fence, *, status: Any = "running", **outcome: Any
) -> float | None:
    line = Row("step", "main", 0, str(new_id()), at=round(time.time(), 6))
    async with database.connection() as tx:
        return await transitions.commit(tx, tenant, execution, fence, Outcome(status, **outcome), [line], [TEXT])


async def test_claims_at_the_same_time_never_overlap_and_never_exceed_what_a_tenant_may_have(database: Database) -> None:
    known = [await new_runs(database, EACH) for _ in range(TENANTS)]
    taken: Counter[UUID] = Counter()

    async def work() -> None:
        worker = await new_worker(database)
        for number in range(12):
            tenant, _ = known[number % TENANTS]
            claimed = await claim(database, tenant, worker, most=MOST)
            taken.update(each.id for each in claimed)
            async with database.connection() as tx:
                assert await tx.fetchval("SELECT count(*) FROM executions WHERE tenant_id = $1 AND owner IS NOT NULL", tenant) <= MOST
            for each in claimed:
                assert await write(database, tenant, each.id, Fence(worker, each.epoch, 0), status="succeeded", ends=True, parks=True)

    await asyncio.gather(*[work() for _ in range(CLAIMERS)])
    assert set(taken.values()) == {1}
    assert len(taken) >= TENANTS * MOST


async def test_claim_takes_the_oldest_first_and_only_plans_that_are_known(database: Database) -> None:
    tenant, ids = await new_runs(database, 3)
    async with database.connection() as tx:
        for age, execution in enumerate(ids):
            await tx.execute("UPDATE executions SET ready_at = now() - make_interval(secs => $2) WHERE id = $1", execution, age)
        await tx.execute("UPDATE executions SET interpreter = 9 WHERE id = $1", ids[2])
    worker = await new_worker(database)
    assert [each.id for each in await claim(database, tenant, worker, limit=1)] == [ids[1]]
    assert [each.id for each in await claim(database, tenant, worker)] == [ids[0]]
    assert [each.id for each in await claim(database, tenant, worker, known=(9,))] == [ids[2]]


@pytest.mark.parametrize("wrong", ["worker", "epoch", "seq"])
async def test_commit_by_one_who_does_not_know_the_execution_as_it_is_writes_nothing(database: Database, wrong: str) -> None:
    tenant, (execution,) = await new_runs(database, 1)
    worker = await new_worker(database)
    (claimed,) = await claim(database, tenant, worker)
    fences = {
        "worker": Fence(new_id(), claimed.epoch, 0),
        "epoch": Fence(worker, claimed.epoch - 1, 0),
        "seq": Fence(worker, claimed.epoch, 1),
    }
    assert await write(database, tenant, execution, fences[wrong]) is None
    async with database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM transitions") == 0
        assert (await executions.get(tx, tenant, execution)).transition_count == 0
    assert await write(database, tenant, execution, Fence(worker, claimed.epoch, 0)) is not None


async def test_execution_that_has_ended_can_be_written_to_by_nobody(database: Database) -> None:
    tenant, (execution,) = await new_runs(database, 1)
    worker = await new_worker(database)
    (claimed,) = await claim(database, tenant, worker)
    assert await write(database, tenant, execution, Fence(worker, claimed.epoch, 0), status="failed", error="x", ends=True)
    assert await write(database, tenant, execution, Fence(worker, claimed.epoch, 1)) is None
    async with database.connection() as tx:
        assert not await executions.cancel(tx, tenant, execution, output="x", metadata={}, scope_id=str(new_id()))


async def test_runs_of_a_dead_worker_are_freed_and_it_can_write_nothing_more(database: Database) -> None:
    tenant, ids = await new_runs(database, 2)
    dead, alive = await new_worker(database), await new_worker(database)
    (first,) = await claim(database, tenant, dead, limit=1)
    (second,) = await claim(database, tenant, alive, limit=1)
    async with database.connection() as tx:
        assert await workers.free_dead(tx, pause_s=60) == []
        await tx.execute("UPDATE workers SET lease_until = now() - interval '1 s' WHERE id = $1", dead)
        assert not await workers.beat(tx, dead, lease_s=60)
        assert await workers.beat(tx, alive, lease_s=60)
        assert await workers.free_dead(tx, pause_s=60) == [Freed(tenant, first.id, 1)]
    assert await write(database, tenant, first.id, Fence(dead, first.epoch, 0)) is None
    (again,) = await claim(database, tenant, alive)
    assert (again.id, again.epoch) == (first.id, first.epoch + 2)
    assert {first.id, second.id} == set(ids)


async def died_with(database: Database, tenant: UUID) -> tuple[Claimed, Freed]:
    """A run that a worker has taken and died with."""
    worker = await new_worker(database)
    async with database.connection() as tx:
        await tx.execute("UPDATE executions SET ready_at = now() WHERE ready_at IS NOT NULL")
        (claimed,) = await claim(database, tenant, worker)
        await tx.execute("DELETE FROM workers WHERE id = $1", worker)
        (freed,) = await workers.free_dead(tx, pause_s=60)
    return claimed, freed


async def test_deaths_are_counted_in_a_row_and_anew_once_the_log_has_grown(database: Database) -> None:
    tenant, _ = await new_runs(database, 1)
    assert [(await died_with(database, tenant))[1].deaths for _ in range(3)] == [1, 2, 3]
    worker = await new_worker(database)
    async with database.connection() as tx:
        await tx.execute("UPDATE executions SET ready_at = now()")
    (claimed,) = await claim(database, tenant, worker)
    assert await write(database, tenant, claimed.id, Fence(worker, claimed.epoch, 0), parks=True, ready_at=0)
    assert [(await died_with(database, tenant))[1].deaths for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("how", ["parked", "retired", "stray", "fault"])
async def test_run_that_is_let_go_of_counts_no_death(database: Database, how: str) -> None:
    tenant, _ = await new_runs(database, 1)
    await died_with(database, tenant)
    worker = await new_worker(database)
    (claimed,) = await claim(database, tenant, worker)
    async with database.connection() as tx:
        if how == "parked":
            await transitions.commit(tx, tenant, claimed.id, Fence(worker, claimed.epoch, 0), Outcome("queued", parks=True), [], [])
        elif how == "retired":
            await workers.retire(tx, worker)
        elif how == "stray":
            assert await workers.free_strays(tx, worker, [], older_than_s=-60) == 1
        else:
            await workers.free(tx, tenant, claimed.id, worker, after_s=0)
        assert await tx.fetchval("SELECT deaths FROM executions") == 1


async def test_run_that_got_no_further_is_ready_later_each_time(database: Database) -> None:
    tenant, _ = await new_runs(database, 1)
    waits: list[bool] = []
    for _ in range(3):
        await died_with(database, tenant)
        async with database.connection() as tx:
            waits.append(await tx.fetchval("SELECT ready_at > now() + interval '30 s' FROM executions"))
    assert waits == [False, True, True]


async def test_run_that_is_given_up_ends_where_it_was_unless_it_has_been_taken_since(database: Database) -> None:
    tenant, _ = await new_runs(database, 1)
    _, freed = await died_with(database, tenant)
    scope = str(new_id())
    async with database.connection() as tx:
        await tx.execute("UPDATE executions SET ready_at = now()")
        (claimed,) = await claim(database, tenant, await new_worker(database))
        assert not await workers.give_up(tx, freed, "no", metadata={}, scope_id=scope)
        await tx.execute("DELETE FROM workers")
        (freed,) = await workers.free_dead(tx, pause_s=0)
        assert await workers.give_up(tx, freed, "it is over", metadata={"a": 1}, scope_id=scope)
        ended = await executions.get(tx, tenant, claimed.id)
        (line,) = await transitions.list_(tx, tenant, claimed.id, limit=5, offset=0, direction="asc")
    assert (ended.status, ended.error, ended.transition_count) == ("failed", "it is over", 1)
    assert (line.type, line.output, line.metadata, str(line.current.scope_id)) == ("error", "it is over", {"a": 1}, scope)


async def test_stray_is_given_back_and_what_runs_is_not(database: Database) -> None:
    tenant, _ = await new_runs(database, 2)
    worker = await new_worker(database)
    kept, stray = await claim(database, tenant, worker)
    async with database.connection() as tx:
        assert await workers.free_strays(tx, worker, [kept.id], older_than_s=60) == 0
        await tx.execute("UPDATE executions SET claimed_at = claimed_at - interval '2 min'")
        assert await workers.free_strays(tx, worker, [kept.id], older_than_s=60) == 1
        assert {each.id: each.owner for each in await workers.standing(tx, [(tenant, kept.id), (tenant, stray.id)])} == {
            kept.id: worker,
            stray.id: None,
        }


async def test_tenants_with_ready_runs_are_found_among_those_that_wait(database: Database) -> None:
    known = [await new_runs(database, 2) for _ in range(4)]
    worker = await new_worker(database)
    async with database.connection() as tx:
        assert set(await workers.due_tenants(tx, limit=10)) == {tenant for tenant, _ in known}
        await tx.execute("UPDATE executions SET ready_at = now() + interval '1 h' WHERE tenant_id = $1", known[0][0])
        await tx.execute("UPDATE executions SET ready_at = NULL WHERE tenant_id = $1", known[1][0])
    await claim(database, known[2][0], worker)
    async with database.connection() as tx:
        assert await workers.due_tenants(tx, limit=10) == [known[3][0]]
        assert await workers.retire(tx, worker) == 2
        assert set(await workers.due_tenants(tx, limit=10)) == {known[2][0], known[3][0]}
