"""A script's stage: the guest says the lines, waits for the answers, and the transcript is printed.

Rules: a message to an agent is answered by the agent's finished words, by a question of the agent, or by a
notice in reply to it; a command by a notice, and one that answers such a question by what the agent says
then. An answer that points to rooms is over when the guest is in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar
from urllib.parse import unquote

from surface.commands.parse import Command, parse
from surface.demo.places import Place, find
from surface.demo.rooms import Message, Room
from surface.demo.script import Unanswered
from surface.demo.setting import Setting
from surface.demo.view import View

T = TypeVar("T")

_SETTLE_SECONDS: Final = 10.0
"""How long a room may take to appear after the bot spoke of it."""
_LINK: Final = re.compile(r"https://matrix\.to/#/(![^\"?<>\s)]+)")


class GuestStage:
    """The stage of `script.play`, on a running demo.

    Args:
        seconds: how long a line may wait for its answer.
    """

    def __init__(self, setting: Setting, view: View, seconds: float) -> None:
        self._setting, self._view, self._seconds = setting, view, seconds
        self._guest = setting.guest
        self._room_id = setting.home
        self._said: dict[str, str] = {}
        self._asked_back: dict[str, str] = {}
        """By room, the message that an agent has answered with a question."""
        self._headed: str | None = None
        self._standing = ""
        self._shown = (
            set()
            if setting.first_time
            else {event_id for room in self._guest.joined() for event_id in room.messages}
        )

    async def say(self, text: str) -> None:
        """See `script.Stage`."""
        self.show()
        room_id = self._room_id
        event_id = self._said[room_id] = await self._guest.send(room_id, text)
        answer = await self._until(
            lambda: self._answer(event_id, text),
            f"`{_short(text)}` was not answered",
        )
        if answer is not None and answer.asks:
            self._asked_back.setdefault(room_id, event_id)
        else:
            self._asked_back.pop(room_id, None)
        await self._follow_links(answer)
        self.show()

    async def go(self, name: str) -> None:
        """See `script.Stage`."""
        self.show()
        self._room_id = (await self._find(name)).room_id
        self.show()

    async def wait(self, text: str) -> None:
        """See `script.Stage`."""
        self.show()
        wanted = text.casefold()
        await self._until(
            lambda: any(wanted in message.body.casefold() for message in self._recent()),
            f"nobody said “{_short(text)}” in {self._here().title}",
        )
        self.show()

    async def label(self, name: str) -> str:
        """See `script.Stage`."""
        place = await self._find(name)
        if place.label is None:
            raise Unanswered(f"the room {place.title} has no label")
        return place.label

    def show(self) -> None:
        """Print what is new in the current room, and what became of the room."""
        place, room = self._here(), self._room()
        if self._headed != self._room_id:
            self._headed, self._standing = self._room_id, place.standing
            self._view.heading(place)
        for message in room.messages.values():
            if message.event_id not in self._shown and not room.growing(message):
                self._shown.add(message.event_id)
                self._view.message(message, place)
        if self._standing != place.standing:
            self._standing = place.standing
            self._view.remark(f"→ {place.standing}")

    def _here(self) -> Place:
        return self._setting.place(self._room_id)

    def _room(self) -> Room:
        return self._guest.rooms[self._room_id]

    async def _find(self, name: str) -> Place:
        try:
            seconds = min(_SETTLE_SECONDS, self._seconds)
            found = await self._guest.until(lambda: find(self._setting.places(), name), seconds)
        except TimeoutError:
            there = ", ".join(place.title for place in self._setting.places())
            raise Unanswered(f"there is no room “{_short(name)}”; there are {there}") from None
        assert found is not None
        return found

    def _answer(self, event_id: str, text: str) -> Message | None:
        is_command = isinstance(parse(text), Command)
        for message in self._room().answers(event_id, self._guest.bot):
            unasked = message.kind == "m.notice" and message.reply_to is None
            if is_command or not unasked or message.asks:
                return message
        earlier = self._asked_back.get(self._room_id, "")
        answers = self._room().answers(earlier, self._guest.bot)
        return next((message for message in answers if message.kind != "m.notice"), None)

    def _recent(self) -> list[Message]:
        """What others said since the guest's last line here, or all that is seen."""
        messages = list(self._room().messages.values())
        since = self._said.get(self._room_id)
        at = next((n for n, message in enumerate(messages) if message.event_id == since), -1)
        return [message for message in messages[at + 1 :] if message.sender != self._guest.user_id]

    async def _until(self, predicate: Callable[[], T], problem: str) -> T:
        try:
            return await self._guest.until(predicate, self._seconds)
        except TimeoutError:
            raise Unanswered(f"{problem} within {self._seconds:g} s") from None

    async def _follow_links(self, answer: Message | None) -> None:
        rooms = _LINK.findall(answer.html or "") if answer else []
        wanted = [unquote(room_id) for room_id in rooms]
        try:
            await self._guest.until(lambda: all(map(self._is_settled, wanted)), _SETTLE_SECONDS)
        except TimeoutError:
            return  # a link need not be an invitation

    def _is_settled(self, room_id: str) -> bool:
        room = self._guest.rooms.get(room_id)
        return room is not None and room.membership != "invite"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
