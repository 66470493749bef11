"""From what a client stores to what is searched: language, chunks, words. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mentha.core.json import JsonObject
from mentha.recall import chunk, language
from mentha.recall.words import searchable

# The language of a text in Latin letters that is too short to tell: most of those are English, and its stems do others little harm.
ASSUMED = "english"
DETECT_CHARS_MAX = 4_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How texts are cut; in characters."""

    chunk_chars_max: int
    overlap_chars: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk and the heading above it, both also as the text search sees them."""

    text: str
    heading: str
    words: str
    heading_words: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text made ready; `configuration` is the text search's, `digest` SHA-256 over title and content."""

    title_words: str
    language: str
    configuration: str
    digest: bytes
    pieces: list[Piece]


def prepare(title: str, content: Sequence[str], tag: str | None, sizes: Sizes) -> Document:
    """Find the language, cut each part of the content into chunks, and reduce them to words. Costs some 0.6 ms for 1,000 characters.

    Args:
        content: the parts, in order; each begins a chunk of its own.
        tag: a language tag, or None to find it out.
    """
    name = language.of_tag(tag) if tag else language.detect("\n".join([title, *content])[:DETECT_CHARS_MAX])
    configuration = language.configuration(name if name != language.UNKNOWN else _assumed(title, content))
    chunks = [piece for part in content for piece in chunk.split(part, chars_max=sizes.chunk_chars_max, overlap_chars=sizes.overlap_chars)]
    pieces = [Piece(piece.text, piece.heading, searchable(piece.text), searchable(piece.heading)) for piece in chunks]
    return Document(searchable(title), name, configuration, digest_of(title, content), pieces)


def divided(text: str, chars_max: int) -> list[str]:
    """A text in parts of at most so many characters, which together are the text: cut after paragraphs, lines or words if it can be."""
    parts: list[str] = []
    begin = 0
    while len(text) - begin > chars_max:
        # Not in the first half: a text with one early break would fall into very many parts.
        least, most = begin + chars_max // 2, begin + chars_max
        found = next((at + len(gap) for gap in ("\n\n", "\n", " ") if (at := text.rfind(gap, least, most)) > 0), most)
        parts.append(text[begin:found])
        begin = found
    return [*parts, text[begin:]]


def digest_of(title: str, content: Sequence[str]) -> bytes:
    """The same for the same title and content, and for no other: each part goes in with its length."""
    digest = hashlib.sha256()
    for part in (title, *content):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8) + raw)
    return digest.digest()


def merged(metadata: JsonObject, changes: JsonObject | None) -> JsonObject:
    """Metadata after a PATCH: shallow, a null is stored."""
    return {**metadata, **(changes or {})}


def _assumed(title: str, content: Sequence[str]) -> str:
    sample = f"{title} {content[0][:DETECT_CHARS_MAX]}"
    return ASSUMED if sum("a" <= letter.lower() <= "z" for letter in sample) * 2 >= sum(map(str.isalpha, sample)) else language.UNKNOWN
