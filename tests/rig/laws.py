"""What must be true of a person's rooms whenever the bot has nothing to do: store and Matrix agree. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from machines.room import order_of

Document = Mapping[str, Any]
State = Mapping[tuple[str, str], Mapping[str, Any]]
"""The contents of a room's state events, by type and key."""
ALIVE = ("bound", "cleared", "unbound", "archived")


@dataclass(frozen=True)
class Household:
    """A person's rooms, by the store and by the homeserver.

    Attributes:
        user: the person's document.
        chats: the documents of their chat rooms.
        index: the table `chats`.
        markers: by room, the markers that name the person, of rooms that the bot is in.
        states: by room, the state of those rooms.
        agents: the names of the agents by id.
    """

    user: Document
    chats: Sequence[Document]
    index: Mapping[str, Document]
    markers: Mapping[str, Document]
    states: Mapping[str, State]
    agents: Mapping[str, str]


def broken(household: Household) -> list[str]:
    """The laws that do not hold; empty if all do."""
    return [*_of_all(household), *(law for chat in household.chats for law in _of(household, chat))]


def ids_in_use(rooms: Iterable[Document]) -> list[tuple[str, str]]:
    """Every label and every platform chat of rooms, each with its room: none may be there twice."""
    found: list[tuple[str, str]] = []
    for room in rooms:
        if room["chat_id"] is None:
            continue
        found.append((f"{room['matrix_user_id']} {room['chat_id']}", room["room_id"]))
        chats = {room["platform_chat_id"], room["previous_chat_id"]} - {None}
        found += [(chat, room["room_id"]) for chat in chats]
    return found


def _of_all(its: Household) -> Iterator[str]:
    who = its.user["user_id"]
    if its.user["creations"]:
        yield f"{who} has creations left: {its.user['creations']}"
    spaces = [room for room, marker in its.markers.items() if marker["kind"] == "space"]
    if spaces != [its.user["space_id"]]:
        yield f"{who} has the Spaces {spaces}; in the store is {its.user['space_id']}"
    there = set(its.markers) - set(spaces)
    stored = {chat["room_id"] for chat in its.chats if chat["state"] != "lost"}
    if there != stored:
        yield f"{who} has in Matrix but not in the store {there - stored}, and only there {stored - there}"
    nonces = [marker["nonce"] for marker in its.markers.values()]
    if len(set(nonces)) != len(nonces):
        yield f"{who} has two rooms of one nonce: {nonces}"
    labels = [chat["chat_id"] for chat in its.chats]
    if len(set(labels)) != len(labels):
        yield f"{who} has two chats of one label: {labels}"
    if labels and max(int(label[1:]) for label in labels) >= its.user["next_chat_index"]:
        yield f"{who} will get a label again: {labels}, next is {its.user['next_chat_index']}"


def _of(its: Household, chat: Document) -> Iterator[str]:
    room, space, label = chat["room_id"], its.user["space_id"], chat["chat_id"]
    name, state = f"{its.user['user_id']} {label} ({room})", its.states.get(room)
    if chat["state"] not in ALIVE or state is None:
        yield f"{name} is {chat['state']}"
        return
    if chat["space_id"] != space:
        yield f"{name} is stored in the Space {chat['space_id']}, not {space}"
    marked = its.markers.get(room, {}).get("chat_id")
    if marked != label:
        yield f"{name} is marked as {marked}"
    row = its.index.get(f"chat:{its.user['user_id']}:{label}", {})
    if (row.get("surface_ref"), row.get("name")) != (room, chat["display_name"]):
        yield f"{name} is in the index as {row}"
    shown = (state.get(("m.room.name", "")) or {}).get("name")
    if shown != chat["display_name"]:
        yield f"{name} is called {shown!r}, in the store {chat['display_name']!r}"
    yield from _link(its, chat, name, state)
    if chat["state"] in ("bound", "cleared"):
        topic = (state.get(("m.room.topic", "")) or {}).get("topic", "")
        if its.agents[chat["agent_id"]] not in topic:
            yield f"{name} has the agent {chat['agent_id']} and the topic {topic!r}"


def _link(its: Household, chat: Document, name: str, state: State) -> Iterator[str]:
    room, space = chat["room_id"], its.user["space_id"]
    child = its.states.get(space, {}).get(("m.space.child", room)) or {}
    parent = state.get(("m.space.parent", space)) or {}
    if chat["state"] == "archived":
        if child.get("via"):
            yield f"{name} is archived, and still in the Space: {child}"
        return
    if child.get("via") != ["localhost"] or child.get("order") != order_of(chat["chat_id"]):
        yield f"{name} is in the Space as {child}"
    if parent.get("via") != ["localhost"]:
        yield f"{name} knows its Space as {parent}"
