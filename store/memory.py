"""A store without a file, for tests of what stands above: same semantics, gone with the process.

The rule: documents are kept as JSON text, so nothing is shared with whoever wrote or reads them.
"""

from __future__ import annotations

import json
import uuid

from store import documents
from store.batch import At, Rules, decide, freeze, pack, storable_key, to_json, unpack
from store.store import SCHEMA_VERSION, Changes, Saved, Stored, StoreError, Table


class MemoryStore:
    """The `Store` protocol in memory.

    Args:
        rules: what documents must look like.
    """

    def __init__(self, *, rules: Rules = documents) -> None:
        self._rules = rules
        self._closed = False
        self._rows: dict[At, str] = {
            ("meta", "schema"): to_json({"rev": 1, "v": 1, "version": SCHEMA_VERSION}),
            ("meta", "installation_id"): to_json({"rev": 1, "v": 1, "value": uuid.uuid4().hex}),
        }

    async def get(self, table: Table, key: str) -> Stored | None:
        """Return one document, or None; see `Store.get`."""
        self._require_open()
        stored = self._read(table, key)
        if stored is not None:
            self._rules.check_readable(table, key, stored.body)
        return stored

    async def scan(self, table: Table, *, prefix: str = "") -> list[tuple[str, Stored]]:
        """Return the documents under a prefix, ordered by key; see `Store.scan`."""
        self._require_open()
        keys = sorted(key for name, key in self._rows if name == table and key.startswith(prefix))
        found = [(key, stored) for key in keys if (stored := self._read(table, key)) is not None]
        for key, stored in found:
            self._rules.check_readable(table, key, stored.body)
        return found

    async def save(self, changes: Changes, *, durable: bool = True) -> Saved:
        """Write all of `changes` or nothing; see `Store.save`. Nothing here survives anything."""
        self._require_open()
        batch = decide(freeze(changes), self._read, self._rules)
        texts = {at: to_json(pack(stored)) for at, stored in batch.puts.items()}
        for at in batch.gone:
            del self._rows[at]
        self._rows |= texts
        return batch.saved

    async def aclose(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    def _read(self, table: Table, key: str) -> Stored | None:
        text = self._rows.get((table, key)) if storable_key(key) else None
        return None if text is None else unpack(table, key, json.loads(text))

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
