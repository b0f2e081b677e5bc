"""No transient state can be written: tried for every transient state of every machine there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.agents import EchoAgent, Registry
from machines import DialogMachine, RoomMachine, TrayMachine, TurnMachine, UserMachine
from machines.chart import Chart, NotPersisted, UnknownState
from machines.dialog import Dialog
from machines.effects import OfferAgents
from machines.room import Room
from machines.tray import Tray
from machines.turn import Turn
from machines.user import User
from store import Delete, DocumentError, MemoryStore, Put, Store, TinyStore
from store.documents import SHAPES, written
from store.history import Cause
from store.store import Saved, Table, Write
from surface.case import Case, World
from surface.clock import SystemClock
from surface.failpoints import Failpoints
from surface.ledger import Ledger
from surface.memory import Memory, Progress

RECORDS: dict[type[Chart[Any]], Any] = {
    UserMachine: User("@alice:hs"),
    RoomMachine: Room("!room"),
    TurnMachine: Turn("$event", "!room", "@alice:hs", "hello", "echo", "1", "0"),
    DialogMachine: Dialog("!room"),
    TrayMachine: Tray("!room", "@alice:hs"),
}
MACHINES: tuple[type[Chart[Any]], ...] = tuple(RECORDS)
DOCUMENTED: dict[type[Chart[Any]], Table] = {
    UserMachine: "users",
    RoomMachine: "rooms",
    TurnMachine: "turns",
}
TRANSIENTS = [(kind, state) for kind in MACHINES for state in kind.transient_states()]
ATTEMPTS = [
    (kind, state, table)
    for kind, state in TRANSIENTS
    for table in SHAPES
    # A state of the same name that another machine stores is not this one.
    if kind is TurnMachine or state not in SHAPES[table].states
]
BY = Cause("event", "$cause")
WORLD = World(
    Registry(agents=(EchoAgent(id="echo", name="Echo", adapter="echo"),)), "en", "boot", "i"
)


@pytest.fixture(params=["memory", "tiny"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store = (
        MemoryStore() if request.param == "memory" else TinyStore.open(tmp_path / "lambda.db")
    )
    yield made
    await made.aclose()


def document(table: Table, state: str) -> dict[str, Any]:
    """A document that lacks nothing but a state that may be written."""
    (kind,) = [kind for kind, its in DOCUMENTED.items() if its == table]
    body = written(table, RECORDS[kind], state)
    return body | {"history": []} if table != "turns" else body


def test_all_machines_are_tried() -> None:
    assert set(Chart.__subclasses__()) == set(MACHINES)
    assert {kind for kind, _ in TRANSIENTS} == set(MACHINES)
    assert {(kind, state) for kind, state, _ in ATTEMPTS} == set(TRANSIENTS)


@pytest.mark.parametrize(
    ("kind", "state", "table"), ATTEMPTS, ids=lambda part: getattr(part, "__name__", part)
)
async def test_it_cannot_be_written(
    kind: type[Chart[Any]], state: str, table: Table, store: Store
) -> None:
    """Neither as a new document nor over one that is there; and nothing goes with it."""
    good = document(table, SHAPES[table].states[0])
    await store.save([Put(table, "there", good, 0)])
    before = await store.scan(table)
    for key, rev in (("there", 1), ("there", None), ("new", 0)):
        with pytest.raises(DocumentError, match=f"{table}/{key}: state '{state}' may not be"):
            await store.save(
                [Put(table, "beside", good, 0), Put(table, key, document(table, state), rev)]
            )
    assert await store.scan(table) == before


@pytest.mark.parametrize(("kind", "state"), TRANSIENTS)
def test_the_machine_does_not_give_it_out(kind: type[Chart[Any]], state: str) -> None:
    machine = kind(RECORDS[kind], state, live=True)
    assert machine.state == state
    if kind is TurnMachine and not machine.ended:
        assert machine.stored_state == "waiting"
    else:
        with pytest.raises(NotPersisted):
            _ = machine.stored_state
    with pytest.raises(UnknownState):
        kind(RECORDS[kind], state)


@pytest.mark.parametrize("state", ["thinking", "streaming"])
async def test_a_running_turn_is_stored_as_waiting(state: str, store: Store) -> None:
    """The way the program itself would take, through a decision."""
    await store.save([Put("turns", "$event", document("turns", "waiting"), 0)])
    memory = Memory(running={"$event": Progress("!room", state)})
    ledger = Ledger(store, memory, WORLD, Failpoints(None), SystemClock())

    def decision(case: Case) -> None:
        turn = case.turn("$event")
        assert turn is not None
        assert turn.state == state
        turn.take("place", body="…")

    await ledger.decide("cause", decision, by=BY, point="input")
    stored = await store.get("turns", "$event")
    assert stored is not None
    assert (stored.rev, stored.body["state"], stored.body["placeholder_asked"]) == (
        2,
        "waiting",
        True,
    )


async def test_an_open_question_leaves_no_trace_in_the_store(store: Store) -> None:
    """Only its message lies in the outbox, marked with the process that may send it."""
    memory = Memory()
    ledger = Ledger(store, memory, WORLD, Failpoints(None), SystemClock())
    tables: tuple[Table, ...] = ("users", "rooms", "chats", "turns", "inbox", "dirty", "meta")
    before = [await store.scan(table) for table in tables]

    def decision(case: Case) -> None:
        case.want(OfferAgents("!room"))

    await ledger.decide("cause", decision, by=BY, point="input")
    assert memory.dialogs["!room"][1] == "choosing"
    assert [await store.scan(table) for table in tables] == before
    ((_, row),) = await store.scan("outbox")
    assert row.body["boot"] == "boot"


class Gated(MemoryStore):
    """The first save waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.open = asyncio.Event(), asyncio.Event()

    async def save(self, changes: Sequence[Write], *, durable: bool = True) -> Saved:
        if not self.entered.is_set():
            self.entered.set()
            await self.open.wait()
        return await super().save(changes, durable=durable)


async def test_an_answered_question_is_not_brought_back_by_a_slower_decision() -> None:
    """That its message is in the room is being written down when the person has answered it already."""
    memory, gated = Memory(), Gated()
    memory.dialogs["!room"] = (Dialog("!room", "load", ["s1", "s2"]), "choosing")
    ledger = Ledger(gated, memory, WORLD, Failpoints(None), SystemClock())

    def posted(case: Case) -> None:
        if case.dialog("!room").knows("posted"):
            case.dialog("!room").take("posted", list_event_id="$list")

    def picked(case: Case) -> str | None:
        dialog = case.dialog("!room")
        dialog.take("pick", number=2)
        return dialog.record.outcome

    settle = [Delete("outbox", "row")]
    slower = asyncio.create_task(
        ledger.decide("row!", posted, by=BY, point="settle", settle=settle)
    )
    await gated.entered.wait()
    answer = asyncio.create_task(
        ledger.decide("$said", picked, by=BY, point="input", settle=settle)
    )
    for _ in range(50):
        await asyncio.sleep(0)  # Time for it to overtake, if it could.
    gated.open.set()
    await slower
    assert (await answer).value == "s2"
    assert memory.dialogs == {}


async def test_how_far_a_turn_has_come_is_not_written_down(store: Store) -> None:
    await store.save([Put("turns", "$event", document("turns", "waiting"), 0)])
    memory = Memory(running={"$event": Progress("!room", "waiting")})
    ledger = Ledger(store, memory, WORLD, Failpoints(None), SystemClock())
    for event, state in (("start", "thinking"), ("delta", "streaming")):
        await ledger.decide(f"$event/{event}", _takes(event), by=BY, point="input")
        assert memory.running["$event"].state == state
    stored = await store.get("turns", "$event")
    assert stored is not None
    assert stored.rev == 1


async def test_a_turn_that_starts_is_not_set_back_by_a_slower_edit() -> None:
    """The edit is still being written when the agent is about to be asked: it counts, and the turn runs."""
    gated = Gated()
    await MemoryStore.save(gated, [Put("turns", "$event", document("turns", "waiting"), 0)])
    memory = Memory(running={"$event": Progress("!room", "waiting")})
    ledger = Ledger(gated, memory, WORLD, Failpoints(None), SystemClock())
    edit = _takes("replace", body="what I meant")
    slower = asyncio.create_task(ledger.decide("$edit", edit, by=BY, point="input"))
    await gated.entered.wait()
    start = asyncio.create_task(ledger.decide("$start", _takes("start"), by=BY, point="input"))
    for _ in range(50):
        await asyncio.sleep(0)  # Time for it to overtake, if it could.
    gated.open.set()
    await slower
    await start
    assert memory.running["$event"].state == "thinking"
    stored = await gated.get("turns", "$event")
    assert stored is not None
    assert stored.body["body"] == "what I meant"


async def test_a_turn_is_not_set_back_by_a_slower_decision_that_only_looked_at_it() -> None:
    """Somebody asks for `!help`, which looks at what runs, while the turn is taken up."""
    gated = Gated()
    await MemoryStore.save(gated, [Put("turns", "$event", document("turns", "waiting"), 0)])
    memory = Memory(running={"$event": Progress("!room", "waiting")})
    ledger = Ledger(gated, memory, WORLD, Failpoints(None), SystemClock())

    def looks(case: Case) -> bool:
        return case.running_in("!room") is not None

    settle = [Delete("outbox", "row")]
    slower = asyncio.create_task(ledger.decide("$said", looks, by=BY, point="input", settle=settle))
    await gated.entered.wait()
    start = asyncio.create_task(ledger.decide("$start", _takes("start"), by=BY, point="input"))
    for _ in range(50):
        await asyncio.sleep(0)  # Time for it to overtake, if it could.
    gated.open.set()
    assert (await slower).value
    await start
    assert memory.running["$event"].state == "thinking"


def _takes(event: str, **details: Any) -> Callable[[Case], None]:
    def decision(case: Case) -> None:
        turn = case.turn("$event")
        assert turn is not None
        turn.take(event, **details)

    return decision
