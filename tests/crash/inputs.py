"""What the bot is killed in the middle of: each input in three steps, and what must come of it."""

from __future__ import annotations

import itertools

from tests.crash.lane import ECHO, OTHER, Guest, Lane
from tests.rig.person import Person

_numbers = itertools.count(1)
WORDS = "one two three four five six seven eight nine ten eleven twelve"


class Input:
    """Something that happens to the bot.

    `prepare` comes before any point is armed, `begin` makes it happen, and `end` waits until all is
    as it should be, in the process that went through or in the next one.
    """

    name = ""
    waits_for = ""
    """Points that are passed some time after any input; `end` waits for those that begin like this."""
    sure: tuple[str, ...] = ("",)
    """Points that are passed whatever has been on the lane before begin like one of these."""

    async def prepare(self, lane: Lane) -> None:
        """Nothing to prepare."""

    async def begin(self, lane: Lane) -> None:
        raise NotImplementedError

    async def end(self, lane: Lane) -> None:
        raise NotImplementedError

    async def ask(self, lane: Lane) -> None:
        """What is said next, to see more of what came of it."""

    async def after(self, lane: Lane) -> None:
        """What must be true beyond `Lane.check`; after a last message, when nothing is pending."""


class Message(Input):
    name = "message"
    words = "hello{n}"

    async def begin(self, lane: Lane) -> None:
        self.room = lane.chat(lane.main)
        text = self.words.format(n=next(_numbers))
        self.event = await lane.main.talk(self.room, text)

    async def end(self, lane: Lane) -> None:
        await lane.answered(lane.main, self.room, self.event)


class Streaming(Message):
    """Long enough to be seen growing while the homeserver has much to do."""

    name = "streaming"
    words = " ".join([WORDS] * 4) + " thirteen{n}"


class FileMessage(Input):
    """A file with words: both come back, the words so slowly that the file follows while they grow."""

    name = "file message"

    async def begin(self, lane: Lane) -> None:
        n = next(_numbers)
        self.room, self.file, self.data = lane.chat(lane.main), f"file{n}.bin", b"x" * 300_000
        self.event = await lane.main.send_file(self.room, self.file, self.data, f"{WORDS} {n}")

    async def end(self, lane: Lane) -> None:
        person = lane.main.person
        await lane.answered(lane.main, self.room, self.event)
        found = await person.answer_to(self.room, self.event, where=lambda m: m.body == self.file)
        assert await person.download(found) == self.data

    async def after(self, lane: Lane) -> None:
        folder = lane.bot.workspace / "surfaces"
        (kept,) = folder.rglob(f"*{self.file}")
        assert kept.read_bytes() == self.data
        assert list(folder.rglob("*.part")) == []


DROPPED = "Dropped one file."


class StagedFile(Input):
    """A file without words: its sender sees that it waits. Whether it still does, `!drop` tells."""

    name = "staged file"

    async def begin(self, lane: Lane) -> None:
        self.room = lane.chat(lane.main)
        self.event = await lane.main.person.send_file(self.room, f"wait{next(_numbers)}", b"x")

    async def end(self, lane: Lane) -> None:
        person, sign = lane.main.person, (lane.bot.user_id, "📎")
        await person.until(
            lambda: sign in person.reactions(self.room, self.event), what="the sign under the file"
        )

    async def ask(self, lane: Lane) -> None:
        person = lane.main.person
        event = await person.send(self.room, "!drop")
        answer = await person.answer_to(self.room, event, sender=lane.bot.user_id)
        assert answer.body in (DROPPED, "No file is waiting for a message.")
        self.dropped = answer.body == DROPPED
        lane.main.notices[self.room].append(answer.body)

    async def after(self, lane: Lane) -> None:
        person, signs = lane.main.person, [] if self.dropped else [(lane.bot.user_id, "📎")]
        await person.until(
            lambda: person.reactions(self.room, self.event) == signs, what=f"the signs {signs}"
        )


class Marked(Message):
    """The bot's read marker follows, a while after the answer."""

    name = "read marker"
    waits_for = "request.marker."

    async def end(self, lane: Lane) -> None:
        """After a crash the next message tells how far the room is."""
        await super().end(lane)
        await self.begin(lane)
        await super().end(lane)
        await lane.read_up_to(self.room, self.event)


class Missed(Input):
    """Something was said while the bot was down, and is not to be answered."""

    name = "missed"

    async def prepare(self, lane: Lane) -> None:
        await lane.settled()
        await lane.bot.stop()
        self.room = lane.chat(lane.main)
        lane.bot.settings["catch_up"] = {"mode": "skip"}
        words = "While I was away, 2 messages came"
        await lane.main.person.send(self.room, "too late")
        self.event = await lane.main.command(self.room, "!clear", words)

    async def begin(self, lane: Lane) -> None:
        lane.bot.launch()

    async def end(self, lane: Lane) -> None:
        del lane.bot.settings["catch_up"]
        await lane.main.person.answer_to(self.room, self.event, saying="While I was away")


class New(Input):
    name = "new"

    async def begin(self, lane: Lane) -> None:
        self.title = f"Room {next(_numbers)}"
        room = lane.chat(lane.main)
        await lane.main.command(room, f"!new {self.title}", f"Made {self.title}")

    async def end(self, lane: Lane) -> None:
        person = lane.main.person
        await person.message(lane.chat(lane.main), f"Made {self.title}")
        await person.until(
            lambda: self.title in map(person.name, person.joined()), what="being in the new room"
        )

    async def after(self, lane: Lane) -> None:
        rooms = lane.bot.rooms_of(lane.main.user_id)
        assert [r["display_name"] for r in rooms].count(self.title) == 1


class Clear(Input):
    name = "clear"

    async def prepare(self, lane: Lane) -> None:
        self.room = lane.chat(lane.main)
        self.old = lane.bot.room(self.room)["platform_chat_id"]

    async def begin(self, lane: Lane) -> None:
        self.event = await lane.main.command(self.room, "!clear", "Cleared:")

    async def end(self, lane: Lane) -> None:
        await lane.main.person.answer_to(self.room, self.event, saying="Cleared:")
        room = lane.bot.room(self.room)
        self.new = room["platform_chat_id"]
        assert room["state"] == "cleared"
        assert int(self.new) > int(self.old)
        assert room["previous_chat_id"] == self.old
        notice = await lane.main.person.answer_to(self.room, self.event, saying="Cleared:")
        assert self.new in notice.body, "the context told is the context used"

    async def ask(self, lane: Lane) -> None:
        """The agent must know nothing of what was said before."""
        event = await lane.main.talk(self.room, "what did I say?", "You said nothing yet.")
        await lane.answered(lane.main, self.room, event)

    async def after(self, lane: Lane) -> None:
        room = lane.bot.room(self.room)
        assert room["platform_chat_id"] == self.new
        assert room["state"] == "bound"


class FirstContact(Input):
    name = "first contact"

    async def prepare(self, lane: Lane) -> None:
        lane.newcomer = Guest(await Person.register(lane.homeserver, "newcomer"))
        await lane.newcomer.person.start()

    async def begin(self, lane: Lane) -> None:
        assert lane.newcomer is not None
        await lane.meet(lane.newcomer)

    async def end(self, lane: Lane) -> None:
        assert lane.newcomer is not None
        await lane.welcomed(lane.newcomer)

    async def after(self, lane: Lane) -> None:
        assert lane.newcomer is not None
        rooms = lane.bot.rooms_of(lane.newcomer.user_id)
        assert [(r["chat_id"], r["display_name"]) for r in rooms] == [("C1", "Chat 1")]


class Stranger(Input):
    """Somebody who is not permitted invites the bot."""

    name = "stranger"

    async def prepare(self, lane: Lane) -> None:
        self.person = await Person.register(lane.homeserver, "stranger")
        await self.person.start()

    async def begin(self, lane: Lane) -> None:
        self.room = await self.person.dm(lane.bot.user_id)

    async def end(self, lane: Lane) -> None:
        await self.person.until_member(self.room, lane.bot.user_id, "leave")

    async def after(self, lane: Lane) -> None:
        assert f"matrix_user:{self.person.user_id}" not in lane.bot.documents("users")
        assert self.person.invites() == []
        assert self.person.joined() == [self.room]
        await self.person.stop()


class AgentVanishes(Input):
    """The operator takes the agent away, and puts it back."""

    name = "agent vanishes"

    async def prepare(self, lane: Lane) -> None:
        await lane.settled()
        await lane.bot.stop()
        self.before = lane.bot.rooms_of(lane.main.user_id)
        lane.bot.agents, lane.bot.default = [OTHER], "other"

    async def begin(self, lane: Lane) -> None:
        lane.bot.launch()

    async def end(self, lane: Lane) -> None:
        if lane.bot.pid is not None:
            await lane.bot.logged("bot.ready")
        assert lane.bot.user(lane.main.user_id)["state"] == "choosing"
        rooms = lane.bot.rooms_of(lane.main.user_id)
        assert {room["state"] for room in rooms} == {"unbound"}

    async def ask(self, lane: Lane) -> None:
        await lane.bot.stop()
        lane.bot.agents, lane.bot.default = [ECHO, OTHER], "echo"
        await lane.bot.start()

    async def after(self, lane: Lane) -> None:
        rooms = lane.bot.rooms_of(lane.main.user_id)
        assert [r["platform_chat_id"] for r in rooms] == [
            r["platform_chat_id"] for r in self.before
        ]


class Save(Input):
    name = "save"

    async def prepare(self, lane: Lane) -> None:
        await lane.probe(lane.main)
        await lane.settled()

    async def begin(self, lane: Lane) -> None:
        self.room, self.title = lane.chat(lane.main), f"Save {next(_numbers)}"
        words = f"Saved as {self.title}."
        self.event = await lane.main.command(self.room, f"!save {self.title}", words)

    async def end(self, lane: Lane) -> None:
        await lane.main.person.answer_to(self.room, self.event, saying="Saved as")

    async def after(self, lane: Lane) -> None:
        saves = [key for key in lane.bot.documents("echo") if key.startswith("save:")]
        wanted = self.title.replace(" ", "%20")
        assert [key.endswith(f":{wanted}") for key in saves].count(True) == 1


class Load(Input):
    name = "load"

    async def prepare(self, lane: Lane) -> None:
        """A save that holds one thing, in a context that holds another."""
        self.room, self.title = lane.chat(lane.main), f"Save {next(_numbers)}"
        self.thing = f"saved{next(_numbers)}"
        clear = await lane.main.command(self.room, "!clear", "Cleared:")
        await lane.main.person.answer_to(self.room, clear, saying="Cleared:")
        await lane.answered(lane.main, self.room, await lane.main.talk(self.room, self.thing))
        save = await lane.main.command(self.room, f"!save {self.title}", "Saved as")
        await lane.main.person.answer_to(self.room, save, saying="Saved as")
        await lane.probe(lane.main)
        self.old = lane.bot.room(self.room)["platform_chat_id"]

    async def begin(self, lane: Lane) -> None:
        words = f"Loaded {self.title} into"
        self.event = await lane.main.command(self.room, f"!load {self.title}", words)

    async def end(self, lane: Lane) -> None:
        notice = await lane.main.person.answer_to(self.room, self.event, saying="Loaded")
        room = lane.bot.room(self.room)
        self.new = room["platform_chat_id"]
        assert room["state"] == "cleared" and room["previous_chat_id"] == self.old
        assert int(self.new) > int(self.old)
        assert f"context {self.new}." in notice.body, "the context told is the context used"

    async def ask(self, lane: Lane) -> None:
        """The agent must know what was saved, and nothing of what was said after it."""
        answer = f"You said 1 thing:\n\n1. {self.thing}"
        event = await lane.main.talk(self.room, "what did I say?", answer)
        await lane.answered(lane.main, self.room, event)

    async def after(self, lane: Lane) -> None:
        assert lane.bot.room(self.room)["platform_chat_id"] == self.new


class Forget(Input):
    """Somebody asks to be forgotten and says yes; a question that a restart drops is put again."""

    name = "forget"

    async def prepare(self, lane: Lane) -> None:
        self.guest = Guest(await Person.register(lane.homeserver, "leaver"))
        await self.guest.person.start()
        await lane.meet(self.guest)
        await lane.welcomed(self.guest)
        await lane.probe(self.guest)
        self.chat = lane.chat(self.guest)
        self.rooms = list(self.guest.person.joined())
        save = await self.guest.command(self.chat, "!save mine", "Saved as")
        await self.guest.person.answer_to(self.chat, save, saying="Saved as")
        self.asked = await self._ask(lane)
        await lane.settled()

    async def begin(self, lane: Lane) -> None:
        self.said = await self.guest.person.send(self.chat, "!yes")

    async def end(self, lane: Lane) -> None:
        person = self.guest.person
        answer = await person.answer_to(self.chat, self.said, sender=lane.bot.user_id)
        if answer.body == "Nothing is waiting for an answer.":
            await self._ask(lane)
            self.said = await person.send(self.chat, "!yes")
            answer = await person.answer_to(self.chat, self.said, sender=lane.bot.user_id)
        assert answer.body.startswith("Forgotten.")
        for room in self.rooms:
            await person.until_member(room, lane.bot.user_id, "leave")

    async def after(self, lane: Lane) -> None:
        await lane.settled()
        person = self.guest.person
        said = await person.history(self.chat, sender=lane.bot.user_id)
        assert [m.body[:10] for m in said].count("Forgotten.") == 1
        about = person.user_id.replace(":", "%3A").replace("@", "%40")
        for table in ("users", "rooms", "chats", "turns", "echo"):
            for key, body in lane.bot.documents(table).items():
                assert person.user_id not in f"{key} {body}" and about not in key, (table, key)
        await person.stop()

    async def _ask(self, lane: Lane) -> str:
        event = await self.guest.person.send(self.chat, "!forget")
        await self.guest.person.answer_to(self.chat, event, saying="Shall I forget you?")
        return event


class Rename(Input):
    name = "rename"

    async def begin(self, lane: Lane) -> None:
        self.room, self.title = lane.chat(lane.main), f"Name {next(_numbers)}"
        words = f"C1 is now called {self.title}"
        self.event = await lane.main.command(self.room, f"!rename {self.title}", words)

    async def end(self, lane: Lane) -> None:
        await lane.main.person.answer_to(self.room, self.event, saying=self.title)

    async def after(self, lane: Lane) -> None:
        assert lane.bot.room(self.room)["display_name"] == self.title


class Agent(Input):
    """Another agent, and back: each time in a fresh context."""

    name = "agent"

    async def prepare(self, lane: Lane) -> None:
        self.room = lane.chat(lane.main)
        self.old = lane.bot.room(self.room)["platform_chat_id"]

    async def begin(self, lane: Lane) -> None:
        self.event = await lane.main.command(self.room, "!agent other", "Other (other)")

    async def end(self, lane: Lane) -> None:
        await lane.main.person.answer_to(self.room, self.event, saying="Other (other)")
        room = lane.bot.room(self.room)
        assert (room["agent_id"], lane.bot.user(lane.main.user_id)["selected_agent_id"]) == (
            "other",
            "other",
        )
        assert int(room["platform_chat_id"]) > int(self.old)

    async def ask(self, lane: Lane) -> None:
        event = await lane.main.command(self.room, "!agent echo", "Echo (echo)")
        await lane.main.person.answer_to(self.room, event, saying="Echo (echo)")


class Archive(Input):
    """Somebody archives a chat and says yes; a question that a restart drops is put again."""

    name = "archive"

    async def prepare(self, lane: Lane) -> None:
        person, main = lane.main.person, lane.chat(lane.main)
        self.title = f"Old {next(_numbers)}"
        await lane.main.command(main, f"!new {self.title}", f"Made {self.title}")
        await person.until(
            lambda: self.title in map(person.name, person.joined()), what="being in the new room"
        )
        self.room = next(r for r in person.joined() if person.name(r) == self.title)
        await self._ask(lane)
        await lane.settled()

    async def begin(self, lane: Lane) -> None:
        self.said = await lane.main.person.send(self.room, "!yes")

    async def end(self, lane: Lane) -> None:
        guest = lane.main
        answer = await guest.person.answer_to(self.room, self.said, sender=lane.bot.user_id)
        if answer.body == "Nothing is waiting for an answer.":
            guest.notices[self.room].append(answer.body)
            await self._ask(lane)
            self.said = await guest.person.send(self.room, "!yes")
            answer = await guest.person.answer_to(self.room, self.said, sender=lane.bot.user_id)
        assert answer.body.startswith("Archived.")
        guest.notices[self.room].append("Archived.")
        assert lane.bot.room(self.room)["state"] == "archived"

    async def ask(self, lane: Lane) -> None:
        room, chat = lane.chat(lane.main), lane.bot.room(self.room)["chat_id"]
        event = await lane.main.command(room, f"!restore {chat}", f"{chat} is back")
        await lane.main.person.answer_to(room, event, saying=f"{chat} is back")

    async def _ask(self, lane: Lane) -> None:
        event = await lane.main.command(self.room, "!archive", f"Archive {self.title}?")
        await lane.main.person.answer_to(self.room, event, saying="Archive")


class Leaver(Input):
    """A person of their own, who comes for one case."""

    async def prepare(self, lane: Lane) -> None:
        self.guest = Guest(await Person.register(lane.homeserver, "leaver"))
        await self.guest.person.start()
        await lane.meet(self.guest)
        await lane.welcomed(self.guest)
        await lane.probe(self.guest)
        self.chat = lane.chat(self.guest)
        await lane.settled()


class Leave(Leaver):
    """Somebody leaves a chat room in their client."""

    name = "leave"

    async def begin(self, lane: Lane) -> None:
        await self.guest.person.leave(self.chat)

    async def end(self, lane: Lane) -> None:
        await lane.until(lambda: lane.bot.room(self.chat)["state"] == "archived", "archived")

    async def after(self, lane: Lane) -> None:
        await lane.settled()
        space = lane.bot.user(self.guest.user_id)["space_id"]
        assert await lane.state(space, "m.space.child", self.chat) == {}
        await self.guest.person.stop()


class Stay(Leaver):
    """The bot is asked to stay in a room that it did not make; a dropped question is put again."""

    name = "stay"
    question, done = "Shall I answer in this room?", "I answer here from now on"

    async def prepare(self, lane: Lane) -> None:
        await super().prepare(lane)
        person = self.guest.person
        self.other = await Person.register(lane.homeserver, "friend")
        await self.other.start()
        self.room = await person.create_room(
            name="Team", preset="private_chat", invite=[self.other.user_id]
        )
        await self.other.join(self.room)
        await person.invite(self.room, lane.bot.user_id)
        await person.message(self.room, self.question, sender=lane.bot.user_id)
        await lane.settled()

    async def begin(self, lane: Lane) -> None:
        self.said = await self.guest.person.send(self.room, "!yes")

    async def end(self, lane: Lane) -> None:
        person, me = self.guest.person, lane.bot.user_id
        answer = await person.answer_to(self.room, self.said, sender=me)
        if answer.body.startswith(self.question):
            self.said = await person.send(self.room, "!yes")
        await person.message(self.room, self.done, sender=me)

    async def after(self, lane: Lane) -> None:
        await lane.settled()
        room = lane.bot.room(self.room)
        assert (room["chat_id"], room["state"], room["foreign"]) == ("C2", "bound", True)
        said = await self.guest.person.history(self.room, sender=lane.bot.user_id)
        assert [m.body.startswith(self.done) for m in said].count(True) == 1
        for person in (self.guest.person, self.other):
            await person.stop()


class Upgrade(Leaver):
    """Somebody upgrades their home room: what it was goes to its successor."""

    name = "upgrade"

    async def begin(self, lane: Lane) -> None:
        person, old = self.guest.person, self.guest.home
        body = {"new_version": "11"}
        answer = await person.api.call("POST", "rooms", old, "upgrade", json=body)
        self.new = str(answer["replacement_room"])
        await person.invite(self.new, lane.bot.user_id)

    async def end(self, lane: Lane) -> None:
        def moved() -> bool:
            rooms = lane.bot.documents("rooms")
            return rooms.get(f"matrix_room:{self.new}", {}).get("state") == "home"

        await lane.until(moved, "the new home room")

    async def after(self, lane: Lane) -> None:
        await lane.settled()
        assert lane.bot.user(self.guest.user_id)["home_rooms"] == [self.new]
        assert lane.bot.room(self.guest.home)["state"] == "lost"
        event = await self.guest.person.send(self.new, "!help")
        await self.guest.person.answer_to(self.new, event, saying="!new")
        await lane.settled()
        await self.guest.person.stop()


class LostDisk(Input):
    """The database is gone; the next start rebuilds it from Matrix."""

    name = "lost disk"
    sure = ("commit.ingest", "commit.reconcile", "commit.reserve", "request.reserve")

    async def prepare(self, lane: Lane) -> None:
        await lane.settled()
        await lane.bot.stop()
        self.before = lane.bot.rooms_of(lane.main.user_id)
        for file in lane.bot.state_dir.glob("lambda_matrix.db*"):
            file.unlink()

    async def begin(self, lane: Lane) -> None:
        lane.bot.launch()

    async def end(self, lane: Lane) -> None:
        if lane.bot.pid is not None:
            await lane.bot.logged("bot.ready")

    async def after(self, lane: Lane) -> None:
        same = ("room_id", "chat_id", "display_name", "agent_id", "platform_chat_id")
        now = lane.bot.rooms_of(lane.main.user_id)
        assert [[r[k] for k in same] for r in now] == [[r[k] for k in same] for r in self.before]


INPUTS: tuple[type[Input], ...] = (
    FirstContact,
    Message,
    Marked,
    Streaming,
    FileMessage,
    StagedFile,
    New,
    Clear,
    Save,
    Load,
    Forget,
    Archive,
    Rename,
    Agent,
    Leave,
    Stay,
    Upgrade,
    LostDisk,
    Stranger,
    AgentVanishes,
    Missed,
)
