"""Installations that never were: what the reconciler's plan is measured on, without Matrix.

The one place that knows what `plan` takes; it is given people and rooms with which all is as it should be.
"""

from __future__ import annotations

from collections.abc import Callable

from config import Registry
from config.agents import EchoAgent
from machines.room import Room
from machines.user import User
from store.documents import written
from surface.reconcile.plan import plan

ROOMS_EACH = 10
"""Rooms of one person."""
AGENTS = Registry(default="echo", agents=(EchoAgent(id="echo", name="Echo", adapter="echo"),))


def planning(rooms: int) -> Callable[[], list[object]]:
    """A plan of so many consistent rooms, ready to be made."""
    users = [
        written(
            "users",
            User(f"@{n}:hs", selected_agent_id="echo", space_id=f"!space{n}"),
            "ready",
        )
        for n in range(-(-rooms // ROOMS_EACH))
    ]
    chats = [
        written(
            "rooms",
            Room(
                f"!room{n}",
                room_type="chat",
                matrix_user_id=f"@{n // ROOMS_EACH}:hs",
                space_id=f"!space{n // ROOMS_EACH}",
                chat_id=f"C{n % ROOMS_EACH + 1}",
                display_name=f"Chat {n}",
                agent_id="echo",
                platform_chat_id=str(n),
            ),
            "bound",
            history=[],
        )
        for n in range(rooms)
    ]
    return lambda: [*plan(users, chats, AGENTS)]
