"""What an operator can do about effects that are stuck: a real outbox over a store in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from machines.effects import Effect
from store.history import Cause
from surface.aftermath import Result
from surface.case import Row
from surface.matrix.api import Lost, MatrixError
from surface.outbox import DROPPED, Outbox
from tests.surface.place import ROOM, place

HOUR = 3600.0


class Homeserver:
    """Answers nothing until it is told to; then everything."""

    def __init__(self) -> None:
        self.up = False
        self.asked: list[Effect] = []
        self.tried = asyncio.Semaphore(0)

    async def perform(self, row: Row) -> Result:
        self.asked.append(row.effect)
        self.tried.release()
        if not self.up:
            raise MatrixError(429, "M_LIMIT_EXCEEDED", "later", HOUR)
        return Result(event_id="$sent")


@pytest.fixture
async def stuck() -> tuple[Outbox, Homeserver]:
    """Two notices of one room, the first of which has been tried in vain."""
    there, homeserver = await place(), Homeserver()
    outbox = Outbox(there.ledger, homeserver.perform)
    outbox.open()
    there.ledger.listen(outbox.on_decided)
    for key in ("one", "two"):
        await there.ledger.decide(
            key,
            lambda case: case.say(ROOM, "undone", context="1"),
            by=Cause("operator", "test"),
            point="input",
        )
    async with asyncio.timeout(60):
        await homeserver.tried.acquire()
        while not outbox.troubles:
            await asyncio.sleep(0)
    return outbox, homeserver


async def settled(outbox: Outbox) -> None:
    async with asyncio.timeout(60):
        await outbox.idle()
    assert len(outbox) == 0 and not outbox.troubles


async def test_retry_does_not_wait_for_the_next_attempt(stuck: tuple[Outbox, Homeserver]) -> None:
    outbox, homeserver = stuck
    assert outbox.troubles["one/0"].attempts == 1
    assert "later" in outbox.troubles["one/0"].why
    homeserver.up = True
    assert outbox.retry("one/0")
    assert not outbox.retry("two/0"), "it waits for its turn, not for an attempt"
    await settled(outbox)
    assert len(homeserver.asked) == 3
    assert outbox.tally == {("Notice", "put_off"): 1, ("Notice", "done"): 2}


async def test_what_is_dropped_makes_way(stuck: tuple[Outbox, Homeserver]) -> None:
    outbox, homeserver = stuck
    homeserver.up = True
    assert await outbox.drop("one/0")
    await settled(outbox)
    assert len(homeserver.asked) == 2
    assert outbox.tally["Notice", "dropped"] == outbox.tally["Notice", "done"] == 1
    assert not await outbox.drop("one/0"), "it is gone"


async def test_what_waits_behind_another_can_be_dropped(stuck: tuple[Outbox, Homeserver]) -> None:
    outbox, homeserver = stuck
    waiting = asyncio.ensure_future(outbox.settled("two/0"))
    await asyncio.sleep(0)
    assert await outbox.drop("two/0")
    assert (await waiting or Result()).refused == DROPPED
    assert [row.key for row in outbox.rows] == ["one/0"]
    homeserver.up = True
    outbox.retry("one/0")
    await settled(outbox)
    assert len(homeserver.asked) == 2


async def test_dropped_while_its_request_is_under_way(stuck: tuple[Outbox, Homeserver]) -> None:
    """The request may still succeed; if it gets no answer, that was the last attempt."""
    outbox, homeserver = stuck
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def hangs(row: Row) -> Result:
        homeserver.tried.release()
        await answer
        raise Lost("cut off")

    outbox._perform = hangs
    outbox.retry("one/0")
    await homeserver.tried.acquire()
    assert await outbox.drop("one/0")
    assert len(outbox) == 2
    outbox._perform = homeserver.perform
    homeserver.up = True
    answer.set_result(None)
    await settled(outbox)
    assert outbox.tally["Notice", "dropped"] == 1


async def test_a_stop_does_not_wait_for_an_attempt(stuck: tuple[Outbox, Homeserver]) -> None:
    outbox, _ = stuck
    async with asyncio.timeout(60):
        await outbox.aclose(HOUR)
    assert len(outbox) == 2
