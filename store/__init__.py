"""What is kept: documents, and the stores that keep them.

Everything above imports from here; only this package knows TinyDB and SQLite.
"""

from store.lock import Owner
from store.memory import MemoryStore
from store.store import (
    SCHEMA_VERSION,
    Body,
    Changes,
    Conflict,
    Delete,
    DocumentError,
    Put,
    Saved,
    SequenceSpent,
    Store,
    Stored,
    StoreDamaged,
    StoreError,
    StoreLocked,
    Table,
    Write,
)
from store.tiny import TinyStore

__all__ = [
    "SCHEMA_VERSION",
    "Body",
    "Changes",
    "Conflict",
    "Delete",
    "DocumentError",
    "MemoryStore",
    "Owner",
    "Put",
    "Saved",
    "SequenceSpent",
    "Store",
    "StoreDamaged",
    "StoreError",
    "StoreLocked",
    "Stored",
    "Table",
    "TinyStore",
    "Write",
]
