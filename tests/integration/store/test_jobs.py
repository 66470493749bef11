"""The states of background jobs, as their owner sees them."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.errors import NotFound
from mentha.core.ids import new_id
from mentha.store import jobs, maintenance
from tests.support.transactions import new_tenant


async def created(connection: Any, tenant: UUID, count: int = 1) -> list[UUID]:
    ids = [new_id() for _ in range(count)]
    for job_id in ids:
        await jobs.create(connection, tenant, job_id, kind="index", name="a job")
    return ids


async def seen(connection: Any, tenant: UUID, job_id: UUID) -> tuple[Any, ...]:
    job = await jobs.get(connection, tenant, job_id)
    return job.state, job.reason, job.has_progress, job.progress


async def test_job_tells_its_way_from_pending_to_its_end(connection: Any, tenant: UUID) -> None:
    (job_id,) = ids = await created(connection, tenant)
    assert (await jobs.get(connection, tenant, job_id)).name == "a job"
    assert await seen(connection, tenant, job_id) == ("pending", "", False, 0)
    await jobs.progress(connection, tenant, ids)
    assert await seen(connection, tenant, job_id) == ("in_progress", "", False, 0)
    await jobs.progress(connection, tenant, ids, percent=40)
    await jobs.retrying(connection, tenant, ids, reason="the embedder is away")
    assert await seen(connection, tenant, job_id) == ("retrying", "the embedder is away", True, 40)
    await jobs.progress(connection, tenant, ids)
    assert await seen(connection, tenant, job_id) == ("in_progress", "", True, 40)
    await jobs.finish(connection, tenant, ids, state="succeeded")
    assert await seen(connection, tenant, job_id) == ("succeeded", "", True, 100)


@pytest.mark.parametrize("state", ["succeeded", "aborted", "failed"])
async def test_job_that_has_ended_stays_as_it_is(connection: Any, tenant: UUID, state: Any) -> None:
    (job_id,) = ids = await created(connection, tenant)
    await jobs.finish(connection, tenant, ids, state=state, reason="first")
    before = await seen(connection, tenant, job_id)
    await jobs.progress(connection, tenant, ids, percent=5)
    await jobs.retrying(connection, tenant, ids, reason="late")
    await jobs.finish(connection, tenant, ids, state="failed", reason="late")
    assert await seen(connection, tenant, job_id) == before


async def test_jobs_of_another_tenant_are_left_alone(connection: Any, tenant: UUID) -> None:
    (job_id,) = ids = await created(connection, tenant)
    other = await new_tenant(connection)
    await jobs.progress(connection, other, ids, percent=5)
    await jobs.retrying(connection, other, ids, reason="x")
    await jobs.finish(connection, other, ids, state="failed")
    assert await seen(connection, tenant, job_id) == ("pending", "", False, 0)
    with pytest.raises(NotFound):
        await jobs.get(connection, other, job_id)


async def test_several_jobs_change_in_one_statement(connection: Any, tenant: UUID) -> None:
    ids = await created(connection, tenant, 3)
    await jobs.finish(connection, tenant, ids[:2], state="aborted", reason="deleted")
    assert [(await seen(connection, tenant, job_id))[0] for job_id in ids] == ["aborted", "aborted", "pending"]


async def test_purge_drops_jobs_that_have_ended_and_are_old(connection: Any, tenant: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "PURGE_ROWS_MAX", 2)
    old, running, new = [await created(connection, tenant, count) for count in (3, 1, 1)]
    await jobs.finish(connection, tenant, [*old, *new], state="succeeded")
    await connection.execute("UPDATE jobs SET created_at = now() - interval '2 h' WHERE id = ANY($1)", [*old, *running])
    assert [await maintenance.purge_jobs(connection, older_than_s=3_600) for _ in range(3)] == [2, 1, 0]
    assert {row["id"] for row in await connection.fetch("SELECT id FROM jobs WHERE tenant_id = $1", tenant)} == {*running, *new}
