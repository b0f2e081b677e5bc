"""A look into a store that somebody else has open: read-only, no lock, no waiting.

For tools beside a running surface (`surface demo` shows a room's state). The rule: it sees what is
committed, and changes nothing. What decides or writes uses a `Store`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from store.batch import unpack
from store.store import StoreError, Table


def peek(path: Path, table: Table, *, prefix: str = "") -> dict[str, dict[str, Any]]:
    """The bodies of a table's documents by key; nothing while there is no such file, or it is new.

    Raises:
        StoreError: the file, or a document in it, cannot be read.
    """
    path = path.absolute()
    if not path.exists():
        return {}
    with looking(path) as connection:
        try:
            rows = connection.execute(
                "select key, json from documents where tbl = ? and substr(key, 1, ?) = ?",
                (table, len(prefix), prefix),
            ).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return {}
            raise
        return {key: unpack(table, key, json.loads(text)).body for key, text in rows}


@contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees what is committed and changes nothing, for one look; usable in any thread.

    Raises:
        StoreError: the file, or what was read of it, cannot be read.
    """
    path = path.absolute()
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            yield connection
    except (sqlite3.Error, ValueError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error
