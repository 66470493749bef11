"""Which texts give a secret away: the secret, and the credential that stands inside of it. Pure.

A header is `Bearer sk-…`, and whoever refuses it repeats `sk-…` alone; a cookie is `sid=…; …`, a login two words in base64. `Redactor`
finds the texts that it is given in every form in which programs repeat them (`core/redact.py`); which texts, is said here.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from mentha.core.json import JsonValue, dumps

# Of one secret.
TEXTS_MAX = 200
# Shorter parts are words like `dark` in `theme=dark`, which may stand anywhere.
PART_CHARS_MIN = 8
LINE_CHARS_MIN = 16
HOST_LABEL_CHARS_MAX = 63
# A word like `Bearer`, then the credential.
_SCHEME = re.compile(r"[A-Za-z][\w.-]*\s+(\S+)")
_PAIR = re.compile(r"[\w.-]+=\"?([^\s;,&\"]+)")


def texts_of(secret: JsonValue) -> list[str]:
    """The texts to be taken out wherever they are repeated, each once; of numbers their digits, of objects all in them."""
    return list(dict.fromkeys(islice(_texts(secret), TEXTS_MAX)))


def texts_of_all(secrets: Iterable[JsonValue]) -> list[str]:
    """The same of several."""
    return [text for secret in secrets for text in texts_of(secret)]


def _texts(secret: JsonValue) -> Iterator[str]:
    if isinstance(secret, dict | list):
        for part in secret.values() if isinstance(secret, dict) else secret:
            yield from _texts(part)
    elif isinstance(secret, str):
        for text in _of_text(secret):
            yield text
            if len(text) <= HOST_LABEL_CHARS_MAX:
                # Names of hosts are compared, and shown, in lower case.
                yield text.lower()
    elif isinstance(secret, int | float) and not isinstance(secret, bool):
        yield str(secret)


def _of_text(secret: str) -> Iterator[str]:
    # In an address of the tool it is percent-encoded; what comes back is not.
    for text in dict.fromkeys((secret, unquote(secret), unquote_plus(secret), secret.strip())):
        yield text
        yield from _sent(text)
        yield from _parts(text)


def _sent(text: str) -> Iterator[str]:
    """The text as it goes out in an address or in a body: what repeats all that came repeats that, maybe in base64."""
    yield from {quote(text, safe=""), quote_plus(text), dumps(text).decode()[1:-1]} - {text}


def _parts(text: str) -> Iterator[str]:
    scheme = _SCHEME.fullmatch(text.strip())
    if scheme and len(scheme[1]) >= PART_CHARS_MIN:
        yield scheme[1]
        yield from _login(scheme[1])
    for value in _PAIR.findall(text):
        if len(value) >= PART_CHARS_MIN:
            yield value
    lines = text.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= LINE_CHARS_MIN)


def _login(encoded: str) -> Iterator[str]:
    """User and password of HTTP's Basic scheme (RFC 7617), and the password alone."""
    try:
        login = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return
    if ":" in login:
        yield login
        yield login.partition(":")[2]
