"""No `platform_chat_id` and no chat label is ever used twice, whatever happens in whatever order.

Hypothesis plays a few people against a real ledger, real decisions and a real store, without Matrix:
waves of things that happen at once, their reads and commits interleaved by a drawn schedule, and now
and then a crash that takes all memory away, before a commit or right after it. What people say is
decided as `Actors` does, effects are settled as `Outbox` does, with outcomes a homeserver may give.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import Access, Limits
from config.agents import EchoAgent, Registry
from machines.effects import CreateRoom, Effect, JoinRoom, Notice, Placeholder
from store import Delete, MemoryStore, Store, TinyStore
from store.documents import room_key, user_key
from store.history import Cause
from store.store import Saved, Stored, Table, Write
from surface.aftermath import Result, aftermath
from surface.case import Case, Row, World, decode_row
from surface.clock import SystemClock
from surface.commands.said import Facts
from surface.failpoints import Failpoints
from surface.house import House
from surface.inbox import InboxRow, encode_row, position
from surface.inputs import Input, Invite, Marked, Membership, Message
from surface.ledger import Ledger
from surface.memory import Memory, Progress
from surface.reception import receive
from surface.reconcile.run import reconcile

ECHO = EchoAgent(id="echo", name="Echo", adapter="echo")
SHOUT = EchoAgent(id="shout", name="Crier", adapter="echo", style="shout")
BOTH = Registry(default="echo", agents=(ECHO, SHOUT))
ONLY_SHOUT = Registry(agents=(SHOUT,))
HOUSE = House(Access(allow=("@*:hs",)), Limits(rooms=10_000, waiting=1_000, per_minute=10_000))
USERS = ("@alice:hs", "@bob:hs")


class Crash(Exception):
    """The process is gone."""


@dataclass
class Shaky:
    """A store that lets others in between, may take the process with it, and remembers every id."""

    inner: Store
    chance: random.Random
    issued: list[str]
    saves_left: int | None = None
    """Saves until the crash; None: no crash."""
    after: bool = False
    """Whether the save it crashes in is committed."""
    dead: bool = False

    async def get(self, table: Table, key: str) -> Stored | None:
        await self._others()
        return await self.inner.get(table, key)

    async def scan(self, table: Table, *, prefix: str = "") -> list[tuple[str, Stored]]:
        await self._others()
        return await self.inner.scan(table, prefix=prefix)

    async def save(self, changes: Sequence[Write], **how: Any) -> Saved:
        await self._others()
        if self.saves_left is not None:
            self.saves_left -= 1
            if self.saves_left < 0:
                self.dead = True
                if not self.after:
                    raise Crash
        saved = await self.inner.save(changes, **how)
        self.issued += saved.ids.values()
        if self.dead:
            raise Crash
        return saved

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def _others(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        if self.dead:
            raise Crash


@dataclass
class Bot:
    """The surface without Matrix: inbox, decisions and outbox; killed and started at will."""

    open_store: Callable[[], Store]
    chance: random.Random
    agents: Registry = BOTH
    issued: list[str] = field(default_factory=list)
    """Every id of the sequence that any save ever gave out."""
    owners: dict[str, str] = field(default_factory=dict)
    """The room of every platform chat and of every label ever seen."""
    inputs: dict[str, tuple[Input, str]] = field(default_factory=dict)
    """By inbox key, what was received, and its place."""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def start(self) -> None:
        self.store = Shaky(self.open_store(), self.chance, self.issued)
        installation = await self.store.inner.get("meta", "installation_id")
        assert installation is not None
        boot = f"boot{next(self.numbers)}"
        world = World(self.agents, "en", boot, installation.body["value"])
        self.memory = Memory()
        self.ledger = Ledger(self.store, self.memory, world, Failpoints(None), SystemClock())
        rows = await self.rows()
        self.ledger.start_after(max((row.seq for row in rows), default=0))
        await reconcile(self.ledger)
        # Inputs that were received and not decided are decided now.
        for key, _ in await self.store.scan("inbox"):
            await self.decide(key)

    async def crash(self, agents: Registry) -> None:
        self.agents = agents
        await self.store.inner.aclose()
        await self.start()

    async def rows(self) -> list[Row]:
        stored = await self.store.inner.scan("outbox")
        return sorted((decode_row(key, s.body) for key, s in stored), key=lambda row: row.seq)

    async def receive(self, room_id: str, event: Input) -> None:
        """Something comes in by /sync: written down, then decided."""
        number = next(self.numbers)
        key = event.event_id if isinstance(event, Message) else f"input{number}"
        order = position(number, 0)
        self.inputs[key] = (event, order)
        # The content is of no use here: the input itself is kept beside.
        await self.store.save([encode_row(InboxRow(key, room_id, order, "event", None))])
        await self.decide(key)

    async def decide(self, key: str) -> None:
        event, order = self.inputs[key]
        said = event if isinstance(event, Message) else None
        await self.ledger.decide(
            key,
            lambda case: receive(case, event, HOUSE, Facts(0)),
            by=Cause("event", key),
            settle=[Delete("inbox", key)],
            point="input",
            order=order,
            body=said.body if said else "",
            sender=said.sender if said else "",
        )

    async def settle(self, row: Row, *, refused: bool = False) -> None:
        """An effect is carried out; a room is found by its nonce if it was made before."""
        result = _result(row.effect, refused=refused)
        await self.ledger.decide(
            f"{row.key}!",
            lambda case: aftermath(case, row.effect, result),
            by=Cause("bot", type(row.effect).__name__),
            settle=[Delete("outbox", row.key)],
            point="settle",
        )

    async def answer(self, turn_id: str) -> None:
        """An agent answers a waiting turn."""
        self.memory.running[turn_id] = Progress("!room", "waiting")
        try:
            for event, details in (("start", {}), ("finish", {"body": "words"})):
                await self.ledger.decide(
                    f"{turn_id}/{event}",
                    _taking(turn_id, event, details),
                    by=Cause("bot", event),
                    point="turn.final",
                )
        finally:
            self.memory.running.pop(turn_id, None)

    async def check(self) -> None:
        """Nothing is there twice, and nothing has changed hands."""
        assert len(set(self.issued)) == len(self.issued), f"issued twice: {self.issued}"
        seen: list[tuple[str, str]] = []
        for _, stored in await self.store.inner.scan("rooms"):
            room = stored.body
            for chat in {room["platform_chat_id"], room["previous_chat_id"]} - {None}:
                assert chat in self.issued
                seen.append((chat, room["room_id"]))
            if room["chat_id"] is not None:
                seen.append((f"{room['matrix_user_id']} {room['chat_id']}", room["room_id"]))
        for _, stored in await self.store.inner.scan("users"):
            user = stored.body
            for nonce, creation in user["creations"].items():
                if creation["chat_id"] is not None:
                    seen.append((f"{user['user_id']} {creation['chat_id']}", f"!{nonce}"))
        for name, room_id in seen:
            assert self.owners.setdefault(name, room_id) == room_id, f"{name} is used again"
        assert len({name for name, _ in seen}) == len(seen), f"two share one: {seen}"
        sequence = await self.store.inner.get("meta", "PLATFORM_CHAT_SEQ")
        if sequence is not None:
            assert sequence.body["value"] >= max(map(int, self.issued), default=0)


def _taking(turn_id: str, event: str, details: dict[str, Any]) -> Callable[[Case], None]:
    def decision(case: Case) -> None:
        turn = case.turn(turn_id)
        if turn is not None and turn.knows(event):
            turn.take(event, **details)

    return decision


def _result(effect: Effect, *, refused: bool) -> Result:
    if refused:
        return Result(refused="M_FORBIDDEN", reason="no")
    match effect:
        case CreateRoom(nonce=nonce):
            return Result(room_id=f"!{nonce}")
        case JoinRoom():
            return Result(display_name="Somebody")
        case Notice() | Placeholder():
            return Result(event_id="$sent")
        case _:
            return Result()


# --- what may happen ----------------------------------------------------------------------------

SAID = st.sampled_from(
    [
        "!new",
        "!new",
        "!new Room",
        "!clear",
        "!clear",
        "!undo",
        "!undo",
        "!agent echo",
        "!agent shout",
        "hello",
        "hello",
        "1",
        "!archive",
        "!restore C1",
        "!restore C2",
    ]
)
Op = tuple[str, int, int, Any]
OPS = st.one_of(
    st.tuples(st.just("say"), st.integers(0, 1), st.integers(0, 3), SAID),
    st.tuples(st.just("say"), st.integers(0, 1), st.integers(0, 3), SAID),
    st.tuples(st.just("settle"), st.integers(0, 5), st.integers(0, 9), st.none()),
    st.tuples(st.just("settle"), st.integers(0, 5), st.integers(0, 9), st.none()),
    st.tuples(st.just("marker"), st.integers(0, 1), st.integers(0, 3), st.none()),
    st.tuples(st.just("answer"), st.integers(0, 1), st.integers(0, 3), st.none()),
    st.tuples(st.just("invite"), st.integers(0, 1), st.integers(0, 1), st.none()),
    st.tuples(
        st.just("member"),
        st.integers(0, 1),
        st.integers(0, 3),
        st.sampled_from(["leave", "join"]),
    ),
)
CRASHES = st.tuples(st.integers(0, 6), st.booleans(), st.sampled_from([BOTH, BOTH, ONLY_SHOUT]))
WAVES = st.lists(
    st.tuples(st.lists(OPS, min_size=1, max_size=6), st.none() | CRASHES), min_size=1, max_size=10
)


async def play(bot: Bot, waves: list[tuple[list[Op], Any]]) -> None:
    await bot.start()
    for user in USERS:
        await bot.receive(f"!home:{user}", Invite(f"!home:{user}", user, True))
    await settle_all(bot)
    for ops, crash in waves:
        # One effect or turn is worked on by one at a time, as in the program.
        once: set[str] = set()
        works = [work for op in ops if (work := await begun(bot, op, once)) is not None]
        if crash is not None:
            bot.store.saves_left, bot.store.after, agents = crash
        outcomes = await asyncio.gather(*(work() for work in works), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Crash):
                raise outcome
        if crash is not None:
            await bot.crash(agents)
        await bot.check()
    await bot.crash(BOTH)
    await settle_all(bot)
    await bot.check()
    assert await bot.store.scan("inbox") == []
    await bot.store.aclose()


async def settle_all(bot: Bot) -> None:
    while rows := await bot.rows():
        for row in rows:
            await bot.settle(row)


async def begun(bot: Bot, op: Op, once: set[str]) -> Callable[[], Any] | None:
    """The work behind an operation; None if there is nothing it could be about."""
    what, first, second, more = op
    if what == "settle":
        rows = [row for row in await bot.rows() if row.key not in once]
        if not rows:
            return None
        row = rows[first % len(rows)]
        once.add(row.key)
        refused = second == 0 and isinstance(row.effect, CreateRoom)
        return lambda: bot.settle(row, refused=refused)
    user = USERS[first]
    rooms = [
        stored.body["room_id"]
        for _, stored in await bot.store.inner.scan("rooms")
        if stored.body["matrix_user_id"] == user
    ]
    document = await bot.store.inner.get("users", user_key(user))
    match what:
        case "invite":
            room_id = f"!home{second}:{user}"
            return lambda: bot.receive(room_id, Invite(room_id, user, True))
        case "say" if rooms:
            room_id = rooms[second % len(rooms)]
            event_id = f"${next(bot.numbers)}"
            message = Message(event_id, room_id, user, more, "m.text")
            return lambda: bot.receive(room_id, message)
        case "marker" if document is not None and document.body["creations"]:
            nonces = list(document.body["creations"])
            nonce = nonces[second % len(nonces)]
            space = document.body["creations"][nonce]["kind"] == "space"
            if not space and document.body["space_id"] is None:
                return None  # it cannot have been asked for yet
            return lambda: bot.receive(f"!{nonce}", Marked(f"!{nonce}", user, nonce, False))
        case "answer":
            turns = [key for key, _ in await bot.store.inner.scan("turns") if key not in once]
            if not turns:
                return None
            turn = turns[second % len(turns)]
            once.add(turn)
            return lambda: bot.answer(turn)
        case "member" if rooms:
            room_id = rooms[second % len(rooms)]
            return lambda: bot.receive(room_id, Membership(room_id, user, user, more))
    return None


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(waves=WAVES, seed=st.integers(0, 2**32))
def test_no_id_is_ever_used_twice(waves: list[tuple[list[Op], Any]], seed: int) -> None:
    store = MemoryStore()
    store.aclose = _stay  # type: ignore[method-assign]  # what is kept outlives the process
    asyncio.run(play(Bot(lambda: store, random.Random(seed)), waves))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(waves=WAVES, seed=st.integers(0, 2**32))
def test_no_id_is_ever_used_twice_on_disk(waves: list[tuple[list[Op], Any]], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lambda_matrix.db"
        asyncio.run(play(Bot(lambda: TinyStore.open(path), random.Random(seed)), waves))


async def _stay() -> None:
    """Closing a store in memory would lose it."""


async def test_two_rooms_cleared_at_once() -> None:
    """The example behind it all: two commands that both need a fresh id, in every interleaving."""
    for seed in range(15):
        store = MemoryStore()
        bot = Bot(lambda store=store: store, random.Random(seed))  # type: ignore[misc]
        await bot.start()
        for user in USERS:
            await bot.receive(f"!home:{user}", Invite(f"!home:{user}", user, True))
        await settle_all(bot)
        rooms = [s.body for _, s in await store.scan("chats")]
        clears = [
            Message(f"$clear{n}", row["surface_ref"], row["user_id"], "!clear", "m.text")
            for n, row in enumerate(rooms)
        ]
        await asyncio.gather(*(bot.receive(clear.room_id, clear) for clear in clears))
        found = [await store.get("rooms", room_key(row["surface_ref"])) for row in rooms]
        fresh = [stored.body["platform_chat_id"] for stored in found if stored is not None]
        assert sorted(fresh) == ["3", "4"]
        await bot.check()


@dataclass
class Torn:
    """A store in which something else is committed between the first two reads."""

    inner: Store
    meanwhile: Callable[[], Awaitable[None]] | None

    async def get(self, table: Table, key: str) -> Stored | None:
        stored = await self.inner.get(table, key)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return stored

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def asked_for_a_chat(bot: Bot) -> tuple[Row, Input]:
    """The pending request for Alice's first chat room, and how /sync would show that room."""
    await bot.start()
    await bot.receive("!home", Invite("!home", USERS[0], True))
    while True:
        for row in await bot.rows():
            if isinstance(row.effect, CreateRoom) and row.effect.kind == "chat":
                nonce = row.effect.nonce
                return row, Marked(f"!{nonce}", USERS[0], nonce, False)
            await bot.settle(row)


async def test_documents_that_do_not_belong_together() -> None:
    """The user as it was before another commit, the room as it was after: no reason to refuse."""
    store = MemoryStore()
    bot = Bot(lambda: store, random.Random(0))
    row, marked = await asked_for_a_chat(bot)
    before = bot.ledger.store
    bot.ledger.store = Torn(before, lambda: other.receive(f"!{row.key}", marked))
    other = Bot(lambda: store, random.Random(1), issued=bot.issued)
    await other.start()
    await bot.settle(row)
    bot.ledger.store = before
    assert [s.body["name"] for _, s in await store.scan("chats")] == ["Chat 1"]
    await bot.check()


async def test_a_room_that_is_there_though_it_was_refused() -> None:
    store = MemoryStore()
    bot = Bot(lambda: store, random.Random(0))
    row, marked = await asked_for_a_chat(bot)
    await bot.receive(f"!{row.key}", marked)
    await bot.settle(row, refused=True)
    assert [s.body["name"] for _, s in await store.scan("chats")] == ["Chat 1"]
    user = await store.get("users", user_key(USERS[0]))
    assert user is not None
    assert user.body["state"] == "ready"


def test_the_check_would_notice() -> None:
    """A sequence that goes back is seen by these tests."""

    async def forgetful() -> None:
        store = MemoryStore()
        bot = Bot(lambda: store, random.Random(0))
        await bot.start()
        for user in USERS:
            await bot.receive(f"!home:{user}", Invite(f"!home:{user}", user, True))
            await settle_all(bot)
            del store._rows["meta", "PLATFORM_CHAT_SEQ"]
        await bot.check()

    try:
        asyncio.run(forgetful())
    except AssertionError as error:
        assert "issued twice" in str(error)
    else:
        raise AssertionError("it was not noticed")
