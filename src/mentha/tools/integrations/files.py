"""Files that come as base64 among the arguments of a call. Pure."""

import base64
import binascii
import re

from mentha.core.json import JsonValue
from mentha.tools.calls import ToolFailed

FILES_MAX = 20
NAME_CHARS_MAX = 255
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


def decoded(text: JsonValue, name: str = "file") -> bytes:
    """The bytes of a file in base64, standard or URL-safe, or in a `data:` URL.

    Raises:
        ToolFailed: it is none, or empty.
    """
    given = text if isinstance(text, str) else ""
    head = _DATA_URL.match(given[:200])
    packed = "".join((given[head.end() :] if head else given).split()).translate(str.maketrans("-_", "+/"))
    try:
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise ToolFailed(f"the argument `{name}` must be a file in base64")
    return data


def several(value: JsonValue, name: str = "file") -> list[str]:
    """One file or a list of them, as a list.

    Raises:
        ToolFailed: there are none, or more than `FILES_MAX`.
    """
    found = value if isinstance(value, list) else [value]
    if not found or len(found) > FILES_MAX or not all(isinstance(each, str) for each in found):
        raise ToolFailed(f"the argument `{name}` must be a file, or a list of 1 to {FILES_MAX}")
    return [str(each) for each in found]


def filename(given: JsonValue, default: str) -> str:
    """A name without a path.

    Raises:
        ToolFailed: it has control characters, slashes, or more than `NAME_CHARS_MAX` characters.
    """
    name = given if isinstance(given, str) and given else default
    if _UNSAFE.search(name) or len(name) > NAME_CHARS_MAX:
        raise ToolFailed("the argument `filename` must be a plain name of a file")
    return name


def is_url(text: str) -> bool:
    """Whether a text is an address of the web."""
    return text.lower().startswith(("http://", "https://"))
