"""What turns, dialogs and trays did lately, room by room; for whoever looks at the running bot.

Deliberately never stored: their machines live only as long as the process or an answer, and a plain message
writes neither its room's document nor its person's. Bounded in rooms and in steps of each.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any, Final

from machines import RoomMachine
from store.history import HISTORY, Step
from surface.ledger import Decided

ROOMS: Final = 500
"""Rooms of which it is known; the one that was silent longest is forgotten first."""
FORGOTTEN: Final = RoomMachine.forgotten.id
"""Where a room's machine ends: nothing is kept of it."""


class Recent:
    """The last steps of the machines that are not recorded in documents."""

    def __init__(self) -> None:
        self._rooms: OrderedDict[str, deque[Step]] = OrderedDict()

    def of(self, room_id: str) -> tuple[Step, ...]:
        """Of one room's machines, oldest first."""
        return tuple(self._rooms.get(room_id, ()))

    def on_decided(self, decided: Decided[Any]) -> None:
        """Note what was committed."""
        for move in decided.moves:
            if move.room_id is None or move.machine in ("user", "room"):
                continue
            if move.moved or move.effects:
                its = self._rooms.setdefault(move.room_id, deque(maxlen=HISTORY))
                its.append(move.step(decided.at, decided.by))
                self._rooms.move_to_end(move.room_id)
        for move in decided.moves:
            if move.machine == "room" and move.target == FORGOTTEN:
                self._rooms.pop(move.key, None)
        while len(self._rooms) > ROOMS:
            self._rooms.popitem(last=False)
