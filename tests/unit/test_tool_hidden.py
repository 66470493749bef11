"""Which texts give a secret away."""

import base64
from typing import Any

import pytest

from mentha.core.redact import Redactor
from mentha.tools.hidden import TEXTS_MAX, texts_of

LOGIN = base64.b64encode(b"ann:pass word 12").decode()
KEY = "\n".join(("-----BEGIN KEY-----", "A" * 64, "b" * 40, "-----END KEY-----"))


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("sk-0123456789", "sk-0123456789"),
        ("Bearer sk-0123456789", "the token sk-0123456789 is not valid"),
        (f"Basic {LOGIN}", "wrong: ann:pass word 12"),
        (f"Basic {LOGIN}", "wrong password: pass word 12"),
        ("sid=0123456789; theme=dark", "no session 0123456789"),
        ('Digest username="ann-of-arc", nonce=x', "ann-of-arc"),
        ("p%20w%26rd", "p w&rd"),
        ("a+word+more", "a word more"),
        ("Sk-UPPER", "sk-upper.example.com"),
        ({"a": [{"b": "nested-value"}]}, "nested-value"),
        (123_456_789, "pin 123456789"),
        (KEY, "line " + "b" * 40),
        ('q"uoted', base64.b64encode(b'{"x": "q\\"uoted"}').decode()),
        ("per cent", base64.b64encode(b"/?q=per+cent").decode()),
    ],
)
def test_part_that_gives_a_secret_away_is_taken_out(secret: Any, shown: str) -> None:
    assert "[secret]" in Redactor(texts_of(secret)).text(shown)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("Bearer sk-0123456789", "Bearer of news"),
        ("sid=0123456789; theme=dark", "dark theme"),
        (True, "True"),
        ("a b", "a b"),
        (None, "None"),
    ],
)
def test_words_around_a_secret_stay(secret: Any, shown: str) -> None:
    assert Redactor(texts_of(secret)).text(shown) == shown


def test_texts_of_a_large_secret_are_limited_and_begin_with_itself() -> None:
    whole = "\n".join(f"a line of some length {number}" for number in range(1_000))
    found = texts_of(whole)
    assert found[0] == whole
    assert len(found) <= TEXTS_MAX
