"""Secret storage and cross-signing by themselves: what is written down, sealed and signed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey as Independent
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json

from surface.matrix import secret_storage as storage
from surface.matrix.cross_signing import USAGES, Identity, SigningKey, canonical, is_signed
from surface.matrix.cross_signing import published_keys as published
from surface.matrix.secret_storage import NoRecoveryKey, SealBroken

KEYS = st.binary(min_size=32, max_size=32)
ME = "@bot:localhost"


def test_the_recovery_key_is_that_of_other_implementations() -> None:
    # A key of matrix-js-sdk's tests.
    text = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"
    assert storage.recovery_key(storage.read_recovery_key(text)) == text


@given(KEYS)
def test_a_recovery_key_comes_back_however_it_is_spaced(key: bytes) -> None:
    text = storage.recovery_key(key)
    assert [len(group) for group in text.split()] == [4] * 12
    assert storage.read_recovery_key(text) == key
    assert storage.read_recovery_key(f"\n{text.replace(' ', '')} ") == key


@given(KEYS, st.data())
def test_a_slip_of_the_pen_is_noticed(key: bytes, data: st.DataObject) -> None:
    text = storage.recovery_key(key)
    at = data.draw(st.sampled_from([i for i, letter in enumerate(text) if letter != " "]))
    others = [x for x in "123ABCxyz0OIl" if x != text[at]]
    wrong = text[:at] + data.draw(st.sampled_from(others)) + text[at + 1 :]
    try:
        read = storage.read_recovery_key(wrong)
    except NoRecoveryKey:
        return
    assert read != key  # the checksum has eight bits


@pytest.mark.parametrize("text", ["", "1", "EsTc LW2K", "z" * 60, "0" * 48, "EsTc" * 20])
def test_what_is_no_recovery_key_is_refused(text: str) -> None:
    with pytest.raises(NoRecoveryKey):
        storage.read_recovery_key(text)


@given(KEYS, st.text(max_size=20), st.binary(max_size=100))
def test_a_seal_opens_with_its_key_and_name_only(key: bytes, name: str, secret: bytes) -> None:
    sealed = storage.seal(key, name, secret)
    assert storage.unseal(key, name, sealed) == secret
    for other, called in ((bytes(32) if any(key) else b"1" * 32, name), (key, f"{name}.")):
        with pytest.raises(SealBroken):
            storage.unseal(other, called, sealed)
    assert storage.fits(key, storage.description(key))
    assert not storage.fits(bytes(31) + b"x", storage.description(key))


@pytest.mark.parametrize("broken", [None, {}, [], "x", {"iv": 1, "ciphertext": "", "mac": ""}])
def test_what_is_no_seal_is_broken(broken: object) -> None:
    with pytest.raises(SealBroken):
        storage.unseal(bytes(32), "name", broken)


@given(KEYS)
def test_the_public_key_is_that_of_the_seed(seed: bytes) -> None:
    assert storage.from_base64(SigningKey(seed).public) == bytes(Independent(seed).verify_key)


@given(st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.booleans()))
def test_an_independent_implementation_takes_the_signature(value: dict[str, object]) -> None:
    key = SigningKey(storage.new_key())
    signed = key.signed({**value, "unsigned": {"age": 1}}, ME)

    public = decode_verify_key_bytes(key.key_id, storage.from_base64(key.public))
    verify_signed_json(signed, ME, public)
    assert key.has_signed(signed, ME)
    forged = {**signed, "more": 1} if "more" not in signed else {"signatures": signed["signatures"]}
    with pytest.raises(SignatureVerifyException):
        verify_signed_json(forged, ME, public)
    assert not key.has_signed(forged, ME)
    assert not SigningKey(storage.new_key()).has_signed(signed, ME)


def test_canonical_json_is_sorted_short_and_utf8() -> None:
    assert canonical({"b": "ü", "a": [1, {"d": None, "c": True}]}) == (
        b'{"a":[1,{"c":true,"d":null}],"b":"\xc3\xbc"}'
    )


def test_an_identity_is_published_with_the_master_keys_signatures() -> None:
    identity = Identity.new(ME)
    body = identity.public()

    assert "signatures" not in body["master_key"]
    for usage in USAGES[1:]:
        assert is_signed(body[f"{usage}_key"], ME, identity.master.public)
    answer = {f"{usage}_keys": {ME: body[f"{usage}_key"]} for usage in USAGES}
    assert identity.is_published(published(answer, ME))
    assert not Identity.new(ME).is_published(published(answer, ME))
    assert Identity.of(ME, identity.seeds).public() == body


@pytest.mark.parametrize("answer", [{}, {"master_keys": []}, {"master_keys": {ME: {"keys": []}}}])
def test_an_account_without_an_identity_has_none(answer: dict[str, object]) -> None:
    assert published(answer, ME) == dict.fromkeys(USAGES)
