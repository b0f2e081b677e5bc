"""TinyDB tables whose ids are our keys, read and written row by row.

The rule: TinyDB's own methods (`get`, `search`, `update`, `remove`) work, and those that name ids
touch only those rows; the store's own (`find`, `put`, `drop`) go to the row itself. TinyDB's private pair
`_read_table` / `_update_table` is what makes that possible; `tests/store` guards it, and pyproject pins
tinydb below 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tinydb import TinyDB
from tinydb.storages import Storage
from tinydb.table import Table

from store.sqlite_storage import Row, SqliteRows


class _Rows(Mapping[str, Row]):
    """One table as the mapping TinyDB reads from; every access reads the row itself."""

    def __init__(self, storage: SqliteRows, table: str) -> None:
        self._storage = storage
        self._table = table

    def __getitem__(self, key: str) -> Row:
        row = self._storage.one(self._table, key)
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._storage.keys(self._table))

    def __len__(self) -> int:
        return len(self._storage.keys(self._table))


class _Overlay(MutableMapping[str, Row]):
    """The mapping TinyDB's updaters change; remembers what they did instead of doing it."""

    def __init__(self, rows: _Rows) -> None:
        self._rows = rows
        self._seen: dict[str, Row] = {}
        self.puts: dict[str, Row] = {}
        self.gone: set[str] = set()

    def __getitem__(self, key: str) -> Row:
        if key in self.gone:
            raise KeyError(key)
        if key in self.puts:
            return self.puts[key]
        if key not in self._seen:
            self._seen[key] = self._rows[key]
        return self._seen[key]

    def __setitem__(self, key: str, row: Row) -> None:
        self.gone.discard(key)
        self.puts[key] = row

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.puts.pop(key, None)
        self._seen.pop(key, None)
        self.gone.add(key)

    def __iter__(self) -> Iterator[str]:
        kept = {key for key in self._rows if key not in self.gone}
        return iter(sorted(kept | set(self.puts)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def changed(self) -> dict[str, Row]:
        """What was put, and what was changed in place after being looked at."""
        in_place = {key: row for key, row in self._seen.items() if row != self._rows[key]}
        return {**in_place, **self.puts}


class KeyedTable(Table):
    """One table of a `KeyedDB`."""

    document_id_class = str  # type: ignore[assignment]  # TinyDB's annotations know int ids only

    def __init__(
        self, storage: Storage, name: str, cache_size: int = 0, persist_empty: bool = False
    ) -> None:
        # No query cache: writer and reader are two KeyedDBs, one's cache would miss the other's
        # writes. (TinyDB reads `default_query_cache_capacity` too early for us to override.)
        super().__init__(storage, name, cache_size, persist_empty)

    def find(self, key: str) -> Row | None:
        """Return one document, or None."""
        return self._rows_storage().one(self.name, key)

    def put(self, key: str, row: Row) -> None:
        """Write a document as it is (`upsert` would merge it into what is there)."""
        self._rows_storage().change(self.name, {key: row}, ())

    def drop(self, key: str) -> None:
        """Remove a document, if it is there."""
        self._rows_storage().change(self.name, {}, (key,))

    def starting_with(self, prefix: str) -> list[tuple[str, Row]]:
        """Return the documents whose key starts with `prefix`, ordered by key."""
        return list(self._rows_storage().from_prefix(self.name, prefix))

    def _read_table(self) -> Any:
        return _Rows(self._rows_storage(), self.name)

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        storage = self._rows_storage()
        with storage.transaction():
            overlay = _Overlay(_Rows(storage, self.name))
            updater(overlay)
            storage.change(self.name, overlay.changed(), overlay.gone)
        self.clear_cache()

    def _rows_storage(self) -> SqliteRows:
        if not isinstance(self._storage, SqliteRows):
            raise TypeError("a KeyedTable lies on SqliteRows")
        return self._storage


class KeyedDB(TinyDB):
    """TinyDB with keyed tables on SQLite rows.

    Args:
        path: the database file.
        readonly: a second view of a file that is open for writing already.
    """

    table_class = KeyedTable

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        super().__init__(path, readonly=readonly, storage=SqliteRows)

    def keyed(self, name: str) -> KeyedTable:
        """Return a table by its name."""
        table = self.table(name)
        if not isinstance(table, KeyedTable):
            raise TypeError(f"{name} is not a KeyedTable")
        return table

    def transaction(self, *, durable: bool = True) -> AbstractContextManager[None]:
        """Writes to any tables inside are committed together; an exception undoes them.

        Args:
            durable: see `SqliteRows.transaction`.
        """
        return self._rows().transaction(durable=durable)

    def fold(self) -> bool:
        """Empty the log into the file; see `SqliteRows.fold`."""
        return self._rows().fold()

    def _rows(self) -> SqliteRows:
        if not isinstance(self.storage, SqliteRows):
            raise TypeError("a KeyedDB lies on SqliteRows")
        return self.storage
