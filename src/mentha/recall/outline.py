"""The outline of a text in Markdown, in HTML or in neither: its headings, the lines across the page, the blocks of code. Pure.

Only what helps to cut: a heading is a line with one to six `#`, a line alone above a row of `=` or `-`, or `<h1>` to `<h6>`; inside of a
block of code there is none.

Source: CommonMark 0.31, as far as its rules can be told line by line.
"""

import re
from typing import NamedTuple

HEADING_CHARS_MAX = 200

# A heading by marks, a line under a heading or across the page, the beginning of a block of code, a heading or a line of HTML.
_SIGN = re.compile(
    r"""
    ^[ ]{0,3} (?: (?P<marked> \#{1,6} [ \t]+ [^\s\#][^\n]* )
                | (?P<line> ={3,} | (?:-[ \t]*+){3,} | (?:\*[ \t]*+){3,} | (?:_[ \t]*+){3,} ) \r?$
                | (?P<fence> `{3,32} | ~{3,32} ) [^\n]* )
    | (?P<tag> <[hH] (?: [1-6] | (?P<ruler> [rR] ) ) \b [^<>\n]{0,200} > )
    """,
    re.MULTILINE | re.VERBOSE,
)
_TAG = re.compile(r"<[^<>]{0,200}>")
_EDGES = re.compile(r"\A[#=\s]++|(?<![#=\s])[#=\s]++\Z")
# The rest of a heading of HTML: up to its end, that of its line, or the next one.
_TAGGED = re.compile(rf"(?P<heading>(?:[^<\n]|<(?!/?[hH][1-6])){{0,{HEADING_CHARS_MAX}}}+)(?:</[hH][1-6]>)?")
# A line that a line under it makes a heading: not one of a list, a table or a quotation.
_UNDERLINED = re.compile(r"[^\s>|*+#<-].*")

_INK = re.compile(r"\s*+")


class Section(NamedTuple):
    """A piece of a text under one heading.

    Attributes:
        start: where it begins; its heading is there where it has one.
        heading: the line that its text stands under, with its marks; after a line across the page that is still the one before.
    """

    start: int
    heading: str
    has_heading: bool

    @property
    def title(self) -> str:
        """The heading without marks."""
        return _EDGES.sub("", _TAG.sub("", self.heading))


class Outline:
    """The sections of a text in order, the places where the text under a heading begins, and the blocks of code as (begin, end)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sections: list[Section] = []
        self.bodies: set[int] = set()
        self.blocks: list[tuple[int, int]] = []
        self._has_fences = True
        place = 0
        while found := _SIGN.search(text, place):
            place = max(found.end(), self._read(found))

    def _read(self, found: re.Match[str]) -> int:
        """Take in one find; gives the place to go on from."""
        if found["fence"]:
            return self._read_fence(found.start("fence"), found["fence"], found.end())
        if found["line"]:
            self._read_line(found.start(), found["line"], found.end())
        elif found["ruler"]:
            self._add(found.end(), None)
        elif found["tag"]:
            rest = _TAGGED.match(self.text, found.end())
            self._add(found.start(), rest["heading"] if rest else "", body=rest.end() if rest else found.end())
        else:
            self._add(found.start("marked"), found["marked"], body=found.end())
        return 0

    def _read_fence(self, begin: int, fence: str, place: int) -> int:
        if not self._has_fences:
            return 0
        closing = re.compile(rf"^[ ]{{0,3}}{fence[0]}{{{len(fence)},}}[ \t\r]*$", re.MULTILINE).search(self.text, place)
        if closing is None:
            # One that is never closed is no block; then there may be many, and to look for the end of each would take too long.
            self._has_fences = False
            return 0
        self.blocks.append((begin, ink(self.text, closing.end())))
        return closing.end()

    def _read_line(self, begin: int, line: str, end: int) -> None:
        """A line under a heading, or across the page."""
        above = self.text[max(begin - 1 - HEADING_CHARS_MAX, 0) : max(begin - 1, 0)]
        before, newline, heading = above.rpartition("\n")
        is_alone = begin - 1 <= HEADING_CHARS_MAX if not newline else not before.rpartition("\n")[2].strip()
        if line[0] in "=-" and is_alone and _UNDERLINED.fullmatch(heading.strip()):
            self._add(ink(self.text, begin - 1 - len(heading)), heading, body=end)
        elif line[0] != "=":
            self._add(end, None)

    def _add(self, start: int, heading: str | None, *, body: int = 0) -> None:
        before = self.sections[-1] if self.sections else Section(0, "", has_heading=False)
        if heading is None:
            self.sections.append(before._replace(start=ink(self.text, start), has_heading=False))
        elif start >= before.start:
            self.bodies.add(ink(self.text, body))
            self.sections.append(Section(start, heading[:HEADING_CHARS_MAX], has_heading=True))


def ink(text: str, place: int) -> int:
    """The first place from `place` on that is not space."""
    found = _INK.match(text, place)
    return found.end() if found else place
