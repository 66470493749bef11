"""Cuts a text into chunks where a reader would: at headings, else paragraphs, lines, sentences, clauses, words. Pure.

A chunk is a piece of the text as it stands, so that people recognise it. One is made after the other: it ends at the strongest boundary in
the second half of what fits, at the last one of its kind; of headings at the first, because what follows is another subject. A block of
code that fits into a chunk is not cut, and a heading stays with what follows it.

A chunk begins with the last sentences of the one before where both belong to one section, so that a sentence is found with its context.

Time grows with the text, whatever is in it: each part of it is searched a fixed number of times, by patterns that don't go back.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from mentha.recall.outline import Outline, Section, ink

# What the first line of a chunk is indented by is kept up to here, and up to a quarter of the chunk; more is not indentation.
INDENT_CHARS_MAX = 16
# How far a cut goes back for the beginning of a character that is made of several.
CLUSTER_CHARS_MAX = 32
# How far before the first place for a cut a boundary may begin that ends behind it.
BOUNDARY_CHARS_MAX = 16

# Boundaries, strongest first. Each pattern takes the space behind a boundary with it, so that a cut stands before something to read.
_PARAGRAPH = re.compile(
    r"\n[^\S\n]*+\n\s*+ | \f\s*+ | </(?:p|div|section|article|table|ul|ol|dl|pre|blockquote)>\s*+", re.VERBOSE | re.IGNORECASE
)
# Lines that are meant as such: after the end of a sentence or statement, before an item of a list or a row of a table. Others may just be
# wrapped, and there the end of a sentence is better.
_ITEM = re.compile(
    r"""
    (?<=[.!?…。！？।؟۔|>};`]) [^\S\n]*+ \n \s*+
    | \n \s*+ (?= (?: [-*+•‣◦·▪–] | \d{1,3}[.)] | [A-Za-z][.)] ) [ \t] | <(?:li|tr|dt|dd)\b | [^\n]*[\t|] )
    | </(?:li|tr|dt|dd|h[1-6])>\s*+ | <br\s?/?>\s*+
    """,  # noqa: RUF001 - marks of lists and sentences as people write them
    re.VERBOSE,
)
_SENTENCE = re.compile(
    r"""
    (?P<mark> [.!?…]++ ) ["'”’»)\]]*+ \s++
    | [。！？｡．；।॥؟۔։።။៕។]++ [」』”’）】》"']*+ \s*+
    | (?<=[\u0e01-\u0eff\u1780-\u17ff]) \s++
    """,  # noqa: RUF001 - marks of sentences in other scripts
    re.VERBOSE,
)
_LINE = re.compile(r"\n\s*+")
_CLAUSE = re.compile(r"[,;:—–)]\s++|[，、；：،؛၊]\s*+")  # noqa: RUF001 - marks of clauses in other scripts
_SPACE = re.compile(r"[\s\u200b]++")
_BOUNDARIES = (_PARAGRAPH, _ITEM, _SENTENCE, _LINE, _CLAUSE, _SPACE)
_SENTENCE_STARTS = (_PARAGRAPH, _ITEM, _SENTENCE)

# A full stop behind these ends no sentence; nor behind a single letter, a word with a dot in it, or a number of one or two digits.
_ABBREVIATION = re.compile(
    "mr|mrs|ms|dr|prof|st|sr|jr|vs|inc|ltd|nos|fig|vol|pp|eds|approx|cf|"
    "nr|bzw|ca|vgl|evtl|ggf|inkl|zzgl|bspw|abs|str|tel|mio|mrd|dipl|ing|hr|fr|tzw|resp|np|např|"
    "mme|mlle|mm|sra|sres|srta|ej|pág|núm|av|dott|avv|pag|bijv|dhr|kl|bl|örn|bkz|ул|им|стр|рис|тыс|млн|млрд"
)
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“„«]*\Z")
_WORD_CHARS_MAX = 12


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a text.

    Attributes:
        text: as it stands there, without space at its end.
        heading: the nearest heading above it, without marks; empty where there is none, or the piece itself begins with it.
        start: where it begins in the text, in characters.
    """

    text: str
    heading: str = ""
    start: int = 0


def split(text: str, *, chars_max: int, overlap_chars: int) -> list[Chunk]:
    """`text` in chunks of at most `chars_max` characters, in order; everything but space is in one of them at least.

    A text that fits is one chunk, unchanged; so is a blank one, cut to size. There are at most 2 · length / (chars_max - overlap_chars) + 1
    chunks. Takes some 0.2 ms for 1,000 characters.

    Args:
        chars_max: at least 1.
        overlap_chars: of the chunk before, at most this much stands again at the beginning of the next one: whole sentences, where they end
            with a sentence. 0 for none; more than half of `chars_max` means half of it.

    Raises:
        ValueError: `chars_max` is below 1 or `overlap_chars` below 0: a setting is wrong.
    """
    if chars_max < 1 or overlap_chars < 0:
        raise ValueError("chars_max must be at least 1, and overlap_chars at least 0")
    if len(text) <= chars_max or text.isspace():
        return [Chunk(text[:chars_max])]
    return list(_Splitter(text, chars_max, min(overlap_chars, chars_max // 2)).chunks())


class _Splitter:
    """One text on its way into chunks. All places are those of something to read, never of space."""

    def __init__(self, text: str, chars_max: int, overlap_chars: int) -> None:
        self.text = text
        self.end = len(text.rstrip())
        self.chars_max = chars_max
        self.overlap_chars = overlap_chars
        outline = Outline(text)
        self.sections, self.bodies = outline.sections, outline.bodies
        self.starts = [section.start for section in self.sections]
        self.blocks = [block for begin, end in outline.blocks for block in self._kept(begin, end)]
        self.begins = [begin for begin, _ in self.blocks]

    def chunks(self) -> Iterator[Chunk]:
        """The chunks, in order. The text must be longer than one, and not blank."""
        fresh = ink(self.text, 0)
        start = self._indented(fresh, 0)
        while True:
            cut = self._cut(start, fresh)
            yield Chunk(self.text[start:cut].rstrip(), self._heading(start), start)
            if cut >= self.end:
                return
            start, fresh = self._start(fresh, cut), cut

    def _cut(self, start: int, fresh: int) -> int:
        """Where the chunk ends that begins at `start`, and whose new text begins at `fresh`."""
        limit = start + self.chars_max
        if limit >= self.end:
            return self.end
        low, high = fresh + (limit - fresh + 1) // 2, ink(self.text, limit)
        cut = next((place for place in self._boundaries(low, high) if place not in self.bodies and not self._block(place)), None)
        if cut is not None:
            return cut
        block = self._block(low)
        return block[0] if block and block[0] > fresh else next(self._boundaries(low, high))

    def _boundaries(self, low: int, high: int) -> Iterator[int]:
        """Places for a cut from `low` to `high`, the best first; at least one."""
        yield from self.starts[bisect_left(self.starts, low) : bisect_right(self.starts, high)]
        for pattern in _BOUNDARIES:
            yield from reversed(list(self._ends(pattern, low, high)))
        yield self._between(low, high)

    def _ends(self, pattern: re.Pattern[str], low: int, high: int) -> Iterator[int]:
        for found in pattern.finditer(self.text, max(low - BOUNDARY_CHARS_MAX, 0), high):
            if found.end() >= low and (pattern is not _SENTENCE or _ends_sentence(self.text, found)):
                yield found.end()

    def _between(self, low: int, high: int) -> int:
        """The last place up to `high` between two characters that people see as two."""
        places = range(high, max(low, high - CLUSTER_CHARS_MAX) - 1, -1)
        return next((place for place in places if not _is_joined(self.text[place - 1], self.text[place])), high)

    def _start(self, before: int, cut: int) -> int:
        """Where the chunk begins whose new text begins at `cut`; that of the one before it began at `before`."""
        section = self._section(cut)
        low = max(before + 1, cut - self.overlap_chars, section.start if section else 0)
        first = min((place for pattern in _SENTENCE_STARTS for place in self._first(pattern, low, cut)), default=cut)
        start = self._indented(first, low) if first < cut else cut
        block = self._block(cut + 1)
        if start == cut or (block and block[0] == cut and block[1] - start > self.chars_max):
            return self._indented(cut, before)
        return start

    def _first(self, pattern: re.Pattern[str], low: int, high: int) -> list[int]:
        """The first boundary of a kind from `low` on, before `high`; none or one."""
        places = (place for place in self._ends(pattern, low, high) if place < high and not self._block(place))
        return list(islice(places, 1))

    def _indented(self, place: int, low: int) -> int:
        """The beginning of the line of `place`, where only a little space is between them; never before `low`."""
        begin = max(low, place - min(INDENT_CHARS_MAX, self.chars_max // 4))
        line = self.text.rfind("\n", begin, place) + 1
        is_line = line > 0 or begin == 0
        return line if is_line and not self.text[line:place].strip() else place

    def _kept(self, begin: int, end: int) -> list[tuple[int, int]]:
        """A block of code that fits into a chunk, with the heading before it where that fits too; else none."""
        section = self._section(begin)
        chars = len(self.text[begin:end].rstrip())
        if section and section.has_heading and begin in self.bodies and chars + begin - section.start <= self.chars_max:
            return [(section.start, end)]
        return [(begin, end)] if chars <= self.chars_max else []

    def _block(self, place: int) -> tuple[int, int] | None:
        """The block of code that `place` is inside of; its beginning and end are not inside."""
        index = bisect_left(self.begins, place) - 1
        return self.blocks[index] if index >= 0 and place < self.blocks[index][1] else None

    def _section(self, place: int) -> Section | None:
        index = bisect_right(self.starts, place) - 1
        return self.sections[index] if index >= 0 else None

    def _heading(self, start: int) -> str:
        place = ink(self.text, start)
        section = self._section(place)
        return "" if section is None or (section.has_heading and section.start == place) else section.title


def _ends_sentence(text: str, found: re.Match[str]) -> bool:
    """Whether a mark that may end a sentence does."""
    if found["mark"] != ".":
        return True
    begin = found.start()
    word = _WORD_BEFORE.search(text[max(begin - _WORD_CHARS_MAX, 0) : begin])
    before = word[0].lower() if word else ""
    if text[found.end() : found.end() + 1].islower() or _ABBREVIATION.fullmatch(before) or "." in before:
        return False
    return not (before.isalpha() and len(before) == 1) and not (before.isdecimal() and len(before) <= 2)


def _is_joined(first: str, second: str) -> bool:
    """Whether `second` is no character of its own behind `first`: a mark, a part of an emoji, the second half of a pair."""
    if first.isspace():
        return False
    if first == "\u200d" or second == "\u200d" or "\U0001f3fb" <= second <= "\U0001f3ff" or second in "\uff9e\uff9f":
        return True
    return unicodedata.category(second)[0] == "M" or ("\ud800" <= first <= "\udbff" and "\udc00" <= second <= "\udfff")
