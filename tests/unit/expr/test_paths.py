"""Paths into the context, followed without a sandbox."""

import ast
from typing import Any

import pytest

from mentha.expr.paths import KEYS_COMPARED_MAX, Missing, Path, attribute_of, follow, path_of

CONTEXT: dict[str, Any] = {
    "_": {"user": {"name": "Ada"}, "list": [1, 2], "n": None, "flag": True, "items": 7, "_id": "x", "text": "abc"},
    "steps": {"0": {"output": {"y": 2}}, "draft": {"output": 5}},
    "outputs": {0: "whole number"},
}


def path(source: str) -> Path | None:
    return path_of(ast.parse(source, mode="eval").body)


FOUND = [
    ("_.user.name", "Ada"),
    ("_['user']['name']", "Ada"),
    ("_.list[-1]", 2),
    ("_.text[0]", "a"),
    ("_._id", "x"),
    ("_['items']", 7),
    ("steps[0].output.y", 2),
    ("steps['0'].output.y", 2),
    ("steps['draft'].output", 5),
    ("outputs[0]", "whole number"),
    # As it is once it was written down.
    ("outputs", {"0": "whole number"}),
]


@pytest.mark.parametrize(("source", "value"), FOUND)
def test_path_leads_to_its_value(source: str, value: Any) -> None:
    found = path(source)
    assert found
    assert follow(found, CONTEXT) == value


def test_path_gives_the_very_object() -> None:
    assert follow(Path("_", (("attribute", "user"),)), CONTEXT) is CONTEXT["_"]["user"]


MISSING = [
    ("_.user.nam", "there is no 'nam' (did you mean 'name'?) in _.user"),
    ("_.user['age']", "there is no key 'age' (there is: name) in _.user"),
    ("_.list[2]", "index 2 is out of range in _.list"),
    ("_.list['a']", "a list has no item 'a' in _.list"),
    ("_.n.x", "null has no attribute 'x' in _.n"),
    ("_.flag.x", "true or false has no attribute 'x' in _.flag"),
    ("_.text.x", "a text has no attribute 'x' in _.text"),
    ("steps[7].output", "there is no key 7 (there is: 0, draft) in steps"),
    ("steps[-1]", "there is no key -1 (there is: 0, draft) in steps"),
    ("stpes[0]", "name 'stpes' is not defined. Did you mean 'steps'?"),
    ("open['x']", "'open' is not available: expressions read no files"),
]


@pytest.mark.parametrize(("source", "message"), MISSING)
def test_path_to_nowhere_tells_where_it_ends(source: str, message: str) -> None:
    found = path(source)
    assert found
    with pytest.raises(Missing) as caught:
        follow(found, CONTEXT)
    assert str(caught.value) == message


@pytest.mark.parametrize("source", ["f().a", "_.items", "_.a.get", "_[x]", "_[0:1]", "_[True]", "_.__class__", "1", "_[1.5]", "(_ or 1).a"])
def test_what_needs_more_than_a_look_is_no_path(source: str) -> None:
    assert path(source) is None


def test_path_is_shown_as_it_was_written() -> None:
    assert str(path("_.a['b c'][-1]")) == "_.a['b c'][-1]"


CALLED = [
    ("content-type", "content_type"),
    ("First Name", "First_Name"),
    ("x y  z!", "x_y_z_"),
    ("-lead", "lead"),
    ("a.b", "a_b"),
    ("3d", "x3d"),
    ("2", "x2"),
    ("class", "xclass"),
    ("é-b", "é_b"),
    ("_p", "_p"),
]


@pytest.mark.parametrize(("key", "name"), CALLED)
def test_attribute_of_a_key_that_is_no_name_is_as_in_the_original(key: str, name: str) -> None:
    assert attribute_of(key) == name


def test_attribute_that_is_a_key_comes_before_a_key_that_is_called_so() -> None:
    assert follow(Path("_", (("attribute", "a_b"),)), {"_": {"a b": 1, "a_b": 2}}) == 2


def test_attribute_is_compared_with_the_first_keys_only() -> None:
    many = {f"k {number}": number for number in range(KEYS_COMPARED_MAX + 1)}
    assert follow(Path("_", (("attribute", "k_0"),)), {"_": many}) == 0
    with pytest.raises(Missing):
        follow(Path("_", (("attribute", f"k_{KEYS_COMPARED_MAX}"),)), {"_": many})
