"""Words of documents and queries: one spelling for both, in every script, whatever somebody sends."""

import sys
import unicodedata

import pytest

from mentha.recall import words
from mentha.recall.words import is_spaceless, query_words, searchable


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("The Quick-Brown FOX's  den.", "the quick brown fox s den"),
        ("it’s “quoted” — really…", "it s quoted really"),
        ("naïve café Ångström déjà-vu", "naive cafe angstrom deja vu"),
        ("cafe\u0301 A\u030angstro\u0308m", "cafe angstrom"),
        ("Straße STRASSE straẞe", "strasse strasse strasse"),
        ("Ærø Œuvre þing Ðorđe łódź ħobża", "aero oeuvre thing dorde lodz hobza"),
        ("İstanbul ISPARTA ışık", "istanbul isparta isik"),
        ("Việt Nam Đường", "viet nam duong"),
        ("Γειά σου Κόσμε ΟΔΟΣ οδός", "γεια σου κοσμε οδοσ οδοσ"),
        ("Ёлка йогурт Й", "елка йогурт й"),
        ("и\u0306од і\u0308жа", "йод їжа"),
        ("Київ її Ўрад", "київ її ўрад"),
        ("а\u0301збука", "азбука"),
        ("C++, C# and .NET 8.0", "c c and net 8 0"),
        ("user@example.com https://a.b/c?d=1", "user example com https a b c d 1"),
        ("½ m² ㎏ № ﬁne ①", "1 2 m2 kg no fine 1"),
        ("Mentha™ 5µm", "mentha 5μm"),
        ("١٢٣ ๔๕ १२ ７８", "123 45 12 78"),
        ("soft\u00adhyphen zero\u200bwidth joined\u2060words", "softhyphen zero width joinedwords"),
        ("snake_case camelCase 3D v2beta", "snake case camelcase 3d v2beta"),
        ("😀 → ★", ""),
        ("", ""),
    ],
)
def test_text_of_spaced_scripts_becomes_plain_words(text: str, seen: str) -> None:
    assert searchable(text) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("हिन्दी की किताब", "हिन्दी की किताब"),
        ("क़लम क\u093cलम", "क\u093cलम क\u093cलम"),
        ("שָׁלוֹם עולם", "שָׁלוֹם עולם"),
        ("العَرَبِيّة كتــاب", "العَرَبِيّة كتاب"),
        ("می\u200cخواهم", "می خواهم"),
        ("தமிழ் மொழி", "தமிழ் மொழி"),
        ("대한민국 \u1112\u1161\u11ab국", "대한민국 한국"),
        ("საქართველო ՀԱՅ", "საქართველო հայ"),
        ("\u0301 \u093c क", "क"),
    ],
)
def test_text_of_other_scripts_keeps_its_marks(text: str, seen: str) -> None:
    assert searchable(text) == unicodedata.normalize("NFC", seen)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("北京大学", "北京 京大 大学 学"),
        ("学", "学"),
        ("第3章", "第 3 章"),
        ("iPhone12を買う。安い", "iphone12 を買 買う う 安い い"),
        ("ｶﾞﾗｽ", "ガラ ラス ス"),
        ("東京タワー", "東京 京タ タワ ワー ー"),
        ("ไทยน้ำ", "ไท ทย ยน้ํ น้ํา า"),
        ("ភាសាខ្មែរ", "ភាសា សាខ្ ខ្មែ មែរ រ"),
        ("ກຂ\u200bຄ", "ກຂ ຂຄ ຄ"),
    ],
)
def test_text_of_spaceless_scripts_becomes_pairs_and_its_last_character(text: str, seen: str) -> None:
    assert searchable(text) == seen


def test_query_has_each_word_once_in_order() -> None:
    assert query_words("To be, or not to BE", words_max=32) == ["to", "be", "or", "not"]
    assert query_words("To be, or not to BE", words_max=2) == ["to", "be"]
    assert query_words("?!", words_max=8) == []


def test_query_of_a_spaceless_script_is_its_pairs_alone() -> None:
    """The last character by itself would match nothing more than its pair, and much that is not meant."""
    assert query_words("北京大学 campus", words_max=8) == ["北京", "京大", "大学", "campus"]
    assert query_words("学", words_max=8) == ["学"]
    assert query_words("第3章", words_max=8) == ["第", "3", "章"]


@pytest.mark.parametrize(
    ("word", "expected"), [("北京", True), ("学", True), ("ไท", True), ("paris", False), ("서울", False), ("12", False)]
)
def test_word_tells_whether_its_script_has_spaces(word: str, expected: bool) -> None:
    assert is_spaceless(word) is expected


def test_word_that_is_too_long_is_cut() -> None:
    assert searchable("a" * 100 + " b") == "a" * 64 + " b"
    assert searchable("ж" * 100) == "ж" * 64
    assert searchable("ก" * 100).split() == ["กก"] * 99 + ["ก"]


def test_word_is_spelled_the_same_composed_and_decomposed() -> None:
    text = "Ängström čeština Việt ガラス がぎぐ й ў ѓ 한국어 ऩ হ'ড় ΐ ﷺ Ǆ ﬃ"
    assert len({searchable(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}) == 1


def test_every_character_becomes_letters_digits_marks_or_space_and_stays_so() -> None:
    """All of Unicode but its large blocks of Chinese and Korean, of which every 97th."""
    for code in (*range(0x3400), *range(0x3400, 0xE000, 97), *range(0xE000, 0x20000), *range(0x20000, sys.maxunicode, 997)):
        seen = searchable(chr(code))
        assert seen == " ".join(seen.split()), hex(code)
        assert all(char == " " or unicodedata.category(char)[0] in "LMN" for char in seen), hex(code)
        if not any(map(is_spaceless, seen.split())):
            assert searchable(seen) == seen, hex(code)


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a" * 63 + "é",
        "e\u0301\u0316",
        "\u0300\u0316",
        "\u064b\u0655",
        "\u0e38\u0e48",
        "ก\u0e38\u0e48",
        "\u3099\u064b",
        "\uff9e\u0300\u05b0",
        "\u064b\u0655\u0640",
        "\u0300\u034f",
        "م\u200c",
        "ก\u200b",
        "北",
        "\ud800",
        "\udc00\ud800",
        "\0",
        "\ufdfa",
        " \t",
    ],
    ids=ascii,
)
def test_hostile_text_takes_time_in_proportion_to_its_length(part: str) -> None:
    """To take the square of it would mean hours here, and the time limit of the tests: nothing is measured."""
    seen = searchable(part * (400_000 // len(part)))
    assert max(map(len, seen.split()), default=0) <= 64


def test_memory_of_characters_stays_bounded_when_all_of_unicode_is_sent() -> None:
    searchable("".join(map(chr, range(0x100, 0x30000))))
    assert len(words._FOLDS) <= words.FOLDS_MAX
    assert searchable("Ärger") == "arger"
