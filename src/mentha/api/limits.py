"""The limits of keys: requests a minute, tokens a day. Counted in the database, so that they hold over all servers; off unless set.

A request is counted when its key is checked. Tokens are known only once they were used, so the request that exceeds their limit is still
answered, and so are those that run beside it; the next ones are refused. Every answer to a limited key tells what is left.
"""

import math
from typing import Any

from mentha.core.errors import RateLimited
from mentha.store import api_keys
from mentha.store.api_keys import Known, Limits, Used
from mentha.store.pool import Database

# Where in the scope of a request the headers of its answer are kept.
HEADERS = "mentha.headers"


async def check(database: Database, key: Known, scope: Any) -> None:
    """Count a request and refuse it where its key has used up what it may; in any case tell the answer what is left.

    Raises:
        RateLimited: until the minute, or the day, is over.
    """
    async with database.connection() as connection:
        used = await api_keys.count_request(connection, key)
    if used is None:
        return
    scope[HEADERS] += headers(key.limits, used)
    limits = key.limits
    if limits.requests_per_minute_max is not None and used.requests > limits.requests_per_minute_max:
        raise _exceeded(f"this key may send {limits.requests_per_minute_max} requests a minute", used.minute_left_s)
    if limits.tokens_per_day_max is not None and used.tokens >= limits.tokens_per_day_max:
        raise _exceeded(f"this key may use {limits.tokens_per_day_max} tokens a day, and has used {used.tokens}", used.day_left_s)


def headers(limits: Limits, used: Used) -> list[tuple[bytes, bytes]]:
    """What is left, under the names that OpenAI's API uses."""
    kinds = (
        (b"requests", limits.requests_per_minute_max, used.requests, used.minute_left_s),
        (b"tokens", limits.tokens_per_day_max, used.tokens, used.day_left_s),
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
