"""One process per state directory.

The rule: whoever holds the lock is the only one who opens the store. The lock is the kernel's
(`flock` on an open file), so it ends with its process, however that ends, and is never stale. The
file itself stays; taking it away would let two processes lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from store.store import StoreError, StoreLocked


@dataclass(frozen=True)
class Owner:
    """Whose a store is, as complaints call it."""

    program: str
    setting: str
    """What says where the store lies."""


SURFACE = Owner("surface", "state_dir")


class StateLock:
    """The lock of one state directory, held until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, owner: Owner = SURFACE) -> StateLock:
        """Take the lock, without waiting.

        Args:
            path: the lock file; its directory must exist.
            owner: whose it is.

        Raises:
            StoreLocked: someone holds it, be it in this process.
            StoreError: the file cannot be written or locked.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{path.parent}: cannot be written ({error.strerror}). "
                f"Give the {owner.program}'s user write access, or set another {owner.setting}."
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StoreLocked(
                f"{path.parent} is in use by another {owner.program}"
                f"{f' (process {holder})' if holder else ''}. "
                f"Stop it first, or give this one its own {owner.setting}."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise StoreError(
                f"{path}: cannot be locked ({error.strerror}). "
                f"Free disk space, or put {owner.setting} on a file system that supports locks."
            ) from error
        return cls(descriptor)

    def release(self) -> None:
        """Let go; twice is no error."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
