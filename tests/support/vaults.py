"""Keys for tests, and a vault whose key is the current one of a database."""

from typing import Any

from mentha.auth.vault import Vault, fingerprint, written
from mentha.store import encryption_keys

KEY, OTHER_KEY, THIRD_KEY = (bytes(range(start, start + 32)) for start in (1, 51, 101))
# As settings have them.
KEY_TEXT, OTHER_KEY_TEXT, THIRD_KEY_TEXT = map(written, (KEY, OTHER_KEY, THIRD_KEY))


async def make_vault(connection: Any, *keys: bytes) -> Vault:
    """A vault with these keys (one for tests by default); the first is the current one from now on."""
    keys = keys or (KEY,)
    await encryption_keys.switch(connection, fingerprint(keys[0]))
    return Vault(keys)
