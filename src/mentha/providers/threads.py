"""A thread of its own for one kind of embedding, fed with small slices, so that nobody waits long behind another's bulk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mentha.core import lazy
from mentha.core.errors import Unavailable
from mentha.providers.vectors import Vectors, slices


class Lane:
    """One thread, started at the first use. Slices of several callers take turns.

    Args:
        name: of the thread.
        texts_max, chars_max: of a slice: what others in the lane wait for, and what still runs after a cancellation.
    """

    def __init__(self, name: str, *, texts_max: int, chars_max: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._texts_max = texts_max
        self._chars_max = chars_max
        self._closed = False

    async def run(self, encode: Callable[[list[str]], Vectors], texts: list[str], dimensions: int) -> Vectors:
        """What `encode` makes of all `texts`, in order: (len(texts), dimensions).

        Raises:
            Unavailable: the lane was closed.
        """
        parts: list[Vectors] = []
        for part in slices(texts, texts_max=self._texts_max, chars_max=self._chars_max):
            if self._closed:
                raise Unavailable("the server is stopping")
            parts.append(await asyncio.get_running_loop().run_in_executor(self._thread, encode, part))
        if len(parts) == 1:
            return parts[0]
        numpy = await asyncio.to_thread(lazy.load, "numpy")
        return numpy.concatenate(parts) if parts else numpy.empty((0, dimensions), numpy.float32)

    async def close(self) -> None:
        """Take no more slices and wait for the one that runs."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown)
