"""One person, one bot, a small Matrix: a world whose every step is a choice, and which can be frozen.

It is the model of the reconciler's tests (real machines, ledger, planner, `apply`), taken apart into single
steps: one input heard, one effect carried out in Matrix, its outcome committed. Between any two of them the
process may be killed, the disk may be lost, and the person may do something the bot sees or misses.

What is not a matter of order is done at once: effects that leave nothing behind which a plan looks at
(notices, topics) follow the commit that wants them. Turns are answered when they are accepted.
"""

from __future__ import annotations

import itertools
import pickle
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from machines import Pool
from machines.effects import (
    CreateRoom,
    FollowUpgrade,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    RenameRoom,
    Source,
    UnlinkChild,
    WriteMirrors,
)
from store import MemoryStore
from surface.aftermath import Result
from surface.case import Row, World
from surface.failpoints import Failpoints
from surface.inputs import Incoming, Message
from surface.installation import Sequence as Ids
from surface.lanes import lane_of
from surface.ledger import Decided
from tests.reconcile.model import BOT, BOTH, ONE, Model

ALICE = "@alice:hs"
MOST_ROOMS = 6
"""Home, Space, two chats, and successors of two of them."""
WORDS = (
    "hello",
    "!new",
    "!clear",
    "!undo",
    "!archive",
    "!yes",
    "!no",
    "!restore C1",
    "!agent",
    "!agent shout",
    "1",
    "!forget",
    "!drop",
)
VISIBLE = (
    CreateRoom,
    FollowUpgrade,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    RenameRoom,
    UnlinkChild,
    WriteMirrors,
)
"""Effects after which a plan may see something else."""
KILLS = ("kills the bot", "kills the bot while it mends", "changes the agents")
"""The bot is started again after each."""
FILE = Incoming(Source("mxc://hs/file"), "a.txt", "text/plain", 1)
POOL = Pool()
"""Machines to use again, in all worlds: what they stood for is not in them."""


@dataclass(frozen=True)
class Budget:
    """How much of what may still happen."""

    person: int
    """Things the person does."""
    crashes: int
    losses: int
    """Lost databases."""


@dataclass(frozen=True)
class Action:
    """One step of the world."""

    who: str
    """`alice`, `bot`, `matrix` or `fate`."""
    what: str
    room_id: str = ""
    value: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.who, self.what, self.value, self.room_id)))


class SmallWorld(Model):
    """The world of one person."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget
        self.under_way: dict[str, Result] = {}
        """Effects that Matrix has carried out and whose outcome is not committed, by row."""
        self.moves: set[tuple[str, str, str, str]] = set()
        """What machines did since this was thawed."""
        self.way: list[Action] = []
        """The steps that led here, where a beginning took them."""

    async def boot(self) -> None:
        self.under_way = {}
        await super().boot()
        self.memory.machines = POOL

    def open_ledger(self, world: World, last: int) -> None:
        super().open_ledger(world, last)

        def seen(decided: Decided[Any]) -> None:
            for move in decided.moves:
                self.moves.add((move.machine, move.source, move.event, move.target))

        self.ledger.listen(seen)

    # As bytes, and as what tells it from others

    def frozen(self) -> bytes:
        """All of it, to be thawed again and again."""
        memory = replace(self.memory, machines=None, pace={})  # type: ignore[arg-type]
        world = self.ledger.world
        return pickle.dumps(
            (
                self.budget,
                self.store._rows,
                self.homeserver.rooms,
                self.homeserver.account,
                next(self.homeserver._numbers),
                (world.boot, world.installation_id),
                self.agents,
                next(self.boots),
                next(self.inputs),
                self.pending,
                self.under_way,
                self.ids._reserved,
                memory,
            )
        )

    @classmethod
    def thawed(cls, frozen: bytes) -> SmallWorld:
        """The same world again, as a copy."""
        (
            budget,
            rows,
            rooms,
            account,
            number,
            (boot, installation),
            agents,
            boots,
            inputs,
            pending,
            under_way,
            reserved,
            memory,
        ) = pickle.loads(frozen)
        world = cls(budget)
        store = world.store = MemoryStore()
        store._rows = rows
        world.homeserver.rooms, world.homeserver.account = rooms, account
        world.homeserver._numbers = itertools.count(number)
        world.agents, world.pending, world.under_way = agents, pending, under_way
        world.boots, world.inputs = itertools.count(boots), itertools.count(inputs)
        memory.machines = POOL
        world.memory = memory
        world.ids = Ids(store, world.homeserver, Failpoints(None))
        world.ids._reserved = reserved
        last = max(
            (_number(text) for (table, _), text in rows.items() if table == "outbox"), default=0
        )
        world.open_ledger(World(agents, "en", boot, installation), last)
        return world

    def identity(self) -> str:
        """What two worlds have in common when nothing that can happen tells them apart.

        Names that stand for nothing (of inputs, nonces, processes) are called by the order in which they
        appear; times, revisions and the history that only people read are left out.
        """
        rows = sorted(
            (name, _number(text), key, _NOTHING.sub("", text))
            for (name, key), text in self.store._rows.items()
            if name != "meta" or key == "told"
        )
        rooms = [
            (
                room_id,
                sorted((*at, _plain(event)) for at, event in room.state.items()),
                room.account,
            )
            for room_id, room in self.homeserver.rooms.items()
        ]
        memory = self.memory
        everything = repr(
            (
                self.budget,
                [(name, key, text) for name, _, key, text in rows],
                rooms,
                [agent.id for agent in self.agents.agents],
                self.pending,
                sorted(self.under_way.items()),
                sorted(memory.dialogs.items()),
                sorted(memory.trays.items()),
                sorted(memory.asked_anew),
            )
        )
        names: dict[str, str] = {}
        return _NAME.sub(lambda m: names.setdefault(m[0], f"#{len(names)}"), everything)

    # What may happen next

    async def options(self) -> list[Action]:
        """Every step that is possible now."""
        found = [Action("bot", "hears", *_told(self.pending[0]))] if self.pending else []
        lanes: dict[str, Row] = {}
        for row in sorted(await self._rows(), key=lambda row: row.seq):
            lanes.setdefault(lane_of(row.effect), row)
        for row in lanes.values():
            kind = type(row.effect).__name__
            if row.key in self.under_way:
                found.append(Action("bot", f"learns what came of {kind}", value=row.key))
            else:
                found.append(Action("matrix", f"carries out {kind}", value=row.key))
        if await self.store.scan("mirrors"):
            found.append(Action("bot", "writes its mirrors"))
        if self.budget.person:
            found += self._persons()
        if self.budget.crashes:
            found += [Action("fate", kill) for kill in KILLS]
        if self.budget.losses and self.homeserver.rooms:
            found.append(Action("fate", "takes the database"))
        return found

    def _persons(self) -> Iterator[Action]:
        rooms = self.homeserver.rooms
        with_bot = [r for r in rooms if rooms[r].membership(BOT) == "join"]
        if not any(rooms[r].membership(ALICE) == "join" for r in with_bot):
            if len(rooms) < MOST_ROOMS:
                yield Action("alice", "invites the bot to talk")
        for room_id in rooms:
            if rooms[room_id].membership(ALICE) == "invite":
                yield Action("alice", "accepts", room_id)
        for room_id in with_bot:
            if rooms[room_id].membership(ALICE) != "join":
                continue
            space = rooms[room_id].content("m.room.create").get("type") == "m.space"
            if not space:
                yield from (Action("alice", "says", room_id, words) for words in WORDS)
                yield Action("alice", "sends a file", room_id)
            for unseen in ("", " while the bot is down"):
                if unseen and not self.budget.crashes:
                    continue
                yield Action("alice", f"leaves{unseen}", room_id)
                yield Action("alice", f"removes the bot{unseen}", room_id)
                upgraded = rooms[room_id].content("m.room.tombstone")
                if len(rooms) < MOST_ROOMS and not upgraded:
                    yield Action("alice", f"upgrades{unseen}", room_id)
                if space:
                    for kind, child in rooms[room_id].state:
                        if kind == "m.space.child" and rooms[room_id].content(kind, child):
                            yield Action("alice", f"unlinks{unseen}", room_id, child)
        for room_id, room in rooms.items():
            if room.membership(ALICE) == "join" and room.membership(BOT) == "leave":
                yield Action("alice", "invites the bot back", room_id)

    async def do(self, action: Action) -> None:
        """Take one step."""
        match action.who:
            case "bot" | "matrix":
                await self._works(action)
            case "alice":
                self.budget = replace(self.budget, person=self.budget.person - 1)
                await self._lives(action)
            case _:
                await self._strikes(action)
        await self._mute_effects()

    async def _works(self, action: Action) -> None:
        if action.what == "hears":
            (room_id, event), self.pending = self.pending[0], self.pending[1:]
            await self.hear(room_id, event)
            return
        if action.what == "writes its mirrors":
            await self.mirror()
            return
        row = next(row for row in await self._rows() if row.key == action.value)
        if action.who == "matrix":
            self.under_way[row.key] = await self._perform(row.effect)
        else:
            await self.learn(row, self.under_way.pop(row.key))

    async def _lives(self, action: Action) -> None:
        room_id, what = action.room_id, action.what.removesuffix(" while the bot is down")
        heard = what == action.what
        match what:
            case "invites the bot to talk":
                self.dm(ALICE)
            case "accepts":
                self.goes(room_id, ALICE, "join", heard=True)
            case "says":
                self.says(room_id, action.value)
            case "sends a file":
                event_id = f"$m{next(self.inputs)}"
                sent = Message(event_id, room_id, ALICE, "", "m.file", file=FILE)
                self.pending.append((room_id, sent))
            case "leaves":
                self.goes(room_id, ALICE, "leave", heard=heard)
            case "removes the bot":
                self.removes_bot(room_id, heard=heard)
            case "upgrades":
                self.upgrades(room_id, ALICE, invited=True, heard=heard)
            case "unlinks":
                self.unlinks(room_id, action.value, ALICE, heard=heard)
            case "invites the bot back":
                self.invites_bot(room_id, ALICE)
            case _:
                raise AssertionError(action)
        if not heard:
            await self._strikes(Action("fate", "kills the bot"))

    def says(self, room_id: str, words: str) -> None:
        """Alice says something."""
        said = Message(f"$m{next(self.inputs)}", room_id, ALICE, words, "m.text")
        self.pending.append((room_id, said))

    async def _strikes(self, action: Action) -> None:
        if action.what == "takes the database":
            self.budget = replace(self.budget, losses=self.budget.losses - 1)
            # What was said is found again by the read marker, which this small Matrix has not.
            self.pending = [(r, e) for r, e in self.pending if type(e).__name__ == "Invite"]
            await self.lose_database()
        else:
            self.budget = replace(self.budget, crashes=self.budget.crashes - 1)
            if action.what == "changes the agents":
                self.agents = ONE if self.agents == BOTH else BOTH
            await self.boot()
            if action.what == "kills the bot while it mends":
                await self.reconcile(1)
                await self.boot()
        await self.reconciled()

    async def _mute_effects(self) -> None:
        while True:
            rows = sorted(await self._rows(), key=lambda row: row.seq)
            ahead: set[str] = set()
            for row in rows:
                lane = lane_of(row.effect)
                if isinstance(row.effect, VISIBLE):
                    ahead.add(lane)
                elif lane not in ahead:
                    await self.learn(row, Result())
                    break
            else:
                return

    # What must hold in every state

    async def check(self) -> None:
        """The laws that hold at any moment."""
        chats: dict[str, str] = {}
        labels: dict[str, str] = {}
        users = {
            stored.body["user_id"]: stored.body for _, stored in await self.store.scan("users")
        }
        sequence = await self.store.get("meta", "PLATFORM_CHAT_SEQ")
        for _, stored in await self.store.scan("rooms"):
            room = stored.body
            if room["state"] in ("bound", "cleared"):
                assert room["agent_id"] and room["platform_chat_id"] and room["chat_id"], room
            if room["chat_id"] is not None and room["state"] != "lost":
                other = labels.setdefault(room["chat_id"], room["room_id"])
                assert other == room["room_id"], (
                    f"{room['chat_id']} names two rooms: {room['room_id']}"
                )
                user = users.get(room["matrix_user_id"])
                if user is not None:
                    taken = int(room["chat_id"][1:])
                    assert taken < user["next_chat_index"], (
                        f"{room['chat_id']} would be issued again"
                    )
            for chat in {room["platform_chat_id"], room["previous_chat_id"]} - {None}:
                owner = chats.setdefault(chat, str(room["chat_id"]))
                assert owner == str(room["chat_id"]), f"context {chat} belongs to two chats"
                assert sequence is not None and int(chat) <= sequence.body["value"], chat
        spaces = [
            room_id
            for room_id, room in self.homeserver.rooms.items()
            if room.content("lambda.surface.room").get("kind") == "space"
            and room.membership(BOT) == "join"
        ]
        nonces = [self.homeserver.rooms[s].content("lambda.surface.room")["nonce"] for s in spaces]
        assert len(nonces) == len(set(nonces)), "one Space was made twice"


_NOTHING = re.compile(
    r'"(?:rev|seq)":\d+,?|"boot":[^,}]+,?|"history":\[.*?\](?=[,}]),?|"order":"\d+",?'
)
_NAME = re.compile(r"\$(?:in|m)\d+[\w!/]*|reconcile/[\w./!]+|boot\d+|[0-9a-f]{16,}|s[0-9a-f]{24}")


def _number(text: str) -> int:
    found = re.search(r'"seq":(\d+)', text)
    return int(found[1]) if found else 0


def _plain(event: dict[str, Any]) -> str:
    return f"{event['sender']} {event['content']}"


def _told(pending: tuple[str, Any]) -> Sequence[str]:
    room_id, event = pending
    said = getattr(event, "body", "") or getattr(event, "membership", "")
    return room_id, f"{type(event).__name__}{f' {said}' if said else ''}"
