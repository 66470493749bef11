"""Google's service accounts: the file that Google gives, and the signed claim that it is exchanged by. Pure.

Source: Google's "Using OAuth 2.0 for server to server applications"; RFC 7523 for the claim.
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

from mentha.core import lazy
from mentha.core.json import JsonInvalid, dumps, loads_hostile

TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
FILE_CHARS_MAX = 20_000
# Google's keys have 2,048; checking one of 16,384 holds a thread for seconds.
KEY_BITS_MIN, KEY_BITS_MAX = 1_024, 4_096
CLAIM_S = 3_600


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """An account: its address, the private key in PEM, and where claims are exchanged for tokens."""

    email: str
    private_key: str = field(repr=False)
    token_uri: str


def parse(text: str) -> ServiceAccount:
    """An account's file: JSON, or that in base64.

    Raises:
        ValueError: it is none. The message tells nothing of the text.
    """
    given = text.strip()
    try:
        raw = given.encode() if given.startswith("{") else base64.b64decode("".join(given.split()), validate=True)
        found: Any = loads_hostile(raw) if len(given) <= FILE_CHARS_MAX else None
    except (binascii.Error, JsonInvalid, ValueError):
        found = None
    email, key = (found.get("client_email"), found.get("private_key")) if isinstance(found, dict) else (None, None)
    if not isinstance(email, str) or not isinstance(key, str) or not email or not key:
        raise ValueError("no file of a service account with `client_email` and `private_key`, plain or in base64")
    return ServiceAccount(email, key, token_uri=str(found.get("token_uri") or TOKEN_URI))


def claim(account: ServiceAccount, scope: str, now_s: int) -> str:
    """A claim, signed, to be exchanged for a token within the next hour.

    It computes for milliseconds: call it in a thread.

    Raises:
        ValueError: the private key is none, no RSA key, or of an unusual size.
    """
    serialization: Any = lazy.load("cryptography.hazmat.primitives.serialization")
    hashes: Any = lazy.load("cryptography.hazmat.primitives.hashes")
    padding: Any = lazy.load("cryptography.hazmat.primitives.asymmetric.padding")
    rsa: Any = lazy.load("cryptography.hazmat.primitives.asymmetric.rsa")
    try:
        key: Any = serialization.load_pem_private_key(account.private_key.encode(), password=None)
    except Exception:  # noqa: BLE001 - the library has many classes for a text that is no key
        key = None
    if key is None or not isinstance(key, rsa.RSAPrivateKey) or not KEY_BITS_MIN <= key.key_size <= KEY_BITS_MAX:
        raise ValueError("the `private_key` of the service account is no RSA key in PEM")
    claims = {"iss": account.email, "scope": scope, "aud": account.token_uri, "iat": now_s, "exp": now_s + CLAIM_S}
    signed = f"{_packed({'alg': 'RS256', 'typ': 'JWT'})}.{_packed(claims)}"
    return f"{signed}.{_url64(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _packed(value: Any) -> str:
    return _url64(dumps(value))


def _url64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
