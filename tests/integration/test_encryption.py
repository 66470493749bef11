"""The keys of a server: made, kept, checked against the database, changed."""

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from mentha.api import tasks as tasks_api
from mentha.auth.vault import Vault, fingerprint, parse_key
from mentha.core import config
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid, SecretsUnavailable
from mentha.observe import events
from mentha.observe.events import EncryptionKeyDiffers, EncryptionKeyMade
from mentha.server import encryption
from mentha.server.encryption import Forgotten
from mentha.server.secrets import Secrets
from mentha.store import agents, encryption_keys, pool, sealing, secrets
from mentha.store.encryption_keys import KeyIds
from mentha.store.pool import Database
from mentha.wire.agents import CreateAgentRequest
from mentha.wire.secrets import CreateSecretRequest
from mentha.wire.tasks import UpdateTaskRequest
from tests.support.transactions import new_tenant
from tests.support.vaults import KEY, KEY_TEXT, OTHER_KEY, OTHER_KEY_TEXT, THIRD_KEY, THIRD_KEY_TEXT


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    """A database that never had a key."""
    opened = await pool.connect(database_dsn, config.load(environ={}))
    yield opened
    await opened.close()


@pytest.fixture
def told() -> Any:
    """The events of the test."""
    found: list[events.Event] = []
    events.subscribe(found.append)
    yield found
    events.unsubscribe(found.append)


def embedded(home: Path, key: str | None = None, previous: str | None = None) -> Settings:
    return config.load(environ={}, flags={"home": home, "encryption_key": key, "encryption_key_previous": previous})


def external(home: Path, key: str | None = None, previous: str | None = None) -> Settings:
    flags = {"home": home, "database_url": "postgresql://elsewhere", "encryption_key": key, "encryption_key_previous": previous}
    return config.load(environ={}, flags=flags)


async def in_use(database: Database) -> KeyIds:
    async with database.connection() as connection:
        return await encryption_keys.in_use(connection)


async def plant(database: Database, vault: Vault, count: int = 3) -> UUID:
    """A tenant with this many secrets."""
    async with database.transaction() as tx:
        tenant = await new_tenant(tx)
        for number in range(count):
            await secrets.create(tx, tenant, CreateSecretRequest(name=f"s{number}", value=f"value-{number}"), vault=vault)
    return tenant


async def clear(database: Database, vault: Vault, tenant: UUID, count: int = 3) -> dict[str, str]:
    return await Secrets(config.load(environ={}), database, vault).values(tenant, [f"s{number}" for number in range(count)])


def values(count: int = 3) -> dict[str, str]:
    return {f"s{number}": f"value-{number}" for number in range(count)}


# --- start


async def test_embedded_database_gets_a_key_in_a_file_that_only_its_owner_reads(database: Database, tmp_path: Path, told: Any) -> None:
    vault = await encryption.open_vault(embedded(tmp_path), database)
    file = tmp_path / "encryption-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert vault.key_ids == (fingerprint(parse_key(file.read_text())),)
    assert await in_use(database) == KeyIds(vault.key_ids[0], ())
    assert told == [EncryptionKeyMade(file=str(file), key_id=vault.key_ids[0])]
    assert file.read_text().strip() not in repr(told)
    text = file.read_text()
    assert (await encryption.open_vault(embedded(tmp_path), database)).key_ids == vault.key_ids
    assert file.read_text() == text
    assert len(told) == 1


async def test_servers_that_start_at_once_make_one_key(database: Database, tmp_path: Path) -> None:
    vaults = await asyncio.gather(*(encryption.open_vault(embedded(tmp_path), database) for _ in range(8)))
    assert len({vault.key_ids for vault in vaults}) == 1
    assert vaults[0].key_ids == (fingerprint(parse_key((tmp_path / "encryption-key").read_text())),)


async def test_file_that_a_cut_off_start_left_is_used(database: Database, tmp_path: Path) -> None:
    (tmp_path / "encryption-key").write_text(KEY_TEXT + "\n")
    assert (await encryption.open_vault(embedded(tmp_path), database)).key_ids == (fingerprint(KEY),)
    assert (await in_use(database)).current == fingerprint(KEY)


async def test_key_of_the_settings_makes_no_file(database: Database, tmp_path: Path) -> None:
    assert (await encryption.open_vault(embedded(tmp_path, KEY_TEXT), database)).key_ids == (fingerprint(KEY),)
    assert not (tmp_path / "encryption-key").exists()


async def test_external_database_without_a_key_starts_and_has_no_secrets(database: Database, tmp_path: Path) -> None:
    vault = await encryption.open_vault(external(tmp_path), database)
    assert vault.key_ids == ()
    assert list(tmp_path.iterdir()) == []
    assert await in_use(database) == KeyIds(None, ())
    with pytest.raises(SecretsUnavailable, match="no key"):
        await plant(database, vault)


async def test_external_database_never_takes_a_key_from_a_file(database: Database, tmp_path: Path) -> None:
    (tmp_path / "encryption-key").write_text(KEY_TEXT)
    assert (await encryption.open_vault(external(tmp_path), database)).key_ids == ()


async def test_first_key_of_an_external_database_is_the_key_of_all_its_servers(database: Database, tmp_path: Path) -> None:
    await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    for settings in (external(tmp_path, OTHER_KEY_TEXT), external(tmp_path)):
        with pytest.raises(ConfigInvalid, match=fingerprint(KEY)) as caught:
            await encryption.open_vault(settings, database)
        assert "MENTHA_ENCRYPTION_KEY" in caught.value.message
        assert "mentha secrets forget" in (caught.value.fix or "")
        assert not {KEY_TEXT, OTHER_KEY_TEXT} & set((caught.value.message + (caught.value.fix or "")).split())
    await encryption.open_vault(external(tmp_path, KEY_TEXT), database)


async def test_two_machines_that_start_at_once_do_not_make_two_keys(database: Database, tmp_path: Path) -> None:
    texts = (KEY_TEXT, OTHER_KEY_TEXT)
    found = await asyncio.gather(*(encryption.open_vault(external(tmp_path, text), database) for text in texts), return_exceptions=True)
    assert sorted(type(each).__name__ for each in found) == ["ConfigInvalid", "Vault"]


async def test_lost_or_foreign_file_refuses_the_start_and_is_named(database: Database, tmp_path: Path) -> None:
    vault = await encryption.open_vault(embedded(tmp_path), database)
    file = tmp_path / "encryption-key"
    text = file.read_text()
    file.unlink()
    with pytest.raises(ConfigInvalid, match=f"{file} holds none") as caught:
        await encryption.open_vault(embedded(tmp_path), database)
    assert not file.exists()
    file.write_text(OTHER_KEY_TEXT)
    with pytest.raises(ConfigInvalid, match=f"{file} holds {fingerprint(OTHER_KEY)}"):
        await encryption.open_vault(embedded(tmp_path), database)
    assert "put the file" in (caught.value.fix or "")
    file.write_text(text)
    assert (await encryption.open_vault(embedded(tmp_path), database)).key_ids == vault.key_ids


@pytest.mark.parametrize("text", ["what is this", "", "\xff"])
async def test_file_that_holds_no_key_is_refused_unshown(database: Database, tmp_path: Path, text: str) -> None:
    await encryption.open_vault(embedded(tmp_path), database)
    (tmp_path / "encryption-key").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigInvalid, match="encryption-key") as caught:
        await encryption.open_vault(embedded(tmp_path), database)
    assert "what is" not in caught.value.message


@pytest.mark.parametrize(
    ("key", "previous", "named"),
    [
        ("secret-passphrase", None, "MENTHA_ENCRYPTION_KEY:"),
        (KEY_TEXT, "x", "MENTHA_ENCRYPTION_KEY_PREVIOUS:"),
        (None, KEY_TEXT, "without"),
    ],
)
def test_setting_that_is_no_key_is_named_and_not_shown(tmp_path: Path, key: str | None, previous: str | None, named: str) -> None:
    with pytest.raises(ConfigInvalid, match=named) as caught:
        encryption.check(external(tmp_path, key, previous))
    assert "passphrase" not in caught.value.message


async def test_server_with_the_next_key_and_the_one_in_use_starts_and_says_that_they_differ(
    database: Database, tmp_path: Path, told: Any
) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    both = await encryption.open_vault(external(tmp_path, OTHER_KEY_TEXT, KEY_TEXT), database)
    assert told == [EncryptionKeyDiffers(wanted=fingerprint(OTHER_KEY), active=fingerprint(KEY))]
    # Until the rotation begins, everyone encrypts with the key that the servers of before know.
    tenant = await plant(database, both)
    assert await clear(database, old, tenant) == values()


# --- rotation


async def test_rotation_of_settings_moves_every_secret_and_forgets_the_old_key(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    tenants = [await plant(database, old) for _ in range(3)]
    async with database.connection() as connection:
        before = await connection.fetch("SELECT tenant_id, id, updated_at FROM secrets ORDER BY 1, 2")
    counts: list[int] = []
    done = await encryption.rotate(external(tmp_path, OTHER_KEY_TEXT, KEY_TEXT), database, told=counts.append)
    assert (done.secrets, done.key_id) == (9, fingerprint(OTHER_KEY))
    assert counts == [9]
    assert await in_use(database) == KeyIds(fingerprint(OTHER_KEY), ())
    alone = await encryption.open_vault(external(tmp_path, OTHER_KEY_TEXT), database)
    assert [await clear(database, alone, tenant) for tenant in tenants] == [values()] * 3
    async with database.connection() as connection:
        assert await connection.fetch("SELECT tenant_id, id, updated_at FROM secrets ORDER BY 1, 2") == before
    with pytest.raises(ConfigInvalid):
        await encryption.open_vault(external(tmp_path, KEY_TEXT), database)


async def test_rotation_that_is_repeated_finds_nothing_to_do(database: Database, tmp_path: Path) -> None:
    await plant(database, await encryption.open_vault(external(tmp_path, KEY_TEXT), database))
    settings = external(tmp_path, OTHER_KEY_TEXT, KEY_TEXT)
    assert (await encryption.rotate(settings, database)).secrets == 3
    assert (await encryption.rotate(settings, database)).secrets == 0
    assert (await encryption.rotate(external(tmp_path, OTHER_KEY_TEXT), database)).secrets == 0


async def test_rotations_at_once_do_each_secret_once(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    tenant = await plant(database, old, 250)
    settings = external(tmp_path, OTHER_KEY_TEXT, KEY_TEXT)
    done = await asyncio.gather(*(encryption.rotate(settings, database) for _ in range(3)))
    assert sum(each.secrets for each in done) == 250
    assert await clear(database, Vault([OTHER_KEY]), tenant, 250) == values(250)


async def test_rotation_of_a_file_makes_the_next_key_and_keeps_no_other(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(embedded(tmp_path), database)
    tenant = await plant(database, old)
    before = (tmp_path / "encryption-key").read_text()
    done = await encryption.rotate(embedded(tmp_path), database)
    after = (tmp_path / "encryption-key").read_text()
    assert done.secrets == 3
    assert done.key_id == fingerprint(parse_key(after)) != old.key_ids[0]
    assert before not in after
    assert stat.S_IMODE((tmp_path / "encryption-key").stat().st_mode) == 0o600
    # The server that was started before looks into the file when it meets the new key.
    assert await clear(database, old, tenant) == values()
    assert await clear(database, await encryption.open_vault(embedded(tmp_path), database), tenant) == values()
    assert (await encryption.rotate(embedded(tmp_path), database)).key_id != done.key_id


async def test_rotation_of_a_file_that_was_cut_off_after_its_new_line_goes_on_with_that(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(embedded(tmp_path), database)
    tenant = await plant(database, old)
    file = tmp_path / "encryption-key"
    file.write_text(f"{OTHER_KEY_TEXT}\n{file.read_text()}")
    assert await clear(database, await encryption.open_vault(embedded(tmp_path), database), tenant) == values()
    done = await encryption.rotate(embedded(tmp_path), database)
    assert (done.secrets, done.key_id) == (3, fingerprint(OTHER_KEY))
    assert file.read_text() == OTHER_KEY_TEXT + "\n"


async def test_rotation_of_a_file_that_was_cut_off_before_its_old_line_was_removed_only_removes_that(
    database: Database, tmp_path: Path
) -> None:
    await plant(database, await encryption.open_vault(embedded(tmp_path), database))
    file = tmp_path / "encryption-key"
    file.write_text(f"{file.read_text()}{OTHER_KEY_TEXT}\n")
    first = file.read_text().splitlines()[0]
    assert (await encryption.rotate(embedded(tmp_path), database)).secrets == 0
    assert file.read_text() == first + "\n"


async def test_rotation_from_the_file_to_a_setting_leaves_the_file(database: Database, tmp_path: Path) -> None:
    tenant = await plant(database, await encryption.open_vault(embedded(tmp_path), database))
    text = (tmp_path / "encryption-key").read_text()
    settings = embedded(tmp_path, OTHER_KEY_TEXT)
    assert (await encryption.rotate(settings, database)).key_id == fingerprint(OTHER_KEY)
    assert await clear(database, Vault([OTHER_KEY]), tenant) == values()
    assert (tmp_path / "encryption-key").read_text() == text


async def test_rotation_without_the_key_in_use_is_refused_and_changes_nothing(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    tenant = await plant(database, old)
    for settings in (external(tmp_path, OTHER_KEY_TEXT), external(tmp_path, OTHER_KEY_TEXT, THIRD_KEY_TEXT), external(tmp_path)):
        with pytest.raises(ConfigInvalid, match=fingerprint(KEY)):
            await encryption.rotate(settings, database)
    assert await in_use(database) == KeyIds(fingerprint(KEY), ())
    assert await clear(database, old, tenant) == values()


async def test_rotation_of_what_was_never_encrypted_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="nothing in this database"):
        await encryption.rotate(external(tmp_path, KEY_TEXT), database)


async def test_rotation_that_meets_a_damaged_secret_names_it_and_goes_on_once_it_is_gone(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    tenant = await plant(database, old)
    async with database.connection() as connection:
        damaged = await connection.fetchval("UPDATE secrets SET value = value || '\\x00' WHERE name = 's1' RETURNING id")
        settings = external(tmp_path, OTHER_KEY_TEXT, KEY_TEXT)
        with pytest.raises(ConfigInvalid, match=str(damaged)):
            await encryption.rotate(settings, database)
        # Servers that know both keys serve all the others meanwhile.
        both = Vault([OTHER_KEY, KEY])
        assert await Secrets(settings, database, both).values(tenant, ["s0", "s2"]) == {"s0": "value-0", "s2": "value-2"}
        await secrets.delete(connection, tenant, damaged)
    assert (await encryption.rotate(settings, database)).secrets == 2


async def test_third_key_while_secrets_move_to_the_second_moves_all_to_the_third(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    tenant = await plant(database, old)
    async with database.transaction() as tx:
        await encryption_keys.switch(tx, fingerprint(OTHER_KEY))
        await secrets.create(tx, tenant, CreateSecretRequest(name="s3", value="value-3"), vault=Vault([OTHER_KEY]))
        await encryption_keys.switch(tx, fingerprint(THIRD_KEY))
    with pytest.raises(ConfigInvalid, match=fingerprint(KEY)):
        await encryption.open_vault(external(tmp_path, THIRD_KEY_TEXT, OTHER_KEY_TEXT), database)
    (tmp_path / "encryption-key").write_text(f"{THIRD_KEY_TEXT}\n{OTHER_KEY_TEXT}\n{KEY_TEXT}\n")
    assert (await encryption.rotate(embedded(tmp_path), database)).secrets == 4
    assert await clear(database, Vault([THIRD_KEY]), tenant, 4) == values(4)


# --- losing the key


async def test_forget_deletes_all_secrets_and_lets_a_new_key_in(database: Database, tmp_path: Path) -> None:
    await plant(database, await encryption.open_vault(external(tmp_path, KEY_TEXT), database))
    assert await encryption.forget(database) == Forgotten(secrets=3, tools=0)
    vault = await encryption.open_vault(external(tmp_path, OTHER_KEY_TEXT), database)
    tenant = await plant(database, vault)
    assert await clear(database, vault, tenant) == values()
    # A server that was not started again can't write what the others can't read.
    with pytest.raises(SecretsUnavailable):
        await plant(database, Vault([KEY]))


# --- use


async def test_provider_keys_are_the_secrets_named_like_the_variables(database: Database, tmp_path: Path) -> None:
    vault = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    settings = config.load(environ={"CUSTOM": ""}, flags={"providers": {"my-own": {"base_url": "http://own/v1"}}})
    async with database.transaction() as tx:
        tenant, other = await new_tenant(tx), await new_tenant(tx)
        for name in ("OPENAI_API_KEY", "MY_OWN_API_KEY", "openai_api_key", "VLLM_API_KEY", "OTHER"):
            await secrets.create(tx, tenant, CreateSecretRequest(name=name, value=f"of-{name}"), vault=vault)
    found = Secrets(settings, database, vault)
    keys = {provider: key.get_secret_value() for provider, key in (await found.provider_keys(tenant)).items()}
    assert keys == {"openai": "of-OPENAI_API_KEY", "my-own": "of-MY_OWN_API_KEY"}
    assert await found.provider_keys(other) == {}
    assert found.in_use.text("x of-OPENAI_API_KEY of-OTHER") == "x [secret] of-OTHER"


async def test_provider_keys_are_looked_up_once_for_some_seconds(database: Database, tmp_path: Path) -> None:
    vault = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    now = [100.0]
    found = Secrets(config.load(environ={}), database, vault, clock=lambda: now[0])
    async with database.connection() as connection:
        tenant = await new_tenant(connection)
        assert await found.provider_keys(tenant) == {}
        async with connection.transaction():
            await secrets.create(connection, tenant, CreateSecretRequest(name="GROQ_API_KEY", value="gsk-own"), vault=vault)
    now[0] += 4.9
    assert await found.provider_keys(tenant) == {}
    now[0] += 0.2
    assert (await found.provider_keys(tenant))["groq"].get_secret_value() == "gsk-own"


async def test_provider_key_that_can_not_be_read_is_an_error_and_no_missing_key(database: Database, tmp_path: Path) -> None:
    vault = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    async with database.transaction() as tx:
        tenant = await new_tenant(tx)
        await secrets.create(tx, tenant, CreateSecretRequest(name="OPENAI_API_KEY", value="sk-own"), vault=vault)
    with pytest.raises(SecretsUnavailable):
        await Secrets(config.load(environ={}), database, Vault()).provider_keys(tenant)


async def test_rotation_moves_the_secrets_in_tools_of_tasks_too(database: Database, tmp_path: Path) -> None:
    old = await encryption.open_vault(external(tmp_path, KEY_TEXT), database)
    tool = {"name": "call", "api_call": {"method": "GET", "url": "https://x.example", "headers": {"X-Token": "t"}}}
    task = UpdateTaskRequest.model_validate({"name": "T", "main": [{"tool": "call"}], "tools": [tool]})
    async with database.transaction() as tx:
        tenant = await new_tenant(tx)
        agent = await agents.create(tx, tenant, CreateAgentRequest.model_validate({"name": "Mia"}))
        await tasks_api.create_in(tx, tenant, SimpleNamespace(vault=old), agent.id, task)
    done = await encryption.rotate(external(tmp_path, OTHER_KEY_TEXT, KEY_TEXT), database)
    assert (done.secrets, await in_use(database)) == (1, KeyIds(fingerprint(OTHER_KEY), ()))
    async with database.connection() as connection:
        ((stored,),) = await connection.fetchval("SELECT array_agg(tools) FROM task_versions")
    assert sealing.opened(Vault([OTHER_KEY]), tenant, UUID(stored["id"]), stored["api_call"]["headers"]["X-Token"]) == "t"
