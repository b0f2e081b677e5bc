"""Which commits wait for the disk: those because of which something is done that others can hear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from config import Answers
from store import MemoryStore, Put
from store.documents import room_key, written
from store.history import Cause
from store.store import Saved, Write
from surface.case import Case, World
from surface.clock import SystemClock
from surface.failpoints import Failpoints
from surface.ledger import Ledger
from surface.memory import Memory, Progress
from surface.turn_run import Runner
from tests.machines.kit import room, turn
from tests.surface.place import AGENTS

Decision = Callable[[Case], object]


class Watched(MemoryStore):
    """Notes of each save whether it waits for the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[bool] = []

    async def save(self, changes: Sequence[Write], *, durable: bool = True) -> Saved:
        self.waited.append(durable)
        return await super().save(changes, durable=durable)


@pytest.fixture
async def ledger() -> Ledger:
    """With a room of Alice's, in which a turn of hers runs."""
    store = Watched()
    asked = turn()
    await store.save(
        [
            Put("rooms", room_key("!room"), written("rooms", room(), "bound", history=[]), 0),
            Put("turns", asked.event_id, written("turns", asked, "waiting"), 0),
        ]
    )
    store.waited.clear()
    memory = Memory(running={asked.event_id: Progress("!room", "waiting")})
    world = World(AGENTS, "en", "boot", "installation")
    return Ledger(store, memory, world, Failpoints(None), SystemClock())


def waited(ledger: Ledger) -> list[bool]:
    return cast("Watched", ledger.store).waited


def _accepts(case: Case) -> None:
    case.room("!room").take("talk", event_id="$other")


def _speaks(case: Case) -> None:
    case.say("!room", "forgotten")


def _shows(case: Case) -> None:
    case.room("!room").take("observed_renamed", name="Plans")


@pytest.mark.parametrize(
    ("decision", "quiet", "waits"),
    [
        pytest.param(_accepts, True, False, id="a turn is accepted"),
        pytest.param(_accepts, False, True, id="whoever decides is not quiet"),
        pytest.param(_speaks, True, True, id="something is said"),
        pytest.param(_shows, True, True, id="a mirror has to be written"),
    ],
)
async def test_a_decision_waits_if_something_is_done_because_of_it(
    ledger: Ledger, decision: Decision, quiet: bool, waits: bool
) -> None:
    await ledger.decide(
        "$said2", decision, by=Cause("event", "$said2"), point="input", sender="@a:hs", quiet=quiet
    )
    assert waited(ledger) == [waits]


@pytest.mark.parametrize(("repeatable", "saves"), [(True, []), (False, [True])])
async def test_that_a_platform_is_asked_once_only_is_on_the_disk_before(
    ledger: Ledger, repeatable: bool, saves: list[bool]
) -> None:
    none = cast("Any", None)
    runner = Runner(ledger, none, none, none, none, Answers(), Failpoints(None))
    asked = await runner._decide("$said", "start", repeatable=repeatable)
    assert asked is not None
    assert asked.asked is not repeatable
    assert waited(ledger) == saves
