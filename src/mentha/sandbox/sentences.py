"""A text in chunks of whole sentences, for templates and expressions. Imported by the worker only."""

import re

# Source: the original's chunks of sentences.
CHUNK_SENTENCES = 15
OVERLAP_SENTENCES = 3

# After a mark that ends a sentence and closing quotes, also those of Chinese and Japanese, which need no space; or at an empty line.
_SENTENCE_END = re.compile("(?<=[.!?\u2026\u3002\uff01\uff1f])[\"'\u201d\u2019)\\]]*\\s+|(?<=[\u3002\uff01\uff1f])|\n{2,}")


def chunk_doc(text: str) -> list[str]:
    """A text in chunks of `CHUNK_SENTENCES` sentences, each beginning with the last `OVERLAP_SENTENCES` of the one before."""
    sentences = [sentence.strip() for sentence in _SENTENCE_END.split(text) if sentence and sentence.strip()]
    step = CHUNK_SENTENCES - OVERLAP_SENTENCES
    starts = range(0, max(len(sentences) - OVERLAP_SENTENCES, 1), step)
    return [" ".join(sentences[start : start + CHUNK_SENTENCES]) for start in starts] if sentences else []
