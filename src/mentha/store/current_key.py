"""Which key to encrypt with now: the database decides (`encryption_keys.py`), so that all servers change it in the same moment."""

from mentha.core.errors import SecretsUnavailable
from mentha.store.pool import Tx

# The lock holds off a change of the current key until what is encrypted with this one is committed: the rotation must find it.
CURRENT_KEY = "SELECT id FROM encryption_keys WHERE state = 'current' FOR SHARE"


async def of(tx: Tx) -> str:
    """The fingerprint of the key to encrypt with, which stays that until the transaction ends.

    Raises:
        SecretsUnavailable: there never was a key.
    """
    # Who waited for a change of the key finds the old row current no longer, and the new one only in a statement that begins then.
    key_id = await tx.fetchval(CURRENT_KEY) or await tx.fetchval(CURRENT_KEY)
    if key_id is None:
        raise SecretsUnavailable(
            "this server has no key to encrypt secrets with", fix="the operator sets MENTHA_ENCRYPTION_KEY and restarts the server"
        )
    return key_id
