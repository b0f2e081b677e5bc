"""Encrypted attachments as the specification has them: AES-256-CTR, version 2 of the format."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def encrypt(data: bytes) -> tuple[bytes, dict[str, Any]]:
    """The ciphertext, and the `file` of the event but for its `url`."""
    key = secrets.token_bytes(32)
    # The counter's half starts at zero, or it may wrap at different places in different clients.
    iv = secrets.token_bytes(8) + bytes(8)
    ciphertext = _cipher(key, iv).encryptor().update(data)
    return ciphertext, {
        "v": "v2",
        "key": {
            "kty": "oct",
            "alg": "A256CTR",
            "ext": True,
            "k": urlsafe_b64encode(key).decode().rstrip("="),
            "key_ops": ["encrypt", "decrypt"],
        },
        "iv": b64encode(iv).decode().rstrip("="),
        "hashes": {"sha256": b64encode(hashlib.sha256(ciphertext).digest()).decode().rstrip("=")},
    }


def decrypt(ciphertext: bytes, file: dict[str, Any]) -> bytes:
    """The plain bytes.

    Raises:
        AssertionError: the bytes are not those the event tells the hash of.
    """
    found = b64encode(hashlib.sha256(ciphertext).digest()).decode().rstrip("=")
    assert found == file["hashes"]["sha256"].rstrip("="), "the attachment's hash does not match"
    key = urlsafe_b64decode(file["key"]["k"] + "==")
    return _cipher(key, b64decode(file["iv"] + "==")).decryptor().update(ciphertext)


def _cipher(key: bytes, iv: bytes) -> Cipher[modes.CTR]:
    return Cipher(algorithms.AES(key), modes.CTR(iv))
