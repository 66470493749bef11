"""The language of a text: by its script, then by function words, letters and endings. Pure.

Languages are named as PostgreSQL names its text search configurations (`english`), and those that it lacks in the same way (`chinese`).

How a text is judged, by its first 4,000 characters:

- The script with most letters decides; a character of Chinese or Japanese counts for three letters, a Korean syllable for two. A script of
  one language is that language. Japanese is told from Chinese by its kana, or in a title by characters that only Japan writes so.
- Where languages share a script, each collects evidence: a function word 1, a letter beyond the common ones 1, a group of letters or an
  ending 0.3. What n languages share counts 1/√n for each. A letter that a language lacks costs it 0.5.
- The best one needs evidence of 1.2 and a lead of 0.15. So "how do I reset my password" is English, and "reset password" is unknown.

Source: the idea of telling languages by their function words (Ingle, 1976); table and weights are ours (docs/decisions/0009).
"""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from mentha.recall.language_table import ALONE, CODES, SHARED, USUAL

UNKNOWN = "unknown"
CHARS_MAX = 4_000
EVIDENCE_MIN = 1.2
LEAD_MIN = 0.15
WORD_WEIGHT, LETTER_WEIGHT, SIGN_WEIGHT = 1.0, 1.0, 0.3
STRANGE_LETTER_COST = 0.5
# Beyond this a letter that does not belong says nothing new: it may be one name that comes up again and again.
STRANGE_LETTERS_MAX = 3
ENDING_CHARS_MAX = 5
# A single Chinese character is enough to tell its script, a single Greek letter may be a unit.
SCRIPT_LETTERS_MIN = 3
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
# What is not space, digit, punctuation or invisible. Marks belong to words: in Indian scripts they are vowels.
_WORD = re.compile(r"[^\s\d!-/:-@\[-`{-~\u00a1-\u00bf\u200b-\u206f\u060c\u061b\u061f\u06d4\u0964\u0965]+")
_SUBTAG = re.compile(r"[-_]")


def detect(text: str) -> str:
    """The name of the language that `text` is written in, or `unknown` where its beginning does not tell.

    Takes some 0.3 ms for 4,000 characters; what comes after them is not looked at. Of a mixed text the language that has most of it.
    """
    sample = unicodedata.normalize("NFKC", text[:CHARS_MAX]).lower()
    script = _script(sample)
    if script in SHARED:
        return _decide(_scores(script, sample)) or USUAL.get(script, UNKNOWN)
    return ALONE.get(script, UNKNOWN) if script != "CJK" else _chinese_or_japanese(sample)


def of_tag(tag: str) -> str:
    """The language that a tag means: `en-US` is `english`, `zh-Hant` is `chinese`. A name means itself; what is not known is `unknown`.

    Source: BCP 47 for the form; only the first part, the code of ISO 639, decides.
    """
    wanted = tag.strip().lower()
    return wanted if wanted in CODES else _NAME_OF.get(_SUBTAG.split(wanted, maxsplit=1)[0], UNKNOWN)


def configuration(language: str) -> str:
    """The text search configuration of PostgreSQL for a language: its stemmer, or `simple`, which takes words as they are."""
    return CONFIGURATIONS.get(language, _SIMPLE)


def _script(sample: str) -> str:
    """The script that most letters are of, kana counted as CJK; empty where there are too few letters."""
    counts: Counter[str] = Counter()
    for char, count in Counter(sample).items():
        if char.isalpha():
            script = _script_of(char)
            counts["CJK" if script in {"HIRAGANA", "KATAKANA"} else script] += count * LETTERS_OF.get(script, 1)
    script, letters = max(counts.items(), key=lambda counted: counted[1], default=("", 0))
    return script if letters >= SCRIPT_LETTERS_MIN else ""


@lru_cache(maxsize=4_096)
def _script_of(char: str) -> str:
    return unicodedata.name(char, "").split(" ", 1)[0]


def _chinese_or_japanese(sample: str) -> str:
    scripts = Counter(_script_of(char) for char in sample)
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    is_japanese = kana >= KANA_SHARE_MIN * (kana + scripts["CJK"]) if kana else not JAPANESE_ONLY.isdisjoint(sample)
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


def _scores(script: str, sample: str) -> dict[str, float]:
    """How much speaks for each language of a script, in the order of the table."""
    table = _table(script)
    scores = dict.fromkeys(table.languages, 0.0)
    for evidence, count in _found(table, sample):
        for language in evidence.languages:
            scores[language] += evidence.weight * count
        for language in evidence.others:
            scores[language] -= STRANGE_LETTER_COST * min(count, STRANGE_LETTERS_MAX)
    return scores


def _found(table: _Table, sample: str) -> Iterator[tuple[_Evidence, int]]:
    for word, count in Counter(_WORD.findall(sample)).items():
        if word in table.words:
            yield table.words[word], count
        for chars in range(1, min(ENDING_CHARS_MAX, len(word) - 1) + 1):
            if word[-chars:] in table.endings:
                yield table.endings[word[-chars:]], count
    for letter in table.letters.keys() & set(sample):
        yield table.letters[letter], sample.count(letter)
    for group, evidence in table.groups.items():
        if count := sample.count(group):
            yield evidence, count


def _decide(scores: Mapping[str, float]) -> str | None:
    best, second = sorted(scores.items(), key=lambda scored: scored[1], reverse=True)[:2]
    return best[0] if best[1] >= EVIDENCE_MIN and best[1] - second[1] >= LEAD_MIN else None
