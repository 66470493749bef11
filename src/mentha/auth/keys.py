"""Keys: how they are made, read from a request's headers, and hashed. A key itself is never stored."""

import hashlib
import secrets
from collections.abc import Mapping

KEY_PREFIX = "mk_"
KEY_BYTES = 32
HINT_CHARS = 7
# A key that a person chose must be hard to guess wherever others can reach the server.
CHOSEN_KEY_CHARS_MIN = 20
KEY_CHARS_MAX = 4_096


def new_key() -> str:
    """A new key: `mk_` and 32 random bytes in URL-safe base64."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def digest(key: str) -> bytes:
    """The SHA-256 by which a key is stored and found. Keys are random, so no slow hash is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def hint(key: str) -> str:
    """The first characters of a key, by which a person tells keys apart: never more than a quarter of it."""
    return key[: min(HINT_CHARS, len(key) // 4)] + "…"


def from_headers(headers: Mapping[str, str]) -> str | None:
    """The key that a request carries: `Authorization: Bearer k`, `Authorization: k` or `X-Auth-Key: k`; None where there is none."""
    for name in ("authorization", "x-auth-key"):
        value = headers.get(name, "").strip()
        if value[:7].lower() == "bearer ":
            value = value[7:].strip()
        if value and value.lower() != "bearer":
            return value if len(value) <= KEY_CHARS_MAX else None
    return None
