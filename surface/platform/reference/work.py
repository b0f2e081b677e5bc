"""One turn being worked on: from the brain's beats to the journal, and from there to its readers.

One rule: a beat becomes visible when it is on disk. Beats that come while the disk is busy are written
together, so a fast model costs no more writes than the disk can do. The work belongs to no reader: it
goes on when they leave, and any number may follow it. Only `end` stops it, or its question staying
open with nobody there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, TypeAlias

import structlog

from store.store import StoreError
from surface.platform.interface import (
    CallFailed,
    ConfirmationAsked,
    Done,
    PlatformError,
    TextDelta,
    TurnEvent,
)
from surface.platform.wire import PING, after, is_end, length

from .brain import Beat, Brain, Task, failed
from .journal import Record

log = structlog.get_logger()

PATIENCE: Final = 600.0
"""Seconds that an open question waits for anybody to be there."""

LONGEST: Final = 1_000_000
"""Characters of one answer."""

Sent: TypeAlias = tuple[int, TurnEvent]
"""An event, behind its place in the stream."""

Keep = Callable[[Record, tuple[str, ...]], Awaitable[None]]
Remember = Callable[[Record], Awaitable[None]]


class Work:
    """A turn in this process.

    Args:
        record: how far it had come when it was taken up.
        brain: who answers.
        task: what is answered; its `verdict` is replaced.
        keep: writes a record, with the work that was done for it.
        remember: puts an answered message into the chat's memory.
    """

    def __init__(
        self, record: Record, brain: Brain, task: Task, keep: Keep, remember: Remember
    ) -> None:
        self._record, self._brain = record, brain
        self._task = replace(task, verdict=self._verdict, sent=record.events)
        self._keep, self._remember = keep, remember
        self._pending: list[Beat] = []
        self._given: dict[str, bool] = {}
        self._ending: PlatformError | None = None
        self._lost: PlatformError | None = None
        self._wake, self._moved = asyncio.Event(), asyncio.Event()
        self._readers = 0
        self._over = False

    @property
    def record(self) -> Record:
        """What is on disk."""
        return self._record

    async def run(self) -> None:
        """Work until the turn has ended."""
        thinking = asyncio.create_task(self._think(), name=f"think {self._record.message_id}")
        try:
            while self._record.end is None:
                await self._wake.wait()
                self._wake.clear()
                await self._commit()
        except (StoreError, CallFailed) as error:
            log.error("platform.turn_not_kept", turn=self._record.message_id, why=str(error))
            self._lost = PlatformError("store_failed", "The platform cannot write.", retryable=True)
        finally:
            thinking.cancel()
            await asyncio.gather(thinking, return_exceptions=True)
            self._over = True
            self._notify()

    def end(self, error: PlatformError) -> None:
        """End the turn; too late is no error."""
        self._ending = self._ending or error
        self._wake.set()

    def decide(self, question: str, accepted: bool) -> bool:
        """Take a person's answer; the first counts. False: this was never asked."""
        if not any(
            isinstance(event, ConfirmationAsked) and event.id == question
            for event in (*self._record.events, *(beat.event for beat in self._pending))
        ):
            return False
        if question not in self._record.verdicts:
            self._given.setdefault(question, accepted)
            self._wake.set()
        return True

    async def follow(self, place: int) -> AsyncGenerator[Sent | None, None]:
        """Yield what comes after a place, each event with the place behind it; None: a sign of life."""
        self._readers += 1
        try:
            while True:
                moved = self._moved
                for here, event in after(self._record.told, place):
                    place = here
                    yield here, event
                if self._record.end is not None:
                    return
                if self._lost is not None:
                    yield place + 1, self._lost
                    return
                if self._over:
                    return  # The service stops; the reader comes back and finds the turn as it is.
                try:
                    async with asyncio.timeout(PING):
                        await moved.wait()
                except TimeoutError:
                    yield None
        finally:
            self._readers -= 1
            if not self._readers:
                asyncio.get_running_loop().call_later(PATIENCE, self._give_up)

    async def _think(self) -> None:
        sent = sum(length(event) for event in self._record.events)
        if sent and not self._brain.repeatable:
            self._put(
                failed("interrupted", "The platform was restarted in the middle of this answer.")
            )
            return
        here = said = 0
        try:
            async with aclosing(self._brain.answer(self._task)) as beats:
                async for beat in beats:
                    start, here = here, here + length(beat.event)
                    said += length(beat.event) if isinstance(beat.event, TextDelta) else 0
                    if said > LONGEST:
                        self._put(
                            failed("too_long", f"The answer is longer than {LONGEST} characters.")
                        )
                        return
                    if here <= sent:
                        continue
                    if beat.pause:
                        await asyncio.sleep(beat.pause)
                    if isinstance(beat.event, TextDelta) and start < sent:
                        beat = replace(beat, event=TextDelta(beat.event.text[sent - start :]))  # noqa: PLW2901
                    self._put(beat)
                    if is_end(beat.event):
                        return
            self._put(failed("brain_broke", "The agent stopped without an end."))
        except Exception as error:
            log.exception("platform.brain_broke", turn=self._record.message_id)
            self._put(failed("brain_broke", f"The agent broke: {type(error).__name__}."))

    def _put(self, beat: Beat) -> None:
        self._pending.append(beat)
        self._wake.set()

    async def _commit(self) -> None:
        beats, self._pending = self._pending, []
        given, self._given = self._given, {}
        if self._ending is not None and not any(is_end(beat.event) for beat in beats):
            beats.append(Beat(self._ending))
        record = self._record.grown(*(beat.event for beat in beats))
        record = replace(record, verdicts={**given, **record.verdicts})
        if isinstance(record.end, Done):
            await self._remember(record)
        await self._keep(record, tuple(beat.work for beat in beats if beat.work is not None))
        self._record = record
        self._notify()

    async def _verdict(self, question: str) -> bool:
        while question not in self._record.verdicts:
            await self._moved.wait()
        return self._record.verdicts[question]

    def _notify(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _give_up(self) -> None:
        asked = {e.id for e in self._record.events if isinstance(e, ConfirmationAsked)}
        if not self._readers and asked - set(self._record.verdicts):
            self.end(PlatformError("abandoned", "Nobody answered the question.", retryable=True))
