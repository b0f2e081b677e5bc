"""What came while nobody listened, and is not answered any more: that is said, once in each room.

Theory of operation
-------------------
At the start the homeserver's account of the meantime is read into the inbox, gaps included; those inputs
are marked `late` there. Before anything is handled, what the setting `catch_up` leaves unanswered is taken
out: in one transaction for each room the inputs are settled and the notice is put into the outbox. So a
crash finds either the inputs, and this is done again with whatever came since, or the notice on its way.

Only what the bot would answer counts: messages of those it listens to, commands among them. What people did
besides (edits, reactions, memberships, names) is handled as ever. An old input is passed over even if the
last process had received it; a turn that was accepted is always run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TypeAlias

import structlog

from config import CatchUp as Rule
from machines.effects import LeaveRoom
from machines.room import Room
from store.documents import read, room_key
from store.store import Delete
from surface.actor import Actors
from surface.case import Case
from surface.commands.parse import Command, parse
from surface.house import House
from surface.inbox import InboxRow, decode_row
from surface.inputs import Ciphertext, Invite, Message
from surface.ledger import Ledger
from surface.matrix.rooms import Rooms
from surface.reception import answerable

log = structlog.get_logger()

Waiting: TypeAlias = tuple[InboxRow, Message | Ciphertext | Invite]
"""An input that would be answered, and what it says."""


def passed_over(waiting: Sequence[Waiting], rule: Rule, now: float | None) -> list[Waiting]:
    """Those of a room's inputs, given in order, that are not answered any more.

    Args:
        now: the homeserver's clock, in seconds; None: nothing is known to be old.
    """
    return [
        one
        for number, one in enumerate(waiting, 1)
        if too_old(one[0], rule, now)
        or (one[0].late and not _taken(rule, last=number == len(waiting)))
    ]


def too_old(row: InboxRow, rule: Rule, now: float | None) -> bool:
    """Whether an input was sent too long ago, by the homeserver's clock."""
    return now is not None and row.sent is not None and now - row.sent / 1000 > rule.max_age


def _taken(rule: Rule, *, last: bool) -> bool:
    return rule.mode == "answer" or (rule.mode == "latest" and last)


class CatchUp:
    """Takes out of the inbox what is not answered any more."""

    def __init__(self, ledger: Ledger, rooms: Rooms, actors: Actors, house: House) -> None:
        self._ledger, self._rooms = ledger, rooms
        self._actors, self._house = actors, house

    async def settle(self) -> None:
        """Go through the inbox; called at the start, when all that came meanwhile is in it.

        Raises:
            StoreError: the store is not usable.
        """
        rule, now = self._house.catch_up, self._rooms.server_time
        by_room: dict[str, list[InboxRow]] = defaultdict(list)
        for key, stored in await self._ledger.store.scan("inbox"):
            row = decode_row(key, stored.body)
            by_room[row.room_id].append(row)
        for room_id, rows in by_room.items():
            if any(too_old(row, rule, now) or not _taken(rule, last=False) for row in rows):
                rows.sort(key=lambda row: row.order)
                waiting = await self._waiting(room_id, rows)
                if over := passed_over(waiting, rule, now):
                    await self._pass_over(room_id, over)

    async def _waiting(self, room_id: str, rows: list[InboxRow]) -> list[Waiting]:
        """The inputs of a room that would be answered."""
        key = room_key(room_id)
        stored = await self._ledger.store.get("rooms", key)
        room = read("rooms", key, stored, Room(room_id)).record
        waiting: list[Waiting] = []
        for row in rows:
            event = self._actors.read(row)
            if isinstance(event, Message) and room.others:
                event = await self._actors.in_company(event)
            match event:
                case Message() | Ciphertext() | Invite() if would_answer(room, event, self._house):
                    waiting.append((row, event))
        return waiting

    async def _pass_over(self, room_id: str, over: list[Waiting]) -> None:
        rows, last = [row for row, _ in over], over[-1][1]
        await self._ledger.decide(
            f"missed/{rows[-1].key}",
            lambda case: _tell(case, room_id, [event for _, event in over]),
            settle=[Delete("inbox", row.key) for row in rows],
            by=rows[-1].cause,
            point="catch_up",
            sender=last.inviter if isinstance(last, Invite) else last.sender,
        )
        self._actors.passed_over(rows)
        log.info("catch_up.passed_over", room=room_id, inputs=len(rows))


def would_answer(room: Room, event: Message | Ciphertext | Invite, house: House) -> bool:
    """Whether an input would be answered if it came now."""
    match event:
        case Message():
            return answerable(room, event, house)
        case Ciphertext(sender=sender):
            owner = room.matrix_user_id
            return owner == sender and not room.others and house.access.permits(sender)
        case Invite():
            return True


def _tell(case: Case, room_id: str, events: Sequence[Message | Ciphertext | Invite]) -> None:
    """Say how many messages are not answered; an invite is declined: it can be made again."""
    said = [event for event in events if not isinstance(event, Invite)]
    bodies = [event.body for event in said if isinstance(event, Message)]
    commands = sum(isinstance(parse(body), Command) for body in bodies)
    if said:
        case.say(room_id, "missed", n=len(said), commands=commands)
    if len(said) < len(events):
        case.want(LeaveRoom(room_id))
