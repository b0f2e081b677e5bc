"""A look at a store that nobody has open, without touching it.

The rule: the file is copied and the copy is opened, by the same code that opens the real one, so what
passes here will open there. Even a read-only SQLite connection would leave files beside the original.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from store.documents import VERSIONS
from store.store import StoreError
from store.tiny import TinyStore


def holder(path: Path) -> str | None:
    """Who has the store open: a process id, `another process`, or None if nobody has."""
    try:
        descriptor = os.open(path.with_suffix(".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return f"process {number}" if number else "another process"
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def is_there(path: Path) -> bool:
    """Whether there is a store that this user may read.

    Raises:
        StoreError: it cannot be told, or may not be read; says the way out.
    """
    try:
        path.open("rb").close()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}); run this as the user whose it is"
        ) from error
    return True


def examine(path: Path) -> dict[str, int]:
    """Read every document of a store that nobody has open; returns how many each table holds.

    Raises:
        StoreError: the file is damaged, from a newer version, or cannot be read; says the way out.
    """
    with tempfile.TemporaryDirectory(prefix="surface-check-") as folder:
        copy = copied(path, Path(folder))
        try:
            return asyncio.run(_count(copy))
        except StoreError as error:
            raise StoreError(str(error).replace(str(copy), str(path))) from None


def copied(path: Path, folder: Path) -> Path:
    """A copy of the store in a folder, to open in its place.

    Raises:
        StoreError: it cannot be read, or there is no room; says the way out.
    """
    copy = folder / path.name
    try:
        shutil.copyfile(path, copy)
        wal = path.with_name(f"{path.name}-wal")
        if wal.exists():
            shutil.copyfile(wal, copy.with_name(wal.name))
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror}). Give the surface's user access to it, and "
            f"see that {folder.parent} has room for a copy."
        ) from error
    return copy


async def _count(path: Path) -> dict[str, int]:
    store = TinyStore.open(path)
    try:
        return {table: len(await store.scan(table)) for table in VERSIONS}
    finally:
        await store.aclose()
