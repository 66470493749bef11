"""Keys and encrypted values: what decrypts, what does not, and what errors never show."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mentha.auth import vault
from mentha.auth.vault import Sealed, Vault, fingerprint, new_key, parse_key, written
from mentha.core.errors import SecretsUnavailable
from mentha.core.ids import new_id

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
TENANT, ROW = new_id(), new_id()


def sealed(value: str = "hunter2!", *, key: bytes = KEY) -> Sealed:
    return Vault([key]).encrypt(TENANT, ROW, value, key_id=fingerprint(key))


@pytest.mark.parametrize(
    "text",
    [
        written(KEY),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.b64encode(KEY).decode().rstrip("="),
        KEY.hex(),
        KEY.hex().upper(),
        f"  {written(KEY)}\n",
    ],
)
def test_key_in_any_common_form_is_read(text: str) -> None:
    assert parse_key(text) == KEY


@pytest.mark.parametrize("alphabet", [b"\xfb\xff" * 8 + bytes(range(16))])
def test_key_with_characters_of_both_alphabets_is_read(alphabet: bytes) -> None:
    assert parse_key(base64.urlsafe_b64encode(alphabet).decode()) == parse_key(base64.b64encode(alphabet).decode()) == alphabet


@pytest.mark.parametrize(
    "text", ["", "password", "hunter2-" * 8, KEY.hex()[:-1], written(KEY)[:-5], written(KEY + b"x"), "é" * 44, "not base64 at all!" * 3]
)
def test_text_that_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="openssl rand -base64 32") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("key", [bytes(32), b"secret" * 5 + b"ab", b"0123456789a" * 2 + b"0123456789"])
def test_key_that_repeats_itself_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="random"):
        parse_key(written(key))


def test_new_keys_are_valid_and_differ() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(parse_key(written(key)) == key for key in keys)


def test_fingerprint_tells_keys_apart_and_nothing_of_them() -> None:
    assert fingerprint(KEY) != fingerprint(OTHER)
    assert len(fingerprint(KEY)) == 16
    assert fingerprint(KEY) not in KEY.hex()


@given(value=st.text(max_size=200), key=st.binary(min_size=32, max_size=32))
def test_value_comes_back_as_it_was(value: str, key: bytes) -> None:
    found = Vault([OTHER, key]).encrypt(TENANT, ROW, value, key_id=fingerprint(key))
    assert Vault([key]).decrypt(TENANT, found) == value
    assert len(value) < 6 or value.encode() not in found.data


def test_same_value_is_never_encrypted_the_same_way_twice() -> None:
    assert len({sealed().data for _ in range(200)}) == 200


@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_value_with_one_bit_changed_does_not_decrypt(place: int, bit: int) -> None:
    found = sealed()
    data = bytearray(found.data)
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(SecretsUnavailable, match="was changed"):
        Vault([KEY]).decrypt(TENANT, Sealed(ROW, found.key_id, bytes(data)))


@given(length=st.integers(0, 36))
def test_value_that_was_cut_off_does_not_decrypt(length: int) -> None:
    found = sealed()
    with pytest.raises(SecretsUnavailable, match="was changed"):
        Vault([KEY]).decrypt(TENANT, Sealed(ROW, found.key_id, found.data[:length]))


@pytest.mark.parametrize(("tenant", "row"), [(new_id(), ROW), (TENANT, new_id()), (ROW, TENANT), (UUID(int=0), ROW)])
def test_value_in_another_row_or_of_another_tenant_does_not_decrypt(tenant: UUID, row: UUID) -> None:
    found = sealed()
    with pytest.raises(SecretsUnavailable, match=f"{row} was changed"):
        Vault([KEY]).decrypt(tenant, Sealed(row, found.key_id, found.data))


def test_value_under_a_key_that_only_claims_to_be_known_does_not_decrypt() -> None:
    with pytest.raises(SecretsUnavailable, match="was changed"):
        Vault([KEY, OTHER]).decrypt(TENANT, Sealed(ROW, fingerprint(OTHER), sealed().data))


def test_value_under_an_unknown_key_names_the_key_and_the_setting() -> None:
    with pytest.raises(SecretsUnavailable, match=fingerprint(OTHER)) as caught:
        Vault([KEY]).decrypt(TENANT, sealed(key=OTHER))
    assert "MENTHA_ENCRYPTION_KEY" in (caught.value.fix or "")
    with pytest.raises(SecretsUnavailable, match=fingerprint(KEY)):
        Vault().encrypt(TENANT, ROW, "x", key_id=fingerprint(KEY))


def test_vault_asks_for_keys_anew_only_for_one_that_it_does_not_know() -> None:
    asked: list[int] = []

    def reread() -> list[bytes]:
        asked.append(1)
        return [OTHER]

    keys = Vault([KEY], reread=reread)
    assert keys.decrypt(TENANT, sealed()) == "hunter2!"
    assert asked == []
    assert keys.decrypt(TENANT, sealed(key=OTHER)) == "hunter2!"
    assert keys.decrypt(TENANT, sealed()) == "hunter2!"
    assert keys.key_ids == (fingerprint(OTHER), fingerprint(KEY))
    assert asked == [1]


def test_vault_shows_fingerprints_and_no_key() -> None:
    keys = Vault([KEY, OTHER])
    keys.encrypt(TENANT, ROW, "x", key_id=fingerprint(KEY))
    assert repr(keys) == f"Vault({fingerprint(KEY)}, {fingerprint(OTHER)})"


def test_form_of_what_is_stored_is_a_byte_a_nonce_and_the_value_with_its_tag() -> None:
    data = sealed("hunter2!").data
    assert data[:1] == vault.FORM
    assert len(data) == 1 + vault.NONCE_BYTES + len("hunter2!") + 16


def test_tag_holds_for_its_text_and_tenant_under_every_key_that_is_known() -> None:
    old, new = Vault([OTHER]), Vault([KEY, OTHER])
    tag = old.tag(TENANT, "a/b")
    assert len(tag) == 16
    assert new.is_tag(TENANT, "a/b", tag)
    assert new.is_tag(TENANT, "a/b", new.tag(TENANT, "a/b"))
    assert new.tag(TENANT, "a/b") != tag
    assert [new.is_tag(*other, tag) for other in ((new_id(), "a/b"), (TENANT, "a/c"))] == [False, False]
    assert not Vault([KEY]).is_tag(TENANT, "a/b", tag)
    with pytest.raises(SecretsUnavailable):
        Vault().tag(TENANT, "a/b")
