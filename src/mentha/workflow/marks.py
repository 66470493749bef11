"""Marks that stand for secrets in the rows of an execution. Pure.

    a result with a value in it   ‹secret:NAME:TAG›   which stands for the value wherever a later step uses that result
    … in another form             [secret]            base64, percent-encoding …: it can't be used any more, and is not to be read
    a mark, before it is used     the value of now

A mark holds only for the execution that it was made in: its tag is made with the server's key, so that nobody can have a secret put
somewhere by writing its mark into an input. Known are the secrets whose names stand in a text of the plan that names `secrets`.
"""  # noqa: RUF002 - a mark looks like nothing else

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mentha.core.json import JsonValue, dumps, loads
from mentha.core.redact import FORM_CHARS_MIN, Redactor
from mentha.tools.hidden import texts_of_all

NAMES_MAX = 10_000
# Shorter values are looked for as whole texts only, and the shortest not at all: they are no secrets.
WHOLE_CHARS_MIN = 3
WALKED_BYTES_MAX = 20_000

_OPENING, _CLOSING = "\u2039secret:", "\u203a"
_MARK = re.compile(_OPENING + r"(\w{1,255}):([\w-]{16})" + _CLOSING, re.ASCII)
_MARK_BYTES = re.compile(_MARK.pattern.encode())
_NAMED = re.compile(r"\bsecrets\s*(?:\.\s*([A-Za-z_]\w*)(?!\w*\s*\()|\[\s*['\"](\w+))", re.ASCII)
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)

Sign = Callable[[str], str]
Check = Callable[[str, str], bool]


class Hidden:
    """Some secrets by name, and their marks in one execution.

    Args:
        sign: the tag of a name.
        check: whether a tag is one of a name.
    """

    def __init__(self, values: Mapping[str, str], sign: Sign, check: Check) -> None:
        self.values = dict(values)
        self._check = check
        self._marks = {value: f"{_OPENING}{name}:{sign(name)}{_CLOSING}" for name, value in values.items() if len(value) >= WHOLE_CHARS_MIN}
        within = sorted((value for value in self._marks if len(value) >= FORM_CHARS_MIN), key=len, reverse=True)
        self._within = re.compile("|".join([_MARK.pattern, *map(re.escape, within)]))
        self._forms = Redactor(texts_of_all(values.values()))

    def opened(self, value: JsonValue) -> JsonValue:
        """A value with what marks stand for; the value itself where it has none. Forged marks stay, and those of secrets that are gone."""
        if not self.values:
            return value
        raw = dumps(value)
        if _OPENING.encode() not in raw:
            return value
        # To walk through a large one takes seconds; its JSON has marks as they are.
        if len(raw) > WALKED_BYTES_MAX:
            return loads(_MARK_BYTES.sub(self._opened_in_json, raw))
        return _mapped(value, self._opened, lambda number: number)

    def closed(self, value: JsonValue) -> JsonValue:
        """A value without secrets; the value itself where there are none to know of."""
        return _mapped(value, self._closed, self._forms.value) if self.values else value

    def _opened(self, text: str) -> str:
        def value_of(mark: re.Match[str]) -> str:
            name, tag = mark[1], mark[2]
            return self.values[name] if name in self.values and self._check(name, tag) else mark[0]

        return _MARK.sub(value_of, text) if _OPENING in text else text

    def _opened_in_json(self, mark: re.Match[bytes]) -> bytes:
        return dumps(self._opened(mark[0].decode()))[1:-1]

    def _closed(self, text: str) -> str:
        if text in self._marks:
            return self._marks[text]
        parts: list[str] = []
        end = 0
        for found in self._within.finditer(text):
            parts += [self._forms.text(text[end : found.start()]), self._marks.get(found[0], found[0])]
            end = found.end()
        return "".join([*parts, self._forms.text(text[end:])])


NOTHING = Hidden({}, str, lambda _name, _tag: False)


def words_in(value: JsonValue) -> set[str]:
    """Everything that may be the name of a secret: the words of each text that names `secrets`, and what an `api_call` lists under it."""
    if b"secrets" not in dumps(value):
        return set()
    found = set[str]()
    for text in _texts(value):
        found.update(_WORD.findall(text))
        if len(found) > NAMES_MAX:
            break
    return found


def names_in(expression: str) -> list[str]:
    """The secrets that an expression names in so many words."""
    return list(dict.fromkeys(dotted or quoted for dotted, quoted in _NAMED.findall(expression)))


def without_marks(value: JsonValue) -> JsonValue:
    """What a client sends, with marks made illegible: one that it was shown must not be opened for it."""
    if _OPENING.encode() not in dumps(value):
        return value
    return _mapped(value, lambda text: text.replace(_OPENING, _OPENING.replace(":", " ")), lambda number: number)


def _texts(value: JsonValue) -> Iterator[str]:
    """The texts that name `secrets`, and all that stand in a member with this name."""
    if isinstance(value, str):
        if "secrets" in value:
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _all_texts(inner) if name == "secrets" else _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _all_texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _all_texts(inner)


def _mapped(value: JsonValue, text: Callable[[str], str], number: Callable[[Any], Any]) -> JsonValue:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(name) if isinstance(name, str) else name: _mapped(inner, text, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, text, number) for inner in value]
    return number(value) if isinstance(value, int | float) else value
