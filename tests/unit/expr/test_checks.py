"""Faults of expressions that show before anything runs."""

from typing import Any

import pytest

from mentha.expr.checks import GRAMMAR, RULES, Fault, check, reads


def told(value: Any, **options: Any) -> list[tuple[str, str]]:
    return [(fault.severity, fault.issue_type) for fault in check(value, **options)]


GOOD = [
    "plain",
    "$ agent.name + secrets.key + user.name + session.id + execution.id + task.name + arguments.x + developer_id",
    "$ len([x for x in _.items() if x])",
    "$ sorted(filter(lambda x: x.a, _.list), key=lambda x: x['b'])",
    "$ {x for x in _}",
    "$ datetime.now().isoformat() + datetime.datetime.now().isoformat()",
    "Hi {{ _.name }} and {_.name}",
    "$ type(_).__name__",
    "$ hasattr(_, 'a') and isinstance(_.a, str)",
    "$ f'{_.a:>{_.n}}'",
    {"a": ["$ _", 1, None, {"b": "$ true"}]},
]


@pytest.mark.parametrize("value", GOOD, ids=str)
def test_good_value_has_no_faults(value: Any) -> None:
    assert check(value) == []


ERRORS = [
    ("$ 1 +", "syntax"),
    ("$ x + 1", "undefined_name"),
    ("$ stpes[0]", "undefined_name"),
    ("$ open('x')", "undefined_name"),
    ("$ nlp(_)", "undefined_name"),
    ("{{ topic }}", "undefined_name"),
    ("$ (x := 1)", "construct"),
    ("$ await _", "construct"),
    ("$ [x async for x in _]", "construct"),
    ("$ [1 for _.a in _]", "construct"),
    ("$ lambda __x: 1", "construct"),
    ("$ _.__class__", "private_attribute"),
    ("$ ''.format_map(_)", "private_attribute"),
    ("$ (x for x in _).gi_frame", "private_attribute"),
    ("$ json.codecs", "unknown_member"),
    ("$ csv.register_dialect('x')", "unknown_member"),
    ("$ datetime.datetime.frometimestamp(0)", "unknown_member"),
    ("$ json", "module_as_value"),
]


@pytest.mark.parametrize(("text", "issue_type"), ERRORS)
def test_text_that_cannot_work_is_an_error_with_a_fix(text: str, issue_type: str) -> None:
    (fault,) = [fault for fault in check(text) if fault.severity == "error"]
    assert fault.issue_type == issue_type
    assert fault.message
    assert fault.fix or issue_type == "private_attribute"


WARNINGS = [
    ("Dear {customer}", "value", "undefined_name"),
    ("[see] inputs[0] [here]", "value", "taken_as_text"),
    ("{{ _.a b }}", "value", "taken_as_text"),
    ("steps[0].output.y", "value", "plain_text"),
    ("len(_) > 3", "condition", "plain_text"),
    ("$ 1 / 0", "value", "division_by_zero"),
    ("$ _.a / 0", "value", "division_by_zero"),
    ("$ [1, 2][2]", "value", "index_out_of_range"),
]


@pytest.mark.parametrize(("text", "position", "issue_type"), WARNINGS)
def test_text_that_may_not_do_what_is_meant_is_a_warning(text: str, position: Any, issue_type: str) -> None:
    assert told(text, position=position) == [("warning", issue_type)]


def test_fault_tells_its_place_in_the_value_and_in_the_text() -> None:
    (fault,) = check({"a": [1, "$ _.x + \\\n  foo"]})
    assert fault == Fault("error", "undefined_name", fault.message, "_.x + \\\n  foo", 2, 3, fault.fix, ("a", 1))


def test_every_fault_of_a_text_is_told_once_a_name() -> None:
    assert [fault.message.split("'")[1] for fault in check("$ a + b + a")] == ["a", "b"]


def test_undefined_name_that_is_nearly_known_is_named() -> None:
    assert "Did you mean 'sorted'?" in check("$ sortd(_)")[0].message


def test_names_of_the_context_are_those_that_are_told() -> None:
    assert check("$ secrets.key", known={"secrets"}) == []
    assert told("$ _.a", known={"secrets"}) == [("error", "undefined_name")]
    assert told("$ x", known={"x"}) == []


@pytest.mark.parametrize("text", ["results + [_]", "$ results + [_]", "results if _ else []"])
def test_reduce_knows_its_two_names_in_both_spellings(text: str) -> None:
    assert check(text, position="reduce") == []
    assert told("results + x", position="reduce") == [("error", "undefined_name")]


def test_plan_of_another_grammar_is_read_where_it_means_the_same() -> None:
    assert reads(GRAMMAR)
    assert reads(f"{RULES}.11")
    assert not reads(f"{RULES}.99")
    assert not reads(f"{RULES + 1}.11")
    assert not reads("")
