"""Tenants, their keys and their jobs in PostgreSQL."""

from typing import Any
from uuid import UUID

import pytest

from mentha.core.errors import Conflict, ConstraintViolated, NotFound
from mentha.core.ids import new_id
from mentha.store import agents, api_keys, jobs, sessions, tenants, users
from mentha.store.tenants import DEFAULT_ID
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.sessions import CreateSessionRequest
from mentha.wire.users import CreateUserRequest
from tests.support.transactions import new_tenant, refusal


async def key_of(connection: Any, tenant: UUID, digest: bytes, name: str = "k") -> UUID:
    return await api_keys.create(connection, tenant, name=name, digest=digest, hint="mk_…")


def digest(last: int) -> bytes:
    return bytes(31) + bytes([last])


async def owner(connection: Any, last: int) -> UUID | None:
    known = await api_keys.identify(connection, digest(last))
    return known.tenant if known else None


async def test_tenant_is_found_by_name_and_by_id(connection: Any) -> None:
    tenant = await tenants.create(connection, "acme")
    assert await tenants.resolve(connection, "acme") == await tenants.resolve(connection, str(tenant)) == tenant
    assert await tenants.exists(connection, tenant)
    assert not await tenants.exists(connection, new_id())
    assert isinstance(await refusal(connection, tenants.resolve(connection, "nobody")), NotFound)
    assert await tenants.resolve(connection, "default") == DEFAULT_ID


@pytest.mark.parametrize("name", ["", "Acme", "a b", "-a", "a" * 64, "ä", "a\n"])
async def test_tenant_with_an_unfit_name_is_refused(connection: Any, name: str) -> None:
    assert isinstance(await refusal(connection, tenants.create(connection, name)), ConstraintViolated)


async def test_tenant_with_a_taken_name_is_a_conflict(connection: Any) -> None:
    await tenants.create(connection, "acme")
    assert isinstance(await refusal(connection, tenants.create(connection, "acme")), Conflict)


async def test_delete_takes_all_that_a_tenant_has_and_nothing_of_others(connection: Any, tenant: UUID) -> None:
    gone = await new_tenant(connection)
    for owner in (tenant, gone):
        agent = await agents.create(connection, owner, CreateAgentRequest(name="Mia"))
        user = await users.create(connection, owner, CreateUserRequest())
        await sessions.create(connection, owner, CreateSessionRequest(agent=agent.id, user=user.id))
        await key_of(connection, owner, owner.bytes * 2)
    await tenants.delete(connection, gone)
    tables = await connection.fetch(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'tenant_id' AND table_schema = 'public'"
    )
    for (table,) in tables:
        assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", gone) == 0
    for table in ("agents", "users", "sessions", "session_agents", "session_users", "projects", "api_keys"):
        assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", tenant) == 1


async def test_list_counts_the_keys_in_use(connection: Any, tenant: UUID) -> None:
    await key_of(connection, tenant, digest(1))
    await api_keys.revoke(connection, str(await key_of(connection, tenant, digest(2))))
    (row,) = [row for row in await tenants.list_(connection) if row.id == tenant]
    assert row.keys == 1


async def test_key_is_found_by_its_digest_until_it_is_revoked(connection: Any, tenant: UUID) -> None:
    assert not await api_keys.any_of(connection, tenant)
    key_id = await key_of(connection, tenant, digest(1))
    assert await owner(connection, 1) == tenant
    assert await owner(connection, 2) is None
    assert await api_keys.revoke(connection, str(key_id).upper()) == key_id
    assert await owner(connection, 1) is None
    assert await api_keys.any_of(connection, tenant)
    assert isinstance(await refusal(connection, api_keys.revoke(connection, str(key_id))), NotFound)


async def test_same_key_for_two_tenants_is_a_conflict(connection: Any, tenant: UUID) -> None:
    await key_of(connection, tenant, digest(1))
    assert isinstance(await refusal(connection, key_of(connection, await new_tenant(connection), digest(1))), Conflict)


@pytest.mark.parametrize("beginning", ["", "%", "_", "z", "0"])
async def test_revoke_by_a_beginning_that_is_none_of_a_single_key_revokes_nothing(connection: Any, tenant: UUID, beginning: str) -> None:
    await connection.execute("DELETE FROM api_keys")
    await key_of(connection, tenant, digest(1))
    if beginning == "0":
        await key_of(connection, tenant, digest(2))
    assert isinstance(await refusal(connection, api_keys.revoke(connection, beginning)), NotFound)
    assert await owner(connection, 1) == tenant


async def test_set_only_replaces_the_key_of_a_name_and_leaves_the_others(connection: Any, tenant: UUID) -> None:
    await key_of(connection, tenant, digest(1), "laptop")
    for last in (2, 3, 2, 2):
        await api_keys.set_only(connection, tenant, name="given", digest=digest(last), hint="…")
    assert await owner(connection, 1) == tenant
    assert await owner(connection, 2) == tenant
    assert await owner(connection, 3) is None


async def test_job_is_shown_to_its_tenant_only(connection: Any, tenant: UUID) -> None:
    job_id = new_id()
    insert = "INSERT INTO jobs (tenant_id, id, kind, name, state, progress) VALUES ($1, $2, 'index', 'n', 'in_progress', 40)"
    await connection.execute(insert, tenant, job_id)
    job = await jobs.get(connection, tenant, job_id)
    assert (job.state, job.has_progress, job.progress) == ("in_progress", True, 40)
    assert isinstance(await refusal(connection, jobs.get(connection, await new_tenant(connection), job_id)), NotFound)
