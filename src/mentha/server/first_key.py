"""The key of the tenant `default`: the operator's own, or one that is made at the first start."""

import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from mentha import observe
from mentha.auth import keys
from mentha.core.config import Settings
from mentha.core.errors import ConfigInvalid
from mentha.observe.events import KeyMade
from mentha.store import api_keys
from mentha.store.pool import Database
from mentha.store.tenants import DEFAULT_ID

KEY_FILE = "api-key"


@dataclass(frozen=True, slots=True)
class FirstKey:
    """A key that was made just now; it is not stored anywhere in the database."""

    key: str


def check(settings: Settings) -> None:
    """Refuse keys and secrets that are too easy to guess.

    Raises:
        ConfigInvalid: `api_key` is short while the server can be reached from elsewhere, or `jwt_secret` is short.
    """
    key = settings.api_key.get_secret_value() if settings.api_key else None
    if key is not None and len(key) < keys.CHOSEN_KEY_CHARS_MIN and not is_loopback(settings.host):
        raise ConfigInvalid(
            f"MENTHA_API_KEY has under {keys.CHOSEN_KEY_CHARS_MIN} characters while the server listens on {settings.host}: "
            "take a longer one, or listen on 127.0.0.1"
        )
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    if secret is not None and len(secret.encode()) < 64:
        raise ConfigInvalid("MENTHA_JWT_SECRET must have 64 bytes or more")


async def ensure(settings: Settings, database: Database) -> FirstKey | None:
    """Store the operator's key, in place of the one that was set before; without one, make a key where the tenant never had any.

    Returns:
        The key that was made, to be shown once; None where there was nothing to make.
    """
    if settings.api_key is not None:
        key = settings.api_key.get_secret_value()
        async with database.transaction() as tx:
            await api_keys.set_only(tx, DEFAULT_ID, name="MENTHA_API_KEY", digest=keys.digest(key), hint=keys.hint(key))
        return None
    async with database.connection() as connection:
        if await api_keys.any_of(connection, DEFAULT_ID):
            return None
    key = keys.new_key()
    async with database.transaction() as tx:
        await api_keys.create(tx, DEFAULT_ID, name="first", digest=keys.digest(key), hint=keys.hint(key))
    observe.emit(KeyMade(tenant="default", name="first"))
    return FirstKey(key)


def write_file(home: Path, key: str) -> Path:
    """Keep a key that no terminal showed in a file that only its owner can read."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / KEY_FILE
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(key + "\n")
    return path


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
