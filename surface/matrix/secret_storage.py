"""Secrets that only who has a key can read, in the form in which Matrix clients keep them on a homeserver.

Pure (spec, "Secret storage", `m.secret_storage.v1.aes-hmac-sha2`): keys, texts and JSON in, JSON and texts
out. The key that a person keeps is the *recovery key*: 32 bytes, written in base58 with a checksum. The same
seal also protects what lies on the disk.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Any

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF

ALGORITHM = "m.secret_storage.v1.aes-hmac-sha2"
KEY_BYTES = 32
_PREFIX = bytes((0x8B, 0x01))
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class SealBroken(Exception):
    """A secret cannot be opened: the wrong key, or it is not what was sealed."""


class NoRecoveryKey(ValueError):
    """A text is not a recovery key; the message says in which way."""


def unpadded(data: bytes) -> str:
    """Base64 as Matrix writes it: without `=`."""
    return base64.b64encode(data).decode().rstrip("=")


def from_base64(text: str) -> bytes:
    """The bytes behind base64, padded or not.

    Raises:
        ValueError: it is none.
    """
    return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)


def new_key() -> bytes:
    """A new key."""
    return secrets.token_bytes(KEY_BYTES)


def recovery_key(key: bytes) -> str:
    """A key as people write it down (spec, "Cryptographic key representation")."""
    data = _PREFIX + key
    data += bytes((_parity(data),))
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _ALPHABET[digit] + text
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def read_recovery_key(text: str) -> bytes:
    """The key behind a recovery key; white space does not matter.

    Raises:
        NoRecoveryKey: it is none, or was written down wrongly.
    """
    number = 0
    for letter in "".join(text.split()):
        digit = _ALPHABET.find(letter)
        if digit < 0:
            raise NoRecoveryKey("a letter in it does not occur in recovery keys")
        number = number * 58 + digit
    length = len(_PREFIX) + KEY_BYTES + 1
    if number >= 1 << (8 * length):
        raise NoRecoveryKey("it is too long")
    data = number.to_bytes(length, "big")
    if not data.startswith(_PREFIX):
        raise NoRecoveryKey("it is incomplete, or no recovery key")
    if _parity(data):
        raise NoRecoveryKey("a letter in it is wrong")
    return data[len(_PREFIX) : -1]


def key_id(key: bytes) -> str:
    """The name under which a key's description is kept; always the same, so that it is made once."""
    return hashlib.sha256(b"lambda.surface.key" + key).hexdigest()[:32]


def description(key: bytes) -> dict[str, Any]:
    """What is kept of a key itself: enough to tell whether one has the right one."""
    sealed = seal(key, "", bytes(32))
    return {"algorithm": ALGORITHM, "iv": sealed["iv"], "mac": sealed["mac"]}


def fits(key: bytes, described: dict[str, Any]) -> bool:
    """Whether a key is the one that is described; a description that says nothing fits any."""
    if described.get("algorithm") != ALGORITHM:
        return False
    iv, mac = described.get("iv"), described.get("mac")
    if not isinstance(iv, str) or not isinstance(mac, str):
        return True
    try:
        return hmac.compare_digest(
            _sealed(key, "", bytes(32), from_base64(iv))[1], from_base64(mac)
        )
    except (ValueError, binascii.Error):
        return False


def seal(key: bytes, name: str, secret: bytes) -> dict[str, str]:
    """Encrypt a secret of this name: `iv`, `ciphertext`, `mac`."""
    iv = bytearray(secrets.token_bytes(16))
    iv[8] &= 0x7F  # Spec: bit 63 is 0, for implementations that count with 64 bits.
    ciphertext, mac = _sealed(key, name, secret, bytes(iv))
    return {"iv": unpadded(bytes(iv)), "ciphertext": unpadded(ciphertext), "mac": unpadded(mac)}


def unseal(key: bytes, name: str, sealed: Any) -> bytes:
    """The secret of this name.

    Raises:
        SealBroken: another key, another name, or something has been changed.
    """
    try:
        iv, ciphertext = from_base64(sealed["iv"]), from_base64(sealed["ciphertext"])
        told = from_base64(sealed["mac"])
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise SealBroken(f"`{name}` is not a sealed secret") from error
    aes, mac = _keys(key, name)
    if len(iv) != 16 or not hmac.compare_digest(hmac.digest(mac, ciphertext, "sha256"), told):
        raise SealBroken(f"`{name}` was sealed with another key, or changed")
    return AES.new(aes, AES.MODE_CTR, nonce=b"", initial_value=iv).decrypt(ciphertext)


def _sealed(key: bytes, name: str, secret: bytes, iv: bytes) -> tuple[bytes, bytes]:
    aes, mac = _keys(key, name)
    ciphertext = AES.new(aes, AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(secret)
    return ciphertext, hmac.digest(mac, ciphertext, "sha256")


def _keys(key: bytes, name: str) -> tuple[bytes, bytes]:
    both = HKDF(key, 64, bytes(32), SHA256, context=name.encode())
    assert isinstance(both, bytes)
    return both[:32], both[32:]


def _parity(data: bytes) -> int:
    parity = 0
    for byte in data:
        parity ^= byte
    return parity
