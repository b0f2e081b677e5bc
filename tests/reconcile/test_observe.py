"""Hostile data: whatever lies in rooms and account data is ignored or told.

It is never adopted, and never an error.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.effects import LinkChild, UnlinkChild
from machines.room import Room
from machines.user import User
from store.documents import written
from store.store import Stored
from surface.inputs import MARKER
from surface.mirrors.content import BINDING, PROFILE, binding_of, mirror, profile_of
from surface.reconcile.observe import STATE, picture
from surface.reconcile.plan import plan
from surface.reconcile.steps import Step, Take, Tell
from surface.reconcile.view import Documents
from tests.reconcile.model import BOT, BOTH
from tests.surface.place import json_values

ALICE, EVE, SPACE, ROOM = "@alice:hs", "@eve:hs", "!space", "!room"
USER = User(
    ALICE,
    space_id=SPACE,
    space_name="Mine",
    next_chat_index=2,
    selected_agent_id="echo",
)
CHAT = Room(
    ROOM,
    room_type="chat",
    matrix_user_id=ALICE,
    space_id=SPACE,
    chat_id="C1",
    display_name="Chat 1",
    agent_id="echo",
    platform_chat_id="7",
)


def event(kind: str, content: Any, key: str = "", sender: str = BOT, **more: Any) -> dict[str, Any]:
    return {"type": kind, "state_key": key, "sender": sender, "content": content, **more}


def room_events(kind: str, name: str) -> list[dict[str, Any]]:
    create = {"room_version": "12", **({"type": "m.space"} if kind == "space" else {})}
    marker = {"v": 1, "kind": kind, "owner": ALICE, "nonce": kind}
    return [
        event("m.room.create", create),
        event("m.room.member", {"membership": "join"}, BOT),
        event("m.room.member", {"membership": "join"}, ALICE, ALICE),
        event("m.room.name", {"name": name}),
        event(MARKER, {**marker, "chat_id": "C1"} if kind == "chat" else marker),
    ]


def documents() -> Documents:
    user, chat = written("users", USER, "ready"), written("rooms", CHAT, "bound")
    return Documents(BOT, {ALICE: Stored(3, user)}, {ROOM: Stored(3, chat)}, (), 7)


def world(*more: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A consistent world, and further events that come after it."""
    link = event("m.space.child", {"via": ["hs"], "order": "00000001"}, ROOM)
    rooms: dict[str, Any] = {
        SPACE: [*room_events("space", "Mine"), link],
        ROOM: room_events("chat", "Chat 1"),
    }
    known = documents()
    account = {
        SPACE: [(PROFILE, mirror(profile_of(known.users[ALICE].body, SPACE), 3))],
        ROOM: [(BINDING, mirror(binding_of(known.rooms[ROOM].body), 3))],
    }
    for room_id, one in more:
        if "state_key" in one:
            rooms.setdefault(room_id, []).append(one)
        else:
            account.setdefault(room_id, []).append((one["type"], one["content"]))
    joined = {
        room_id: {
            "state": {"events": events},
            "account_data": {
                "events": [{"type": k, "content": c} for k, c in account.get(room_id, ())]
            },
        }
        for room_id, events in rooms.items()
    }
    return {"next_batch": "s", "rooms": {"join": joined}}


def planned(*more: tuple[str, dict[str, Any]], known: Documents | None = None) -> list[Step]:
    return plan(known or documents(), BOTH, picture(BOT, [world(*more)]))


def test_a_consistent_world_needs_nothing() -> None:
    assert planned() == []


@pytest.mark.parametrize("kind", ["chat", "space"])
def test_a_forged_marker_is_told_and_nothing_is_adopted(kind: str) -> None:
    forged = {"v": 1, "kind": kind, "owner": EVE, "nonce": "n", "chat_id": "C9"}
    create = event("m.room.create", {"type": "m.space"} if kind == "space" else {}, sender=EVE)
    steps = planned(("!evil", create), ("!evil", event(MARKER, forged, sender=EVE)))
    assert [step.what for step in steps if isinstance(step, Tell)] == ["marker that does not count"]
    assert len(steps) == 1


def test_a_mirror_in_the_room_state_is_no_mirror() -> None:
    forged = mirror(binding_of(written("rooms", CHAT, "bound")), 99)
    steps = planned(
        ("!evil", event("m.room.create", {}, sender=EVE)),
        ("!evil", event(BINDING, forged, sender=EVE)),
    )
    assert steps == []


def test_foreign_and_cyclic_children_are_ignored() -> None:
    via = {"via": ["hs"]}
    steps = planned(
        (SPACE, event("m.space.child", via, "!foreign", EVE)),
        (SPACE, event("m.space.child", via, SPACE, EVE)),
        (ROOM, event("m.space.child", via, SPACE, EVE)),
    )
    assert steps == []


@pytest.mark.parametrize("content", [{"via": []}, {"via": "hs"}, {"via": [1]}, [], "x", None])
def test_a_malformed_link_is_written_again(content: Any) -> None:
    steps = planned((SPACE, event("m.space.child", content, ROOM)))
    assert steps == [Take("room", ROOM, "observed_unlinked")]


def test_a_link_that_a_person_removed_archives() -> None:
    assert planned((SPACE, event("m.space.child", {}, ROOM, ALICE))) == [
        Take("room", ROOM, "observed_archived")
    ]
    redacted = event("m.space.child", {}, ROOM)
    redacted["unsigned"] = {"redacted_because": {"sender": ALICE}}
    assert planned((SPACE, redacted)) == [Take("room", ROOM, "observed_archived")]


def test_without_power_a_broken_link_is_told_once() -> None:
    levels = {"users": {BOT: 0}, "events": {"m.space.child": 50}}
    more = [
        (SPACE, event("m.room.create", {"type": "m.space", "room_version": "11"}, sender=EVE)),
        (SPACE, event("m.room.power_levels", levels)),
        (SPACE, event("m.space.child", {"via": []}, ROOM)),
    ]
    (step,) = planned(*more)
    assert isinstance(step, Tell) and step.what == "no power to link"
    known = documents()
    again = Documents(BOT, known.users, known.rooms, (), 7, told=frozenset({step.key}))
    assert planned(*more, known=again) == []


@pytest.mark.parametrize("pending", [LinkChild(SPACE, ROOM, "1"), UnlinkChild(SPACE, ROOM)])
def test_what_is_on_its_way_is_not_asked_for_again(pending: Any) -> None:
    known = documents()
    busy = Documents(BOT, known.users, known.rooms, (pending,), 7)
    assert planned((SPACE, event("m.space.child", {"via": []}, ROOM)), known=busy) == []


def test_an_unreadable_mirror_is_told_and_left_as_it_is() -> None:
    (step,) = planned((ROOM, {"type": BINDING, "content": {"v": 7}}))
    assert isinstance(step, Tell) and step.what == "unreadable binding"


@given(
    st.sampled_from([SPACE, ROOM, "!other"]),
    st.sampled_from([*STATE, BINDING, PROFILE]),
    json_values,
    st.sampled_from(["", ROOM, SPACE, ALICE, BOT]),
    st.sampled_from([BOT, ALICE, EVE]),
)
def test_malformed_state_is_never_an_error(
    room_id: str, kind: str, content: Any, key: str, sender: str
) -> None:
    planned((room_id, event(kind, content, key, sender)))
    planned((room_id, event(kind, content, key, sender)), known=Documents(BOT))
    planned((room_id, {"type": kind, "content": content}))
    planned((room_id, {"type": kind, "content": content}), known=Documents(BOT))


@given(json_values, json_values)
def test_a_sync_response_may_hold_anything(first: Any, second: Any) -> None:
    picture(BOT, [first, {"rooms": {"join": {ROOM: second}}}, {"rooms": {"join": first}}])
