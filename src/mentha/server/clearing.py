"""Regular work: delete the bytes that no file needs, those of uploads that were broken off and those of files that are gone.

Each round is repeatable: a crash between the bytes and the note on them leaves the note, and deleting again does no harm. No connection is
held while bytes are deleted.
"""

import asyncio
from uuid import UUID

from mentha.store import maintenance
from mentha.store.blobs import Blobs
from mentha.store.pool import Database

BLOBS_MAX = 200
ROUNDS_MAX = 50
AT_ONCE = 8
LEASE_S = 300.0
# The store itself is away where more fail.
FAULTS_MAX = 20


async def clear(database: Database, blobs: Blobs) -> None:
    """Delete what is due, at most 10,000 blobs.

    Raises:
        Unavailable: the database or the blob store is away; what is left is due again after a while.
    """
    for _ in range(ROUNDS_MAX):
        async with database.connection() as connection:
            doomed = await maintenance.doom_blobs(connection, limit=BLOBS_MAX, lease_s=LEASE_S)
        if not doomed:
            return
        gone, faults = await _delete(blobs, doomed)
        async with database.connection() as connection:
            await maintenance.forget_blobs(connection, gone)
        if faults:
            raise faults[0]


async def _delete(blobs: Blobs, doomed: list[tuple[UUID, UUID]]) -> tuple[list[tuple[UUID, UUID]], list[BaseException]]:
    """Those that are gone now, and why others are not: one that can't be deleted must not keep the rest."""
    gone, faults = list[tuple[UUID, UUID]](), list[BaseException]()
    for begin in range(0, len(doomed), AT_ONCE):
        some = doomed[begin : begin + AT_ONCE]
        ends = await asyncio.gather(*(blobs.delete(tenant, blob_id) for tenant, blob_id in some), return_exceptions=True)
        gone += [blob for blob, end in zip(some, ends, strict=True) if end is None]
        faults += [end for end in ends if end is not None]
        if len(faults) > FAULTS_MAX:
            break
    return gone, faults
