"""Which mirrors a change of a document makes stale. Pure.

They are noted in the table `mirrors` by the very commit that makes them stale, so that a crash forgets none:
the row stands for "to be written", and goes when it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from store.documents import VERSIONS, room_key, user_key
from store.store import Put, Table
from surface.mirrors.content import BINDING, PROFILE, binding_of, profile_of


@dataclass(frozen=True)
class Due:
    """A mirror that has to be written."""

    kind: str
    room_id: str
    """The room in whose account data it lies."""
    table: Table
    document: str
    """The key of the document that it mirrors."""

    @property
    def key(self) -> str:
        """The key of its row."""
        return f"{self.kind}/{self.room_id}"


def due_binding(room_id: str) -> Due:
    """The mirror of a room."""
    return Due(BINDING, room_id, "rooms", room_key(room_id))


def due_profile(user_id: str, space_id: str) -> Due:
    """The mirror of a person, in a Space of theirs."""
    return Due(PROFILE, space_id, "users", user_key(user_id))


def made_stale(
    table: Table, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> Iterator[Due]:
    """The mirrors that do not fit any more when a document has changed from one to the other."""
    body = after or before or {}
    if table == "rooms":
        if binding_of(before) != binding_of(after):
            yield due_binding(body["room_id"])
    elif table == "users":
        spaces = {b["space_id"] for b in (before, after) if b is not None} - {None}
        for space_id in sorted(spaces):
            if profile_of(before, space_id) != profile_of(after, space_id):
                yield due_profile(body["user_id"], space_id)


def encode(due: Due) -> Put:
    """The row of a mirror that has to be written."""
    body = {"kind": due.kind, "room_id": due.room_id, "table": due.table, "document": due.document}
    return Put("mirrors", due.key, {"v": VERSIONS["mirrors"], **body}, None)


def decode(body: Mapping[str, Any]) -> Due:
    """The mirror behind a row."""
    return Due(body["kind"], body["room_id"], body["table"], body["document"])
