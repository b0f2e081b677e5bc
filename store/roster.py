"""A line of each room and person, to search among: read from the file, without reading the documents.

The rule: as for `peek`, what is committed is seen and nothing is changed. One connection per call, so that it
may be called in a thread; SQLite takes the few fields out of the documents, so nothing else of them, and
nothing that anybody has said, gets into the program.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from store.peek import looking


@dataclass(frozen=True, slots=True)
class RoomLine:
    """What a room is found by."""

    room_id: str
    user_id: str
    """Its owner; empty: it has none."""
    label: str
    """`C1`, `C2` …; empty: it is no chat."""
    name: str
    state: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class UserLine:
    """What a person is found by."""

    user_id: str
    state: str


_ROOMS = """select json_extract(json, '$.room_id'), coalesce(json_extract(json, '$.matrix_user_id'), ''),
    coalesce(json_extract(json, '$.chat_id'), ''), coalesce(json_extract(json, '$.display_name'), ''),
    json_extract(json, '$.state'), coalesce(json_extract(json, '$.agent_id'), '')
    from documents where tbl = 'rooms'"""
_USERS = """select json_extract(json, '$.user_id'), json_extract(json, '$.state')
    from documents where tbl = 'users'"""


def roster(path: Path) -> tuple[list[UserLine], list[RoomLine]]:
    """Everybody and every room.

    Raises:
        StoreError: the file cannot be read.
    """
    with looking(path) as connection:
        users = [UserLine(*row) for row in connection.execute(_USERS)]
        rooms = [RoomLine(*row) for row in connection.execute(_ROOMS)]
    return users, rooms
