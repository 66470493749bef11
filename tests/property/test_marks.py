"""Laws of the marks that stand for secrets in rows: nothing of a value is in what was closed, and opening gives it back."""

import base64
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.json import dumps
from mentha.workflow import marks
from mentha.workflow.marks import Hidden, names_in, without_marks, words_in

VALUES = {"A": "s3cret/of+A", "LONGER": "s3cret/of+A-and-more", "SHORT": "x1y", "QUOTED": 'say "so"\n\\', "WIDE": "пароль-日本"}


def signed(name: str) -> str:
    return f"tag-of-{name:_<9}"


HIDDEN = Hidden(VALUES, signed, lambda name, tag: tag == signed(name))
pieces = st.sampled_from([*VALUES.values(), " ", "\u2039secret:", "A", ":", "\u203a", "[secret]", "plain", "s3cret"])
texts = st.lists(pieces, max_size=6).map("".join)
keys = st.sampled_from(["a", "b", VALUES["A"]])
values: Any = st.recursive(
    texts | st.integers(0, 9) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
)


@settings(max_examples=150)
@given(values)
def test_closed_value_has_no_secret_and_opens_to_what_it_was(value: Any) -> None:
    closed = HIDDEN.closed(value)
    raw = dumps(closed).decode()
    assert not [secret for secret in VALUES.values() if len(secret) >= 6 and dumps(secret).decode()[1:-1] in raw]
    assert HIDDEN.opened(closed) == value
    assert HIDDEN.closed(closed) == closed


@settings(max_examples=100)
@given(values)
def test_large_value_is_opened_like_a_small_one(value: Any) -> None:
    closed = HIDDEN.closed(value)
    padding = "\u2039secret:A:tag-of-B________\u203a" * (marks.WALKED_BYTES_MAX // 20)
    assert HIDDEN.opened([closed, padding]) == [value, padding]


def test_large_value_is_not_walked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """That holds the event loop for seconds."""
    walked = list[Any]()
    monkeypatch.setattr(marks, "_mapped", lambda value, *_: walked.append(value) or value)
    large = [HIDDEN.closed(VALUES["A"]) for _ in range(2)]
    monkeypatch.setattr(marks, "WALKED_BYTES_MAX", 10)
    walked.clear()
    HIDDEN.opened(large)
    assert walked == []


def test_other_forms_of_a_value_are_taken_out_for_good() -> None:
    secret = VALUES["A"]
    for form in (base64.b64encode(secret.encode()).decode(), quote(secret, safe=""), secret.encode().hex()):
        closed = HIDDEN.closed({"x": f"before {form} after"})
        assert form not in closed["x"]
        assert "[secret]" in closed["x"]


def test_short_value_is_hidden_only_where_it_stands_alone() -> None:
    assert HIDDEN.closed(["x1y", "ax1yb"]) == ["\u2039secret:SHORT:tag-of-SHORT____\u203a", "ax1yb"]


def test_mark_with_another_tag_or_of_an_unknown_secret_stays() -> None:
    forged = ["\u2039secret:A:tag-of-B________\u203a", "\u2039secret:GONE:tag-of-GONE_____\u203a"]
    assert HIDDEN.opened(forged) == forged
    sent = without_marks({"a": HIDDEN.closed(VALUES["A"])})
    assert HIDDEN.opened(sent) == sent
    plain = {"a": [1, "b"]}
    assert without_marks(plain) is plain


def test_names_are_the_words_of_texts_that_name_secrets() -> None:
    plan = {"a": "$ secrets.A + secrets['B'] + secrets.get('C')", "b": "no name HERE", "api_call": {"secrets": {"k": {"name": "D"}}}}
    assert words_in(plan) >= {"A", "B", "C", "D"}
    assert "HERE" not in words_in(plan)
    assert words_in({"a": ["nothing"]}) == set()
    assert names_in("$ secrets.A + secrets['B'] + secrets.get('C') + secrets.A") == ["A", "B"]
