"""The language of a text: by its script, then by function words, letters and endings. Pure.

Languages are named as PostgreSQL names its text search configurations (`english`), and those that it lacks in the same way (`chinese`).

How a text is judged, by its first 4,000 characters:

- The script with most letters decides; where that one tells nothing (names and code in a Chinese text), the next. A character of Chinese or
  Japanese counts for three letters, a Korean syllable for two. A script of one language is that language. Japanese is told from Chinese by
  its kana, or in a title by characters that only Japan writes so.
- Where languages share a script, each collects evidence: a function word 1, a letter beyond the common ones 1, a group of letters or an
  ending 0.3. What n languages share counts 1/√n for each. A letter that a language lacks costs it 0.5.
- The best one needs evidence of 1.2, and of 0.12 for each word of the text; and a lead of 0.15, unless its evidence is double. So "how do I
  reset my password" is English, and "reset password" is unknown.

Source: the idea of telling languages by their function words (Ingle, 1976); table and weights are ours (docs/decisions/0009).
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from mentha.recall.language_table import ALONE, CODES, SHARED, USUAL

UNKNOWN = "unknown"
CHARS_MAX = 4_000
EVIDENCE_MIN = 1.2
LEAD_MIN = 0.15
# From here on the best one is taken however close the second is: they are sisters like Danish and Norwegian then, and either serves.
EVIDENCE_PLENTY = 2.4
WORD_WEIGHT, LETTER_WEIGHT, SIGN_WEIGHT = 1.0, 1.0, 0.3
# Less for each word is chance: made-up words, lists of names, "lorem ipsum".
EVIDENCE_A_WORD_MIN = 0.12
STRANGE_LETTER_COST = 0.5
# Beyond this a letter that does not belong says nothing new: it may be one name that comes up again and again.
STRANGE_LETTERS_MAX = 3
# Groups and endings are for short texts; in longer ones function words tell enough, in less time.
GROUPS_CHARS_MAX, ENDINGS_WORDS_MAX = 1_000, 100
ENDING_CHARS_MAX = 6
# A single Chinese character is enough to tell its script, a single Greek letter may be a unit.
SCRIPT_LETTERS_MIN = 3
SCRIPT_SHARE_MIN = 0.15
LETTERS_OF = {"CJK": 3, "HIRAGANA": 3, "KATAKANA": 3, "HANGUL": 2}
KANA_SHARE_MIN = 0.05
# Characters that Japan simplified in its own way.
JAPANESE_ONLY = frozenset("円駅図対発変気売読続鉄応価権県実検単労営桜戦総観験覧働込畑枠渋沢関帰経済剤処広拡様弾仮")

# PostgreSQL 15's; later ones have more, but the same text shall be searched alike on all of them.
CONFIGURATIONS: dict[str, str] = {
    name: name
    for name in (
        *("arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "finnish", "french", "german", "greek", "hindi"),
        *("hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian"),
        *("serbian", "spanish", "swedish", "tamil", "turkish", "yiddish"),
    )
}
_SIMPLE = "simple"
_NAME_OF = {code: name for name, codes in CODES.items() for code in codes.split()}
# What is not space, punctuation or invisible. Marks belong to words: in Indian scripts they are vowels. So do digits and `_`, for the
# letters of a code are no words.
_WORD = re.compile(r"[^\s!-/:-@\[-^`{-~\u00a1-\u00bf\u200b-\u206f\u060c\u061b\u061f\u06d4\u0964\u0965]+")
# More marks on one letter than any script has: to sort them takes the square of their number.
_MARKS_TOO_MANY = re.compile(r"([^\w\s]{8})[^\w\s]+")
_SUBTAG = re.compile(r"[-_]")


def detect(text: str) -> str:
    """The name of the language that `text` is written in, or `unknown` where its beginning does not tell.

    Takes some 0.1 ms for a sentence and 0.8 ms for 4,000 characters; what comes after them is not looked at. Of a mixed text the language
    that has most of it.
    """
    sample = _Sample(unicodedata.normalize("NFKC", _MARKS_TOO_MANY.sub(r"\1", text[:CHARS_MAX])).lower())
    return next((name for script in _scripts(sample.chars) if (name := _in_script(script, sample)) is not None), UNKNOWN)


def of_tag(tag: str) -> str:
    """The language that a tag means: `en-US` is `english`, `zh-Hant` is `chinese`. A name means itself; what is not known is `unknown`.

    Source: BCP 47 for the form; only the first part, the code of ISO 639, decides.
    """
    wanted = tag.strip().lower()
    return wanted if wanted in CODES else _NAME_OF.get(_SUBTAG.split(wanted, maxsplit=1)[0], UNKNOWN)


def configuration(language: str) -> str:
    """The text search configuration of PostgreSQL for a language: its stemmer, or `simple`, which takes words as they are."""
    return CONFIGURATIONS.get(language, _SIMPLE)


class _Sample:
    """The beginning of a text, and how often each of its characters and words comes up, in their order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.chars = Counter(text)
        self.words = Counter(_WORD.findall(text))


def _scripts(chars: Mapping[str, int]) -> list[str]:
    """The scripts that have enough letters in a text, most letters first; kana count as CJK."""
    letters: Counter[str] = Counter()
    for char, count in chars.items():
        if char.isalpha():
            script = _script_of(char)
            letters["CJK" if script in {"HIRAGANA", "KATAKANA"} else script] += count * LETTERS_OF.get(script, 1)
    enough = max(SCRIPT_LETTERS_MIN, SCRIPT_SHARE_MIN * letters.total())
    return [script for script, count in letters.most_common() if count >= enough]


def _in_script(script: str, sample: _Sample) -> str | None:
    if script in SHARED:
        return _decide(_scores(_table(script), sample), sample.words) or USUAL.get(script)
    return ALONE.get(script) if script != "CJK" else _chinese_or_japanese(sample.chars)


@lru_cache(maxsize=4_096)
def _script_of(char: str) -> str:
    return unicodedata.name(char, "").split(" ", 1)[0]


def _chinese_or_japanese(chars: Mapping[str, int]) -> str:
    scripts: Counter[str] = Counter()
    for char, count in chars.items():
        scripts[_script_of(char)] += count
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    is_japanese = kana >= KANA_SHARE_MIN * (kana + scripts["CJK"]) if kana else not JAPANESE_ONLY.isdisjoint(chars)
    return "japanese" if is_japanese else "chinese"


class _Evidence(NamedTuple):
    """A piece of evidence: for whom it speaks, how much, and whom it speaks against."""

    languages: tuple[str, ...]
    weight: float
    others: tuple[str, ...] = ()


class _Table(NamedTuple):
    """What tells the languages of one script apart."""

    languages: tuple[str, ...]
    words: Mapping[str, _Evidence]
    letters: Mapping[str, _Evidence]
    endings: Mapping[str, _Evidence]
    groups: Mapping[str, _Evidence]


@lru_cache(maxsize=len(SHARED))
def _table(script: str) -> _Table:
    """Turn the lists of `language_table` round, from what a language has to whom a word speaks for. Some milliseconds, once a script."""
    traits = SHARED[script]
    languages = tuple(traits)
    signs = _shared(((name, each.signs.split()) for name, each in traits.items()), SIGN_WEIGHT)
    letters = _shared(((name, each.letters) for name, each in traits.items()), LETTER_WEIGHT)
    return _Table(
        languages,
        words=_shared(((name, each.words.split()) for name, each in traits.items()), WORD_WEIGHT),
        letters={
            letter: each._replace(others=tuple(name for name in languages if name not in each.languages))
            for letter, each in letters.items()
        },
        endings={sign[:-1]: each for sign, each in signs.items() if sign.endswith("$")},
        groups={sign: each for sign, each in signs.items() if not sign.endswith("$")},
    )


def _shared(had: Iterable[tuple[str, Iterable[str]]], weight: float) -> dict[str, _Evidence]:
    owners: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for language, parts in had:
        for part in parts:
            owners[part][language] = None
    return {part: _Evidence(tuple(languages), weight / math.sqrt(len(languages))) for part, languages in owners.items()}


def _scores(table: _Table, sample: _Sample) -> dict[str, float]:
    """How much speaks for each language, in the order of the table."""
    scores = dict.fromkeys(table.languages, 0.0)
    for evidence, count in _found(table, sample):
        for language in evidence.languages:
            scores[language] += evidence.weight * count
        for language in evidence.others:
            scores[language] -= STRANGE_LETTER_COST * min(count, STRANGE_LETTERS_MAX)
    return scores


def _found(table: _Table, sample: _Sample) -> Iterator[tuple[_Evidence, int]]:
    # In the order of the text and not of a set: sums of fractions depend on it, and the same text shall have the same language everywhere.
    for word, count in sample.words.items():
        if word in table.words:
            yield table.words[word], count
    for letter, count in sample.chars.items():
        if letter in table.letters:
            yield table.letters[letter], count
    for word, count in islice(sample.words.items(), ENDINGS_WORDS_MAX):
        for chars in range(1, min(ENDING_CHARS_MAX, len(word) - 1) + 1):
            if word[-chars:] in table.endings:
                yield table.endings[word[-chars:]], count
    for group, evidence in table.groups.items():
        if count := sample.text.count(group, 0, GROUPS_CHARS_MAX):
            yield evidence, count


def _decide(scores: Mapping[str, float], words: Mapping[str, int]) -> str | None:
    (best, evidence), (_, second) = sorted(scores.items(), key=lambda scored: scored[1], reverse=True)[:2]
    if evidence < max(EVIDENCE_MIN, EVIDENCE_A_WORD_MIN * sum(count for word, count in words.items() if not word.isdecimal())):
        return None
    return best if evidence >= EVIDENCE_PLENTY or evidence - second >= LEAD_MIN else None
