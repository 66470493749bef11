"""The limits of keys: requests a minute, tokens a day. Counted in the database, so that they hold over all servers; off unless set.

A request is counted when its key is checked. Tokens are known only once they were used, so the request that exceeds their limit is still
answered, and so are those that run beside it; the next ones are refused. Every answer to a limited key tells what is left.
"""

import math
import time
from collections import OrderedDict
from datetime import datetime
from typing import Any
from uuid import UUID

from mentha.core.errors import RateLimited
from mentha.store import api_keys
from mentha.store.api_keys import Known, Limits, Used
from mentha.store.pool import Database
from mentha.store.pool import Tx as Connection

# Where in the scope of a request the headers of its answer are kept.
HEADERS = "mentha.headers"
# Summing 100,000 calls takes 0.1 s: they are summed once in five seconds.
CALLS_KEPT_MIN = 1_000
CALLS_PER_KEPT_S = 20_000
KEEP_S_MAX = 5.0
KEPT_MAX = 1_000


class Tokens:
    """What keys have used of a day. A sum over many calls is kept for some seconds, the longer the more they are."""

    def __init__(self) -> None:
        self._known: OrderedDict[UUID, tuple[float, datetime, int]] = OrderedDict()

    async def of(self, connection: Connection, key: Known, day: datetime) -> int:
        """The tokens that a key has used since the day began; what was used in the last `KEEP_S_MAX` may be missing."""
        known = self._known.get(key.id)
        if known is not None and known[0] > time.monotonic() and known[1] == day:
            return known[2]
        tokens, calls = await api_keys.tokens_since(connection, key, day)
        keep_s = min(calls / CALLS_PER_KEPT_S, KEEP_S_MAX) if calls >= CALLS_KEPT_MIN else 0.0
        self._known[key.id] = (time.monotonic() + keep_s, day, tokens)
        self._known.move_to_end(key.id)
        while len(self._known) > KEPT_MAX:
            self._known.popitem(last=False)
        return tokens


async def check(database: Database, tokens: Tokens, key: Known, scope: Any) -> None:
    """Count a request and refuse it where its key has used up what it may; in any case tell the answer what is left.

    Raises:
        RateLimited: until the minute, or the day, is over.
    """
    async with database.connection() as connection:
        used = await api_keys.count_request(connection, key)
        if used is None:
            return
        limits = key.limits
        spent = 0 if limits.tokens_per_day_max is None else await tokens.of(connection, key, used.day)
    scope[HEADERS] += headers(limits, used, spent)
    if limits.requests_per_minute_max is not None and used.requests > limits.requests_per_minute_max:
        raise _exceeded(f"this key may send {limits.requests_per_minute_max} requests a minute", used.minute_left_s)
    if limits.tokens_per_day_max is not None and spent >= limits.tokens_per_day_max:
        raise _exceeded(f"this key may use {limits.tokens_per_day_max} tokens a day, and has used {spent}", used.day_left_s)


def headers(limits: Limits, used: Used, tokens: int) -> list[tuple[bytes, bytes]]:
    """What is left, under the names that OpenAI's API uses."""
    kinds = (
        (b"requests", limits.requests_per_minute_max, used.requests, used.minute_left_s),
        (b"tokens", limits.tokens_per_day_max, tokens, used.day_left_s),
    )
    return [
        (b"x-ratelimit-%b-%b" % (what, kind), value)
        for kind, most, count, left_s in kinds
        if most is not None
        for what, value in (
            (b"limit", b"%d" % most),
            (b"remaining", b"%d" % max(most - count, 0)),
            (b"reset", b"%ds" % math.ceil(left_s)),
        )
    ]


def _exceeded(message: str, left_s: float) -> RateLimited:
    return RateLimited(message, fix="wait for Retry-After; the operator sets limits with `mentha keys limit`", retry_after_s=left_s)
