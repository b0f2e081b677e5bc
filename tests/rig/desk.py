"""A person who has met the bot, and what they do with it: talk and give commands.

One rule: silence is proved, not waited for. A room's inputs are decided in order, so after the
answer to a later message an earlier one was heard and left alone (`ignored`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from surface.turn_run import THINKING
from tests.rig.bot import Bot
from tests.rig.person import Person
from tests.rig.view import Message


@dataclass
class Desk:
    """One person with their rooms.

    Attributes:
        home: the direct room in which they met the bot.
        chat: the first chat room.
    """

    person: Person
    bot: Bot
    home: str
    space: str
    chat: str

    @property
    def me(self) -> str:
        return self.person.user_id

    async def say(self, room_id: str, text: str, **how: Any) -> Message:
        """Say something to an agent; returns the first message in answer, which must be m.text."""
        said = await self.person.send(room_id, text, **how)
        answer = await self.person.answer_to(
            room_id, said, sender=self.bot.user_id, where=lambda m: m.body != THINKING
        )
        assert answer.msgtype == "m.text", answer
        return answer

    async def command(self, room_id: str, text: str, **how: Any) -> Message:
        """Give a command; returns the answer, which must be a notice, to this, pinging nobody."""
        said = await self.person.send(room_id, text, **how)
        answer = await self.person.answer_to(room_id, said, sender=self.bot.user_id)
        assert answer.msgtype == "m.notice", answer
        assert answer.content["m.mentions"] == {}
        assert answer.reply_to == said, f"{text}: {answer.body}"
        return answer

    async def new(self, name: str = "", *, room: str | None = None) -> str:
        """One more chat room, by `!new`; returns it, joined."""
        before = {invite.room_id for invite in self.person.invites(self.bot.user_id)}
        room = room or self.home
        said = await self.person.send(room, f"!new {name}".strip())
        made = await self.person.answer_to(room, said, sender=self.bot.user_id)
        assert made.msgtype == "m.notice" and made.body.startswith("Made"), made.body
        await self.person.until(
            lambda: [i for i in self.person.invites(self.bot.user_id) if i.room_id not in before],
            what="the invitation to the new room",
        )
        (room_id,) = await self.person.accept_invites_from(self.bot.user_id)
        # The other lanes: the link in the Space and the room's topic.
        await self.person.until(lambda: room_id in self.person.children(self.space))
        return room_id

    async def archive(self, room_id: str) -> Message:
        """Put a chat away: `!archive`, and `!yes` to the question; returns the answer to that."""
        asked = await self.command(room_id, "!archive")
        assert asked.body.startswith("Archive "), asked.body
        return await self.command(room_id, "!yes")

    async def ignored(self, room_id: str, event_id: str) -> None:
        """Nothing the bot said in a chat or home room after an event answers it."""
        alive = await self.command(room_id, "!help rename")
        heard = self.person.messages_after(room_id, event_id, self.bot.user_id)
        assert [m.event_id for m in heard] == [alive.event_id], [m.body for m in heard]

    def context(self, room_id: str | None = None) -> str:
        """The platform chat a room is bound to."""
        return str(self.bot.room(room_id or self.chat)["platform_chat_id"])

    def document(self) -> dict[str, Any]:
        """What the bot keeps of the person."""
        return self.bot.user(self.me)


async def onboard(person: Person, bot: Bot) -> Desk:
    """Meet the bot, and accept its invitations."""
    home = await person.dm_joined(bot.user_id)
    rooms = await person.accept_invites_from(bot.user_id, count=2)
    assert len(rooms) == 2, rooms
    (space,) = person.spaces()
    (chat,) = (room for room in rooms if room != space)
    await person.until(
        lambda: [m for m in person.messages(home, bot.user_id) if not m.undecryptable],
        what="the welcome",
    )
    await person.until(lambda: person.children(space) == [chat], what="the link in the Space")
    return Desk(person, bot, home, space, chat)
