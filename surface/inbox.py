"""What came in and is not settled yet, as it lies in the store: inputs, and gaps between them.

Positions (`order`) follow the homeserver's order of events. Ages are by its clock too: each input says when
it was sent, as far as the homeserver has told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeGuard

from store.documents import VERSIONS, migrated
from store.history import Cause
from store.store import DocumentError, Put

MIDDLE = 500_000
"""Position of a response's first timeline event; what fills the gap before it counts down from here."""


@dataclass(frozen=True)
class InboxRow:
    """An input as it was received."""

    key: str
    room_id: str
    order: str
    kind: str
    """`event`, `invite` or `removed`."""
    content: Any
    """The raw event; for an invite its stripped state."""
    late: bool = False
    """It came while nobody listened: a process found it when it started."""
    sent: int | None = None
    """When it was sent, in milliseconds by the homeserver's clock; None if that is not known."""

    @property
    def cause(self) -> Cause:
        """What is recorded with the transitions that come of it."""
        return Cause("event", self.key if self.kind == "event" else self.kind)


@dataclass(frozen=True)
class Gap:
    """Events of a room between two positions that /sync left out."""

    key: str
    room_id: str
    sync: int
    start: str
    until: str | None
    """A position; None: back to `after`."""
    late: bool = False
    """See `InboxRow.late`."""
    after: str | None = None
    """The event after which it begins."""


_CONTENTS: Mapping[str, type] = {"event": dict, "invite": list}


def position(sync: int, index: int) -> str:
    """A key that sorts as the homeserver ordered the events."""
    return f"{sync:012d}.{index:07d}"


def sent_at(event: dict[str, Any], now: float | None) -> int | None:
    """When an event was sent, in milliseconds by the homeserver's clock.

    Its age (spec: `unsigned.age`) is the homeserver's own word; `origin_server_ts` that of the sender's.

    Args:
        event: as received.
        now: the homeserver's clock when it was received, in seconds.
    """
    unsigned, stamp = event.get("unsigned"), event.get("origin_server_ts")
    age = unsigned.get("age") if isinstance(unsigned, dict) else None
    if now is not None and _is_stamp(age):
        return int(now * 1000) - age
    return stamp if _is_stamp(stamp) else None


def encode_row(row: InboxRow) -> Put:
    """The inbox document; an input that is there already is left as it is by the caller."""
    body = {
        "v": VERSIONS["inbox"],
        "room_id": row.room_id,
        "order": row.order,
        "kind": row.kind,
        # As text: a hostile event may be nested or spelt in ways that the store refuses in a document.
        "content": json.dumps(row.content),
        "late": row.late,
        "sent": row.sent,
    }
    return Put("inbox", row.key, body, None)


def decode_row(key: str, body: dict[str, Any]) -> InboxRow:
    """The row behind an inbox document.

    Raises:
        DocumentError: what was received is not in it any more.
    """
    body = migrated("inbox", body)
    try:
        content = json.loads(body["content"])
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, _CONTENTS.get(body["kind"], NoneType)):
        raise DocumentError(f"inbox/{key}: damaged, it holds no {body['kind'][:20]}")
    return InboxRow(
        key, body["room_id"], body["order"], body["kind"], content, body["late"], body["sent"]
    )


def encode_gap(gap: Gap) -> Put:
    """The document of a gap."""
    body = {
        "v": VERSIONS["dirty"],
        "kind": "gap",
        "room_id": gap.room_id,
        "sync": gap.sync,
        "start": gap.start,
        "until": gap.until,
        "late": gap.late,
        "after": gap.after,
    }
    return Put("dirty", gap.key, body, None)


def decode_gap(key: str, body: dict[str, Any]) -> Gap | None:
    """The gap behind a document; None if it is about something else."""
    if body.get("kind") != "gap":
        return None
    body = migrated("dirty", body)
    names = ("room_id", "sync", "start", "until", "late", "after")
    return Gap(key, *(body[name] for name in names))


def _is_stamp(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**53
