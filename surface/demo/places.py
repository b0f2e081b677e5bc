"""The guest's rooms with what the bot has stored of them: names to find them by, and their state.

Rule: names, labels and states are the stored ones (committed before the bot says so in the room), so a
room is found by its new name as soon as the renaming was answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import Registry
from store.documents import room_key
from store.peek import peek
from surface.demo.guest import Guest
from surface.demo.rooms import Room

HOME = "home"


@dataclass(frozen=True)
class Place:
    """A room to talk in, as the demo shows it."""

    room_id: str
    name: str
    label: str | None
    """`C1`, `C2` …; None for a home room and for rooms the bot knows nothing of."""
    state: str
    agent: str | None
    """The agent's name."""
    context: str | None
    """The platform chat's id."""

    @property
    def title(self) -> str:
        """Name and label."""
        return f"{self.name} ({self.label})" if self.label else self.name

    @property
    def standing(self) -> str:
        """State, agent and context, in one line."""
        if self.state == HOME:
            return "commands only"
        context = f"context {self.context}" if self.context else None
        return " · ".join(part for part in (self.state, self.agent, context) if part)


def places(guest: Guest, database: Path, agents: Registry) -> list[Place]:
    """The rooms the guest can talk in: home first, then the chats in order.

    Raises:
        StoreError: the bot's database cannot be read.
    """
    documents = peek(database, "rooms")
    rooms = [room for room in guest.joined() if not room.is_space]
    return sorted((_place(room, documents, agents, guest.bot) for room in rooms), key=_order)


def find(among: Iterable[Place], name: str) -> Place | None:
    """The room of that label or name; of several of one name the newest."""
    wanted = name.strip().casefold()
    listed = list(among)
    for place in listed:
        if (place.label or "").casefold() == wanted:
            return place
    named = [place for place in listed if place.name.casefold() == wanted]
    if wanted == HOME:
        return next((place for place in named if place.label is None), None)
    return max(named, key=_order, default=None)


def _order(place: Place) -> tuple[bool, int]:
    return (place.label is not None, int(place.label[1:]) if place.label else 0)


def _place(
    room: Room, documents: Mapping[str, Mapping[str, Any]], agents: Registry, bot: str
) -> Place:
    document = documents.get(room_key(room.room_id), {})
    label = document.get("chat_id") or room.marker.get("chat_id")
    agent_id = document.get("agent_id")
    agent = agents.get(agent_id) if agent_id else None
    name = document.get("display_name") or room.content("m.room.name").get("name")
    is_home = document.get("room_type") == "home" or bot in _members(room)
    return Place(
        room_id=room.room_id,
        name=str(name) if name else HOME if is_home else room.room_id,
        label=str(label) if label else None,
        state=str(document.get("state", "not known yet")),
        agent=agent.name if agent else agent_id,
        context=document.get("platform_chat_id"),
    )


def _members(room: Room) -> set[str]:
    return {key for kind, key in room.state if kind == "m.room.member"}
