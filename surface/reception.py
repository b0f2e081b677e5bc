"""What each input means: pure decisions, one for each kind of `Input`.

Who may be heard is decided here too. In a room only its owner is; in company (somebody else is in the room)
the bot speaks only when spoken to, and only owner and admins command it. Notices are never heard, so that
two bots never keep each other talking.
"""

from __future__ import annotations

from typing import assert_never

from config import Limits
from machines import RoomMachine, UserMachine
from machines.effects import FetchFile, FileIn, FollowUpgrade, LeaveRoom, OfferAgents
from machines.room import Room
from machines.tray import MOST_STAGED
from store.documents import room_key
from surface import limits, onboarding
from surface.case import Case
from surface.commands import answers
from surface.commands.parse import Command, Number, Talk, parse
from surface.commands.registry import dispatch
from surface.commands.said import Facts, Said
from surface.files.names import file_name, inbox_path
from surface.files.sizes import megabytes, shown
from surface.house import House
from surface.inputs import (
    FILES,
    Ciphertext,
    Edit,
    Encrypted,
    Incoming,
    Input,
    Invite,
    Marked,
    Membership,
    Message,
    Named,
    Reaction,
    Redaction,
    Removed,
    Unlinked,
    Upgraded,
)
from surface.upgrades import owner_of_space

WORDS = frozenset({"m.text", "m.emote"})
LOCATION = "m.location"
TALKING = ("bound", "cleared")
"""States of a room in which somebody is there to answer."""


def receive(case: Case, event: Input, house: House, facts: Facts) -> None:
    """Decide on one input."""
    match event:
        case Message():
            _message(case, event, house, facts)
        case Edit(_, sender, target, body):
            turn = case.turn(target)
            mine = turn is not None and turn.record.user_id == sender
            if turn is not None and mine and body.strip() and turn.knows("replace"):
                turn.take("replace", body=body)
        case Redaction(_, sender, target):
            turn = case.turn(target)
            if turn is not None and turn.record.user_id == sender and turn.knows("withdraw"):
                turn.take("withdraw")
            _taken_back(case, event)
        case Reaction():
            _reaction(case, event, house)
        case Invite():
            onboarding.invited(case, event, house.access)
        case Membership():
            _membership(case, event)
        case Removed(room_id):
            removed(case, room_id)
        case Named(room_id, name):
            _renamed(case, room_id, name)
        case Unlinked(room_id, space_id):
            room = case.room(room_id)
            if room.record.space_id == space_id and room.knows("observed_archived"):
                room.take("observed_archived")
        case Upgraded(room_id, successor):
            known = case.room(room_id).record.matrix_user_id is not None
            if known or owner_of_space(case, room_id) is not None:
                case.want(FollowUpgrade(room_id, successor))
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


def _message(case: Case, message: Message, house: House, facts: Facts) -> None:
    case.note_latest(message.room_id, message.event_id)
    room, said = case.room(message.room_id), parse(message.body)
    if room.state == "unprovisioned" and room.record.inviter == message.sender:
        _undecided(case, room, message, said, house)
        return
    if not _heard(room.record, message, said, house) and not _picks(case, room, message, house):
        return
    owner = room.record.matrix_user_id
    assert owner is not None
    user, by_owner = case.user(owner), message.sender == owner
    if message.msgtype not in WORDS | FILES | {LOCATION}:
        return
    if message.file is None and not message.body.strip():
        return
    if limits.exceeded(case, message, room, house.limits):
        return
    if room.state == "home" and user.state in ("unprovisioned", "departed"):
        onboarding.meet(case, owner, home_room=message.room_id)
        if not isinstance(said, Command):
            return
    elif user.state == "departed":
        valid = case.agent(user.record.selected_agent_id) is not None
        user.take("returned", **onboarding.intent(case, owner), agent_valid=valid)
    dialog = case.dialog(message.room_id)
    if message.file is not None and room.state in TALKING:
        _stage(case, room, message, message.file, house, facts)
    elif message.file is not None and isinstance(said, Command | Number):
        # The words are heard, and would pass over in silence that the file is not.
        name = file_name(message.file.name)
        case.say(message.room_id, "file-not-here", message.event_id, name=name)
    if message.msgtype == LOCATION or (message.file is not None and not message.body.strip()):
        if by_owner:
            answers.withdraw(case, message.room_id, "cancel")
        if message.file is None:
            case.say(message.room_id, "location-unsupported", message.event_id)
        elif room.state not in TALKING:
            _talk(case, room, user, message, house.limits, facts)
        return
    match said:
        case Command(name, arguments):
            if by_owner and name not in answers.ANSWERS:
                answers.withdraw(case, message.room_id, "cancel")
            command = Said(case, room, user, message.event_id, arguments, house, by_owner, facts)
            dispatch(command, name)
        case Number(value) if (
            by_owner
            and dialog.state == "choosing"
            and message.reply_to in (None, dialog.record.list_event_id)
            and not message.apart
        ):
            answers.pick(Said(case, room, user, message.event_id, "", house), value)
        case Number() if message.stale_list:
            case.say(message.room_id, "choice-stale", message.event_id)
        case Number() | Talk():
            if by_owner:
                answers.withdraw(case, message.room_id, "cancel")
            _talk(case, room, user, message, house.limits, facts)


def _picks(case: Case, room: RoomMachine, message: Message, house: House) -> bool:
    """Whether a bare number, addressed to nobody, is the owner's choice from the list just above it."""
    by_owner = message.sender == room.record.matrix_user_id
    if not by_owner or not house.access.permits(message.sender):
        return False
    if not isinstance(parse(message.body), Number) or message.reply_to is not None or message.apart:
        return False
    return case.dialog(message.room_id).state == "choosing"


def _undecided(
    case: Case,
    room: RoomMachine,
    message: Message,
    said: Command | Number | Talk,
    house: House,
) -> None:
    """The inviter says something in a room of which nobody knows yet whether the bot is to stay."""
    if not house.access.permits(message.sender) or message.msgtype not in WORDS:
        return
    if limits.exceeded(case, message, room, house.limits):
        return
    answering = isinstance(said, Command) and said.name in answers.ANSWERS
    if answering and case.dialog(message.room_id).state == "confirming":
        user = case.user(message.sender)
        assert isinstance(said, Command)
        dispatch(Said(case, room, user, message.event_id, "", house), said.name)
    elif message.addressed or isinstance(said, Command):
        onboarding.ask_to_stay(case, message.room_id)


def answerable(room: Room, message: Message, house: House) -> bool:
    """Whether a message would be answered, if it were said now."""
    if message.msgtype not in WORDS | FILES | {LOCATION}:
        return False
    said = parse(message.body)
    if room.matrix_user_id is not None:
        return _heard(room, message, said, house)
    asks = message.addressed or isinstance(said, Command)
    return asks and room.inviter == message.sender and house.access.permits(message.sender)


def _heard(room: Room, message: Message, said: Command | Number | Talk, house: House) -> bool:
    """Whether a message is for the bot, and from somebody who may say it."""
    owner = room.matrix_user_id
    if owner is None or not house.access.permits(message.sender):
        return False
    by_owner = message.sender == owner
    if isinstance(said, Command):
        return by_owner or house.access.is_admin(message.sender)
    if room.others:
        return message.addressed and room.room_type != "home"
    return by_owner


def _stage(
    case: Case, room: RoomMachine, message: Message, sent: Incoming, house: House, facts: Facts
) -> None:
    """A file waits in the tray for its message, which may be its own caption; meanwhile it is fetched."""
    name, most = file_name(sent.name), megabytes(house.files.max_incoming)
    tray = case.tray(message.room_id, message.sender)
    if not facts.takes_files:
        _say_not_taken(case, room, message)
    elif sent.source is None:
        case.say(message.room_id, "file-unreadable", message.event_id, name=name)
    elif sent.size is not None and sent.size > most:
        case.say(
            message.room_id,
            "file-too-large",
            message.event_id,
            name=name,
            most=shown(most),
        )
    elif not tray.has_place():
        case.say(message.room_id, "tray-full", message.event_id, name=name, most=MOST_STAGED)
    else:
        path = inbox_path(
            message.sender, message.room_id, message.event_id, message.sent, sent.name
        )
        file = FileIn(message.event_id, path, name, sent.mime_type)
        tray.take("stage", file=file)
        case.want(
            FetchFile(
                message.room_id,
                message.sender,
                file,
                sent.source,
                case.world.boot,
                message.thread,
            )
        )


def _say_not_taken(case: Case, room: RoomMachine, message: Message) -> None:
    agent = case.agent(room.record.agent_id)
    title = agent.name if agent else room.record.agent_id or ""
    case.say(message.room_id, "files-not-taken", message.event_id, agent=title)


def _take_along(case: Case, room: RoomMachine, message: Message, facts: Facts) -> None:
    """What its sender has staged goes with the message."""
    if not case.has_staged(message.room_id, message.sender):
        return
    tray = case.tray(message.room_id, message.sender)
    if facts.takes_files:
        tray.take("collect")
        case.files = tray.record.taken
    else:
        # The agent is another one since.
        tray.take("drop")
        _say_not_taken(case, room, message)


def _taken_back(case: Case, redaction: Redaction) -> None:
    """A file that its sender has taken back is not taken along."""
    if case.has_staged(redaction.room_id, redaction.sender):
        tray = case.tray(redaction.room_id, redaction.sender)
        if tray.record.holds(redaction.target):
            tray.take("unstage", event_id=redaction.target)


def _talk(
    case: Case,
    room: RoomMachine,
    user: UserMachine,
    message: Message,
    house: Limits,
    facts: Facts,
) -> None:
    if room.state == "home":
        links = onboarding.chat_links(case, user.record.user_id)
        if user.state == "provisioning":
            case.say(message.room_id, "still-provisioning", message.event_id)
        elif user.state == "choosing":
            case.want(OfferAgents(message.room_id, message.event_id))
        else:
            case.say(message.room_id, "home-guidance", message.event_id, chats=links)
        return
    if not room.knows("talk") or limits.too_many_waiting(case, message, room, house):
        return
    if room.state in TALKING:
        _take_along(case, room, message, facts)
    room.take("talk", event_id=message.event_id)
    if user.state == "choosing" and room.state == "bound" and case.asks_anew(user.record.user_id):
        # The room can talk, but new chats could not: ask once, not at every message.
        case.want(OfferAgents(message.room_id))


def _reaction(case: Case, reaction: Reaction, house: House) -> None:
    room = case.room(reaction.room_id)
    owner = room.record.matrix_user_id or room.record.inviter
    if owner is None or reaction.sender != owner or not house.access.permits(owner):
        return
    # Answers to it refer to what was tapped: clients cannot show a reply to a reaction.
    said = Said(case, room, case.user(owner), reaction.target, "", house)
    answers.tapped(said, reaction.target, reaction.key, stale=reaction.stale_question)


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
        if gone and room.state == "home":
            deserted(case, change.room_id)
        elif gone and room.knows("observed_archived"):
            room.take("observed_archived")
        elif change.membership == "join" and room.state == "unbound":
            if room.record.agent_id is None:
                room.take("observed_owner_joined")
    elif room.record.inviter == change.user_id and room.state == "unprovisioned":
        pass  # Whose room it will be, if it will.
    elif room.knows("observed_others") and (room.record.inviter or room.state != "unprovisioned"):
        others = [member for member in room.record.others if member != change.user_id]
        if change.membership == "join":
            others.append(change.user_id)
        if others != room.record.others:
            room.take("observed_others", others=others)


def _renamed(case: Case, room_id: str, name: str) -> None:
    room = case.room(room_id)
    owner = owner_of_space(case, room_id) if room.state == "unprovisioned" else None
    if owner is not None:
        if owner.record.space_name != name and owner.knows("observed_space_renamed"):
            owner.take("observed_space_renamed", name=name)
    elif room.knows("observed_renamed") and room.record.display_name != name:
        room.take("observed_renamed", name=name)


def deserted(case: Case, room_id: str) -> None:
    """The owner has left a home room: nobody is there whom the bot would hear."""
    removed(case, room_id)
    case.want(LeaveRoom(room_id))


def removed(case: Case, room_id: str) -> None:
    """The bot is not in a room any more, or the room is gone."""
    room = case.room(room_id)
    owner = room.record.matrix_user_id
    if case.exists("rooms", room_key(room_id)) and room.state != "lost":
        was_home = room.state == "home"
        room.take("observed_gone")
        if owner and was_home and case.user(owner).knows("observed_home_gone"):
            case.user(owner).take("observed_home_gone", home_room=room_id)
    user = owner_of_space(case, room_id) if owner is None else None
    if user is not None and user.knows("observed_space_gone"):
        user.take("observed_space_gone")
