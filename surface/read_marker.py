"""The bot's read marker in each room (`m.fully_read`): up to there all is answered.

It outlives the local disk: a process that starts without a sync token answers only what stands after it. So
it follows the *finished prefix* of a room: an input is finished when it is decided, its turn is over, and
all that came of it has left the outbox; and what stands before it is finished too. An input that waits for
keys does not count: it would hold back everything after it.

Markers are moved together, once in a while and not with every message, and once more at a stop. What was
missed in a crash the next message of the room makes good.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import defaultdict
from collections.abc import Collection, Sequence

import structlog

from store.store import StoreError
from surface.actor import Actors
from surface.case import Row
from surface.inbox import InboxRow
from surface.lanes import lane_of
from surface.ledger import Decided, Ledger
from surface.matrix.api import TokenDead
from surface.matrix.rooms import Rooms
from surface.outbox import Outbox

log = structlog.get_logger()

DELAY = 1.0
"""Seconds in which all that is finished moves each marker at most once."""
PARTING = 5.0
"""Seconds that the last markers may take at a stop."""
AT_ONCE = 4
"""Markers under way at one time."""


def finished(
    decided: Sequence[tuple[str, str]], waiting: Collection[str], effects: Collection[str]
) -> int:
    """How many of a room's decided inputs, given in order, are finished with all before them.

    Args:
        decided: position and event id of each.
        waiting: positions of the room's inputs and turns that are not done.
        effects: keys of effects that are not done; one that came of an input begins with its event id.
    """
    first = min(waiting, default=None)
    for count, (order, event_id) in enumerate(decided):
        if first is not None and first <= order:
            return count
        if any(key.startswith(event_id) for key in effects):
            return count
    return len(decided)


class ReadMarkers:
    """The read markers of all rooms."""

    def __init__(self, ledger: Ledger, rooms: Rooms, outbox: Outbox, actors: Actors) -> None:
        self._ledger, self._rooms, self._outbox, self._actors = ledger, rooms, outbox, actors
        self._decided: dict[str, list[tuple[str, str]]] = defaultdict(list)
        """By room: position and event id of what was decided since the marker was moved."""
        self._at: dict[str, str] = {}
        """By room: the position of the marker, as far as this process has moved it."""
        self._timer: asyncio.TimerHandle | None = None
        self._moving: asyncio.Task[None] | None = None

    def settled(self, row: InboxRow) -> None:
        """An input is decided."""
        if row.kind == "event" and "state_key" not in row.content:
            bisect.insort(self._decided[row.room_id], (row.order, row.key))
            self._soon()

    def on_decided(self, _decided: Decided[object]) -> None:
        """Something has moved: a turn may be over, an effect may be done."""
        if self._decided:
            self._soon()

    async def aclose(self) -> None:
        """Move the markers for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            async with asyncio.timeout(PARTING):
                if self._moving is not None:
                    await asyncio.wait({self._moving})
                await self._move_all()
        except (TimeoutError, TokenDead, StoreError) as error:
            log.info("marker.left", why=str(error) or type(error).__name__)
        if self._timer is not None:
            self._timer.cancel()

    def _soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DELAY, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._moving is not None or self._rooms.limited:
            self._soon()
        else:
            self._moving = asyncio.create_task(self._move_all(), name="read markers")
            self._moving.add_done_callback(self._moved)

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._moving = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("marker.not_moved", why=str(error))

    async def _move_all(self) -> None:
        waiting: dict[str, list[str]] = defaultdict(list)
        parked = self._actors.parked
        for key, stored in await self._ledger.store.scan("inbox"):
            if key not in parked:
                waiting[stored.body["room_id"]].append(stored.body["order"])
        for _, stored in await self._ledger.store.scan("turns"):
            waiting[stored.body["room_id"]].append(stored.body["order"])
        rows, few = self._outbox.rows, asyncio.Semaphore(AT_ONCE)

        async def move(room_id: str) -> None:
            decided = self._decided[room_id]
            if any(_speaks_in(row, room_id, decided) for row in rows):
                return
            count = finished(decided, waiting[room_id], [row.key for row in rows])
            if not count:
                return
            order, event_id = decided[count - 1]
            async with few:
                # What waited for keys may be decided late; the marker does not go back to it.
                if order > self._at.get(room_id, ""):
                    if not await self._rooms.fully_read(room_id, event_id):
                        self._soon()
                        return
                    self._at[room_id] = order
            decided[:] = [one for one in decided if one[0] > order]
            if not decided:
                del self._decided[room_id]

        await asyncio.gather(*(move(room_id) for room_id in list(self._decided)))


def _speaks_in(row: Row, room_id: str, decided: Sequence[tuple[str, str]]) -> bool:
    """Whether something is still to be said in a room that came of none of these inputs: of one before."""
    ours = any(row.key.startswith(event_id) for _, event_id in decided)
    return lane_of(row.effect) == f"talk:{room_id}" and not ours
