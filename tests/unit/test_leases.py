"""A lease that is kept while work goes on."""

import asyncio

import pytest

from mentha.core import leases
from mentha.core.errors import Unavailable


async def test_lease_is_renewed_while_the_block_runs_and_never_after_it() -> None:
    renewed = asyncio.Queue[int]()
    count = 0

    async def renew() -> None:
        nonlocal count
        count += 1
        renewed.put_nowait(count)
        if count == 2:
            raise Unavailable("the database is away")

    async with leases.kept(renew, every_s=0):
        # A renewal that fails is not the last one.
        assert [await renewed.get() for _ in range(4)] == [1, 2, 3, 4]
    ended = count
    await asyncio.sleep(0)
    assert count == ended


async def test_renewal_that_hangs_ends_with_the_block_whatever_that_raises() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def renew() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def work() -> None:
        async with leases.kept(renew, every_s=0):
            await begun.wait()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert cancelled.is_set()
