"""The page on expressions names everything that there is, its limits are the limits, and what it shows is well-formed."""

import re
from pathlib import Path

import pytest
import yaml

from mentha.expr import checks, names, strings
from mentha.sandbox import expressions

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
WORDS = {word for code in re.findall(r"`([^`]+)`", BLOCK.sub("", TEXT)) for word in re.findall(r"\w+", code)}


@pytest.mark.parametrize("module", sorted(names.MODULES))
def test_member_of_every_module_is_in_the_row_of_its_module(module: str) -> None:
    (row,) = re.findall(rf"^\| `{module}(?:\.parse)?` \|.*$", TEXT, re.MULTILINE)
    told = set(re.findall(r"\w+", row))
    assert {word for member in names.members(module) for word in member.split(".")} <= told


def test_function_constant_and_variable_of_any_name_is_named() -> None:
    assert names.FUNCTIONS | set(names.CONSTANTS) | set(names.CONTEXT) | names.REDUCE_CONTEXT <= WORDS
    assert {"nlp", "humanize_text_alpha"} <= WORDS & set(names.ABSENT)


@pytest.mark.parametrize(
    "told",
    [
        f"{strings.EXPRESSION_CHARS_MAX:,} characters",
        f"{strings.PIECES_MAX} pairs of braces",
        f"{strings.INTERPOLATED_CHARS_MAX:,} characters",
        f"one value | {expressions.TIME_S:g} s",
        f"waits for | {expressions.TOTAL_S:g} s",
        f"memory | {expressions.MEMORY_BYTES_MAX // 1_000_000} MB",
        f"counts | {expressions.INPUT_BYTES_MAX // 1_000_000} MB",
        f"{expressions.OUTPUT_CHARS_MAX // 1_000_000} million characters, {expressions.RESULT_DEPTH_MAX_LEVELS} levels",
        f"calls within calls | {expressions.DEPTH_MAX_LEVELS} |",
        f"`strptime`) | {expressions.CALLS_MAX};",
        f"{expressions.RUNS_MAX}, of one tenant {expressions.TENANT_RUNS_MAX}; others wait up to {expressions.WAIT_S:g} s",
    ],
)
def test_limit_that_the_page_tells_is_the_limit(told: str) -> None:
    assert told in TEXT


def test_steps_that_the_page_shows_have_no_faults() -> None:
    (block,) = BLOCK.findall(TEXT)
    assert checks.check(yaml.safe_load(block)) == []
