"""YAML of clients: what it means, where its parts stand, and what of it is refused before it costs anything."""

from typing import Any

import pytest

from mentha.core.yaml import CHARS_MAX, NODES_MAX, YamlInvalid, loads_yaml


def read(text: str | bytes, depth: int = 64) -> Any:
    return loads_yaml(text if isinstance(text, bytes) else text.encode(), depth_max_levels=depth).value


def refusal(text: str | bytes, depth: int = 64) -> tuple[str, int]:
    with pytest.raises(YamlInvalid) as raised:
        read(text, depth)
    return str(raised.value), raised.value.line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("''", ""),
        ("'yes'", "yes"),
        ("0", 0),
        ("-12", -12),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b101", 5),
        ("017", 15),
        ("0o17", 15),
        ("018", "018"),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("-2.5e-1", -0.25),
        ("18446744073709551615", 2**64 - 1),
        ("18446744073709551616", float(2**64)),
        ("1" * 41, "1" * 41),
        ("9e999", "9e999"),
        (".inf", ".inf"),
        ("2024-01-02", "2024-01-02"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("12:30:45", "12:30:45"),
        ("1.2.3", "1.2.3"),
        ("0b_", "0b_"),
        ("$ _.x", "$ _.x"),
        ('"a\\0b"', "ab"),
        ("\N{SNOWMAN}", "\N{SNOWMAN}"),
        ("", None),
        ("# nothing", None),
    ],
)
def test_scalar_means_what_json_can_say_of_it(text: str, value: Any) -> None:
    made = read(text)
    assert (made, type(made)) == (value, type(value))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("1: a\nyes: b\n~: c\nwhen: d\n1: e") == {"1": "e", "yes": "b", "~": "c", "when": "d"}


def test_alias_stands_for_what_its_anchor_named_and_merges_leave_what_is_there() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{z: 4}, *a]}\nd: *a"
    assert read(text) == {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"z": 4, "x": 1, "y": 2}, "d": {"x": 1, "y": 2}}


def test_line_of_a_part_is_that_of_the_nearest_one_that_stands_there() -> None:
    made = loads_yaml(b"a:\n- b: 1\n- c: &x\n    d: 1\ne: *x\n", depth_max_levels=64)
    assert [made.line_of(path) for path in ((), ("a",), ("a", 0, "b"), ("a", 1, "c", "d"), ("e", "d"), ("a", 1, "gone", 7))] == [
        1,
        1,
        2,
        4,
        5,
        3,
    ]


@pytest.mark.parametrize(
    ("text", "word", "line"),
    [
        ("a: !!python/object/apply:os.system ['x']", "tags", 1),
        ("a: 1\nb: !mine x", "tags", 2),
        ("a: !!str 1", "tags", 1),
        ("a: *nothing", "stands for nothing", 1),
        ("a: &a [*a]", "stands for nothing", 1),
        ("? [1]\n: 2", "must be text", 1),
        ("a: 1\n---\nb: 2", "several", 2),
        ("a: [1,\nb: 2", "not valid", 3),
        ("a: {<<: 1}", "objects alone", 1),
        (b"\xff\xfe\xfa", "not valid", 1),
        ("a: \x07", "not valid", 1),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_line(text: str | bytes, word: str, line: int) -> None:
    message, found = refusal(text)
    assert word in message
    assert found == line


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [" + ", ".join([f"*{chr(97 + n)}"] * 10) + "]\n" for n in range(8)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "- x\n" * (NODES_MAX + 1),
        "a: &a '" + "x" * 100_000 + "'\nb: [" + "*a, " * (CHARS_MAX // 100_000) + "]",
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(1_000)) + "}\nb:\n" + "- <<: *a\n" * 100,
    ],
    ids=["bomb", "long", "heavy", "merges"],
)
def test_document_that_is_larger_than_it_looks_is_refused_by_its_counted_size(text: str) -> None:
    assert "those behind aliases counted" in refusal(text)[0]


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 5_000 + "x", "{a: " * 5_000], ids=["lists", "blocks", "objects"])
def test_document_that_is_nested_too_deeply_is_refused_before_its_end(text: str) -> None:
    assert "nested deeper than 64 levels" in refusal(text)[0]
    assert "nested deeper than 200 levels" in refusal(text, 10_000)[0]


def test_nesting_is_counted_as_it_is_in_json() -> None:
    assert read("[" * 5 + "]" * 5, depth=5) == [[[[[]]]]]
    assert "deeper than 5" in refusal("[" * 6 + "]" * 6, depth=5)[0]
