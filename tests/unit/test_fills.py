"""What the text of a tool stands for: expressions, references to secrets, and everything that stays as it is."""

from typing import Any

import pytest

from mentha.tools.calls import ToolFailed
from mentha.workflow.fills import expressions_in, filled

VALUES = {"KEY": "k/&"}


def value(key: str) -> str:
    if key not in VALUES:
        raise ToolFailed(f"no {key}")
    return VALUES[key]


@pytest.mark.parametrize(
    ("text", "expressions", "made", "out"),
    [
        ("plain", [], [], "plain"),
        ('{"a": {"b": 1}}', [], [], '{"a": {"b": 1}}'),
        ("$5 off", [], [], "$5 off"),
        ("$ _.n + 1", ["$ _.n + 1"], [3], 3),
        ("{{ _.n }} of {{ _.m }}", ["{{ _.n }} of {{ _.m }}"], ["1 of 2"], "1 of 2"),
        ("$ secrets.KEY", [], [], "k/&"),
        ("Key {secrets.KEY}", [], [], "Key k/&"),
        ("Key {{ secrets.KEY }}", [], [], "Key k/&"),
        ("$ f'{secrets.KEY}!'", ["$ f'{secrets.KEY}!'"], ["k/&!"], "k/&!"),
        ("$ _.evil", ["$ _.evil"], ["{secrets.KEY}"], "{secrets.KEY}"),
        ("$ _.evil", ["$ _.evil"], ["$ secrets.KEY"], "$ secrets.KEY"),
    ],
)
def test_text_is_an_expression_a_reference_or_itself(text: str, expressions: list[str], made: list[Any], out: Any) -> None:
    spec = {"url": "http://a.example/", "headers": {"x": text}, "json": [{"y": 1}, None], "params_schema": {"description": text}}
    assert expressions_in("api_call", spec) == expressions
    assert filled("api_call", spec, made, value) == {**spec, "headers": {"x": out}}


def test_address_keeps_places_for_arguments_and_encodes_what_is_put_into_it() -> None:
    url = "http://a.example/{id}/{{ id }}/{{ _.a }}/{{secrets.KEY}}?k={secrets.KEY}&n={{ _.n }}"
    assert expressions_in("api_call", {"url": url}) == ["$ _.a", "$ _.n"]
    got = filled("api_call", {"url": url}, ["{secrets.KEY}/..", 2], value)
    assert got == {"url": "http://a.example/{id}/{{ id }}/%7Bsecrets.KEY%7D%2F../k%2F%26?k=k%2F%26&n=2"}
    assert filled("api_call", {"params": "a={secrets.KEY}"}, [], value) == {"params": "a=k%2F%26"}


def test_what_a_call_of_this_api_says_of_secrets_stays() -> None:
    spec = {"arguments": {"a": "$ _.n", "b": "$ secrets.KEY", "c": "{secrets.KEY} {{ _.n }}"}}
    assert expressions_in("system", spec) == ["$ _.n"]
    assert filled("system", spec, [1], value) == {"arguments": {"a": 1, "b": "$ secrets.KEY", "c": "{secrets.KEY} {{ _.n }}"}}


def test_secret_that_is_not_there_fails_the_call() -> None:
    with pytest.raises(ToolFailed, match="no GONE"):
        filled("integration", {"setup": {"key": "{secrets.GONE}"}}, [], value)
