"""A place without Matrix: a real ledger over a store in memory, and a room in which people say things.

What is said is decided by `reception.receive`, as `Actors` does; what the platform would know beforehand is
given. What is said in the room is rendered as it would be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from config import Access, Limits
from config.agents import EchoAgent, Registry
from machines import Pool
from machines.dialog import Dialog
from machines.effects import Answer, CreateRoom, LoadContext, Notice, SaveContext
from machines.room import Room
from machines.turn import Turn
from machines.user import Creation, User
from store import MemoryStore, Put
from store.documents import room_key, user_key, written
from store.history import Cause
from surface import render
from surface.aftermath import Result, aftermath
from surface.case import Row, World, decode_row
from surface.clock import SystemClock
from surface.commands.said import Facts
from surface.deeds import _linked
from surface.failpoints import Failpoints
from surface.house import House
from surface.inputs import Input, Message
from surface.ledger import Decided, Ledger
from surface.memory import Memory, Progress
from surface.platform.interface import SavedContext
from surface.reception import receive

ALICE, BOB = "@alice:hs", "@bob:hs"
ROOM, HOME, SPACE = "!room", "!home", "!space"
AGENTS = Registry(
    default="echo",
    agents=(
        EchoAgent(id="echo", name="Echo", adapter="echo"),
        EchoAgent(id="shout", name="Crier", adapter="echo", style="shout"),
    ),
)
RULES = House(Access(allow=("@*:hs",)), Limits())
SAVES = (
    SavedContext("s2", "plans", 3, "", datetime(2026, 1, 2, tzinfo=UTC)),
    SavedContext("s1", "older", 1, "", None),
)
FACTS = Facts(turns=3, saves=SAVES)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
"""Anything that JSON can hold."""


def chat(**changes: Any) -> Room:
    """Alice's chat C1, in its Space and bound to `echo`."""
    values: dict[str, Any] = {
        "room_type": "chat",
        "matrix_user_id": ALICE,
        "space_id": SPACE,
        "chat_id": "C1",
        "display_name": "Chat *1*",
        "agent_id": "echo",
        "platform_chat_id": "7",
    }
    return Room(ROOM, **values | changes)


ROOMS: dict[str, tuple[Room, str]] = {
    "unprovisioned": (Room(ROOM), "unprovisioned"),
    "undecided": (Room(ROOM, inviter=ALICE, others=[BOB]), "unprovisioned"),
    "home": (Room(ROOM, room_type="home", matrix_user_id=ALICE), "home"),
    "unbound": (chat(agent_id=None, platform_chat_id=None), "unbound"),
    "agent gone": (chat(agent_id="gone"), "unbound"),
    "bound": (chat(), "bound"),
    "failed": (chat(failed_body="Tell me a story"), "bound"),
    "company": (chat(others=[BOB], foreign=True, space_id=None), "bound"),
    "cleared": (chat(previous_chat_id="6"), "cleared"),
    "archived": (chat(), "archived"),
    "lost": (chat(), "lost"),
}
"""A room in every state, and in some more than once."""

USERS: dict[str, tuple[User, str]] = {
    "ready": (User(ALICE, selected_agent_id="echo", space_id=SPACE), "ready"),
    "choosing": (User(ALICE, space_id=SPACE), "choosing"),
    "provisioning": (User(ALICE, creations={"n": Creation("space", "Space")}), "provisioning"),
    "departed": (User(ALICE, selected_agent_id="echo", space_id=SPACE), "departed"),
    "departed, Space gone": (User(ALICE, selected_agent_id="echo"), "departed"),
}
OTHER_ROOMS = (
    (chat(display_name="Old"), "archived", "!old", "C2"),
    (chat(agent_id=None, platform_chat_id=None), "unbound", "!idle", "C3"),
)


@dataclass
class Place:
    """One room, its owner and what they have besides; each input is decided in it."""

    ledger: Ledger
    house: House = RULES
    count: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)
    """The content of every message that was said in `ROOM`, rendered."""

    @property
    def memory(self) -> Memory:
        return self.ledger.memory

    async def say(self, body: str, sender: str = ALICE, facts: Facts = FACTS, **more: Any) -> Said:
        """Somebody says something in the room."""
        self.count += 1
        message = Message(f"$said{self.count}", ROOM, sender, body, "m.text", **more)
        return await self.receive(message, facts)

    async def receive(self, event: Input, facts: Facts = FACTS) -> Said:
        """Something happens in the room."""
        self.count += 1
        message = event if isinstance(event, Message) else None
        decided = await self.ledger.decide(
            f"$input{self.count}",
            lambda case: receive(case, event, self.house, facts),
            by=Cause("event", f"$input{self.count}"),
            point="input",
            order=f"{self.count:08d}",
            body=message.body if message else "",
            thread=message.thread if message else None,
            sender=getattr(event, "sender", ""),
        )
        return self._said(decided)

    async def settle(self, row: Row, result: Result) -> Said:
        """An effect came to this."""
        decided = await self.ledger.decide(
            f"{row.key}!",
            lambda case: aftermath(case, row.effect, result),
            by=Cause("bot", type(row.effect).__name__),
            point="settle",
        )
        return self._said(decided)

    def _said(self, decided: Decided[Any]) -> Said:
        said = Said(list(decided.rows), [turn.turn_id for turn in decided.accepted], [])
        for row in said.rows:
            match row.effect:
                case Notice(room_id=room, text=text, reply_to=event) if room == ROOM:
                    content = render.notice(row.locale, text.key, _linked(text), event)
                    assert content["body"].strip()
                    said.words.append(text.key)
                    self.heard.append(content)
                case Answer(room_id=room) if room == ROOM:
                    said.words.append("answer")
                case _:
                    pass
        return said


@dataclass
class Said:
    """What came of one input."""

    rows: list[Row]
    turns: list[str]
    words: list[str]
    """Keys of what was said in the room."""

    @property
    def asked(self) -> list[Row]:
        """What was asked for, and will be spoken of when it is there."""
        return [
            r for r in self.rows if isinstance(r.effect, SaveContext | LoadContext | CreateRoom)
        ]


async def place(room: str = "bound", user: str = "ready", locale: str = "en") -> Place:
    """A place with a room and its owner in these states."""
    if (room, user, locale) not in _SEEDED:
        _SEEDED[room, user, locale] = await _seeded(room, user, locale)
    store = MemoryStore()
    store._rows = dict(_SEEDED[room, user, locale]._rows)
    world = World(AGENTS, locale, "boot", "installation")
    memory = Memory(machines=_MACHINES)
    return Place(Ledger(store, memory, world, Failpoints(None), SystemClock()))


_MACHINES = Pool()
_SEEDED: dict[tuple[str, str, str], MemoryStore] = {}
"""Places that were made before: to make one takes longer than all that happens there."""


async def _seeded(room: str, user: str, locale: str) -> MemoryStore:
    store = MemoryStore()
    puts = [_room(*ROOMS[room])]
    person, state = USERS[user]
    person = User(**{**vars(person), "locale": locale, "next_chat_index": 4})
    if room == "home":
        person.home_rooms = [ROOM]
    puts.append(Put("users", user_key(ALICE), written("users", person, state, history=[]), 0))
    for other, its_state, room_id, label in OTHER_ROOMS:
        puts.append(_room(Room(**vars(other) | {"room_id": room_id, "chat_id": label}), its_state))
    # Ids that the rooms have already were given out before.
    puts.append(Put("meta", "PLATFORM_CHAT_SEQ", {"v": 2, "value": 100}, 0))
    await store.save(puts)
    return store


async def running(there: Place, state: str = "streaming") -> None:
    """A turn of Alice's runs in the room."""
    turn = Turn("$running", ROOM, ALICE, "Tell me a story", "echo", "7", "0")
    await there.ledger.store.save([Put("turns", "$running", written("turns", turn, "waiting"), 0)])
    there.memory.running["$running"] = Progress(ROOM, state, "Once upon")


def asking(there: Place, purpose: Any) -> None:
    """A question or list of this purpose is open in the room."""
    dialog, state = Dialog(ROOM, purpose, list_event_id="$question"), "confirming"
    if purpose in ("agent", "load"):
        dialog.choices, state = ["echo", "shout"], "choosing"
        dialog.labels = ["Echo", "Crier"]
    if purpose == "agent_question":
        dialog.subject = "q1"
    there.memory.dialogs[ROOM] = (dialog, state)


def restarted(there: Place) -> Place:
    """The same store in another process: what only memory knew is gone."""
    world = World(AGENTS, there.ledger.world.locale, "next boot", "installation")
    memory = Memory(machines=_MACHINES)
    ledger = Ledger(there.ledger.store, memory, world, Failpoints(None), SystemClock())
    return Place(ledger, count=there.count)


async def stored(there: Place) -> Iterable[Row]:
    """What lies in the outbox, as the next process would read it."""
    return [decode_row(k, s.body) for k, s in await there.ledger.store.scan("outbox")]


def _room(room: Room, state: str) -> Put:
    body = written("rooms", room, state) | {"history": []}
    return Put("rooms", room_key(room.room_id), body, 0)
