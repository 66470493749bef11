"""Cuts a text into chunks where a reader would: at headings, else at paragraphs, else at lines, sentences, clauses, words. Pure.

A chunk is a piece of the text as it stands, so that people recognise it. Chunks are made one after the other: from where one begins, the text is
looked at up to `chars_max`, and it ends at the strongest boundary in the second half of that, the last one of its kind (of headings the first:
what follows is another subject). Only code blocks reach back over this half: one that fits into a chunk is not cut.

A chunk begins with the last sentences of the one before it where both belong to one section, so that a sentence is found with its context.

Each part of the text is searched a fixed number of times, by patterns that don't go back: the time grows with the text, whatever is in it.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

HEADING_CHARS_MAX = 200
# The first line of a chunk keeps this much of what it is indented by; more is not indentation.
INDENT_CHARS_MAX = 16
# As far as a cut between characters goes back for the beginning of one that consists of several.
CLUSTER_CHARS_MAX = 32

# What ends a section: a heading of Markdown or HTML begins the next one, a ruler or a form feed stands at the end of its own.
_SECTION = re.compile(
    r"""
    ^[ ]{0,3} (?P<fence> `{3,} | ~{3,} ) [^\n]*
    | ^[ ]{0,3} \#{1,6} [ \t]+ (?P<marked> [^\s\#][^\n]* )
    | ^[ ]{0,3} (?P<underlined> [^\s>|*+-][^\n]{0,199} ) \n [ ]{0,3} (?: ={3,} | -{3,} ) [ \t\r]*$
    | ^[ ]{0,3} (?: (?:-[ \t]*+){3,} | (?:\*[ \t]*+){3,} | (?:_[ \t]*+){3,} ) \r?$ (?P<ruler> \n? )
    | (?P<feed> \f )
    | <h[1-6]\b [^>\n]{0,200} > (?P<tagged> [^\n]{0,200}? ) (?: </h[1-6]> | $ )
    | <hr\b [^>\n]{0,200} > (?P<tag_ruler> \n? )
    """,
    re.MULTILINE | re.VERBOSE | re.IGNORECASE,
)
