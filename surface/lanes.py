"""The lanes of the outbox: what must keep its order together, and goes one at a time. Pure."""

from __future__ import annotations

from typing import Final

from machines.effects import (
    AcceptTurn,
    Amend,
    Answer,
    AnswerQuestion,
    CreateRoom,
    DisconnectChat,
    Effect,
    EndTurns,
    FetchFile,
    FollowUpgrade,
    ForgetUser,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    LoadContext,
    Notice,
    OfferAgents,
    Placeholder,
    PostFile,
    RefuseFile,
    RenameRoom,
    SaveContext,
    SendFile,
    SetParent,
    SettleQuestion,
    SetTopic,
    SignStaged,
    StopTurn,
    UnlinkChild,
    UnsignStaged,
    WriteMirrors,
)

AT_ONCE: Final = (AcceptTurn, EndTurns, StopTurn, OfferAgents, SettleQuestion)
"""Effects that are decided on the spot: no row of the outbox comes of them."""


def lane_of(effect: Effect) -> str:
    """What must keep its order together."""
    match effect:
        case CreateRoom(owner=owner):
            return f"create:{owner}"
        case DisconnectChat(platform_chat_id=chat) | LoadContext(platform_chat_id=chat):
            return f"chat:{chat}"
        case SaveContext(room_id=room) | AnswerQuestion(room_id=room):
            return f"platform:{room}"
        case FetchFile(user_id=user) | ForgetUser(user_id=user):
            # One after the other: together they have to stay within a quota, and then be forgotten.
            return f"files:{user}"
        case SendFile(room_id=room):
            return f"upload:{room}"
        case RefuseFile(turn_id=turn):
            return f"refused:{turn}"
        case JoinRoom(room_id=room) | InviteUser(room_id=room) | FollowUpgrade(successor=room):
            return f"room:{room}"
        case (
            Notice(room_id=room)
            | Placeholder(room_id=room)
            | Amend(room_id=room)
            | SignStaged(fetched=FetchFile(room_id=room))
            | UnsignStaged(room_id=room)
            | PostFile(file=SendFile(room_id=room))
            # After everything that is still to be said, or linked, there.
            | LeaveRoom(room_id=room)
            | LinkChild(space_id=room)
            | UnlinkChild(space_id=room)
            | StopTurn(room_id=room)
            | Answer(room_id=room)
            | OfferAgents(room_id=room)
            | AcceptTurn(room_id=room)
            | EndTurns(room_id=room)
            | SettleQuestion(room_id=room)
            # State sent beside a message forks the room, and clients then show what was before.
            | RenameRoom(room_id=room)
            | SetTopic(room_id=room)
            | SetParent(room_id=room)
            | WriteMirrors(room_id=room)
        ):
            return f"talk:{room}"


def lane_kind(effect: Effect) -> str | None:
    """Which kind of lane an effect goes through; None if it is decided on the spot."""
    return None if isinstance(effect, AT_ONCE) else lane_of(effect).partition(":")[0]
