"""What happens, as it happens: from the ledger's decisions to the pages that are open.

A decision tells the `Hub`, which notes its transitions and wakes whoever watches; that costs the same
however many rooms there are. Each page's stream then says, at most every `PAUSE`, what is new since: the
transitions that it wants, and what it shows where that has changed. A page that cannot keep up is told to
load anew (`missed`), or, if it takes nothing at all, dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from machines import RoomMachine, UserMachine
from surface.inspector.view import Happened
from surface.ledger import Decided
from surface.moves import Move

MOST: Final = 8
"""Pages that may be open at once."""
BEHIND: Final = 200
"""Transitions that may wait for a page."""
LATEST: Final = 20
"""Transitions that are told of at once, and remembered for pages that are opened later."""

FORGOTTEN: Final = (RoomMachine.forgotten.id, UserMachine.forgotten.id)
"""Where the machines of whoever is forgotten end: nothing is remembered of them."""

Wants = Callable[[Happened], bool]


class Watcher:
    """One page that is open."""

    def __init__(self, wants: Wants) -> None:
        self._wants = wants
        self._happened: deque[Happened] = deque(maxlen=BEHIND)
        self._woken = asyncio.Event()
        self._missed = False

    def hear(self, news: list[Happened]) -> None:
        """A decision was committed; it may have done nothing to any machine."""
        for what in filter(self._wants, news):
            self._missed |= len(self._happened) == BEHIND
            self._happened.append(what)
        self._woken.set()

    def wake(self) -> None:
        """There is something to look at besides."""
        self._woken.set()

    async def news(self, within: float) -> tuple[list[Happened], bool]:
        """Wait for something, but no longer than so many seconds.

        Returns:
            What has happened since the last time, and whether more than that did.
        """
        try:
            async with asyncio.timeout(within):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()
        happened, missed = list(self._happened), self._missed
        self._happened.clear()
        self._missed = False
        return ([], True) if missed else (happened, False)


class Hub:
    """All pages that are open, and what has happened lately."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self.latest: deque[Happened] = deque(maxlen=LATEST)
        """What has happened last, of all that is; oldest first."""
        self.closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    def on_decided(self, decided: Decided[Any]) -> None:
        """Note what a commit has changed."""
        now = int(time.time() * 1000)
        news = [
            Happened(
                move.step(decided.at, decided.by),
                now,
                move.room_id,
                move.key if move.machine == "user" else None,
            )
            for move in decided.moves
            if _tells(move)
        ]
        self.latest.extend(news)
        if gone := {move.key for move in decided.moves if move.target in FORGOTTEN}:
            kept = [what for what in self.latest if gone.isdisjoint((what.room_id, what.user_id))]
            self.latest = deque(kept, maxlen=LATEST)
        for watcher in self._watchers:
            watcher.hear(news)

    @contextmanager
    def watching(self, wants: Wants) -> Iterator[Watcher]:
        """A page is open."""
        watcher = Watcher(wants)
        self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """Let every stream end: the process is about to."""
        self.closed = True
        for watcher in self._watchers:
            watcher.wake()


def _tells(move: Move) -> bool:
    """Whether there is anything to see in it: a plain message to an agent only begins a turn."""
    return move.moved or (bool(move.effects) and move.event != "talk")
