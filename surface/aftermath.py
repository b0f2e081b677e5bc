"""What the outcome of an effect means to the machines.

Pure: called inside the decision that settles the effect's outbox row, so that the outcome and its
consequences are one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from machines.effects import (
    AnswerQuestion,
    CreateRoom,
    Effect,
    FetchFile,
    FollowUpgrade,
    JoinRoom,
    LoadContext,
    Notice,
    Param,
    Placeholder,
    PostFile,
    RefuseFile,
    SaveContext,
    SendFile,
    SignStaged,
    Text,
)
from surface import onboarding
from surface.case import Case
from surface.files import outcome
from surface.upgrades import carry_over


@dataclass(frozen=True)
class Result:
    """How an effect ended."""

    event_id: str | None = None
    """The event it became, for messages."""
    room_id: str | None = None
    """The room it made."""
    encrypted: bool = False
    """Whether that room, or the one that was joined, is encrypted."""
    others: tuple[str, ...] = ()
    """Who is in the room that was joined, besides the bot and its inviter."""
    predecessor: str | None = None
    """The room whose place that one takes: both say so."""
    space: bool = False
    """The room that was joined is a Space."""
    owner: str | None = None
    """Whose Space that is by the bot's marker."""
    display_name: str | None = None
    """What the person calls themselves, when that was asked on the way."""
    refused: str | None = None
    """The Matrix error code, if the homeserver said no for good."""
    reason: str = ""
    why: Text | None = None
    """What the person is told, if it did not work for good."""
    content: str | None = None
    """The content of the message that shows a file, once that is uploaded."""


def aftermath(case: Case, effect: Effect, result: Result) -> None:
    """Send the machines the event that follows from an effect's outcome."""
    if isinstance(effect, SaveContext | LoadContext):
        case.thread = effect.thread
    match effect:
        case JoinRoom() if result.refused is None:
            onboarding.joined(
                case,
                effect,
                others=result.others,
                encrypted=result.encrypted,
                display_name=result.display_name,
                predecessor=result.predecessor,
                space=result.space,
                space_owner=result.owner,
            )
        case FollowUpgrade(room_id=old, successor=new) if result.predecessor == old:
            carry_over(case, old, new, encrypted=result.encrypted, joined=result.others)
        case CreateRoom() if result.refused is not None:
            user = case.user(effect.owner)
            # A homeserver may refuse after it has made the room, which /sync has shown us by then.
            if effect.nonce in user.record.creations:
                user.take(
                    "create_failed", nonce=effect.nonce, reason=result.reason or result.refused
                )
        case CreateRoom() if result.room_id is not None:
            onboarding.created(
                case, effect.owner, effect.nonce, result.room_id, encrypted=result.encrypted
            )
            onboarding.leave_if_nobodys(case, effect, result.room_id)
        case Placeholder() if result.event_id is not None:
            turn = case.turn(effect.turn_id)
            if turn is not None:
                turn.take("placeholder_sent", placeholder_id=result.event_id)
        case SaveContext(room_id=room, name=name, event_id=event):
            if result.refused is None:
                case.say(room, "saved", event, name=name)
            else:
                case.say(room, "save-failed", event, name=name, reason=result.reason)
        case LoadContext(room_id=room, name=name, event_id=event, platform_chat_id=chat):
            if result.refused is None:
                case.say(room, "loaded", event, name=name, context=chat)
                return
            machine = case.room(room)
            there = machine.in_chat(str(chat))
            if machine.knows("load_failed"):
                machine.take("load_failed", platform_chat_id=chat)
            params: dict[str, Param] = {"name": name, "reason": result.reason.rstrip(".")}
            if machine.in_chat(str(chat)):
                case.say(room, "load-failed-stays", event, **params, context=chat)
            else:
                case.say(room, "load-failed" if there else "load-failed-elsewhere", event, **params)
        case RefuseFile() if result.refused is None:
            outcome.refused(case, effect)
        case SignStaged():
            outcome.signed(case, effect, result.event_id)
        case FetchFile() | SendFile() | PostFile():
            outcome.of_file(case, effect, result.content, result.why, refused=result.refused)
        case AnswerQuestion(room_id=room) if result.refused is not None:
            case.say(room, "answer-not-taken", reason=result.reason)
        case Notice(dialog=True) if result.event_id is not None:
            dialog = case.dialog(effect.room_id)
            if dialog.knows("posted"):
                dialog.take("posted", list_event_id=result.event_id)
        case _:
            pass
