"""Secrets are taken out of texts, bytes and JSON by their values, in every form in which programs repeat them."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mentha.core import redact
from mentha.core.redact import MARK, InUse, Redactor, forms_of

KEY = "sk-proj-Ab3/+xyz_0123456789"
PASSWORD = 'pa"ss\\w/ö rd&<\n+=%'
# Without the characters of the mark, which would make secrets of what was put in their place.
LETTERS = st.characters(codec="utf-8", exclude_characters="[]secrt")
VALUES = st.text(LETTERS, min_size=6, max_size=200)
# Few letters make overlaps, repeats and beginnings that lead nowhere.
DENSE = st.text("ab", min_size=6, max_size=90)

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda value: json.dumps({"echo": value}),
    "json of unicode": lambda value: json.dumps({"echo": value}, ensure_ascii=False),
    "path": lambda value: quote(value, safe=""),
    "path with slashes": quote,
    "query": quote_plus,
    "form": lambda value: urlencode({"token": value}),
    "lower-case escapes": lambda value: quote(value, safe="").lower() if value.islower() else quote(value, safe=""),
    "html": html.escape,
    "python": repr,
    "bytes of python": lambda value: value.encode().hex(),
    "upper-case hexadecimal": lambda value: value.encode().hex().upper(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "url-safe base64": lambda value: base64.urlsafe_b64encode(value.encode()).decode(),
    "basic, one before": lambda value: base64.b64encode(f"a:{value}".encode()).decode(),
    "basic, two before": lambda value: base64.b64encode(f"ab:{value}:tail".encode()).decode(),
    "basic, three before": lambda value: base64.b64encode(f"abc:{value}:t".encode()).decode(),
}


@pytest.mark.parametrize("value", [KEY, PASSWORD], ids=["key", "password"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_secret_in_any_form_is_taken_out(value: str, form: Callable[[str], str]) -> None:
    text = f"before {form(value)} after"
    shown = Redactor([value]).text(text)
    assert MARK in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert not any(known in shown for known in forms_of(value))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_secret_in_any_form_is_taken_out_of_bytes(form: Callable[[str], str]) -> None:
    data = b"\xff\x00" + form(PASSWORD).encode() + b"\xfe"
    shown = Redactor([PASSWORD]).data(data)
    assert MARK.encode() in shown
    assert (shown[:2], shown[-1:]) == (b"\xff\x00", b"\xfe")


@given(value=VALUES, before=st.text(LETTERS), after=st.text(LETTERS), name=st.sampled_from(sorted(FORMS)))
@example(value="aaaaaa", before="a", after="a", name="plain")
def test_text_around_any_secret_in_any_form_shows_nothing_of_it(value: str, before: str, after: str, name: str) -> None:
    shown = Redactor([value]).text(before + FORMS[name](value) + after)
    assert not any(form in shown for form in forms_of(value))
    assert MARK in shown


@given(values=st.lists(DENSE, max_size=6), text=st.text("ab", max_size=400))
def test_of_secrets_that_overlap_no_form_stays(values: list[str], text: str) -> None:
    shown = Redactor(values).text(text)
    assert not any(form in shown for value in values for form in forms_of(value))
    assert Redactor(values).text(shown) == shown


@given(values=st.lists(DENSE, min_size=1, max_size=4), text=st.text("ab ", max_size=300))
def test_only_what_belongs_to_a_secret_is_taken_out(values: list[str], text: str) -> None:
    redactor = Redactor(values)
    covered = [False] * len(text)
    for form in {form for value in values for form in forms_of(value)}:
        at = text.find(form)
        while at >= 0:
            covered[at : at + len(form)] = [True] * len(form)
            at = text.find(form, at + 1)
    kept = "".join(letter for letter, gone in zip(text, covered, strict=True) if not gone)
    assert redactor.text(text).replace(MARK, "") == kept


@given(values=st.lists(VALUES, max_size=3), text=st.text(max_size=300))
def test_text_without_secrets_stays_as_it_is(values: list[str], text: str) -> None:
    assume(not any(form in text for value in values for form in forms_of(value)))
    assert Redactor(values).text(text) == text


def test_many_secrets_are_taken_out_like_few() -> None:
    values = [f"secret-number-{number:05}-{number * 7919:x}" for number in range(2_000)]
    shown = Redactor(values).text(" and ".join(values) + " end")
    assert shown == " and ".join([MARK] * 2_000) + " end"


def test_secret_that_begins_like_another_is_taken_out_whole() -> None:
    assert Redactor(["sk-one", "sk-one-and-more"]).text("x sk-one-and-more sk-one-an") == f"x {MARK} {MARK}-an"


def test_secrets_side_by_side_leave_no_rest() -> None:
    assert Redactor(["abcdef", "defghijkl"]).text("-abcdefghijkl-") == f"-{MARK}-"
    assert Redactor(["abcdef", "ghijkl"]).text("-abcdefghijkl-") == f"-{MARK}-"


def test_long_secret_is_taken_out_also_where_it_was_cut_off() -> None:
    value = "".join(f"{number:04}" for number in range(1_000))
    redactor = Redactor([value])
    assert redactor.text(f"<{value}>") == f"<{MARK}>"
    cut = redactor.text(f"<{value[:1_000]}…")
    assert cut.startswith(f"<{MARK}")
    assert len(cut) < redact.BLOCK_CHARS + len(MARK) + 2


def test_secret_that_is_too_short_to_be_told_apart_stays() -> None:
    redactor = Redactor(["short", ""])
    assert redactor.text("a short text") == "a short text"


def test_json_value_loses_secrets_in_texts_keys_and_numbers() -> None:
    value = {"a": [KEY, {"b": f"x{KEY}y", KEY: None}], "n": 123456789, "ok": [True, False, None, 1.5, 12]}
    shown = Redactor([KEY, "123456789"]).value(value)
    assert shown == {"a": [MARK, {"b": f"x{MARK}y", MARK: None}], "n": MARK, "ok": [True, False, None, 1.5, 12]}
    assert value["n"] == 123456789


def test_redactor_without_secrets_changes_nothing() -> None:
    redactor = Redactor()
    assert not redactor
    assert redactor.text("text") == "text"
    assert redactor.data(b"\xff") == b"\xff"


def test_values_in_use_are_taken_out_and_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "IN_USE_MAX", 3)
    in_use = InUse()
    assert in_use.text("value-0000") == "value-0000"
    in_use.add(["value-0000", "value-1111", "value-2222"])
    in_use.add(["value-0000", "value-3333"])
    assert in_use.text("value-0000 value-1111 value-2222 value-3333") == f"{MARK} value-1111 {MARK} {MARK}"
