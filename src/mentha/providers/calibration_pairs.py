"""The texts by which the scale of an embedder is measured: questions with the passage that answers each, in eight languages, all ours.

They are shaped as recall is: a short question, or a statement, and one to three sentences that answer it or say the same in other words.
For the pair that is *not* related a question takes the passage of the next one in its language: same style, often the same field, another
topic.
"""

from dataclasses import dataclass
from pathlib import Path

from mentha.core.json import loads

FILE = Path(__file__).with_name("calibration_pairs.json")


@dataclass(frozen=True, slots=True)
class Pair:
    """A question with the passage that answers it, and the place in the list of the pair whose passage does not."""

    language: str
    question: str
    passage: str
    other: int


def calibration_pairs() -> list[Pair]:
    """All of them; reads a small file each time."""
    pairs: list[Pair] = []
    for language, rows in loads(FILE.read_bytes()).items():
        first = len(pairs)
        for index, (question, passage) in enumerate(rows):
            pairs.append(Pair(language, question, passage, first + (index + 1) % len(rows)))
    return pairs
