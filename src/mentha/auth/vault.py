"""Encryption of what must be stored and can't be a hash: AES-256-GCM under a key that the database never sees. Pure.

A value is bound to its tenant and its id: a row that was moved, or whose bytes were changed, does not decrypt. Which of several keys to
encrypt with is not decided here but by the database (`store/encryption_keys.py`), so that all servers change it in the same moment.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mentha.core import lazy
from mentha.core.errors import SecretsUnavailable

KEY_BYTES = 32
# A key that a person typed repeats itself; 32 random bytes have over 20 different ones.
KEY_DISTINCT_BYTES_MIN = 12
NONCE_BYTES = 12
# Before the nonce, so that the form of what is stored can change some day.
FORM = b"\x01"
FINGERPRINT_BYTES = 8
TAG_BYTES = 12


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted value as it is stored.

    Attributes:
        id: the id of the row that it belongs to.
        key_id: the fingerprint of its key.
        data: a byte for the form, the nonce, the ciphertext with its tag.
    """

    id: UUID
    key_id: str
    data: bytes


def parse_key(text: str) -> bytes:
    """The 32 bytes of a key that is written as base64, URL-safe or not, or as 64 hexadecimal digits.

    Raises:
        ValueError: it is neither, or nothing that chance would make. The message tells nothing of the text.
    """
    text = text.strip()
    try:
        key = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else _base64(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key is {KEY_BYTES} bytes in base64 or hexadecimal; `openssl rand -base64 {KEY_BYTES}` makes one")
    if len(set(key)) < KEY_DISTINCT_BYTES_MIN:
        raise ValueError(f"a key must be random; `openssl rand -base64 {KEY_BYTES}` makes one")
    return key


def new_key() -> bytes:
    """A new random key."""
    return os.urandom(KEY_BYTES)


def written(key: bytes) -> str:
    """A key in base64, as `parse_key` reads it."""
    return binascii.b2a_base64(key, newline=False).decode()


def fingerprint(key: bytes) -> str:
    """16 hexadecimal digits that tell keys apart, and tell nothing about them."""
    return hmac.digest(key, b"mentha encryption key", "sha256")[:FINGERPRINT_BYTES].hex()


class Vault:
    """Encrypts and decrypts with the keys that this process knows.

    Args:
        keys: the one to use from now on first, then older ones. None at all: every use is refused.
        reread: gives the keys anew; asked when a value has a key that is not among them.
    """

    def __init__(self, keys: Sequence[bytes] = (), *, reread: Callable[[], Sequence[bytes]] | None = None) -> None:
        self._reread = reread
        self._ciphers: dict[str, Any] = {}
        self._keys = {fingerprint(key): key for key in keys}

    def __repr__(self) -> str:
        return f"Vault({', '.join(self._keys)})"

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The fingerprints of its keys, the one to use from now on first."""
        return tuple(self._keys)

    def encrypt(self, tenant: UUID, row_id: UUID, value: str, *, key_id: str) -> Sealed:
        """Encrypt a value under the key with this fingerprint.

        Raises:
            SecretsUnavailable: this process does not know that key.
        """
        nonce = os.urandom(NONCE_BYTES)
        data = self._cipher(key_id).encrypt(nonce, value.encode(), _bound_to(tenant, row_id))
        return Sealed(row_id, key_id, FORM + nonce + data)

    def decrypt(self, tenant: UUID, sealed: Sealed) -> str:
        """The value in the clear.

        Raises:
            SecretsUnavailable: this process does not know its key, or the row was changed, or is another one's.
        """
        cipher, start = self._cipher(sealed.key_id), len(FORM) + NONCE_BYTES
        if sealed.data.startswith(FORM):
            try:
                plain: bytes = cipher.decrypt(sealed.data[len(FORM) : start], sealed.data[start:], _bound_to(tenant, sealed.id))
                return plain.decode()
            except (lazy.load("cryptography.exceptions").InvalidTag, ValueError):
                pass  # told below, for what was written in another form too
        raise SecretsUnavailable(
            f"what is stored of the secret {sealed.id} was changed and can't be decrypted", fix="delete the secret and create it again"
        )

    def tag(self, tenant: UUID, text: str) -> str:
        """16 letters that only somebody with the key can make of a text, for this tenant.

        Raises:
            SecretsUnavailable: this process has no key.
        """
        if not self._keys:
            raise _unknown("")
        return _tag(next(iter(self._keys.values())), tenant, text)

    def is_tag(self, tenant: UUID, text: str, tag: str) -> bool:
        """Whether `tag` gave this, under any of the keys."""
        return any(hmac.compare_digest(_tag(key, tenant, text), tag) for key in self._keys.values())

    def _cipher(self, key_id: str) -> Any:
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            if key_id not in self._keys and self._reread is not None:
                self._keys = {**{fingerprint(key): key for key in self._reread()}, **self._keys}
            if key_id not in self._keys:
                raise _unknown(key_id)
            cipher = self._ciphers[key_id] = lazy.load("cryptography.hazmat.primitives.ciphers.aead").AESGCM(self._keys[key_id])
        return cipher


def _tag(key: bytes, tenant: UUID, text: str) -> str:
    own = hmac.digest(key, b"mentha tag", "sha256")
    return base64.urlsafe_b64encode(hmac.digest(own, tenant.bytes + text.encode(), "sha256")[:TAG_BYTES]).decode()


def _base64(text: str) -> bytes:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)


def _bound_to(tenant: UUID, row_id: UUID) -> bytes:
    return b"mentha secret" + tenant.bytes + row_id.bytes


def _unknown(key_id: str) -> SecretsUnavailable:
    return SecretsUnavailable(
        f"this server has not the key {key_id} that secrets are encrypted with",
        fix="the operator sets MENTHA_ENCRYPTION_KEY (while a key is changed, MENTHA_ENCRYPTION_KEY_PREVIOUS too) and restarts the server",
    )
