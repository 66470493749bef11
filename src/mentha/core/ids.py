"""Ids: UUIDv7, so that rows made later sort later and primary-key inserts stay local.

Source: RFC 9562, section 5.7, with the 12 bits of `rand_a` used as a counter within one millisecond (section 6.2, method 1).
"""

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_ms = 0
_counter = 0


def new_id() -> UUID:
    """A new UUIDv7, greater than every one made earlier by this process."""
    global _last_ms, _counter  # noqa: PLW0603 - the order of ids is a state of the process
    with _lock:
        now_ms = time.time_ns() // 1_000_000
        if now_ms > _last_ms:
            _last_ms, _counter = now_ms, int.from_bytes(os.urandom(1))
        else:
            _counter += 1
            if _counter > 0xFFF:
                _last_ms, _counter = _last_ms + 1, 0
        head = (_last_ms << 80) | (0x7 << 76) | (_counter << 64)
    return UUID(int=head | (0b10 << 62) | (int.from_bytes(os.urandom(8)) >> 2))
