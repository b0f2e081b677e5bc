"""Messages that cannot be decrypted: their key is asked for again, else their sender is asked to resend.

An event that cannot be decrypted is parked by its room's actor. Here its key is asked for, and when
that has not come for a while, the event is given up: in one transaction it is settled and, if it would have
been answered, its sender is told. One notice for all that waited, and none for those that follow, until
something in that room could be read again: a broken session is one trouble, however many messages it had.
"""

from __future__ import annotations

import asyncio

import structlog

from machines.room import Room
from store.documents import read, room_key
from store.store import Delete, StoreError
from surface.actor import Actors
from surface.case import Case
from surface.catch_up import would_answer
from surface.house import House
from surface.inbox import InboxRow
from surface.inputs import Ciphertext
from surface.ledger import Ledger
from surface.matrix.api import Lost, MatrixError
from surface.matrix.crypto import Crypto
from surface.matrix.health import CryptoHealth

log = structlog.get_logger()

PATIENCE = 15.0
"""Seconds that a key may take to come, from when its event was taken up."""
TOGETHER = 5.0
"""Seconds by which an event may be younger than one that is given up, and share its fate and notice."""


class Unreadable:
    """Sees to what cannot be decrypted."""

    def __init__(
        self, ledger: Ledger, actors: Actors, crypto: Crypto, house: House, health: CryptoHealth
    ) -> None:
        self._ledger, self._actors, self._crypto = ledger, actors, crypto
        self._house, self._health = house, health
        self._waiting: dict[str, asyncio.Task[None]] = {}
        """What is parked, by the key of its input."""
        self._since: dict[str, float] = {}
        """Since when it is, by the loop's clock."""
        self._told: set[str] = set()
        """Rooms in which nothing could be read since their person was told."""

    def parked(self, row: InboxRow) -> None:
        """An input cannot be decrypted, for the first time or still."""
        if row.key not in self._waiting:
            self._health.undecryptable += 1
            log.warning("input.undecryptable", room=row.room_id, input=row.key)
            task = asyncio.create_task(self._see_to(row), name=f"unreadable {row.key}")
            self._waiting[row.key] = task
            self._since[row.key] = asyncio.get_running_loop().time()

    def decrypted(self, row: InboxRow) -> None:
        """An encrypted input could be read."""
        self._told.discard(row.room_id)
        self._since.pop(row.key, None)
        if (task := self._waiting.pop(row.key, None)) is not None:
            self._health.decrypted_late += 1
            task.cancel()

    async def aclose(self) -> None:
        """See to nothing any more; what is parked stays in the inbox."""
        tasks = list(self._waiting.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _see_to(self, row: InboxRow) -> None:
        try:
            if await self._crypto.ask_for_key(row.room_id, row.content):
                self._health.keys_asked_for += 1
        except (Lost, MatrixError) as error:
            log.warning("input.key_not_asked_for", input=row.key, why=str(error))
        except StoreError as error:
            log.error("store.failed", why=str(error))
        await asyncio.sleep(PATIENCE)
        try:
            await self._give_up(row.room_id)
        except StoreError as error:
            log.error("store.failed", why=str(error))

    async def _give_up(self, room_id: str) -> None:
        """Settle what has waited long enough in a room, and say so."""
        until = asyncio.get_running_loop().time() - PATIENCE + TOGETHER
        parked = self._actors.parked_in(room_id)
        rows = [row for row in parked if self._since.get(row.key, until) <= until]
        if not rows:
            return
        rows.sort(key=lambda row: row.order)
        self._actors.passed_over(rows)
        for row in rows:
            self._since.pop(row.key, None)
            self._waiting.pop(row.key, None)
        told = [row for row in rows if await self._would_answer(row)]
        tell = told if room_id not in self._told else []
        if told:
            self._told.add(room_id)
        await self._ledger.decide(
            f"unreadable/{rows[-1].key}",
            lambda case: _tell(case, tell),
            settle=[Delete("inbox", row.key) for row in rows],
            by=rows[-1].cause,
            point="input",
            sender=_sender(rows[-1]),
        )
        self._health.given_up += len(rows)
        log.warning("input.given_up", room=room_id, inputs=len(rows), told=bool(tell))

    async def _would_answer(self, row: InboxRow) -> bool:
        key = room_key(row.room_id)
        stored = await self._ledger.store.get("rooms", key)
        room = read("rooms", key, stored, Room(row.room_id)).record
        return would_answer(room, Ciphertext(row.key, row.room_id, _sender(row)), self._house)


def _sender(row: InboxRow) -> str:
    return str(row.content.get("sender", ""))


def _tell(case: Case, rows: list[InboxRow]) -> None:
    if rows:
        case.say(rows[-1].room_id, "unreadable", rows[-1].key, n=len(rows))
