"""Embedders in this process: a thread of its own for each kind of work, fed with small slices, so that nobody waits long behind another's
bulk.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from mentha.core import lazy
from mentha.core.errors import Unavailable
from mentha.providers.types import EmbedderCall
from mentha.providers.vectors import Vectors, prepared, slices

# Makes the vectors of a slice, in a thread.
Encode = Callable[[list[str]], Vectors]


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

    async def run(self, encode: Encode, texts: list[str], dimensions: int) -> Vectors:
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


class ThreadedEmbedder:
    """An embedder whose queries and documents have a thread each; see `embedders.Embedder`.

    Args:
        slice_texts_max, slice_chars_max: see `Lane`.
    """

    def __init__(
        self,
        name: str,
        dimensions: int,
        *,
        chars_max: int,
        encode_queries: Encode,
        encode_documents: Encode,
        slice_texts_max: int,
        slice_chars_max: int,
    ) -> None:
        self.name = name
        self.dimensions: int | None = dimensions
        self.chars_max = chars_max
        self._size = dimensions
        self._encode_queries = encode_queries
        self._encode_documents = encode_documents
        self._queries = Lane("embed-query", texts_max=slice_texts_max, chars_max=slice_chars_max)
        self._documents = Lane("embed-bulk", texts_max=slice_texts_max, chars_max=slice_chars_max)

    async def queries(
        self,
        texts: Sequence[str],
        *,
        instruction: str = "",
        calls: list[EmbedderCall] | None = None,  # noqa: ARG002 - it makes none
    ) -> Vectors:
        """See `embedders.Embedder`."""
        return await self._queries.run(self._encode_queries, prepared(texts, instruction, self.chars_max), self._size)

    async def documents(
        self,
        texts: Sequence[str],
        *,
        instruction: str = "",
        calls: list[EmbedderCall] | None = None,  # noqa: ARG002 - it makes none
    ) -> Vectors:
        """See `embedders.Embedder`."""
        return await self._documents.run(self._encode_documents, prepared(texts, instruction, self.chars_max), self._size)

    async def close(self) -> None:
        """End the threads, after the slice that they work on."""
        await self._queries.close()
        await self._documents.close()
