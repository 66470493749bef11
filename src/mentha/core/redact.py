"""Takes secrets out of texts, by their values: as they are, and in the forms in which programs repeat them. Pure.

A form is found by its first characters and then among the sorted forms, so each place of the text costs about the same whatever the
number of secrets and whatever a tenant chose for them. (One pattern with a branch for each form took 20 times as long with 256 secrets, and
0.3 s to compile.) Long forms are cut into blocks, each of which is taken out by itself: no look-up compares more than a block, and a secret
that was cut off somewhere is still found.
"""

import base64
import html
import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

from mentha.core.json import JsonValue

MARK = "[secret]"
# Shorter texts are too common to be taken out.
FORM_CHARS_MIN = 6
HEAD_CHARS = 4
BLOCK_CHARS = 64
# So many forms are looked for one by one first: mostly there is none, and that takes a tenth of the time.
FEW_FORMS = 256
IN_USE_MAX = 1_000
# To look through more takes long enough that others wait: it is for a thread.
INLINE_CHARS_MAX = 100_000
# What each part of a value costs beside its characters.
PART_CHARS = 20


class Redactor:
    """Replaces each of `values` by `[secret]`; those under 6 characters stay.

    Use it on what belongs to the owner of the values. In another tenant's answer, what is replaced would tell what the values are.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._know({form for value in values for form in forms_of(value)})

    @classmethod
    def of_forms(cls, forms: Iterable[str]) -> "Redactor":
        """One for forms that `forms_of` gave before."""
        made = cls()
        made._know(set(forms))
        return made

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """`text` without secrets."""
        if not self._forms or (len(self._forms) <= FEW_FORMS and not any(form in text for form in self._forms)):
            return text
        parts: list[str] = []
        end = 0
        for at, until in self._found(text):
            # Forms that overlap or touch are taken out as one, so that no rest of the second stays.
            if at > end or not parts:
                parts += [text[end:at], MARK]
            end = max(end, until)
        return "".join([*parts, text[end:]]) if parts else text

    def data(self, data: bytes) -> bytes:
        """`data` without the UTF-8 of secrets; it may be anything."""
        return self.text(data.decode("latin-1")).encode("latin-1") if self._forms else data

    def value(self, value: JsonValue) -> JsonValue:
        """A copy of a JSON value without secrets, in keys and numbers neither."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(str(key)): self.value(item) for key, item in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if self.text(str(value)) == str(value) else MARK
        return value

    def _know(self, forms: set[str]) -> None:
        self._forms = sorted(forms)
        self._heads = frozenset(form[:HEAD_CHARS] for form in forms)
        # For each form the place of the longest other one that it begins with, -1 for none.
        self._within: list[int] = []
        open_: list[int] = []
        for place, form in enumerate(self._forms):
            while open_ and not form.startswith(self._forms[open_[-1]]):
                open_.pop()
            self._within.append(open_[-1] if open_ else -1)
            open_.append(place)

    def _found(self, text: str) -> Iterable[tuple[int, int]]:
        """Where forms begin and end, the longest of each place, in order; they may overlap."""
        heads = self._heads
        for at in [at for at in range(len(text) - FORM_CHARS_MIN + 1) if text[at : at + HEAD_CHARS] in heads]:
            length = self._longest(text[at : at + BLOCK_CHARS])
            if length:
                yield at, at + length

    def _longest(self, piece: str) -> int:
        """The length of the longest form that `piece` begins with, 0 for none."""
        # Whatever `piece` begins with, the greatest form that is not above it begins with too.
        place = bisect_right(self._forms, piece) - 1
        while place >= 0 and not piece.startswith(self._forms[place]):
            place = self._within[place]
        return len(self._forms[place]) if place >= 0 else 0


def is_large(value: JsonValue) -> bool:
    """Whether looking through a JSON value is for a thread. Looks no further than it takes to know that."""
    waiting, left = [value], INLINE_CHARS_MAX
    while waiting and left >= 0:
        part = waiting.pop()
        if isinstance(part, str):
            left -= len(part)
        elif isinstance(part, dict | list):
            left -= PART_CHARS * len(part)
            if left >= 0:
                waiting += [*part, *part.values()] if isinstance(part, dict) else part
    return left < 0


class InUse:
    """The values that this process has used lately, at most 1,000. For logs and traces, which no tenant sees; see `Redactor` for why."""

    def __init__(self) -> None:
        self._forms: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._redactor: Redactor | None = Redactor()

    def add(self, values: Iterable[str]) -> None:
        """Take these out from now on."""
        for value in values:
            if value in self._forms:
                self._forms.move_to_end(value)
                continue
            self._forms[value] = forms_of(value)
            self._redactor = None
            if len(self._forms) > IN_USE_MAX:
                self._forms.popitem(last=False)

    def text(self, text: str) -> str:
        """`text` without these values."""
        if self._redactor is None:
            self._redactor = Redactor.of_forms(form for forms in self._forms.values() for form in forms)
        return self._redactor.text(text)


def forms_of(value: str) -> frozenset[str]:
    """A secret as texts may show it: plain, quoted for JSON, HTML, addresses and Python, in hexadecimal, in base64 among other bytes."""
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], value.replace("/", "\\/"), repr(value)[1:-1]}
    forms |= {html.escape(value), raw.hex(), raw.hex().upper()}
    percent = {quoted for safe in ("", "/") for quoted in (quote(raw, safe=safe), quote_plus(raw, safe=safe))}
    forms |= percent | {_lower_escapes(quoted) for quoted in percent}
    # In bytes that are looked at as Latin-1, other letters are two or more.
    forms |= {form.encode("utf-8", "surrogatepass").decode("latin-1") for form in forms}
    forms |= {form for skipped in range(3) for form in _base64(raw, skipped)}
    return frozenset(block for form in forms if len(form) >= FORM_CHARS_MIN for block in _blocks(form))


def _base64(raw: bytes, skipped: int) -> tuple[str, str]:
    """What of the base64 of `skipped` bytes and then `raw` is certain whatever stands around it, in both alphabets."""
    first, end = -(-8 * skipped // 6), 8 * (skipped + len(raw)) // 6
    text = base64.b64encode(bytes(skipped) + raw).decode()[first:end]
    return text, text.replace("+", "-").replace("/", "_")


def _blocks(form: str) -> Iterable[str]:
    """The form, or where it is long, pieces that cover it."""
    if len(form) <= BLOCK_CHARS:
        return (form,)
    return (*(form[at : at + BLOCK_CHARS] for at in range(0, len(form) - BLOCK_CHARS, BLOCK_CHARS)), form[-BLOCK_CHARS:])


def _lower_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])
