"""The contract of the store: what it keeps, and how a change gets in.

One rule: `save` is the only way to change anything, and it is all or nothing. Every write names the
revision it was decided on; if any of them has moved, `Conflict` is raised and nothing is written.
When `save` returns, the change survives a power cut, and so do all that were saved before it. With
`durable=False` it survives the end of the process at once, and a power cut as soon as a later save does: for
changes of which nobody outside has heard. They are never kept without those before them.

A body is a plain JSON object. Where it holds a `Fresh` (also inside lists and dicts), the store puts
an id of that sequence there, a decimal string that was never given out before and never will be again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from machines.effects import Fresh

Table: TypeAlias = Literal[
    "users",
    "rooms",
    "chats",
    "meta",
    "inbox",
    "turns",
    "outbox",
    "dirty",
    "mirrors",
    "echo",
    "openai",
    "platform",
    "journal",
]
Body: TypeAlias = Mapping[str, Any]

SCHEMA_VERSION = 1
"""The version of the file as a whole (`meta/schema`). Single documents carry their own `v`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it lies in the store."""

    rev: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Put:
    """Write one document.

    Args:
        expect: the revision the writer has read; 0: the key must be free; None: whatever is there.
        least_rev: the new revision is at least this; for a document that was lost with its revisions.
    """

    table: Table
    key: str
    body: Body
    expect: int | None
    least_rev: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove one document. Removing what is not there is no error unless `expect` says otherwise."""

    table: Table
    key: str
    expect: int | None = None


Write: TypeAlias = Put | Delete
Changes: TypeAlias = Sequence[Write]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a save made: the new revisions, and the ids behind each `Fresh`."""

    revs: Mapping[tuple[Table, str], int] = field(default_factory=dict)
    ids: Mapping[Fresh, str] = field(default_factory=dict)


class StoreError(Exception):
    """The store cannot be used; the message says which file, what is wrong and the way out."""


class StoreLocked(StoreError):
    """Another process holds the state directory."""


class StoreDamaged(StoreError):
    """The file is not, or no longer, what the store wrote."""


class DocumentError(StoreError):
    """A document that this version cannot read or must not write. Names table and key."""


class Conflict(Exception):
    """A document has moved since it was read: load again, decide again. Nothing was written."""

    def __init__(self, moved: Sequence[tuple[Table, str]]) -> None:
        self.moved = tuple(moved)
        super().__init__(", ".join(f"{table}/{key}" for table, key in moved))


class SequenceSpent(Exception):
    """A sequence has no id left below its reserved end. Nothing was written: reserve more, decide again.

    A sequence whose document has no `reserved` has no such end.
    """

    def __init__(self, name: str, reserved: int) -> None:
        self.name, self.reserved = name, reserved
        super().__init__(f"{name}: every id up to {reserved}, the reserved end, is issued")


class Store(Protocol):
    """Documents by table and key, changed by atomic compare-and-set batches."""

    async def get(self, table: Table, key: str) -> Stored | None:
        """Return one document, or None.

        Raises:
            DocumentError: the document is there and cannot be read.
        """
        ...

    async def scan(self, table: Table, *, prefix: str = "") -> list[tuple[str, Stored]]:
        """Return all documents of a table whose key starts with `prefix`, ordered by key.

        Raises:
            DocumentError: one of them cannot be read; it is named.
        """
        ...

    async def save(self, changes: Changes, *, durable: bool = True) -> Saved:
        """Write all of `changes` in one transaction, or nothing.

        Args:
            durable: wait for the disk. Where ids of a sequence are given out, that is always so.

        Raises:
            Conflict: an expected revision has moved.
            SequenceSpent: a `Fresh` needs an id beyond what is reserved.
            DocumentError: a body that must not be written (a transient state, an unknown field).
            StoreError: the disk refused (full, read-only); nothing was written.
        """
        ...

    async def aclose(self) -> None:
        """Release the lock and the file."""
        ...
