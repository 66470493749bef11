"""Secrets in PostgreSQL."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from mentha.auth.vault import Vault, fingerprint
from mentha.core import config
from mentha.core.errors import Conflict, ConstraintViolated, NotFound, SecretsUnavailable
from mentha.core.ids import new_id
from mentha.store import encryption_keys, pool, secrets, tenants
from mentha.wire.common import Page
from mentha.wire.secrets import CreateSecretRequest, PatchSecretRequest, UpdateSecretRequest
from tests.support.databases import KEEPS_WAITING
from tests.support.transactions import new_tenant, refusal
from tests.support.vaults import KEY, OTHER_KEY, make_vault

VALUE = "hunter2-hunter2"


def request(name: str = "token", value: str = VALUE, **more: Any) -> CreateSecretRequest:
    return CreateSecretRequest(name=name, value=value, **more)


@pytest.fixture
async def vault(connection: Any) -> Vault:
    """A vault whose key is the current one in the rolled-back transaction."""
    return await make_vault(connection)


async def clear(connection: Any, tenant: UUID, vault: Vault, *names: str) -> dict[str, str]:
    found = await secrets.values(connection, tenant, names)
    return {name: vault.decrypt(tenant, sealed) for name, sealed in found.items()}


async def test_create_stores_only_what_the_key_can_open(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(description="d", metadata={"k": 1}), vault=vault)
    assert (secret.name, secret.value, secret.description, secret.metadata) == ("token", "ENCRYPTED", "d", {"k": 1})
    assert await secrets.get(connection, tenant, secret.id) == secret
    row = await connection.fetchrow("SELECT x::text AS all, key_id FROM secrets x WHERE id = $1", secret.id)
    assert VALUE.encode().hex() not in row["all"]
    assert VALUE not in row["all"]
    assert row["key_id"] == fingerprint(KEY)
    assert await clear(connection, tenant, vault, "token") == {"token": VALUE}


async def test_secret_of_another_tenant_is_not_found_by_any_operation(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(), vault=vault)
    other = await new_tenant(connection)
    for work in (
        secrets.get(connection, other, secret.id),
        secrets.update(connection, other, secret.id, UpdateSecretRequest(name="x", value="y"), vault=vault),
        secrets.patch(connection, other, secret.id, PatchSecretRequest(name="x"), vault=vault),
        secrets.delete(connection, other, secret.id),
    ):
        assert isinstance(await refusal(connection, work), NotFound)
    assert await secrets.list_(connection, other, Page()) == []
    assert await secrets.values(connection, other, ["token"]) == {}
    assert await secrets.get(connection, tenant, secret.id) == secret


async def test_row_that_was_moved_to_another_tenant_does_not_open(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(), vault=vault)
    other = await new_tenant(connection)
    await connection.execute("UPDATE secrets SET tenant_id = $2 WHERE id = $1", secret.id, other)
    with pytest.raises(SecretsUnavailable):
        await clear(connection, other, vault, "token")


async def test_value_that_was_put_into_another_row_does_not_open(connection: Any, tenant: UUID, vault: Vault) -> None:
    one = await secrets.create(connection, tenant, request("one"), vault=vault)
    await secrets.create(connection, tenant, request("two"), vault=vault)
    await connection.execute("UPDATE secrets SET value = (SELECT value FROM secrets WHERE id = $1) WHERE name = 'two'", one.id)
    with pytest.raises(SecretsUnavailable):
        await clear(connection, tenant, vault, "two")


async def test_name_that_is_taken_conflicts_only_within_its_tenant(connection: Any, tenant: UUID, vault: Vault) -> None:
    await secrets.create(connection, tenant, request(), vault=vault)
    second = await secrets.create(connection, tenant, request("second"), vault=vault)
    error = await refusal(connection, secrets.create(connection, tenant, request(), vault=vault))
    assert isinstance(error, Conflict)
    renamed = PatchSecretRequest(name="token")
    assert isinstance(await refusal(connection, secrets.patch(connection, tenant, second.id, renamed, vault=vault)), Conflict)
    replaced = UpdateSecretRequest(name="token", value="x")
    assert isinstance(await refusal(connection, secrets.update(connection, tenant, second.id, replaced, vault=vault)), Conflict)
    await secrets.create(connection, await new_tenant(connection), request(), vault=vault)
    # Names are told apart by the case of their letters, as expressions do.
    await secrets.create(connection, tenant, request("TOKEN"), vault=vault)


@pytest.mark.parametrize("name", ["", "1st", "_x", "a-b", "a b", "a.b", "é", "a\n", "a" * 256])
async def test_name_that_no_expression_could_hold_is_refused(connection: Any, tenant: UUID, vault: Vault, name: str) -> None:
    error = await refusal(connection, secrets.create(connection, tenant, request(name), vault=vault))
    assert isinstance(error, ConstraintViolated)
    assert "name" in error.message


@pytest.mark.parametrize("name", ["a", "A1_", "a" * 255])
async def test_name_of_letters_digits_and_underscores_is_accepted(connection: Any, tenant: UUID, vault: Vault, name: str) -> None:
    assert (await secrets.create(connection, tenant, request(name), vault=vault)).name == name


async def test_update_replaces_name_and_value_and_keeps_what_is_not_given(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(description="d", metadata={"k": 1}), vault=vault)
    replaced = await secrets.update(connection, tenant, secret.id, UpdateSecretRequest(name="new", value="other-value"), vault=vault)
    assert (replaced.id, replaced.name, replaced.description, replaced.metadata) == (secret.id, "new", "d", {"k": 1})
    again = UpdateSecretRequest(name="new", value="other-value", description="e", metadata={})
    replaced = await secrets.update(connection, tenant, secret.id, again, vault=vault)
    assert (replaced.description, replaced.metadata) == ("e", {})
    assert await clear(connection, tenant, vault, "new", "token") == {"new": "other-value"}


async def test_patch_changes_only_what_is_given(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(description="d", metadata={"k": 1}), vault=vault)
    patched = await secrets.patch(connection, tenant, secret.id, PatchSecretRequest(metadata={"l": 2}), vault=vault)
    assert (patched.name, patched.description, patched.metadata) == ("token", "d", {"k": 1, "l": 2})
    assert await clear(connection, tenant, vault, "token") == {"token": VALUE}
    patched = await secrets.patch(connection, tenant, secret.id, PatchSecretRequest(name="new", description=None), vault=vault)
    assert (patched.name, patched.description) == ("new", None)
    await secrets.patch(connection, tenant, secret.id, PatchSecretRequest(value="other-value"), vault=vault)
    assert await clear(connection, tenant, vault, "new") == {"new": "other-value"}


async def test_list_gives_the_newest_first_in_pages(connection: Any, tenant: UUID, vault: Vault) -> None:
    made = [await secrets.create(connection, tenant, request(f"s{number}"), vault=vault) for number in range(5)]
    newest = [secret.id for secret in reversed(made)]
    assert [secret.id for secret in await secrets.list_(connection, tenant, Page())] == newest
    assert [secret.id for secret in await secrets.list_(connection, tenant, Page(limit=2, offset=1))] == newest[1:3]


async def test_values_are_those_that_exist_of_the_names_asked_for(connection: Any, tenant: UUID, vault: Vault) -> None:
    for name in ("one", "two", "three"):
        await secrets.create(connection, tenant, request(name, f"value-of-{name}"), vault=vault)
    assert await clear(connection, tenant, vault, "one", "three", "four") == {"one": "value-of-one", "three": "value-of-three"}
    assert await secrets.values(connection, tenant, []) == {}


async def test_delete_removes_the_secret_for_good(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(), vault=vault)
    await secrets.delete(connection, tenant, secret.id)
    assert await secrets.values(connection, tenant, ["token"]) == {}
    assert isinstance(await refusal(connection, secrets.delete(connection, tenant, secret.id)), NotFound)


async def test_tenant_that_is_deleted_takes_its_secrets_along(connection: Any, tenant: UUID, vault: Vault) -> None:
    await secrets.create(connection, tenant, request(), vault=vault)
    await tenants.delete(connection, tenant)
    assert await connection.fetchval("SELECT count(*) FROM secrets WHERE tenant_id = $1", tenant) == 0


async def test_vault_without_the_current_key_stores_nothing_and_says_which_it_lacks(connection: Any, tenant: UUID) -> None:
    await make_vault(connection)
    error = await refusal(connection, secrets.create(connection, tenant, request(), vault=Vault([OTHER_KEY])))
    assert isinstance(error, SecretsUnavailable)
    assert fingerprint(KEY) in error.message
    assert await secrets.list_(connection, tenant, Page()) == []


async def test_database_without_a_key_takes_no_secrets(connection: Any, tenant: UUID, vault: Vault) -> None:
    await encryption_keys.forget(connection)
    error = await refusal(connection, secrets.create(connection, tenant, request(), vault=vault))
    assert isinstance(error, SecretsUnavailable)
    assert "MENTHA_ENCRYPTION_KEY" in (error.fix or "")


async def test_secret_can_not_name_a_key_that_the_database_does_not_know(connection: Any, tenant: UUID, vault: Vault) -> None:
    secret = await secrets.create(connection, tenant, request(), vault=vault)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute("UPDATE secrets SET key_id = 'nobody' WHERE id = $1", secret.id)


async def test_writer_that_meets_a_change_of_the_key_waits_for_it_and_uses_the_new_one(database_dsn: str) -> None:
    """Otherwise a row with the old key could come in behind the back of the rotation."""
    database = await pool.connect(database_dsn, config.load(environ={}))
    vault = Vault([KEY, OTHER_KEY])
    try:
        async with database.transaction() as tx:
            tenant = await new_tenant(tx)
            await encryption_keys.register(tx, fingerprint(KEY))
        async with database.connection() as watching:
            async with database.transaction() as changing:
                await encryption_keys.switch(changing, fingerprint(OTHER_KEY))
                creating = asyncio.create_task(_create(database, tenant, vault))
                while not await watching.fetchval(KEEPS_WAITING, changing.get_server_pid()):
                    assert not creating.done()
            secret = await creating
            assert await watching.fetchval("SELECT key_id FROM secrets WHERE id = $1", secret) == fingerprint(OTHER_KEY)
    finally:
        await database.close()


async def test_change_of_the_key_waits_for_writers_that_use_the_old_one(database_dsn: str) -> None:
    database = await pool.connect(database_dsn, config.load(environ={}))
    try:
        async with database.transaction() as tx:
            tenant = await new_tenant(tx)
            vault = await make_vault(tx, KEY)
        async with database.connection() as watching:
            async with database.transaction() as writing:
                await secrets.create(writing, tenant, request(), vault=vault)
                changing = asyncio.create_task(_switch(database))
                while not await watching.fetchval(KEEPS_WAITING, writing.get_server_pid()):
                    assert not changing.done()
            await changing
            rows = await encryption_keys.others(watching, fingerprint(OTHER_KEY), after=(UUID(int=0), UUID(int=0)), rows_max=10)
            assert [row.sealed.key_id for row in rows] == [fingerprint(KEY)]
    finally:
        await database.close()


async def _create(database: pool.Database, tenant: UUID, vault: Vault) -> UUID:
    async with database.transaction() as tx:
        return (await secrets.create(tx, tenant, request(), vault=vault)).id


async def _switch(database: pool.Database) -> None:
    async with database.transaction() as tx:
        await encryption_keys.switch(tx, fingerprint(OTHER_KEY))


async def test_unknown_secret_is_not_found_by_get(connection: Any, tenant: UUID) -> None:
    assert isinstance(await refusal(connection, secrets.get(connection, tenant, new_id())), NotFound)
