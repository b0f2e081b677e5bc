"""Steps that many of these tests begin with."""

from __future__ import annotations

from typing import Any

from surface.turn_run import THINKING
from tests.rig.bot import Bot
from tests.rig.person import Person


async def onboarded(bot: Bot, person: Person) -> tuple[str, str]:
    """A first contact from the invitation to the end; returns home room and first chat."""
    person.auto_join_from.add(bot.user_id)
    home = await person.dm(bot.user_id)
    await person.message(home, "Welcome!", sender=bot.user_id)
    await person.until(
        lambda: len(person.spaces()) == 1 and len(person.joined()) == 3,
        what="being in home room, Space and chat",
    )
    (chat,) = bot.rooms_of(person.user_id)
    return home, str(chat["room_id"])


async def new_chat(person: Person, room_id: str, name: str) -> str:
    """`!new` said in a room; returns the new one."""
    event_id = await person.send(room_id, f"!new {name}")
    await person.answer_to(room_id, event_id, saying=f"Made {name}")
    await person.until(
        lambda: name in [person.name(r) for r in person.joined()], what=f"being in {name}"
    )
    return next(r for r in person.joined() if person.name(r) == name)


async def ask(person: Person, room_id: str, text: str, saying: str = "", **how: Any) -> str:
    """Say something and wait for its answer; returns what it says."""
    event_id = await person.send(room_id, text, **how)
    answer = await person.answer_to(
        room_id, event_id, saying=saying, where=lambda m: m.body != THINKING
    )
    return answer.body


async def words(bot: Bot, person: Person, room_id: str) -> list[str]:
    """The agents' answers in a room, by the homeserver's account."""
    said = await person.history(room_id, sender=bot.user_id)
    return [message.body for message in said if message.msgtype == "m.text"]


async def notices(bot: Bot, person: Person, room_id: str) -> list[str]:
    """The bot's own messages in a room, by the homeserver's account."""
    said = await person.history(room_id, sender=bot.user_id)
    return [message.body for message in said if message.msgtype == "m.notice"]
