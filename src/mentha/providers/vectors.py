"""What all embedders share: the type of their results, how texts are made ready, and how they are cut into slices."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# (n, dimensions) float32, each row of length 1, C-contiguous.
Vectors: TypeAlias = "NDArray[np.float32]"

# What is embedded where there is nothing but blanks: endpoints refuse an empty text, and a vector must come out for each one.
BLANK = "."


def prepared(texts: Sequence[str], instruction: str, chars_max: int) -> list[str]:
    """`texts` as a model takes them: the instruction before each, cut to `chars_max`, no NUL and no half of a surrogate pair.

    The cut takes from the end, and never from the instruction unless that alone is longer.
    """
    head = f"{instruction}\n" if instruction else ""
    return [_clean(f"{head}{text if text.strip() else BLANK}"[:chars_max]) for text in texts]


def slices(texts: Sequence[str], *, texts_max: int, chars_max: int) -> Iterator[list[str]]:
    """`texts` in order, in lists of at most `texts_max` texts and `chars_max` characters; a longer text is alone in its list."""
    held: list[str] = []
    chars = 0
    for text in texts:
        if held and (len(held) >= texts_max or chars + len(text) > chars_max):
            yield held
            held, chars = [], 0
        held.append(text)
        chars += len(text)
    if held:
        yield held


def _clean(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", " ")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
