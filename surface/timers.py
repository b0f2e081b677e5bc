"""One timer for everything that is open for a while: what nobody answers, or takes along, expires.

Every decision is followed by a look at what is open; nothing runs while nothing is.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from machines.dialog import Dialog
from machines.tray import Tray
from store.history import Cause
from surface.case import Case
from surface.commands.answers import withdraw
from surface.ledger import Decided, Ledger

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """The timers of all that is open of one kind.

    Args:
        seconds: how long one may be open.
        opened: what is open now: each by its place, with what makes it another one than before.
        expire: closes what is open at a place.
    """

    def __init__(
        self,
        ledger: Ledger,
        seconds: float,
        opened: Callable[[], Mapping[K, Hashable]],
        expire: Callable[[Case, K], None],
    ) -> None:
        self._ledger, self._seconds = ledger, seconds
        self._opened, self._close = opened, expire
        self._timers: dict[K, tuple[Hashable, asyncio.TimerHandle]] = {}
        self._count = itertools.count(1)
        self._expiring: set[asyncio.Task[object]] = set()

    def on_decided(self, _decided: Decided[object]) -> None:
        """Start timers for what is new, stop those of what is not open any more."""
        open_now = self._opened()
        for place, (what, handle) in list(self._timers.items()):
            if open_now.get(place) != what:
                handle.cancel()
                del self._timers[place]
        for place, what in open_now.items():
            if place not in self._timers:
                handle = asyncio.get_running_loop().call_later(self._seconds, self._expire, place)
                self._timers[place] = (what, handle)

    def _expire(self, place: K) -> None:
        del self._timers[place]
        # A name of its own each time: transaction ids come from it, and one used twice sends nothing.
        kind = self._close.__name__.strip("_")
        cause = f"{kind}/{self._ledger.world.boot}/{next(self._count)}"
        task: asyncio.Task[object] = asyncio.create_task(
            self._ledger.decide(
                cause,
                lambda case: self._close(case, place),
                by=Cause("bot", "timer"),
                point="input",
            )
        )
        self._expiring.add(task)
        task.add_done_callback(self._expiring.discard)


def dialog_timers(ledger: Ledger, seconds: float) -> Timers[str]:
    """The timers of open questions, by room."""

    def opened() -> dict[str, Hashable]:
        return {room: _question(dialog) for room, (dialog, _) in ledger.memory.dialogs.items()}

    return Timers(ledger, seconds, opened, _expire)


def tray_timers(ledger: Ledger, seconds: float) -> Timers[tuple[str, str]]:
    """The timers of staged files, by room and person; each further file starts them anew."""

    def opened() -> dict[tuple[str, str], Hashable]:
        return {at: _files(tray) for at, (tray, _) in ledger.memory.trays.items()}

    return Timers(ledger, seconds, opened, _expire_tray)


def _question(dialog: Dialog) -> Hashable:
    """What makes one question another one."""
    return dialog.purpose, dialog.subject, tuple(dialog.choices), dialog.list_event_id


def _files(tray: Tray) -> Hashable:
    return tuple(file.event_id for file in tray.staged)


def _expire(case: Case, room_id: str) -> None:
    withdraw(case, room_id, "expire")


def _expire_tray(case: Case, at: tuple[str, str]) -> None:
    if case.has_staged(*at):
        case.tray(*at).take("expire")
