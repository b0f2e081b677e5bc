"""The store in one file: TinyDB documents on SQLite rows.

The rule: reads run where they are called (microseconds, committed data only); every save runs as
one transaction, and never do two interleave. One that waits for the disk runs on the writer thread, so that
an fsync never holds up the event loop; one that does not is done where it is called, unless the writer is
busy. A save whose caller is cancelled is still whole.

When the store has rested after a save, SQLite's log is emptied into the file, on the writer thread: what was
deleted is then in neither, and what did not wait for the disk is on it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from store import documents
from store.batch import Rules, decide, freeze, gives_out_ids, pack, storable_key, unpack
from store.keyed_table import KeyedDB
from store.lock import SURFACE, Owner, StateLock
from store.sqlite_storage import sync
from store.store import (
    SCHEMA_VERSION,
    Changes,
    Saved,
    Stored,
    StoreDamaged,
    StoreError,
    Table,
    Write,
)

T = TypeVar("T")

MOST_BEHIND = 100
"""Saves that may be lost together by a power cut; the next one waits for the disk whatever it is."""

REST = 5.0
"""Seconds without a save after which the log is emptied into the file."""

NO_REST = 60.0
"""Seconds after which that is done in any case."""

log = structlog.get_logger()

_DAMAGED = (
    "The file was left as it is. Move it away together with its -wal and -shm files and restore a "
    "backup; without one, start without the file: a surface rebuilds what it can from Matrix, a platform "
    "has forgotten what was said."
)
_WAYS_OUT = {
    "SQLITE_FULL": "Free space on that disk.",
    "SQLITE_IOERR": "Check that disk and the space on it.",
    "SQLITE_READONLY": "Give this user write access to the file and its directory.",
    "SQLITE_CANTOPEN": "Give this user write access to the file and its directory.",
    "SQLITE_BUSY": "Another program holds the file; close it.",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": _DAMAGED,
}


class _Held(StoreError):
    """Another program holds the file; what does not wait for the disk does not wait for that either."""


class TinyStore:
    """The `Store` protocol on a local file. Made by `TinyStore.open`."""

    def __init__(self, path: Path, lock: StateLock, rules: Rules, rest: float) -> None:
        self._path = path
        self._lock = lock
        self._rules = rules
        self._rest = rest
        self._closed = False
        self._writing = KeyedDB(path)
        try:
            self._reading = KeyedDB(path, readonly=True)
        except BaseException:
            self._writing.close()
            raise
        self._busy = threading.Lock()
        """Held by whoever uses the connection that writes."""
        self._behind = 0
        """Saves since the last that waited for the disk."""
        self._unfolded = True
        """Whether there may be something in the log."""
        self._folding: asyncio.TimerHandle | None = None
        self._first_save = self._last_save = 0.0
        """When the loop's clock saw the save that set the timer, and the last one."""
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        rules: Rules = documents,
        owner: Owner = SURFACE,
        rest: float = REST,
    ) -> TinyStore:
        """Open the store, making file and directory if there are none.

        Args:
            path: the database file; the lock (`.lock` for its suffix) lies beside it.
            rules: what documents must look like.
            owner: whose it is.
            rest: see `REST`.

        Raises:
            StoreLocked: another process, or this one, has it open.
            StoreError: the file cannot be written, is damaged, or was made by a newer version.
        """
        path = path.absolute()
        _make_directory(path.parent, owner)
        lock = StateLock.take(path.with_suffix(".lock"), owner)
        try:
            _make_file(path, owner)
            with _explained(path, "cannot be opened", otherwise=_DAMAGED):
                store = cls(path, lock, rules, rest)
            try:
                with _explained(path, "cannot be opened", otherwise=_DAMAGED):
                    store._prepare()
                # What the last one left, if it was killed.
                store._fold()
            except BaseException:
                store._close()
                raise
        except BaseException:
            lock.release()
            raise
        return store

    async def get(self, table: Table, key: str) -> Stored | None:
        """Return one document, or None; see `Store.get`."""
        self._require_open()
        with _explained(self._path, "cannot be read"):
            stored = _read(self._reading, table, key)
        if stored is not None:
            self._rules.check_readable(table, key, stored.body)
        return stored

    async def scan(self, table: Table, *, prefix: str = "") -> list[tuple[str, Stored]]:
        """Return the documents under a prefix, ordered by key; see `Store.scan`."""
        self._require_open()
        if not storable_key(prefix):
            return []
        with _explained(self._path, "cannot be read"):
            rows = self._reading.keyed(table).starting_with(prefix)
        found = [(key, unpack(table, key, row)) for key, row in rows]
        for key, stored in found:
            self._rules.check_readable(table, key, stored.body)
        return found

    async def save(self, changes: Changes, *, durable: bool = True) -> Saved:
        """Write all of `changes` in one transaction, or nothing; see `Store.save`."""
        self._require_open()
        frozen = freeze(changes)
        if not frozen:
            return Saved()
        durable = durable or gives_out_ids(frozen)
        try:
            if not durable and self._busy.acquire(blocking=False):
                try:
                    if self._may_go_on():
                        return self._save(frozen, durable=False)
                except _Held:
                    durable = True
                finally:
                    self._busy.release()
            return await self._on_writer(lambda: self._save_alone(frozen, durable=durable))
        finally:
            self._fold_later()

    async def aclose(self) -> None:
        """Finish the saves under way, then release the file and the lock; twice is no error."""
        if not self._closed:
            self._closed = True
            if self._folding is not None:
                self._folding.cancel()
            await self._on_writer(self._close)
            self._writer.shutdown(wait=False)

    def _may_go_on(self) -> bool:
        """Whether a save may go without touching the disk: SQLite syncs the first page of an empty log."""
        return self._unfolded and self._behind < MOST_BEHIND

    def _fold_later(self) -> None:
        """Empty the log when nothing was saved for a while; one timer, however many saves there are."""
        loop = asyncio.get_running_loop()
        self._last_save = loop.time()
        if self._folding is None and not self._closed:
            self._first_save = self._last_save
            self._folding = loop.call_at(self._last_save + self._rest, self._fold_if_rested, loop)

    def _fold_if_rested(self, loop: asyncio.AbstractEventLoop) -> None:
        due = min(self._last_save + self._rest, self._first_save + NO_REST)
        if due > loop.time():
            self._folding = loop.call_at(due, self._fold_if_rested, loop)
        else:
            self._folding = None
            loop.run_in_executor(self._writer, self._fold)

    def _fold(self) -> None:
        """Empty the log into the file; if it cannot be done, it is tried after the next save."""
        with self._busy:
            if not self._unfolded:
                return
            try:
                if self._writing.fold():
                    self._unfolded = False
                self._behind = 0
            except (sqlite3.Error, OSError) as error:
                log.debug("store.log_not_emptied", file=str(self._path), why=str(error))

    async def _on_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    def _save_alone(self, changes: tuple[Write, ...], *, durable: bool) -> Saved:
        with self._busy:
            durable = durable or self._behind >= MOST_BEHIND
            try:
                return self._save(changes, durable=durable)
            except _Held:
                if durable:
                    raise
                return self._save(changes, durable=True)

    def _save(self, changes: tuple[Write, ...], *, durable: bool) -> Saved:
        database = self._writing
        with _explained(self._path, "nothing was saved"), database.transaction(durable=durable):
            batch = decide(changes, lambda table, key: _read(database, table, key), self._rules)
            for table, key in batch.gone:
                database.keyed(table).drop(key)
            for (table, key), stored in batch.puts.items():
                database.keyed(table).put(key, pack(stored))
        self._behind = 0 if durable else self._behind + 1
        self._unfolded = True
        return batch.saved

    def _prepare(self) -> None:
        """Write schema and installation id into a new file; refuse a newer file."""
        database = self._writing
        meta = database.keyed("meta")
        with database.transaction():
            schema = _read(database, "meta", "schema")
            if schema is not None:
                self._require_known(schema.body.get("version"))
                return
            if database.storage.read() is not None:
                raise StoreDamaged(f"{self._path}: holds documents but no meta/schema. {_DAMAGED}")
            meta.put("schema", pack(Stored(1, {"v": 1, "version": SCHEMA_VERSION})))
            meta.put("installation_id", pack(Stored(1, {"v": 1, "value": uuid.uuid4().hex})))

    def _require_known(self, version: object) -> None:
        if type(version) is not int or version < 1:
            raise StoreDamaged(f"{self._path}: meta/schema has version {version!r}. {_DAMAGED}")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self._path}: written by a newer surface (schema {version}, this one knows "
                f"{SCHEMA_VERSION}). Run the newer version, or restore a backup made by this one."
            )

    def _close(self) -> None:
        self._reading.close()
        self._writing.close()
        self._lock.release()

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path}: the store is closed")


def _read(database: KeyedDB, table: Table, key: str) -> Stored | None:
    row = database.keyed(table).find(key) if storable_key(key) else None
    return None if row is None else unpack(table, key, row)


@contextmanager
def _explained(path: Path, what: str, *, otherwise: str = "Check the disk.") -> Iterator[None]:
    """Turn SQLite's complaints into a `StoreError` that names the file and the way out."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "")
        way_out = next((way for code, way in _WAYS_OUT.items() if name.startswith(code)), otherwise)
        kind = StoreDamaged if way_out is _DAMAGED else StoreError
        if name.startswith("SQLITE_BUSY"):
            kind = _Held
        raise kind(f"{path}: {what}: {error}. {way_out}") from error


def _make_directory(path: Path, owner: Owner) -> None:
    if path.is_dir():
        return
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync(path.parent)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be made ({error.strerror}). "
            f"Give the {owner.program}'s user write access there, or set another {owner.setting}."
        ) from error


def _make_file(path: Path, owner: Owner) -> None:
    """Make the file for its owner only; SQLite gives -wal and -shm the same mode."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        for beside in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            if beside.exists():
                beside.chmod(0o600)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror}). "
            f"Give the {owner.program}'s user write access, or set another {owner.setting}."
        ) from error
