"""SQLite rows as a TinyDB storage: a write costs the document, not the file.

The rule: what is inside one `transaction()` is on the disk in full after a power cut, or not at all
(WAL, `synchronous=FULL`); what is inside one that is not durable, together with the next that is. One
connection, used by one thread at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from tinydb.storages import Storage

from store.batch import to_json
from store.store import DocumentError

Row: TypeAlias = dict[str, Any]

_CREATE = """create table if not exists documents(
    tbl text not null, key text not null, json text not null, primary key (tbl, key)
) without rowid"""
_UPSERT = """insert into documents values (?, ?, ?)
    on conflict (tbl, key) do update set json = excluded.json"""

# To fold the log back into the file takes the disk, too.
_WAITING = (
    "pragma synchronous=full",
    "pragma wal_autocheckpoint=1000",
    "pragma busy_timeout=5000",
)
_NOT_WAITING = (
    "pragma synchronous=normal",
    "pragma wal_autocheckpoint=0",
    "pragma busy_timeout=0",
)
# Who reads is soon done, or it is tried again; meanwhile nobody saves.
_FOLDING = ("pragma busy_timeout=100",)
_DELETE = "delete from documents where tbl = ? and key = ?"


class SqliteRows(Storage):
    """A TinyDB storage that can also read and change single documents.

    Args:
        path: the database file.
        readonly: a second view of a file that is open for writing already; sees what is committed.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__()
        self.path = path
        # The threads take turns by construction (see TinyStore), hence no check.
        self._waits = True
        self._sqlite = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            if readonly:
                self._sqlite.execute("pragma query_only=on")
                return
            self._require_sound()
            self._sqlite.execute("pragma journal_mode=wal")
            self._set(_WAITING)
            # Turns and outbox rows hold plaintext: zero what is deleted. `fast` would leave what fills pages.
            self._sqlite.execute("pragma secure_delete=on")
            self._sqlite.execute(_CREATE)
        except BaseException:
            self._sqlite.close()
            raise

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All that happens inside is committed together; an exception undoes it.

        Args:
            durable: the commit waits for the disk, and for another program that holds the file. If not, it
                does not touch the disk at all: SQLite (`synchronous=NORMAL`) appends it to the log, which the
                next that waits writes out in order.
        """
        if self._sqlite.in_transaction:
            yield
            return
        if durable is not self._waits:
            self._set(_WAITING if durable else _NOT_WAITING)
            self._waits = durable
        self._sqlite.execute("begin immediate")
        try:
            yield
            self._sqlite.execute("commit")
        finally:
            if self._sqlite.in_transaction:
                self._sqlite.execute("rollback")

    def fold(self) -> bool:
        """Sync the log, write it back into the file and empty it: what was deleted is then in neither.

        Returns:
            False if the log was not emptied, because somebody was reading it.

        Raises:
            sqlite3.Error, OSError: the disk refuses; the log stays as it is.
        """
        # SQLite syncs it only where there is something that it may write back.
        sync(self.path.with_name(self.path.name + "-wal"))
        self._set(_FOLDING)
        try:
            (busy, _, _) = self._sqlite.execute("pragma wal_checkpoint(truncate)").fetchone()
        finally:
            self._set(_WAITING if self._waits else _NOT_WAITING)
        return not busy

    def one(self, table: str, key: str) -> Row | None:
        """Return a single document."""
        row = self._sqlite.execute(
            "select json from documents where tbl = ? and key = ?", (table, key)
        ).fetchone()
        return None if row is None else self._parsed(table, key, row[0])

    def keys(self, table: str) -> list[str]:
        """Return all keys of a table, in order."""
        rows = self._sqlite.execute(
            "select key from documents where tbl = ? order by key", (table,)
        )
        return [key for (key,) in rows]

    def from_prefix(self, table: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """Yield the documents whose key starts with `prefix`, in order of their keys.

        Keys compare as UTF-8 bytes, so those with a prefix are neighbours. No LIKE or GLOB: the
        prefix may hold their wildcards.
        """
        rows = self._sqlite.execute(
            "select key, json from documents where tbl = ? and key >= ? order by key",
            (table, prefix),
        )
        with closing(rows):
            for key, text in rows:
                if not key.startswith(prefix):
                    return
                yield key, self._parsed(table, key, text)

    def change(self, table: str, puts: Mapping[str, Row], gone: Collection[str]) -> None:
        """Write and remove documents of one table, in the open transaction or one of its own."""
        with self.transaction():
            for key in gone:
                self._sqlite.execute(_DELETE, (table, key))
            for key, document in puts.items():
                self._sqlite.execute(_UPSERT, (table, key, to_json(document)))

    def read(self) -> dict[str, dict[str, Any]] | None:
        """Return everything (TinyDB's contract; used by `TinyDB.tables` and the like)."""
        tables: dict[str, dict[str, Any]] = {}
        for table, key, text in self._sqlite.execute("select tbl, key, json from documents"):
            tables.setdefault(table, {})[key] = self._parsed(table, key, text)
        return tables or None

    def write(self, data: dict[str, dict[str, Any]]) -> None:
        """Replace everything (TinyDB's contract; used by `TinyDB.drop_tables` and the like)."""
        with self.transaction():
            self._sqlite.execute("delete from documents")
            for table, rows in data.items():
                self.change(table, rows, set())

    def close(self) -> None:
        """Close the connection."""
        self._sqlite.close()

    def _set(self, pragmas: Iterable[str]) -> None:
        for pragma in pragmas:
            self._sqlite.execute(pragma)

    def _require_sound(self) -> None:
        """Raise `sqlite3.DatabaseError` for a damaged or foreign file, before touching it."""
        (verdict,) = self._sqlite.execute("pragma quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        names = {name for (name,) in self._sqlite.execute("select name from sqlite_schema")}
        if names and "documents" not in names:
            raise sqlite3.DatabaseError(f"it belongs to another program (tables {sorted(names)})")

    def _parsed(self, table: str, key: str, text: str) -> Row:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DocumentError(f"{table}/{key} in {self.path}: damaged, {error}") from error
        if not isinstance(document, dict):
            raise DocumentError(f"{table}/{key} in {self.path}: damaged, not a JSON object")
        return document


def sync(path: Path) -> None:
    """Wait until what was written to a file, or made in a directory, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
