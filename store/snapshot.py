"""A consistent copy of a store that may be open, and be written to, meanwhile.

The rule: the copy is what one moment's readers saw, whole; SQLite makes it inside one read transaction, and
the writer does not wait for it. What was deleted is not in the copy, not even in its unused pages.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from store.examine import is_there
from store.store import StoreError


def snapshot(path: Path, copy: Path) -> None:
    """Write the store at `path`, as it is now, into a new file.

    Raises:
        StoreError: there is no store, it cannot be read, or there is no room for the copy.
    """
    path = path.absolute()
    if not is_there(path):
        raise StoreError(f"{path}: there is no database yet; the first start makes it")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)) as source:
            source.execute("vacuum into ?", (str(copy),))
        copy.chmod(0o600)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{path}: cannot be copied to {copy.parent}: {error}. See that the file is sound, and that "
            "there is room for a copy."
        ) from error
