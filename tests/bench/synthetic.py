"""Installations that never were: what the reconciler's plan is measured on, without Matrix.

The one place that knows what `plan` takes; it is given people and rooms with which all is as it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from config import Registry
from config.agents import EchoAgent
from machines.room import Room
from machines.user import User
from store import Put, TinyStore
from store.documents import room_key, user_key, written
from store.store import Stored
from surface.mirrors.content import binding_of, mirror, profile_of
from surface.reconcile.observe import Marker, Picture, Seen
from surface.reconcile.plan import plan
from surface.reconcile.view import Documents

ME = "@lambda:hs"
ROOMS_EACH = 10
"""Rooms of one person."""
AT_ONCE = 1_000
"""Documents in one commit."""
AGENTS = Registry(default="echo", agents=(EchoAgent(id="echo", name="Echo", adapter="echo"),))


def planning(rooms: int) -> Callable[[], list[object]]:
    """A plan of so many consistent rooms, ready to be made."""
    documents, seen = installation(rooms)
    return lambda: [*plan(documents, AGENTS, Picture(seen))]


def installation(rooms: int) -> tuple[Documents, dict[str, Seen]]:
    """So many consistent rooms: what is kept of them, and what is seen."""
    people, chats, seen = {}, {}, {}
    for n in range(-(-rooms // ROOMS_EACH)):
        owner, space = f"@{n}:hs", f"!space{n}"
        numbers = range(n * ROOMS_EACH, min(rooms, (n + 1) * ROOMS_EACH))
        user = User(
            owner,
            space_id=space,
            space_name=f"Lambda — {n}",
            selected_agent_id="echo",
            next_chat_index=ROOMS_EACH + 1,
        )
        people[owner] = Stored(1, written("users", user, "ready", history=[]))
        seen[space] = Seen(
            space,
            ours=True,
            space=True,
            marker=Marker("space", owner, f"s{n}"),
            name=f"Lambda — {n}",
            members={owner: "join"},
            children={f"!room{number}": ("linked", ME) for number in numbers},
            profile=mirror(profile_of(people[owner].body, space), 1),
        )
        for number in numbers:
            stored, room = _chat(number, owner, space)
            chats[room.room_id], seen[room.room_id] = stored, room
    return Documents(me=ME, users=people, rooms=chats, sequence=rooms), seen


async def kept(documents: Documents, file: Path, *more: Put) -> None:
    """Write people and rooms into a bot's database."""
    puts = [Put("users", user_key(u), its.body, 0) for u, its in documents.users.items()]
    puts += [Put("rooms", room_key(r), its.body, 0) for r, its in documents.rooms.items()]
    puts += more
    store = TinyStore.open(file)
    for first in range(0, len(puts), AT_ONCE):
        await store.save(puts[first : first + AT_ONCE])
    await store.aclose()


def _chat(number: int, owner: str, space: str) -> tuple[Stored, Seen]:
    label = f"C{number % ROOMS_EACH + 1}"
    room = Room(
        f"!room{number}",
        room_type="chat",
        matrix_user_id=owner,
        space_id=space,
        chat_id=label,
        display_name=f"Chat {number}",
        agent_id="echo",
        platform_chat_id=str(number + 1),
    )
    stored = Stored(1, written("rooms", room, "bound", history=[]))
    seen = Seen(
        room.room_id,
        ours=True,
        marker=Marker("chat", owner, f"r{number}", label),
        name=room.display_name,
        members={owner: "join"},
        binding=mirror(binding_of(stored.body), 1),
    )
    return stored, seen
