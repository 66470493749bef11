"""The words by which documents are found: one spelling for documents and queries, whatever they are written in. Pure.

PostgreSQL's text search sees only what `searchable` gives: lower-case words of letters and digits, with single spaces between them. That
leaves its parser nothing to interpret (no hosts, no addresses, no hyphens), but that it may cut a code like `1e5x` in two, in documents and
queries alike.

Scripts that put no spaces between words (Chinese, Japanese, Thai, …) become overlapping pairs of characters: 北京大学 gives 北京, 京大,
大学 and 学. Pairs need no dictionary. The last character stands alone too, so that each character begins a word, and a query of one
character can be a prefix.

Source: compatibility forms and case folding are Unicode's (UAX 15, its section 3.13); pairs are what search engines use for these scripts.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

WORD_CHARS_MAX = 64
# No script puts more marks on one letter; what is beyond is dropped, because to sort a run of marks takes the square of its length.
MARKS_MAX = 8
# Characters whose folding is remembered: more than a language has, and some megabytes when somebody sends all of Unicode.
FOLDS_MAX = 30_000

# Thai and Lao, Burmese, Khmer, then Chinese and Japanese. Punctuation among them is gone before anybody asks.
_SPACELESS = (
    "\u0e01-\u0eff\u1000-\u109f\ua9e0-\ua9fe\uaa60-\uaa7f\u1780-\u17ff"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_SPACELESS_CHAR = re.compile(f"[{_SPACELESS}]")
# After folding, what is neither a space nor a letter or digit can only be a mark: it belongs to the character before it.
_WORD = re.compile(r"\w\S*")
_RUN_OR_WORD = re.compile(rf"[{_SPACELESS}]+|\w[^\s{_SPACELESS}]*")
_CLUSTER = re.compile(r"\w\W*")
_MARKS_TOO_MANY = re.compile(rf"([^\w\s]{{{MARKS_MAX}}})[^\w\s]+")

# Marks that letters of Latin, Greek and Cyrillic wear, and the invisible ones that choose among glyphs.
_DROPPED_MARK = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)
# Letters of their own that merely look as if they wore a mark, whole and taken apart.
_CYRILLIC_WHOLE = frozenset("йїўѓќ")
_CYRILLIC_APART = re.compile("[ИиУу]\u0306|[Іі]\u0308|[ГгКк]\u0301")  # noqa: RUF001 - Cyrillic
_SPELLED = {"æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i", "ŋ": "n", "ĸ": "k", "\u0640": ""}  # noqa: RUF001 - as it is
# "Mentha™" is found by "mentha", although Unicode reads the sign as two letters.
_SIGNS = frozenset("™℠")
# Apostrophes and the like that Unicode counts as letters.
_LETTERLIKE_MARK = re.compile("[\u02b9-\u02ff\ua78b\ua78c]")
_LATIN_BASE = re.compile(r"LATIN SMALL LETTER ([A-Z]) WITH .+")
# Without width, but not without meaning: in Persian the one parts words; in spaceless scripts the other only says where a line may break.
_NON_JOINER, _ZERO_SPACE = "\u200c", "\u200b"
_INVISIBLE = re.compile(f"(?<=[\u0600-\u06ff]){_NON_JOINER}|(?<=[{_SPACELESS}]){_ZERO_SPACE}")


def searchable(text: str) -> str:
    """`text` as the text search shall see it: words with single spaces between them, in the order of the text.

    Lower case, in Unicode's compatibility form, decimal digits as 0-9. Accents of Latin, Greek and Cyrillic letters are gone (but й stays
    й), marks of other scripts stay, everything else separates. Words are cut to 64 characters.

    Takes time in proportion to the text, whatever is in it, lone surrogates and NULs included. What came out, put in again, comes out the
    same, but for pairs.
    """
    return " ".join(_words(text, with_last=True))


def query_words(text: str, *, words_max: int) -> list[str]:
    """The words of a query, spelled as `searchable` spells them, each once, in order; at most the first `words_max`.

    Of a spaceless run only the pairs: its last character alone would find nothing that they don't. A run of one character is that
    character, to be searched as a prefix.
    """
    return list(dict.fromkeys(_words(text, with_last=False)))[:words_max]


def is_spaceless(word: str) -> bool:
    """Whether `word`, one of those made here, is a piece of a script without spaces, so that its neighbours belong to it."""
    return _SPACELESS_CHAR.match(word) is not None


def _words(text: str, *, with_last: bool) -> list[str]:
    folded = _whole(text).translate(_FOLDS)
    if folded.isascii():
        return [word[:WORD_CHARS_MAX] for word in folded.split()]
    folded = unicodedata.normalize("NFC", _MARKS_TOO_MANY.sub(r"\1", folded))
    if not _SPACELESS_CHAR.search(folded):
        return [word[:WORD_CHARS_MAX] for word in _WORD.findall(folded)]
    words: list[str] = []
    for found in _RUN_OR_WORD.findall(folded):
        if is_spaceless(found):
            words += _pairs(found, with_last=with_last)
        else:
            words.append(found[:WORD_CHARS_MAX])
    return words


def _pairs(run: str, *, with_last: bool) -> list[str]:
    # Without marks, each character is a cluster.
    clusters: Sequence[str] = run if run.isalnum() else _CLUSTER.findall(run)
    pairs = [first + second for first, second in pairwise(clusters)]
    return [*pairs, *clusters[-1:]] if with_last or not pairs else pairs


def _whole(text: str) -> str:
    """`text` with the few sequences resolved that can't be folded character by character."""
    if text.isascii():
        return text
    if "\u0306" in text or "\u0308" in text or "\u0301" in text:
        text = _CYRILLIC_APART.sub(lambda found: unicodedata.normalize("NFC", found[0]), text)
    if _NON_JOINER in text or _ZERO_SPACE in text:
        text = _INVISIBLE.sub(lambda found: " " if found[0] == _NON_JOINER else "", text)
    return text


class _Folds(dict[int, str]):
    """What each character becomes, found out when it first comes up."""

    def __missing__(self, code: int) -> str:
        if len(self) >= FOLDS_MAX:
            # Start anew: who sends rare characters shall not take the place of those that others use for ever.
            self.clear()
        self[code] = folded = _fold(chr(code))
        return folded


def _fold(char: str) -> str:
    lower = char.lower()
    if lower in _CYRILLIC_WHOLE:
        return lower
    if char in _SIGNS:
        return " "
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold().lower())
    return unicodedata.normalize("NFC", "".join(map(_plain, folded)))


def _plain(char: str) -> str:
    """A character that Unicode takes no further apart: as it is, in plain letters, as nothing, or as a space."""
    category = unicodedata.category(char)
    if char in _SPELLED:
        return _SPELLED[char]
    if category == "Cf" or _DROPPED_MARK.match(char):
        return " " if char == _ZERO_SPACE else ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category[0] not in "LMN" or category == "No" or _LETTERLIKE_MARK.match(char):
        return " "
    based = _LATIN_BASE.fullmatch(unicodedata.name(char, ""))
    return based[1].lower() if based else char


_FOLDS = _Folds()
