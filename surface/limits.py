"""How much one person may ask of the bot: pure checks against what memory knows of them.

A message over a limit is not answered, and its sender is told, but not oftener than once a minute: the
telling must not become the flood.
"""

from __future__ import annotations

from config import Limits
from machines import RoomMachine, UserMachine
from surface.case import Case
from surface.inputs import Message

MINUTE = 60.0


def exceeded(case: Case, message: Message, room: RoomMachine, limits: Limits) -> bool:
    """Whether this message is one too many within a minute; counts it if not.

    Time is the homeserver's (`origin_server_ts`): what was said while the bot was down is old, not fast.
    """
    since = message.sent - MINUTE
    recent = [sent for sent in case.memory.pace.get(message.sender, []) if sent > since]
    if len(recent) < limits.per_minute:
        case.note_pace(message.sender, [*recent, message.sent])
        return False
    _tell(case, message, room, "limit-per-minute", limits.per_minute)
    return True


def too_many_waiting(case: Case, message: Message, room: RoomMachine, limits: Limits) -> bool:
    """Whether so many of this person's messages wait already that one more is refused."""
    if not has_too_many_waiting(case, limits):
        return False
    _tell(case, message, room, "limit-waiting", limits.waiting)
    return True


def has_too_many_waiting(case: Case, limits: Limits) -> bool:
    """Whether as many messages of whoever speaks wait as may."""
    return case.memory.waiting.get(case.sender, 0) >= limits.waiting


def too_many_rooms(case: Case, user: UserMachine, limits: Limits) -> bool:
    """Whether this person has as many chat rooms as they may, those being made included."""
    rooms = len(case.rooms_of(user.record.user_id)) + len(user.record.creations)
    return rooms >= limits.rooms


def _tell(case: Case, message: Message, room: RoomMachine, key: str, most: int) -> None:
    told = case.memory.warned.get(message.sender)
    if told is None or message.sent - told >= MINUTE:
        case.note_warned(message.sender, message.sent)
        case.say(room.record.room_id, key, message.event_id, most=most)
