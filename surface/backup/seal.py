"""Archives under a passphrase, in the age format (age-encryption.org/v1): any `age` program opens them.

The rule: what is sealed is as it was, or is not opened at all; age authenticates every byte.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from surface.backup.errors import BackupError

HEAD = b"age-encryption.org/"
"""How a sealed file begins."""


def read_passphrase(file: Path) -> str:
    """The passphrase in a file, without the white space around it.

    Raises:
        BackupError: the file cannot be read, or is empty.
    """
    try:
        text = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise BackupError(
            f"{file}: the passphrase cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    if not text:
        raise BackupError(f"{file}: is empty; write the passphrase into it")
    return text


def seal(data: bytes, passphrase: str) -> bytes:
    """Encrypt.

    Raises:
        BackupError: the extra that it needs is not installed.
    """
    sealed: bytes = _age().encrypt(data, passphrase)
    return sealed


def unseal(data: bytes, passphrase: str) -> bytes:
    """Decrypt.

    Raises:
        BackupError: it is another passphrase, or a single byte is not what it was.
    """
    age = _age()
    try:
        opened: bytes = age.decrypt(data, passphrase)
    except Exception as error:
        # pyrage raises its own errors for bad data, but also plain ones for a torn header.
        raise BackupError(
            f"cannot be opened ({error}): it is another passphrase, or the file was damaged or altered"
        ) from error
    return opened


def _age() -> Any:
    try:
        return import_module("pyrage").passphrase
    except ModuleNotFoundError as error:
        raise BackupError(
            "encrypted backups need more than is installed here: pip install 'matrix-surface[backup]'"
        ) from error
