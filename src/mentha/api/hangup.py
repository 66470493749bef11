"""Clients that hang up: by default their turns go on; the setting `hangup_cancels` says otherwise."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from mentha.core.errors import Unavailable

T = TypeVar("T")


async def unless_gone(work: Coroutine[Any, Any, T], request: Request, runtime: Any) -> T:
    """What `work` gives; where a hang-up cancels a turn, it is waited for only as long as the client is there.

    Raises:
        Unavailable: the client hung up; nobody gets this.
    """
    if not runtime.settings.hangup_cancels:
        return await work
    working, gone = asyncio.create_task(work), asyncio.create_task(_hung_up(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Unavailable("the client hung up")
        return await working
    finally:
        gone.cancel()
        working.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
