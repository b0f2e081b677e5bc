"""Room upgrades: the binding goes from a room to the one that takes its place. Pure.

The rule: both must say so, the old room by its tombstone and the new one by its predecessor, for anybody
can make a room that claims to be a successor. In the new room the bot has no power to expect and no
marker; what it is stands in its mirror.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from machines import RoomMachine, UserMachine
from machines.effects import Fresh, LeaveRoom, UnlinkChild
from surface.case import Case


def carry_over(case: Case, old: str, new: str, *, encrypted: bool, joined: Collection[str]) -> bool:
    """The bot is in the successor of a room; False if the old one meant nothing to us.

    Args:
        joined: who is in the successor besides the bot.
    """
    user = owner_of_space(case, old)
    if user is not None:
        user.take("observed_space_moved", room_id=new)
        for chat in case.rooms_of(user.record.user_id):
            if chat.record.space_id == old and chat.knows("observed_space_moved"):
                chat.take("observed_space_moved", space_id=new)
        case.want(LeaveRoom(old))
        return True
    was, room = case.room(old), case.room(new)
    if was.state == "lost" or was.record.matrix_user_id is None:
        return False
    if room.state not in ("unprovisioned", "lost"):
        return False
    if room.state == "lost":
        room.take("observed_again")
    owner = was.record.matrix_user_id
    assert owner is not None
    others = sorted(set(joined) - {owner})
    if was.state == "home":
        _move_home(case, was, room, owner, others, encrypted)
    else:
        _move_chat(case, was, room, owner, others, encrypted)
    return True


def owner_of_space(case: Case, room_id: str) -> UserMachine | None:
    """The person whose Space a room is."""
    for key, stored in case.scan("users", "matrix_user:"):
        if stored.body["space_id"] == room_id:
            return case.user(key.removeprefix("matrix_user:"))
    return None


def binding_of(
    case: Case, room: RoomMachine, *, owner: str, others: list[str], encrypted: bool
) -> dict[str, Any]:
    """What a chat room is, as details of `observed_bound`."""
    r = room.record
    assert r.chat_id is not None and not isinstance(r.platform_chat_id, Fresh)
    return {
        "owner": owner,
        "space_id": r.space_id,
        "chat_id": r.chat_id,
        "name": r.display_name or r.chat_id,
        "agent_id": r.agent_id,
        "platform_chat_id": r.platform_chat_id,
        "others": others,
        "inviter": r.inviter,
        "foreign": r.foreign,
        "encrypted": encrypted,
        "agent_valid": case.agent(r.agent_id) is not None,
    }


def take_over(
    room: RoomMachine, binding: Mapping[str, Any], state: str, previous_chat_id: str | None
) -> None:
    """Let a room that has no document become what another account tells of it.

    Args:
        binding: details of `observed_bound`.
        state: in which the room was.
        previous_chat_id: what `undo` went back to.
    """
    room.take("observed_bound", **binding)
    if state == "archived":
        room.take("observed_archived")
    elif state == "cleared" and previous_chat_id is not None and room.knows("observed_cleared"):
        room.take("observed_cleared", previous_chat_id=previous_chat_id)


def _move_home(
    case: Case,
    was: RoomMachine,
    room: RoomMachine,
    owner: str,
    others: list[str],
    encrypted: bool,
) -> None:
    name = was.record.display_name
    old, new = was.record.room_id, room.record.room_id
    was.take("observed_replaced")
    room.take("observed_home", owner=owner, name=name, others=others, encrypted=encrypted)
    user = case.user(owner)
    if user.knows("observed_home_moved"):
        user.take("observed_home_moved", home_room=old, successor=new)


def _move_chat(
    case: Case,
    was: RoomMachine,
    room: RoomMachine,
    owner: str,
    others: list[str],
    encrypted: bool,
) -> None:
    r, state = was.record, was.state
    binding = binding_of(case, was, owner=owner, others=others, encrypted=encrypted or r.encrypted)
    previous = r.previous_chat_id
    was.take("observed_replaced")
    take_over(room, binding, state, previous)
    if state != "archived" and r.space_id and not r.foreign:
        room.take("observed_unlinked")
        case.want(UnlinkChild(r.space_id, r.room_id))
