"""Which turn runs when: one of a room at a time, in the order of their messages.

Rooms do not wait for each other. What waits is on disk; a message that has to wait gets a sign, as far as the
homeserver's limits allow. No turn waits for its sign, and one that cannot be taken away again breaks nothing.
How one turn runs is in `turn_run.py`.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import defaultdict

import structlog

from store.store import StoreError
from surface.case import Accepted
from surface.ledger import Decided, Ledger
from surface.matrix.rooms import Rooms
from surface.matrix.sync import backoff
from surface.turn_run import Runner

log = structlog.get_logger()

WAITS = "⏳"
"""The reaction under a message that waits its turn."""


class Turns:
    """All turns that wait or run."""

    def __init__(self, ledger: Ledger, rooms: Rooms, runner: Runner) -> None:
        self._ledger, self._rooms, self._runner = ledger, rooms, runner
        self._waiting: dict[str, list[tuple[str, Accepted]]] = defaultdict(list)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._signs: dict[str, asyncio.Task[str | None]] = {}
        self._unsigning: set[asyncio.Task[None]] = set()
        self._chats: dict[str, int] = defaultdict(int)
        self._chat_left = asyncio.Condition()
        self._taking = True

    async def start(self) -> None:
        """Take up the turns that the last process left."""
        for key, stored in await self._ledger.store.scan("turns"):
            room, user, order, chat = (
                stored.body[k] for k in ("room_id", "user_id", "order", "platform_chat_id")
            )
            # What waited has its sign from then; to find it is to put it there once more.
            self._add(
                Accepted(key, room, user, order, chat), waits=not stored.body["placeholder_asked"]
            )

    def on_decided(self, decided: Decided[object]) -> None:
        """Queue new turns, and stop those that a decision has ended."""
        for accepted in decided.accepted:
            self._add(accepted)
        for turn_id in decided.ended:
            task = self._running.get(turn_id)
            if task is not None and not self._runner.is_ending(turn_id):
                task.cancel()

    @property
    def counts(self) -> tuple[int, int]:
        """How many turns wait, and how many run."""
        return sum(map(len, self._waiting.values())), len(self._running)

    def waiting_in(self, room_id: str) -> list[str]:
        """The turns of a room that wait, in order."""
        return [accepted.turn_id for _, accepted in self._waiting.get(room_id, ())]

    @property
    def rooms_waiting(self) -> list[str]:
        """The rooms in which turns wait."""
        return [room_id for room_id, waiting in self._waiting.items() if waiting]

    async def chat_idle(self, platform_chat_id: str) -> None:
        """Wait until no turn of a platform chat waits or runs."""
        async with self._chat_left:
            await self._chat_left.wait_for(lambda: not self._chats.get(platform_chat_id))

    async def over(self, turn_id: str) -> None:
        """Wait until a turn does not run."""
        if (task := self._running.get(turn_id)) is not None:
            await asyncio.wait({task})

    async def idle(self) -> None:
        """Wait until no turn runs."""
        while self._workers:
            await asyncio.wait(list(self._workers.values()))

    async def aclose(self, grace: float) -> None:
        """Take up no more turns; give the running ones `grace` seconds. The rest wait on disk."""
        self._taking = False
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=grace)
        tasks = [*self._workers.values(), *self._signs.values(), *self._unsigning]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _add(self, accepted: Accepted, *, waits: bool = False) -> None:
        room_id, waiting = accepted.room_id, self._ledger.memory.waiting
        bisect.insort(self._waiting[room_id], (accepted.order, accepted), key=lambda w: w[0])
        self._chats[accepted.platform_chat_id] += 1
        waiting[accepted.user_id] = waiting.get(accepted.user_id, 0) + 1
        if waits or room_id in self._workers:
            sign = self._rooms.react(room_id, accepted.turn_id, WAITS)
            self._signs[accepted.turn_id] = asyncio.create_task(sign)
        if self._taking and room_id not in self._workers:
            worker = asyncio.create_task(self._work(room_id), name=f"turns {room_id}")
            self._workers[room_id] = worker

    async def _work(self, room_id: str) -> None:
        waiting = self._waiting[room_id]
        try:
            while waiting and self._taking:
                _, accepted = waiting.pop(0)
                if (sign := self._signs.pop(accepted.turn_id, None)) is not None:
                    taking = asyncio.create_task(self._take_away(sign, accepted.room_id))
                    self._unsigning.add(taking)
                    taking.add_done_callback(self._unsigning.discard)
                await self._one(accepted)
        finally:
            del self._workers[room_id]
            if not waiting:
                self._waiting.pop(room_id, None)

    async def _one(self, accepted: Accepted) -> None:
        failures = 0
        while (error := await self._attempt(accepted.turn_id)) is not None:
            if not isinstance(error, StoreError):
                log.error("turn.broke", turn=accepted.turn_id, exc_info=error)
                break
            # The turn is on disk as it was: it is run again, before any that came after it.
            failures += 1
            delay = backoff(failures)
            log.error("store.failed", why=str(error), again_in=round(delay, 1))
            await asyncio.sleep(delay)
        await self._left(accepted)

    async def _attempt(self, turn_id: str) -> BaseException | None:
        """Run a turn; returns what went wrong, if anything."""
        task = asyncio.create_task(self._runner.run(turn_id), name=f"turn {turn_id}")
        self._running[turn_id] = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            self._running.pop(turn_id, None)
            self._runner.over(turn_id)
        return None if task.cancelled() else task.exception()

    async def _take_away(self, sign: asyncio.Task[str | None], room_id: str) -> None:
        try:
            event_id = await sign
            if event_id is not None:
                await self._rooms.redact(room_id, event_id)
        except Exception as error:
            log.info("sign.left_behind", room=room_id, why=str(error))

    async def _left(self, accepted: Accepted) -> None:
        waiting, user, chat = (
            self._ledger.memory.waiting,
            accepted.user_id,
            accepted.platform_chat_id,
        )
        waiting[user] -= 1
        if not waiting[user]:
            del waiting[user]
        async with self._chat_left:
            self._chats[chat] -= 1
            if not self._chats[chat]:
                del self._chats[chat]
                self._chat_left.notify_all()
