"""Headers of downloads: a part of a file, whether the client has it already, and a name that is safe to send. Pure.

Source: RFC 9110, sections 13 (conditions) and 14 (ranges); RFC 6266 and RFC 8187 for names.
"""

import re
from urllib.parse import quote

from mentha.core.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_TAG = re.compile(r'(?:W/)?("[^"]*")')
# Characters that change how a name is shown, or what it does in a path.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f/\\:\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_PLAIN = re.compile(r"[^A-Za-z0-9 ._()-]")
NAME_FALLBACK = "file"


def range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Begin and end (exclusive) of the part that a `Range` header asks for; None where the whole is to be sent.

    A header in another unit, with several ranges, or that is broken, counts as not there, as the RFC allows.

    Raises:
        RangeNotSatisfiable: the part begins after the end, or has no bytes.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        begin, end = max(size - int(found[2]), 0), size
    else:
        begin, end = int(found[1]), min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < begin:
            return None
    if begin >= size or begin >= end:
        raise RangeNotSatisfiable(f"the file has {size} bytes", size=size)
    return begin, end


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has what `etag` (with its quotes) stands for."""
    return if_none_match is not None and (if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match))


def is_same(if_range: str | None, etag: str) -> bool:
    """Whether a range still belongs to what the client has; a date or a weak tag never does."""
    return if_range is None or if_range.strip() == etag


def disposition(name: str) -> str:
    """The value of `Content-Disposition`: always a download, under a name without anything that could lead it elsewhere."""
    safe = _UNSAFE.sub("_", name).strip(" .") or NAME_FALLBACK
    plain = _PLAIN.sub("_", safe)
    if plain == safe:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"
