"""The keys that tenants' secrets are encrypted with: where they come from, whether they are the right ones, and the change to a new one.

They come from the settings, and with the embedded database from a file in the home folder, which is made at the first start: one line a
key, the one to use from now on first. The database knows the fingerprints of those in use (`store/encryption_keys.py`); a server that has
not all of them does not start, so that two machines never encrypt with keys of their own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from pydantic import SecretStr

from mentha import observe
from mentha.auth.vault import Sealed, Vault, fingerprint, new_key, parse_key, written
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid, SecretsUnavailable
from mentha.observe.events import EncryptionKeyDiffers, EncryptionKeyMade
from mentha.store import encryption_keys, sealing
from mentha.store.cluster import write_secret
from mentha.store.encryption_keys import KeyIds, Row
from mentha.store.pool import Database

KEY_FILE = "encryption-key"
FILE_KEYS_MAX = 10
ROWS_AT_ONCE = 100
# Nothing is encrypted with the old key once the change has begun, so one pass finds all; more are for what nobody thought of.
PASSES_MAX = 3
NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: how many secrets were encrypted anew, and the fingerprint of the key that all of them have now."""

    secrets: int
    key_id: str


def check(settings: Settings) -> None:
    """Refuse settings that are no keys.

    Raises:
        ConfigInvalid: one is none. The message shows nothing of it.
    """
    _from_settings(settings)


async def open_vault(settings: Settings, database: Database) -> Vault:
    """The keys of this server, after a look whether they are those of the database. Makes the first one of an embedded database.

    Returns:
        A vault without keys for an external database that never had one, where none is set: then secrets can't be used.

    Raises:
        ConfigInvalid: a key in use is not among them; the message says what to do.
    """
    async with database.transaction() as tx:
        await encryption_keys.lock(tx)
        in_use = await encryption_keys.in_use(tx)
        keys = _known(settings)
        if not keys and in_use.current is None and _has_file(settings):
            keys = [new_key()]
            _write_file(settings, keys)
            observe.emit(EncryptionKeyMade(file=str(_file(settings)), key_id=fingerprint(keys[0])))
        if keys and in_use.current is None:
            await encryption_keys.register(tx, fingerprint(keys[0]))
            in_use = await encryption_keys.in_use(tx)
        vault = Vault(keys, reread=(lambda: _from_file(settings)) if _has_file(settings) else None)
        _check_in_use(settings, vault, in_use)
    if keys and in_use.current != vault.key_ids[0]:
        observe.emit(EncryptionKeyDiffers(wanted=vault.key_ids[0], active=in_use.current or ""))
    return vault


async def rotate(settings: Settings, database: Database, *, told: Callable[[int], None] = lambda _: None) -> Rotation:
    """Encrypt all secrets with the first of the keys; with the file, one is made first. Servers that know both keys may run meanwhile.

    Goes on where a rotation that was cut off had come to. Owners see no change.

    Args:
        told: called with the number of secrets so far, after each part.

    Raises:
        ConfigInvalid: there is no key to move to, one of those in use is missing, or a secret can't be decrypted.
        Unavailable: the database is away; run it again.
    """
    vault, key_id = await _begin(settings, database)
    moved = 0
    for _ in range(PASSES_MAX):
        after = (NOBODY, NOBODY)
        while rows := await _move(database, vault, key_id, after):
            after = (rows[-1].tenant, rows[-1].sealed.id)
            moved += len(rows)
            told(moved)
        after = (NOBODY, NOBODY)
        while tools := await _move_tools(database, vault, key_id, after):
            after = (tools[-1].tenant, tools[-1].id)
            moved += len(tools)
            told(moved)
        begin = (NOBODY, NOBODY, 0)
        while tasks := await _move_tasks(database, vault, key_id, begin):
            begin = (tasks[-1].tenant, tasks[-1].task_id, tasks[-1].version)
            moved += len(tasks)
            told(moved)
        if await _end(settings, database, key_id):
            return Rotation(moved, key_id)
    raise ConfigInvalid("some secrets are still encrypted with the previous key: run `mentha secrets rotate` again")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was given up: how many secrets, and how many tools, those of a task's version together, had some of their own."""

    secrets: int
    tools: int


async def forget(database: Database) -> Forgotten:
    """Delete every tenant's secrets and the keys' fingerprints: servers that start then begin with the key that they have.

    The secrets that stand in tools are given up too: those tools stay, and their calls fail until their owners send them again.
    """
    async with database.transaction() as tx:
        await encryption_keys.lock(tx)
        return Forgotten(tools=await sealing.give_up(tx), secrets=await encryption_keys.forget(tx))


# --- the keys of this process


def _known(settings: Settings) -> list[bytes]:
    return [*_from_settings(settings), *_from_file(settings)]


def _from_settings(settings: Settings) -> list[bytes]:
    given = {"ENCRYPTION_KEY": settings.encryption_key, "ENCRYPTION_KEY_PREVIOUS": settings.encryption_key_previous}
    if settings.encryption_key is None and settings.encryption_key_previous is not None:
        raise ConfigInvalid("MENTHA_ENCRYPTION_KEY_PREVIOUS is set without MENTHA_ENCRYPTION_KEY: set that to the new key")
    return [_parsed(key, f"MENTHA_{name}") for name, key in given.items() if key is not None]


def _parsed(key: SecretStr, where: str) -> bytes:
    try:
        return parse_key(key.get_secret_value())
    except ValueError as error:
        raise ConfigInvalid(f"{where}: {error}") from None


def _has_file(settings: Settings) -> bool:
    """Whether the key may be in a file: that belongs to the embedded database, as nothing else is sure to be on one machine."""
    return settings.database_url is None


def _file(settings: Settings) -> Path:
    return settings.home / KEY_FILE


def _from_file(settings: Settings) -> list[bytes]:
    if not _has_file(settings):
        return []
    path = _file(settings)
    try:
        lines = path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"the file with the encryption key, {path}, can't be read: {error}") from None
    return [_parsed(SecretStr(line), str(path)) for line in lines[:FILE_KEYS_MAX]]


def _write_file(settings: Settings, keys: Sequence[bytes]) -> None:
    try:
        write_secret(_file(settings), "\n".join(map(written, keys)))
    except OSError as error:
        raise ConfigInvalid(
            f"the encryption key can't be kept in {_file(settings)}: {error.strerror}: mend that, or set MENTHA_ENCRYPTION_KEY"
        ) from None


def _check_in_use(settings: Settings, vault: Vault, in_use: KeyIds) -> None:
    missing = [key_id for key_id in in_use.all if key_id not in vault.key_ids]
    if not missing:
        return
    place = str(_file(settings)) if _has_file(settings) and settings.encryption_key is None else "MENTHA_ENCRYPTION_KEY"
    known = f"{place} holds {' and '.join(vault.key_ids)}" if vault.key_ids else f"{place} holds none"
    way = f"put the file {place} back as it was" if place != "MENTHA_ENCRYPTION_KEY" else "set it to that key"
    if vault.key_ids and place == "MENTHA_ENCRYPTION_KEY":
        way += ", or while you change keys, MENTHA_ENCRYPTION_KEY_PREVIOUS"
    raise ConfigInvalid(
        f"the secrets in this database are encrypted with the key {' and '.join(missing)}, and {known}",
        fix=f"{way}; if that key is lost, so are the secrets: "
        "`mentha secrets forget` deletes them, those in tools too, and lets you begin with a new key",
    )


# --- the stages of a rotation


async def _begin(settings: Settings, database: Database) -> tuple[Vault, str]:
    """Make the new key the current one, if it is not yet. The vault has all that are needed."""
    async with database.transaction() as tx:
        await encryption_keys.lock(tx)
        in_use = await encryption_keys.in_use(tx)
        if in_use.current is None:
            raise ConfigInvalid("nothing in this database was ever encrypted, so there is nothing to encrypt anew")
        keys = _known(settings)
        vault = Vault(keys)
        _check_in_use(settings, vault, in_use)
        # A second key in the file is what a rotation left that was cut off: it is ended first.
        if settings.encryption_key is None and in_use.all == vault.key_ids and len(vault.key_ids) == 1:
            keys = [new_key(), *keys]
            _write_file(settings, keys)
            vault = Vault(keys)
        key_id = vault.key_ids[0]
        if key_id != in_use.current:
            await encryption_keys.switch(tx, key_id)
    return vault, key_id


async def _move(database: Database, vault: Vault, key_id: str, after: tuple[UUID, UUID]) -> list[Row]:
    """Encrypt the next secrets anew; gives them, none at the end."""
    async with database.transaction() as tx:
        rows = await encryption_keys.others(tx, key_id, after=after, rows_max=ROWS_AT_ONCE)
        try:
            moved = [Row(row.tenant, _anew(vault, row, key_id)) for row in rows]
        except SecretsUnavailable as error:
            raise ConfigInvalid(f"{error.message}: its owner has to delete it; then run `mentha secrets rotate` again") from None
        if moved:
            await encryption_keys.replace(tx, moved)
    return moved


async def _move_tools(database: Database, vault: Vault, key_id: str, after: tuple[UUID, UUID]) -> list[sealing.Row]:
    """Encrypt the secrets of the next tools anew; gives those, none at the end."""
    async with database.transaction() as tx:
        rows = await sealing.others(tx, key_id, after=after, rows_max=ROWS_AT_ONCE)
        for row in rows:
            try:
                await sealing.move(tx, vault, row, key_id)
            except SecretsUnavailable as error:
                raise ConfigInvalid(f"{error.message}: its owner has to delete the tool; then run `mentha secrets rotate` again") from None
    return rows


async def _move_tasks(database: Database, vault: Vault, key_id: str, after: tuple[UUID, UUID, int]) -> list[sealing.TaskRow]:
    """Encrypt the secrets in the tools of the next versions of tasks anew; gives those, none at the end."""
    async with database.transaction() as tx:
        rows = await sealing.others_of_tasks(tx, key_id, after=after, rows_max=ROWS_AT_ONCE)
        for row in rows:
            try:
                await sealing.move_task(tx, vault, row, key_id)
            except SecretsUnavailable as error:
                raise ConfigInvalid(f"{error.message}: its owner has to delete the task; then run `mentha secrets rotate` again") from None
    return rows


def _anew(vault: Vault, row: Row, key_id: str) -> Sealed:
    return vault.encrypt(row.tenant, row.sealed.id, vault.decrypt(row.tenant, row.sealed), key_id=key_id)


async def _end(settings: Settings, database: Database, key_id: str) -> bool:
    """Forget the old key where no secret has it any more. Returns whether that is so."""
    async with database.transaction() as tx:
        await encryption_keys.lock(tx)
        if not await sealing.is_any_left(tx, key_id):
            await encryption_keys.retire(tx)
        ended = (await encryption_keys.in_use(tx)).all == (key_id,)
    # After that is committed: a key too many in the file does no harm, one too few would.
    async with database.transaction() as tx:
        await encryption_keys.lock(tx)
        keys = _from_file(settings) if settings.encryption_key is None else []
        if len(keys) > 1 and (await encryption_keys.in_use(tx)).all == (fingerprint(keys[0]),):
            _write_file(settings, keys[:1])
    return ended
