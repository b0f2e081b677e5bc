"""One timer per open dialog: what nobody answers expires.

Every decision is followed by a look at what is open; nothing runs while nothing is.
"""

from __future__ import annotations

import asyncio
import itertools

from machines.dialog import Dialog
from surface.commands.answers import withdraw
from surface.ledger import Decided, Ledger


class Timers:
    """The timers of all open dialogs."""

    def __init__(self, ledger: Ledger, seconds: float) -> None:
        self._ledger, self._seconds = ledger, seconds
        self._timers: dict[str, tuple[Dialog, asyncio.TimerHandle]] = {}
        self._count = itertools.count(1)
        self._expiring: set[asyncio.Task[object]] = set()

    def on_decided(self, _decided: Decided[object]) -> None:
        """Start timers for new dialogs, stop those of answered ones."""
        open_now = self._ledger.memory.dialogs
        for room_id, (dialog, handle) in list(self._timers.items()):
            if room_id not in open_now or _key(open_now[room_id][0]) != _key(dialog):
                handle.cancel()
                del self._timers[room_id]
        for room_id, (dialog, _) in open_now.items():
            if room_id not in self._timers:
                handle = asyncio.get_running_loop().call_later(self._seconds, self._expire, room_id)
                self._timers[room_id] = (dialog, handle)

    def _expire(self, room_id: str) -> None:
        del self._timers[room_id]
        # A name of its own each time: transaction ids come from it, and one used twice sends nothing.
        cause = f"expire/{self._ledger.world.boot}/{next(self._count)}"
        task: asyncio.Task[object] = asyncio.create_task(
            self._ledger.decide(
                cause, lambda case: withdraw(case, room_id, "expire"), point="input"
            )
        )
        self._expiring.add(task)
        task.add_done_callback(self._expiring.discard)


def _key(dialog: Dialog) -> tuple[object, ...]:
    """What makes one question another one."""
    return dialog.purpose, dialog.subject, tuple(dialog.choices), dialog.list_event_id
