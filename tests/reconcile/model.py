"""A homeserver, a bot and its people, in memory: small enough to be meddled with thousands of times.

The homeserver keeps rooms, members, links, names and account data; the bot is the real ledger, machines,
planner and `apply` over a store in memory; its outbox is carried out here as `Deeds` would, some effects at
a time. `look` gives what /sync would, so that `observe` is tried as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from config import Access, Limits, Registry
from config.agents import EchoAgent
from machines.effects import (
    CreateRoom,
    Effect,
    FollowUpgrade,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    RenameRoom,
    UnlinkChild,
    WriteMirrors,
)
from store import Delete, MemoryStore
from store.history import Cause
from surface.aftermath import Result, aftermath
from surface.case import Row, World, decode_row
from surface.clock import SystemClock
from surface.commands.said import Facts
from surface.failpoints import Failpoints
from surface.house import House
from surface.inputs import (
    MARKER,
    Input,
    Invite,
    Marked,
    Membership,
    Message,
    Named,
    Removed,
    Unlinked,
    Upgraded,
)
from surface.installation import Sequence as Ids
from surface.ledger import Ledger
from surface.memory import Memory
from surface.mirrors.content import BINDING, PROFILE
from surface.mirrors.writer import MirrorWriter
from surface.reception import receive
from surface.reconcile.apply import apply
from surface.reconcile.observe import Picture, picture
from surface.reconcile.plan import plan
from surface.reconcile.run import documents_of
from surface.reconcile.steps import Step

BOT = "@bot:hs"
ECHO = EchoAgent(id="echo", name="Echo", adapter="echo")
SHOUT = EchoAgent(id="shout", name="Crier", adapter="echo", style="shout")
BOTH, ONE, NO_DEFAULT = (
    Registry(default="echo", agents=(ECHO, SHOUT)),
    Registry(agents=(SHOUT,)),
    Registry(agents=(ECHO, SHOUT)),
)
HOUSE = House(Access(allow=("@*:hs",)), Limits(rooms=10_000, waiting=1_000, per_minute=10_000))


@dataclass
class ModelRoom:
    """A room as the homeserver keeps it."""

    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)

    def put(self, sender: str, kind: str, content: Any, key: str = "", at: int = 0) -> None:
        self.state[kind, key] = {
            "type": kind,
            "state_key": key,
            "sender": sender,
            "content": content,
            "origin_server_ts": at,
        }

    def membership(self, user: str) -> str | None:
        event = self.state.get(("m.room.member", user))
        return event["content"]["membership"] if event else None

    def content(self, kind: str, key: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.state.get((kind, key), {}).get("content", {})
        return found


class ModelHomeserver:
    """Rooms, and the bot's account data."""

    def __init__(self) -> None:
        self.rooms: dict[str, ModelRoom] = {}
        self.account: dict[str, Any] = {}
        self._numbers = itertools.count(1)

    def create(self, creator: str, **content: Any) -> str:
        number = next(self._numbers)
        room_id = f"!r{number}"
        room = self.rooms[room_id] = ModelRoom()
        room.put(creator, "m.room.create", {"room_version": "12", **content}, at=number)
        self.member(room_id, creator, "join")
        return room_id

    def member(self, room_id: str, user: str, membership: str) -> None:
        self.rooms[room_id].put(user, "m.room.member", {"membership": membership}, user)

    def sync(self) -> dict[str, Any]:
        """An initial sync of the bot's."""
        joined = {}
        for room_id, room in self.rooms.items():
            if room.membership(BOT) == "join":
                account = [{"type": k, "content": c} for k, c in room.account.items()]
                joined[room_id] = {
                    "state": {"events": list(room.state.values())},
                    "account_data": {"events": account},
                }
        return {"next_batch": "s1", "rooms": {"join": joined}}

    # What `Account` asks for.

    async def read(self, kind: str, room_id: str | None = None) -> Any:
        return (self.account if room_id is None else self.rooms[room_id].account).get(kind)

    async def write(
        self, kind: str, content: dict[str, Any], room_id: str | None = None, *, point: str
    ) -> None:
        del point
        (self.account if room_id is None else self.rooms[room_id].account)[kind] = content


class Model:
    """Everything together."""

    def __init__(self) -> None:
        self.homeserver, self.store = ModelHomeserver(), MemoryStore()
        self.agents = BOTH
        self.boots, self.inputs = itertools.count(1), itertools.count(1)
        self.pending: list[tuple[str, Input]] = []
        """What happened and the bot has not been told yet."""
        self.issued: dict[str, str] = {}
        """The room of every platform chat that was ever issued."""
        self.labels: dict[tuple[str, str], str] = {}

    async def boot(self) -> None:
        """A new process; what only memory knew is gone."""
        self.ids = Ids(self.store, self.homeserver, Failpoints(None))
        installation = await self.ids.settle()
        world = World(self.agents, "en", f"boot{next(self.boots)}", installation)
        self.memory = Memory()
        rows = await self._rows()
        stale = [row for row in rows if row.boot not in (None, world.boot)]
        if stale:
            await self.store.save([Delete("outbox", row.key) for row in stale])
        self.open_ledger(world, max((row.seq for row in rows), default=0))

    def open_ledger(self, world: World, last: int) -> None:
        """The ledger over what is there; `last` is the highest number of an outbox row."""
        self.ledger = Ledger(self.store, self.memory, world, Failpoints(None), SystemClock())
        self.ledger.more_ids, self.ledger.raise_ids = self.ids.more, self.ids.at_least
        self.ledger.start_after(last)

    async def lose_database(self) -> None:
        """The disk is gone; turns and what was to be carried out with it."""
        self.store = MemoryStore()
        await self.boot()

    def look(self) -> Picture:
        return picture(BOT, [self.homeserver.sync()])

    async def plan(self) -> list[Step]:
        return plan(await documents_of(self.store, BOT), self.agents, self.look())

    async def reconcile(self, most: int | None = None) -> list[Step]:
        """One plan, applied, or so many steps of it; returns them."""
        steps = (await self.plan())[:most]
        await apply(self.ledger, steps, run=f"{self.ledger.world.boot}.{next(self.inputs)}")
        return steps

    async def reconciled(self) -> None:
        """One plan settles it: the next is empty."""
        steps = await self.reconcile()
        assert (left := await self.plan()) == [], f"{left} after {steps}"

    async def comes_to_rest(self) -> None:
        """When everything was heard and carried out, store and Matrix say the same."""
        for _ in range(2):
            await self.settle_down()
            await self.reconciled()
        await self._agree()

    async def _agree(self) -> None:
        rooms = self.homeserver.rooms
        for _, stored in await self.store.scan("users"):
            user = stored.body
            if user["state"] in ("ready", "choosing"):
                space = rooms[user["space_id"]]
                assert space.membership(BOT) == "join"
                assert space.membership(user["user_id"]) in ("join", "invite")
        for _, stored in await self.store.scan("rooms"):
            room, there = stored.body, rooms[stored.body["room_id"]]
            assert there.membership(BOT) == "join" or room["state"] == "lost"
            if room["state"] in ("unbound", "bound", "cleared") and not room["foreign"]:
                assert there.membership(room["matrix_user_id"]) in ("join", "invite")
                place = rooms.get(room["space_id"])
                if place is not None and place.membership(BOT) == "join":
                    assert place.content("m.space.child", room["room_id"]).get("via")

    async def hear(self, room_id: str, event: Input) -> None:
        """The bot takes up an input."""
        message = event if isinstance(event, Message) else None
        number = next(self.inputs)
        await self.ledger.decide(
            f"$in{number}",
            lambda case: receive(case, event, HOUSE, Facts()),
            by=Cause("event", f"$in{number}"),
            point="input",
            order=f"{number:08d}",
            body=message.body if message else "",
            sender=getattr(event, "sender", ""),
        )
        await self.end_turns()

    async def end_turns(self) -> None:
        """Turns are answered at once: they are not what is tried here."""
        for key, _ in await self.store.scan("turns"):
            await self.store.save([Delete("turns", key)])

    async def hear_all(self) -> None:
        waiting, self.pending = self.pending, []
        for room_id, event in waiting:
            await self.hear(room_id, event)

    async def carry_out(self, most: int = 1_000) -> None:
        """Carry out effects, oldest first, until nothing is left."""
        for _ in range(most):
            rows = sorted(await self._rows(), key=lambda row: row.seq)
            if not rows:
                return
            await self._settle(rows[0])

    async def _settle(self, row: Row) -> None:
        await self.learn(row, await self._perform(row.effect))

    async def learn(self, row: Row, result: Result) -> None:
        """Commit what came of an effect."""
        await self.ledger.decide(
            f"{row.key}!",
            lambda case: aftermath(case, row.effect, result),
            by=Cause("bot", type(row.effect).__name__),
            settle=[Delete("outbox", row.key)],
            point="settle",
        )

    async def mirror(self) -> None:
        """Write the mirrors that are due."""
        writer = MirrorWriter(self.ledger, self.homeserver, pause=0)  # type: ignore[arg-type]
        await writer.write_all()

    async def settle_down(self) -> None:
        """Until nothing is left to do."""
        for _ in range(8):
            await self.hear_all()
            await self.carry_out()
            await self.mirror()

    async def _rows(self) -> Sequence[Row]:
        return [decode_row(key, row.body) for key, row in await self.store.scan("outbox")]

    async def _perform(self, effect: Effect) -> Result:
        rooms = self.homeserver.rooms
        match effect:
            case JoinRoom(room_id, inviter):
                return self._join(room_id, inviter)
            case FollowUpgrade(old, successor):
                if successor not in rooms or rooms[successor].membership(BOT) is None:
                    return Result(refused="M_FORBIDDEN")
                self.homeserver.member(successor, BOT, "join")
                return Result(predecessor=self._predecessor(successor) or old)
            case LeaveRoom(room_id):
                if room_id in rooms:
                    self.homeserver.member(room_id, BOT, "leave")
            case CreateRoom():
                return await self._create(effect)
            case InviteUser(room_id, user) if self._in(room_id):
                if rooms[room_id].membership(user) not in ("join", "invite"):
                    self.homeserver.member(room_id, user, "invite")
            case LinkChild(space, room, order) if self._in(space) and self._in(room):
                rooms[space].put(BOT, "m.space.child", {"via": ["hs"], "order": order}, room)
            case UnlinkChild(space, room) if self._in(space):
                if rooms[space].content("m.space.child", room):
                    rooms[space].put(BOT, "m.space.child", {}, room)
            case WriteMirrors():
                await self.mirror()
            case RenameRoom(room_id, name) if self._in(room_id):
                rooms[room_id].put(BOT, "m.room.name", {"name": name})
            case _:
                pass
        return Result()

    def _in(self, room_id: str) -> bool:
        room = self.homeserver.rooms.get(room_id)
        return room is not None and room.membership(BOT) == "join"

    def _predecessor(self, room_id: str) -> str | None:
        rooms = self.homeserver.rooms
        old = rooms[room_id].content("m.room.create").get("predecessor", {}).get("room_id")
        if old in rooms:
            named = rooms[old].content("m.room.tombstone").get("replacement_room")
            return str(old) if named == room_id else None
        return None

    def _join(self, room_id: str, inviter: str) -> Result:
        room = self.homeserver.rooms[room_id]
        if room.membership(BOT) not in ("invite", "join"):
            return Result(refused="M_FORBIDDEN")
        self.homeserver.member(room_id, BOT, "join")
        members = {key for kind, key in room.state if kind == "m.room.member"}
        joined = {user for user in members if room.membership(user) == "join"}
        others = tuple(sorted(joined - {BOT, inviter}))
        return Result(
            others=others,
            predecessor=self._predecessor(room_id),
            space=room.content("m.room.create").get("type") == "m.space",
            owner=room.content(MARKER).get("owner"),
        )

    async def _create(self, wanted: CreateRoom) -> Result:
        user = await self.store.get("users", f"matrix_user:{wanted.owner}")
        if user is None or wanted.nonce not in user.body["creations"]:
            return Result()
        for room_id, room in self.homeserver.rooms.items():
            found = room.content(MARKER).get("nonce") == wanted.nonce
            if found and self._in(room_id):
                return Result(room_id=room_id)
        return Result(room_id=self.make(wanted))

    def make(self, wanted: CreateRoom) -> str:
        """The homeserver makes a room, whether anybody hears of it or not."""
        kind = {"type": "m.space"} if wanted.kind == "space" else {}
        room_id = self.homeserver.create(BOT, **kind)
        room = self.homeserver.rooms[room_id]
        marker = {"v": 1, "kind": wanted.kind, "owner": wanted.owner, "nonce": wanted.nonce}
        if wanted.chat_id:
            marker["chat_id"] = wanted.chat_id
        room.put(BOT, MARKER, marker)
        room.put(BOT, "m.room.name", {"name": wanted.name})
        return room_id

    async def lost_response(self) -> None:
        """A room was made by a process that died before it heard of it."""
        for row in await self._rows():
            if isinstance(row.effect, CreateRoom):
                known = [r.content(MARKER).get("nonce") for r in self.homeserver.rooms.values()]
                if row.effect.nonce not in known:
                    self.make(row.effect)
                return

    # What people do; the bot hears of it if it is told.

    def told(self, room_id: str, event: Input, *, heard: bool) -> None:
        if heard:
            self.pending.append((room_id, event))

    def dm(self, user: str) -> None:
        room_id = self.homeserver.create(user)
        self.homeserver.member(room_id, BOT, "invite")
        self.pending.append((room_id, Invite(room_id, user, direct=True)))

    def goes(self, room_id: str, user: str, membership: str, *, heard: bool) -> None:
        self.homeserver.member(room_id, user, membership)
        self.told(room_id, Membership(room_id, user, user, membership), heard=heard)

    def removes_bot(self, room_id: str, *, heard: bool) -> None:
        self.homeserver.member(room_id, BOT, "leave")
        self.told(room_id, Removed(room_id), heard=heard)

    def invites_bot(self, room_id: str, user: str) -> None:
        self.homeserver.member(room_id, BOT, "invite")
        self.pending.append((room_id, Invite(room_id, user, direct=False)))

    def unlinks(self, space: str, room_id: str, user: str, *, heard: bool) -> None:
        self.homeserver.rooms[space].put(user, "m.space.child", {}, room_id)
        self.told(space, Unlinked(room_id, space), heard=heard)

    def names(self, room_id: str, user: str, name: str, *, heard: bool) -> None:
        self.homeserver.rooms[room_id].put(user, "m.room.name", {"name": name})
        self.told(room_id, Named(room_id, name), heard=heard)

    def upgrades(self, room_id: str, user: str, *, invited: bool, heard: bool) -> str:
        new = self.homeserver.create(user, predecessor={"room_id": room_id})
        old = self.homeserver.rooms[room_id]
        if old.content("m.room.create").get("type"):
            self.homeserver.rooms[new].state["m.room.create", ""]["content"]["type"] = "m.space"
        old.put(user, "m.room.tombstone", {"replacement_room": new})
        if invited:
            self.homeserver.member(new, BOT, "invite")
            self.told(new, Invite(new, user, direct=False), heard=heard)
        self.told(room_id, Upgraded(room_id, new), heard=heard)
        return new

    def marked(self, room_id: str) -> None:
        marker = self.homeserver.rooms[room_id].content(MARKER)
        self.pending.append((room_id, Marked(room_id, marker["owner"], marker["nonce"], False)))

    def meddle(self, room_id: str, kind: str, value: Any) -> None:
        """Anything may lie in account data, from an older version or by a mistake of ours."""
        assert kind in (BINDING, PROFILE)
        self.homeserver.rooms[room_id].account[kind] = value
