"""People who do what the plan says, whatever answers, and remember what they may expect of it.

One rule: a request that is not answered is sent again under the same transaction id, as clients do; so what a
person has said is in the room once, or the homeserver has refused it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import httpx

from surface.matrix.rooms import MARKER
from tests.chaos.journal import Journal
from tests.chaos.judge import Said, Wants
from tests.chaos.plan import Act
from tests.chaos.stage import AGENTS
from tests.rig.api import MatrixApi, MatrixError
from tests.rig.follower import RETRY_SECONDS
from tests.rig.person import Person

MOST_CHATS: Final = 5
"""Chats of one person; who has so many asks for no more."""
SAVES: Final = 3
"""Names that saves are given, by turns."""


class StubbornApi(MatrixApi):
    """Asks again until the homeserver says yes or no."""

    async def _send(self, *request: Any) -> httpx.Response:
        while True:
            try:
                return await super()._send(*request)
            except httpx.TransportError:
                await asyncio.sleep(RETRY_SECONDS)
            except MatrixError as error:
                if error.status < 500 and error.status != 429:
                    raise
                await asyncio.sleep(max(RETRY_SECONDS, error.retry_after_ms / 1000))


class Talker:
    """A person who has met the bot.

    Attributes:
        said: all they have sent, with what they may expect.
        met: the bot has made all that they asked it for when they met.
    """

    def __init__(self, person: Person, bot: str, journal: Journal) -> None:
        self.person, self._bot, self._journal = person, bot, journal
        self.said: list[Said] = []
        self.home = ""
        self.done, self.met = 0, False
        person.api = StubbornApi(person.url, person.login.access_token)

    async def meet(self, chats: int) -> None:
        """Invite the bot, and have it make chats until there are so many."""
        person = self.person
        person.auto_join_from.add(self._bot)
        self.home = await person.dm(self._bot)
        await person.message(self.home, "Welcome!", sender=self._bot)
        for number in range(2, chats + 1):
            await self.command(self.home, f"!new Room {number}", answered=True)
        await person.until(lambda: len(self.chats()) == chats, what=f"being in {chats} chats")
        self.met = True

    def chats(self) -> list[str]:
        """The chat rooms the person is in, by label."""
        person = self.person
        found = {}
        for room_id in person.joined():
            marker = person.state(room_id, MARKER) or {}
            if marker.get("kind") == "chat":
                found[room_id] = int(marker["chat_id"][1:])
        return sorted(found, key=found.__getitem__)

    async def act(self, act: Act) -> None:
        """Do one thing; what the homeserver refuses is not done."""
        chats = self.chats()
        room = chats[act.room % len(chats)] if chats else self.home
        try:
            await self._deed(act.kind)(act, room)
            self.done += 1
        except MatrixError as error:
            self._journal.note("refused", room=room, who=self.person.user_id, why=str(error)[:160])

    # --- talking -------------------------------------------------------------------------------

    async def _talk(self, act: Act, room: str) -> None:
        await self.say(room, self._words(act))

    async def _burst(self, act: Act, room: str) -> None:
        for part in "abc":
            await self.say(room, self._words(act, part))

    async def _edit(self, act: Act, room: str) -> None:
        said = await self.say(room, self._words(act))
        said.versions.append(f"{said.versions[0]} edited")
        await self.person.edit(room, said.event_id, said.versions[-1])
        self._note("edits", said)

    async def _redact(self, act: Act, room: str) -> None:
        said = await self.say(room, self._words(act))
        said.gone = True
        await self.person.redact(room, said.event_id)
        self._note("redacts", said)

    async def _file(self, act: Act, room: str) -> None:
        await self.send_file(room, self._words(act), f"file{act.number}.bin", act.words * 5_000)

    async def _staged_file(self, act: Act, room: str) -> None:
        """A file without words, and words after it; a death in between parts them."""
        await self.person.send_file(room, f"staged{act.number}.bin", bytes(2_000))
        await self.say(room, self._words(act))

    # --- commands ------------------------------------------------------------------------------

    async def _new(self, act: Act, room: str) -> None:
        few = len(self.chats()) < MOST_CHATS
        await self.command(room, f"!new Room {act.number}" if few else "!chats")

    async def _simple(self, act: Act, room: str) -> None:
        await self.command(room, act.kind)

    async def _rename(self, act: Act, room: str) -> None:
        await self.command(room, f"!rename Name {act.number}")

    async def _save(self, act: Act, room: str) -> None:
        await self.command(room, f"!save save {act.number % SAVES}")

    async def _load(self, act: Act, room: str) -> None:
        await self.command(room, f"!load save {act.number % SAVES}")

    async def _load_list(self, act: Act, room: str) -> None:
        await self.command(room, "!load", "question")
        await self.say(room, "1")

    async def _agent(self, act: Act, room: str) -> None:
        await self.command(room, f"!agent {AGENTS[act.number % len(AGENTS)]}")

    async def _agent_list(self, act: Act, room: str) -> None:
        await self.command(room, "!agent", "question")

    async def _stop(self, act: Act, room: str) -> None:
        await self.command(room, "!stop", "stop")

    async def _stop_sign(self, act: Act, room: str) -> None:
        """🛑 under the bot's last message."""
        if messages := self.person.messages(room, self._bot):
            event_id = await self.person.react(room, messages[-1].event_id, "🛑")
            self._expect(event_id, room, "sign", "🛑")

    async def _retry(self, act: Act, room: str) -> None:
        await self.command(room, "!retry", "retry")

    async def _archive(self, act: Act, room: str) -> None:
        await self.command(room, "!archive", "question")
        await self.command(room, "!yes")

    async def _restore(self, act: Act, room: str) -> None:
        await self.command(self.home, f"!restore C{act.number % MOST_CHATS + 1}")

    # --- their client --------------------------------------------------------------------------

    async def _rename_room(self, act: Act, room: str) -> None:
        await self.person.set_state(room, "m.room.name", {"name": f"Own name {act.number}"})
        self._journal.note("renames", room=room, who=self.person.user_id, number=act.number)

    async def _leave_room(self, act: Act, room: str) -> None:
        """Leave a chat, and ask for it back."""
        if room == self.home:
            return
        label = (self.person.state(room, MARKER) or {})["chat_id"]
        await self._leave(room)
        await self.command(self.home, f"!restore {label}")

    async def _leave_space(self, act: Act, room: str) -> None:
        """Leave the Space; the next word brings the invitation back."""
        for space in self.person.spaces():
            await self._leave(space)
        await self.say(room, self._words(act))

    async def _leave(self, room: str) -> None:
        self._journal.note("leaves", room=room, who=self.person.user_id)
        with contextlib.suppress(MatrixError):
            await self.person.leave(room)

    # --- how -----------------------------------------------------------------------------------

    def _deed(self, kind: str) -> Callable[..., Any]:
        deeds = {
            "talk": self._talk,
            "burst": self._burst,
            "edit": self._edit,
            "redact": self._redact,
            "file": self._file,
            "staged file": self._staged_file,
            "rename room": self._rename_room,
            "!new": self._new,
            "!rename": self._rename,
            "!save": self._save,
            "!load": self._load,
            "!load list": self._load_list,
            "!agent": self._agent,
            "!agent list": self._agent_list,
            "!retry": self._retry,
            "!stop": self._stop,
            "stop sign": self._stop_sign,
            "!archive": self._archive,
            "!restore": self._restore,
            "leave room": self._leave_room,
            "leave space": self._leave_space,
        }
        return deeds.get(kind, self._simple)

    def _words(self, act: Act, part: str = "") -> str:
        words = " ".join(f"word{n}" for n in range(act.words))
        return f"m{act.number}{part} {words}"

    async def say(self, room: str, text: str, *, hears: str | None = None) -> Said:
        """Say something to the agent; `hears`: its words, if nothing else is an answer."""
        said = self._expect(await self.person.send(room, text), room, "answer", text)
        said.calm = hears
        return said

    async def send_file(self, room: str, caption: str, name: str, size: int = 5_000) -> Said:
        """Send a file with words to the agent."""
        event_id = await self.person.send_file(room, caption, bytes(size), filename=name)
        return self._expect(event_id, room, "answer", caption, file=name)

    async def command(
        self, room: str, text: str, wants: Wants = "reply", *, answered: bool = False
    ) -> Said:
        """Give a command; wait for its answer if `answered`."""
        said = self._expect(await self.person.send(room, text), room, wants, text)
        if answered:
            await self.person.answer_to(room, said.event_id, sender=self._bot)
        return said

    def _expect(
        self, event_id: str, room: str, wants: Wants, text: str, file: str | None = None
    ) -> Said:
        said = Said(event_id, room, wants, [text], self._journal.now, file)
        self.said.append(said)
        self._note("says", said)
        return said

    def _note(self, what: str, said: Said) -> None:
        words = said.versions[-1][:40]
        self._journal.note(
            what, room=said.room_id, who=self.person.user_id, event=said.event_id, words=words
        )
