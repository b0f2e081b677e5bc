"""What each input means: pure decisions, one for each kind of `Input`.

Who may be heard is decided here too: in a room only its owner is, in no room are notices, so that two bots
never keep each other talking.
"""

from __future__ import annotations

from typing import assert_never

from config import Access
from machines import RoomMachine, UserMachine
from machines.effects import OfferAgents
from surface import onboarding
from surface.case import Case
from surface.commands import agents
from surface.commands.parse import Command, Number, Talk, parse
from surface.commands.registry import dispatch
from surface.commands.said import ContextFacts, Said
from surface.inputs import (
    Ciphertext,
    Encrypted,
    Input,
    Invite,
    Marked,
    Membership,
    Message,
    Named,
    Removed,
)

WORDS = frozenset({"m.text", "m.emote"})
FILES = frozenset({"m.image", "m.file", "m.audio", "m.video"})


def receive(case: Case, event: Input, access: Access, facts: ContextFacts) -> None:
    """Decide on one input."""
    match event:
        case Message():
            _message(case, event, access, facts)
        case Invite():
            onboarding.invited(case, event, access)
        case Membership():
            _membership(case, event)
        case Removed(room_id):
            _removed(case, room_id)
        case Named(room_id, name):
            room = case.room(room_id)
            if room.knows("observed_renamed") and room.record.display_name != name:
                room.take("observed_renamed", name=name)
        case Encrypted(room_id):
            room = case.room(room_id)
            if not room.record.encrypted:
                room.take("observed_encrypted")
        case Marked(room_id, owner, nonce, encrypted):
            onboarding.created(case, owner, nonce, room_id, encrypted=encrypted)
        case Ciphertext():
            pass
        case _:
            assert_never(event)


def _message(case: Case, message: Message, access: Access, facts: ContextFacts) -> None:
    room = case.room(message.room_id)
    owner = room.record.matrix_user_id
    if owner is None or message.sender != owner or not access.permits(owner):
        return
    user = case.user(owner)
    if message.msgtype in FILES:
        case.say(message.room_id, "files-unsupported", message.event_id)
    if message.msgtype not in WORDS or not message.body.strip():
        return
    if room.state == "home" and user.state in ("unprovisioned", "departed"):
        onboarding.meet(case, owner, home_room=message.room_id)
        if not isinstance(parse(message.body), Command):
            return
    elif user.state == "departed":
        valid = case.agent(user.record.selected_agent_id) is not None
        user.take("returned", **onboarding.intent(case, user.record.user_id), agent_valid=valid)
    dialog = case.dialog(message.room_id)
    match parse(message.body):
        case Command(name, arguments):
            if dialog.knows("cancel"):
                dialog.take("cancel")
            dispatch(Said(case, room, user, message.event_id, arguments, facts), name)
        case Number(value) if dialog.state == "choosing" and message.reply_to in (
            None,
            dialog.record.list_event_id,
        ):
            _pick(case, room, user, message, value)
        case Number() if message.stale_list:
            case.say(message.room_id, "choice-stale", message.event_id)
        case Number() | Talk():
            if dialog.knows("cancel"):
                dialog.take("cancel")
            _talk(case, room, user, message)


def _talk(case: Case, room: RoomMachine, user: UserMachine, message: Message) -> None:
    if room.state == "home":
        links = onboarding.chat_links(case, user.record.user_id)
        if user.state == "provisioning":
            case.say(message.room_id, "still-provisioning", message.event_id)
        elif user.state == "choosing":
            case.want(OfferAgents(message.room_id, message.event_id))
        else:
            case.say(message.room_id, "home-guidance", message.event_id, chats=links)
        return
    if not room.knows("talk"):
        return
    room.take("talk", event_id=message.event_id)
    if user.state == "choosing" and room.state == "bound" and case.asks_anew(user.record.user_id):
        # The room can talk, but new chats could not: ask once, not at every message.
        case.want(OfferAgents(message.room_id))


def _pick(case: Case, room: RoomMachine, user: UserMachine, message: Message, number: int) -> None:
    dialog = case.dialog(message.room_id)
    dialog.take("pick", number=number, event_id=message.event_id)
    chosen = case.agent(dialog.record.outcome)
    if dialog.state == "idle" and chosen is not None:
        agents.choose(case, user, room, chosen, message.event_id)


def _membership(case: Case, change: Membership) -> None:
    room, user = case.room(change.room_id), case.user(change.user_id)
    gone = change.membership in ("leave", "ban")
    if change.room_id == user.record.space_id:
        if gone and user.knows("observed_left"):
            user.take("observed_left")
        elif change.membership == "join" and user.state == "departed":
            valid = case.agent(user.record.selected_agent_id) is not None
            user.take("returned", **onboarding.intent(case, user.record.user_id), agent_valid=valid)
    elif room.record.matrix_user_id == change.user_id:
        if gone and room.knows("observed_archived"):
            room.take("observed_archived")
        elif change.membership == "join" and room.state == "unbound":
            if room.record.agent_id is None:
                room.take("observed_owner_joined")


def _removed(case: Case, room_id: str) -> None:
    room = case.room(room_id)
    owner = room.record.matrix_user_id
    if owner is not None and room.state != "lost":
        was_home = room.state == "home"
        room.take("observed_gone")
        if was_home and case.user(owner).knows("observed_home_gone"):
            case.user(owner).take("observed_home_gone", home_room=room_id)
        return
    for key, stored in case.scan("users", "matrix_user:"):
        if stored.body["space_id"] == room_id:
            user = case.user(key.removeprefix("matrix_user:"))
            if user.knows("observed_space_gone"):
                user.take("observed_space_gone")
