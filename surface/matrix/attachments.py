"""Encrypted attachments, a piece at a time: AES-256-CTR, version 2 of the format (spec: EncryptedFile).

The hash is of the ciphertext, so it is known only with the last piece: whoever opens a file must not show
it to anybody before `verified`.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import Any, Protocol

from Crypto.Cipher import AES

from machines.effects import Source


class Opener(Protocol):
    """Turns what is downloaded into what was sent."""

    def update(self, piece: bytes) -> bytes:
        """The next piece as it was sent."""
        ...

    def verified(self) -> bool:
        """Whether all pieces together were what the event tells of."""
        ...


class Plain:
    """A file that is not encrypted: nothing tells what it should be."""

    def update(self, piece: bytes) -> bytes:
        """The piece itself."""
        return piece

    def verified(self) -> bool:
        """Yes: there is nothing to hold it to."""
        return True


class Opening:
    """Opens one encrypted file.

    Raises:
        ValueError: key, counter or hash are not what the specification asks for.
    """

    def __init__(self, key: str, iv: str, sha256: str) -> None:
        secret, counter, self._expected = (_bytes(text) for text in (key, iv, sha256))
        if (len(secret), len(counter), len(self._expected)) != (32, 16, 32):
            raise ValueError("key, iv or hash is of the wrong length")
        self._cipher = _ctr(secret, counter)
        self._hash = hashlib.sha256()

    def update(self, piece: bytes) -> bytes:
        """The next piece in plain."""
        self._hash.update(piece)
        return bytes(self._cipher.decrypt(piece))

    def verified(self) -> bool:
        """Whether the ciphertext was the one whose hash the event tells."""
        return secrets.compare_digest(self._hash.digest(), self._expected)


class Sealing:
    """Encrypts one file with a key of its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        # The counter's half begins at zero: where it would wrap, implementations differ.
        self._iv = secrets.token_bytes(8) + bytes(8)
        self._cipher = _ctr(self._key, self._iv)
        self._hash = hashlib.sha256()

    def update(self, piece: bytes) -> bytes:
        """The next piece sealed; as long as it was."""
        sealed = bytes(self._cipher.encrypt(piece))
        self._hash.update(sealed)
        return sealed

    def file(self, url: str) -> dict[str, Any]:
        """What the event tells of the file, when all of it was sealed."""
        return {
            "v": "v2",
            "url": url,
            "key": {
                "kty": "oct",
                "alg": "A256CTR",
                "ext": True,
                "k": urlsafe_b64encode(self._key).decode().rstrip("="),
                "key_ops": ["encrypt", "decrypt"],
            },
            "iv": b64encode(self._iv).decode().rstrip("="),
            "hashes": {"sha256": b64encode(self._hash.digest()).decode().rstrip("=")},
        }


def opener(source: Source) -> Opener:
    """What opens a file.

    Raises:
        ValueError: the event does not tell how in a way that can be understood.
    """
    if source.key is None or source.iv is None or source.sha256 is None:
        return Plain()
    return Opening(source.key, source.iv, source.sha256)


def _ctr(key: bytes, counter: bytes) -> Any:
    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=counter)


def _bytes(text: str) -> bytes:
    """Base64 of either alphabet, padded or not: clients have written all of them."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return b64decode(plain + "=" * (-len(plain) % 4), validate=True)
