"""A lease that is kept while work goes on. It stands in the database, as a claim with a mark; once it is over, others take the work."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable

from mentha.core.errors import MenthaError


@contextlib.asynccontextmanager
async def kept(renew: Callable[[], Awaitable[object]], *, every_s: float) -> AsyncGenerator[None]:
    """Call `renew` each `every_s` seconds while the block runs, however long that waits for others; it has ended when the block has.

    A renewal that fails is no fault of the work: the database is away, and storing will tell. One that comes too late renews nothing, which
    storing tells as well.
    """

    async def go_on() -> None:
        while True:
            await asyncio.sleep(every_s)
            with contextlib.suppress(MenthaError):
                await renew()

    renewing = asyncio.create_task(go_on())
    try:
        yield
    finally:
        renewing.cancel()
        await asyncio.wait([renewing])
