"""Keys and tokens: how they are made and read, and which tokens are believed."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt as pyjwt
import pytest

from mentha.auth import jwt, keys

SECRET = "s" * 64
TENANT = UUID(int=7)
LATER = datetime.now(UTC) + timedelta(hours=1)


def token(secret: str = SECRET, algorithm: str = "HS512", **claims: Any) -> str:
    return pyjwt.encode({"sub": str(TENANT), "exp": LATER, **claims}, secret, algorithm=algorithm)


def test_new_keys_are_long_and_never_the_same() -> None:
    made = {keys.new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("mk_") and len(key) >= 40 for key in made)


def test_digest_is_the_sha256_of_the_key_and_takes_any_text() -> None:
    assert keys.digest("k") == hashlib.sha256(b"k").digest()
    assert len(keys.digest("ключ\ud800")) == 32


@pytest.mark.parametrize(("key", "shown"), [("mk_abcdefghijklmnopqrstuvwxyz", "mk_abcd…"), ("12345678", "12…"), ("abc", "…"), ("", "…")])
def test_hint_shows_never_more_than_a_quarter(key: str, shown: str) -> None:
    assert keys.hint(key) == shown


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer   k  "}, "k"),
        ({"authorization": "BEARER k"}, "k"),
        ({"authorization": "k"}, "k"),
        ({"authorization": " k "}, "k"),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer "}, None),
        ({"authorization": ""}, None),
        ({"authorization": "Basic abc"}, "Basic abc"),
        ({"x-auth-key": "k"}, "k"),
        ({"x-auth-key": "Bearer k"}, "k"),
        ({"authorization": "", "x-auth-key": "k"}, "k"),
        ({"authorization": "Bearer", "x-auth-key": "k"}, "k"),
        ({"authorization": "a", "x-auth-key": "b"}, "a"),
        ({"authorization": "k" * 4_096}, "k" * 4_096),
        ({"authorization": "k" * 4_097}, None),
    ],
)
def test_key_is_read_from_each_header_that_clients_use(headers: dict[str, str], key: str | None) -> None:
    assert keys.from_headers(headers) == key


def test_token_that_is_signed_and_in_time_names_its_tenant() -> None:
    assert jwt.tenant_of(token(), SECRET) == TENANT
    assert jwt.tenant_of(token(aud="somebody", iss="x"), SECRET) == TENANT


@pytest.mark.parametrize(
    "forged",
    [
        token(secret="x" * 64),
        token(algorithm="HS256"),
        token(algorithm="HS384"),
        token(exp=datetime.now(UTC) - timedelta(seconds=5)),
        token(nbf=LATER),
        token(sub="not-a-uuid"),
        token(sub=""),
        pyjwt.encode({"sub": str(TENANT)}, SECRET, algorithm="HS512"),
        pyjwt.encode({"exp": LATER}, SECRET, algorithm="HS512"),
        pyjwt.encode({"sub": str(TENANT), "exp": LATER}, None, algorithm="none"),
        token()[:-2],
        token().rpartition(".")[0] + ".",
        "eyJ.eyJ.x",
        "a.b.c",
        "",
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_token_that_is_not_ours_or_out_of_time_names_nobody(forged: str) -> None:
    assert jwt.tenant_of(forged, SECRET) is None


def test_keys_of_ours_are_never_taken_for_tokens() -> None:
    assert jwt.looks_like_jwt(token())
    assert not any(jwt.looks_like_jwt(key) for key in (keys.new_key(), "a.b.c", "eyJ", "eyJ.x", ""))
