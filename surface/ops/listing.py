"""People and rooms as the store has them, for `surface users` and `surface rooms`; the bot may run or not.

Nothing is changed and nothing is locked. Beside a running bot its file is read; one that nobody has open is
copied first, because even a read-only connection would leave files beside it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from store.documents import check_readable, migrated
from store.examine import copied, holder, is_there
from store.peek import peek
from store.store import Table
from surface.ops.client import DATABASE


@dataclass(frozen=True, slots=True)
class Filters:
    """Which people or rooms to list; None: whatever it is."""

    person: str | None = None
    """A pattern over user ids, `*` and `?` as wildcards."""
    state: str | None = None
    agent: str | None = None
    kind: str | None = None
    """A room's type, `chat` or `home`."""


def users(state_dir: Path, filters: Filters) -> list[dict[str, Any]]:
    """The people, by user id.

    Raises:
        StoreError: the database cannot be read.
    """
    people, rooms = documents(state_dir, ("users", "rooms"))
    live, archived = Counter[str](), Counter[str]()
    for room in rooms:
        if room["room_type"] == "chat" and room["state"] != "lost":
            counted = archived if room["state"] == "archived" else live
            counted[room["matrix_user_id"]] += 1
    found = [
        {
            "user_id": person["user_id"],
            "state": person["state"],
            "agent_id": person["selected_agent_id"],
            "locale": person["locale"],
            "chats": live[person["user_id"]],
            "archived": archived[person["user_id"]],
            "creations": len(person["creations"]),
            "space_id": person["space_id"],
        }
        for person in people
    ]
    kept = [person for person in found if _fits(person, filters)]
    return sorted(kept, key=lambda person: str(person["user_id"]))


def rooms(state_dir: Path, filters: Filters) -> list[dict[str, Any]]:
    """The rooms, by owner and label.

    Raises:
        StoreError: the database cannot be read.
    """
    (bodies,) = documents(state_dir, ("rooms",))
    found = [
        {
            "room_id": room["room_id"],
            "user_id": room["matrix_user_id"],
            "chat_id": room["chat_id"],
            "name": room["display_name"],
            "kind": room["room_type"],
            "state": room["state"],
            "agent_id": room["agent_id"],
            "platform_chat_id": room["platform_chat_id"],
            "encrypted": room["encrypted"],
            "changed": room["history"][-1]["at"] if room["history"] else None,
        }
        for room in bodies
    ]
    kept = [room for room in found if _fits(room, filters)]
    return sorted(kept, key=lambda room: (room["user_id"] or "", _label(room), room["room_id"]))


def _label(room: dict[str, Any]) -> int:
    return int(room["chat_id"][1:]) if room["chat_id"] else 0


def _fits(row: dict[str, Any], filters: Filters) -> bool:
    wanted = ((filters.state, "state"), (filters.agent, "agent_id"), (filters.kind, "kind"))
    if any(value is not None and row.get(key) != value for value, key in wanted):
        return False
    return filters.person is None or fnmatchcase(row["user_id"] or "", filters.person)


def pending(state_dir: Path) -> list[dict[str, Any]]:
    """The effects that a stopped bot will carry out when it starts, in order.

    Raises:
        StoreError: the database cannot be read.
    """
    path = state_dir / DATABASE
    with tempfile.TemporaryDirectory(prefix="surface-look-") as folder:
        documents = peek(copied(path, Path(folder)), "outbox") if is_there(path) else {}
    rows = [
        {"key": key, "seq": body["seq"], "effect": body["effect"]["effect"], "lane": None}
        for key, body in documents.items()
    ]
    return sorted(rows, key=lambda row: int(str(row["seq"])))


def documents(state_dir: Path, tables: Sequence[Table]) -> list[list[dict[str, Any]]]:
    """The bodies of all documents of some tables, as this version writes them; the bot may run or not.

    Raises:
        StoreError: the database cannot be read.
    """
    path = state_dir / DATABASE
    if not is_there(path):
        return [[] for _ in tables]
    with tempfile.TemporaryDirectory(prefix="surface-look-") as folder:
        where = path if holder(path) else copied(path, Path(folder))
        return [_read(where, table) for table in tables]


def _read(path: Path, table: Table) -> list[dict[str, Any]]:
    bodies = peek(path, table)
    for key, body in bodies.items():
        check_readable(table, key, body)
    return [migrated(table, body) for body in bodies.values()]
