"""One bot that is killed again and again, and what must be true of it each time it came back.

One rule: what a person may read is known word for word. Every text that goes to the bot is written
down with the answer it must get, and after every crash the rooms are compared with that, by the
homeserver's own account. So a lost answer, a second one, and one too many are all seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from surface.failpoints import TRACE
from surface.homeserver import Homeserver
from surface.matrix.rooms import MARKER
from tests.rig.api import MatrixApi, MatrixError
from tests.rig.bot import PASSWORD, TIMEOUT, Bot
from tests.rig.cli import surface
from tests.rig.laws import Household, State, broken, ids_in_use
from tests.rig.person import Person

ECHO = {"id": "echo", "name": "Echo", "adapter": "echo", "delay": 0.05}
"""Slow enough that an answer of many words streams, and that one word is answered at once."""
OTHER = {"id": "other", "name": "Other", "adapter": "echo"}
SETTINGS: dict[str, Any] = {
    "answers": {"placeholder_after": 0.1, "edit_every": 0.1},
    "access": {"deny": ["@stranger*:*"]},
    "shutdown_grace": 5,
}
POLL = 0.05
_numbers = itertools.count(1)


class Guest:
    """A person, and all that they may expect to read from the bot."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.home = ""
        self.answers: dict[str, list[str]] = defaultdict(list)
        """By room, the agent's answers, whole and in order."""
        self.notices: dict[str, list[str]] = defaultdict(list)
        """By room, how the service messages begin, in order."""
        self.files: dict[str, list[str]] = defaultdict(list)
        """By room, the names of the agent's files, in order."""

    @property
    def user_id(self) -> str:
        return self.person.user_id

    async def talk(self, room_id: str, text: str, answer: str | None = None) -> str:
        """Say something to the agent; `answer` is what it must say, by default the same."""
        self.answers[room_id].append(text if answer is None else answer)
        return await self.person.send(room_id, text)

    async def send_file(self, room_id: str, name: str, data: bytes, caption: str) -> str:
        """Send a file with words to the agent, which must send both back."""
        self.answers[room_id].append(caption)
        self.files[room_id].append(name)
        return await self.person.send_file(room_id, caption, data, filename=name)

    async def command(self, room_id: str, text: str, answer: str) -> str:
        """Say something to the bot; `answer` is how the one answer begins."""
        self.notices[room_id].append(answer)
        return await self.person.send(room_id, text)


class Lane:
    """An installation of the bot whose failpoints can be armed while it runs, and its people."""

    def __init__(self, bot: Bot, homeserver: Homeserver, api: MatrixApi, main: Guest) -> None:
        self.bot, self.homeserver, self.api, self.main = bot, homeserver, api, main
        self.newcomer: Guest | None = None
        """The person of a first contact, for as long as that case lasts."""
        self._markers: dict[str, dict[str, Any]] = {}
        self._issued: dict[str, str] = {}
        """The room of every platform chat and of every label that was ever seen."""

    @classmethod
    async def open(
        cls, homeserver: Homeserver, root: Path, kind: type[Person] = Person, **options: Any
    ) -> Lane:
        """A bot that is up, and a person with a Space and a chat who has talked to it."""
        directory = Path(tempfile.mkdtemp(prefix="crash-", dir=root))
        options = {"agents": [ECHO, OTHER], "settings": SETTINGS} | options
        bot = await Bot.register(homeserver, directory, **options)
        bot.env |= {"SURFACE_FAILPOINT": f"@{directory / 'armed'}", TRACE: str(directory / "trace")}
        login = await homeserver.login(bot.user_id[1:].partition(":")[0], PASSWORD)
        lane = cls(
            bot,
            homeserver,
            MatrixApi(homeserver.url, login.access_token),
            Guest(await kind.register(homeserver, "alice")),
        )
        try:
            lane.disarm()
            await lane.main.person.start()
            await bot.start()
            await lane.meet(lane.main)
            await lane.welcomed(lane.main)
            await lane.probe(lane.main)
            await lane.check(lane.main)
        except BaseException:
            await lane.close()
            raise
        return lane

    async def close(self) -> None:
        self.bot.kill()
        for guest in (self.main, self.newcomer):
            if guest is not None:
                await guest.person.stop()
        await self.api.close()
        shutil.rmtree(self.bot.root, ignore_errors=True)

    # --- failpoints ---------------------------------------------------------------------------

    def arm(self, spec: str) -> None:
        """Kill the process at a point, `name:n`, from now on."""
        (self.bot.root / "armed").write_text(spec)

    def disarm(self) -> None:
        """Kill nobody, and forget the points passed so far."""
        self.arm("")
        (self.bot.root / "trace").write_text("")

    def passed(self) -> Counter[str]:
        """The points passed since `disarm`, and how often."""
        return Counter((self.bot.root / "trace").read_text().split())

    # --- what people do -----------------------------------------------------------------------

    async def meet(self, guest: Guest) -> None:
        """Invite the bot; its invitations are accepted as they come."""
        guest.person.auto_join_from.add(self.bot.user_id)
        guest.home = await guest.person.dm(self.bot.user_id)
        guest.notices[guest.home].append("Welcome!")

    async def welcomed(self, guest: Guest) -> None:
        """The end of a first contact: the welcome is there, and the person is in both rooms."""
        person = guest.person
        await person.message(guest.home, "Welcome!", sender=self.bot.user_id)
        await person.until(
            lambda: len(person.spaces()) == 1 and len(person.joined()) == 3,
            what="being in home room, Space and chat",
        )

    def chat(self, guest: Guest) -> str:
        """The person's first chat room."""
        return str(self.bot.rooms_of(guest.user_id)[0]["room_id"])

    async def answered(self, guest: Guest, room_id: str, event_id: str) -> None:
        """Wait for the last answer that is due in a room."""
        wanted = guest.answers[room_id][-1]
        await guest.person.answer_to(room_id, event_id, where=lambda m: m.body == wanted)

    async def probe(self, guest: Guest) -> None:
        """The bot still talks: and as /sync keeps the order, it has heard all that came before."""
        room_id = self.chat(guest)
        event_id = await guest.talk(room_id, f"probe{next(_numbers)}")
        await self.answered(guest, room_id, event_id)

    # --- what must be true --------------------------------------------------------------------

    async def nothing_to_mend(self) -> None:
        """Store and Matrix agree in all: a look at everything plans nothing. Stops the bot."""
        await self.settled()
        await self.bot.stop()
        words = ("reconcile", "--dry-run", "--full", "--json", "-c", str(self.bot.write_config()))
        done = await surface(*words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == []

    async def settled(self) -> None:
        """Wait until nothing is pending and nothing moves. Polled: another process's commits wake
        nobody."""
        last: Counter[str] | None = None

        def done() -> bool:
            nonlocal last
            before, last = last, self.passed()
            due = self.bot.documents("mirrors")
            return before == last and not self.bot.pending() and not due

        await _until(done, lambda: f"still pending: {self.bot.pending()}")

    async def check(self, guest: Guest) -> None:
        """Everything that must be true of a person's rooms whenever the bot has nothing to do."""
        await self.settled()
        person, me = guest.person, self.bot.user_id
        user = self.bot.user(guest.user_id)
        chats = {room["room_id"]: room for room in self.bot.rooms_of(guest.user_id)}
        assert user["state"] == "ready"

        marked = await self._marked(guest.user_id)
        household = Household(
            user=user,
            chats=list(chats.values()),
            index=self.bot.documents("chats"),
            markers=marked,
            states={room_id: await self._state_of(room_id) for room_id in marked},
            agents={str(agent["id"]): str(agent["name"]) for agent in self.bot.agents},
        )
        assert broken(household) == []
        for room in chats.values():
            assert room["state"] in ("bound", "cleared")
            assert room["agent_id"] == "echo"
        known = {guest.home, *marked}
        await person.until(lambda: known <= set(person.joined()), what="being in all rooms")
        invited = {invite.room_id for invite in person.invites()}
        assert set(person.joined()) | invited == known, "no doubled room"

        self._check_reuse()

        for room_id in known:
            said = await person.history(room_id, sender=me)
            words = [m.body for m in said if m.msgtype == "m.text"]
            notices = [m.body for m in said if m.msgtype == "m.notice"]
            assert words == guest.answers[room_id], f"the answers in {room_id}"
            files = [m.body for m in said if m.msgtype == "m.file"]
            assert files == guest.files[room_id], f"the files in {room_id}"
            wanted = guest.notices[room_id]
            begun = [body[: len(begin)] for body, begin in zip(notices, wanted, strict=False)]
            assert begun == wanted, f"the notices in {room_id}"
            assert len(notices) == len(wanted), f"the notices in {room_id}: {notices}"

    def _check_reuse(self) -> None:
        in_use = ids_in_use(self.bot.documents("rooms").values())
        assert len({name for name, _ in in_use}) == len(in_use), f"two of a kind in {in_use}"
        for name, room_id in in_use:
            assert self._issued.setdefault(name, room_id) == room_id, f"{name} is used again"

    async def _marked(self, owner: str) -> dict[str, dict[str, Any]]:
        """The rooms the bot is in that carry its marker for a person."""
        joined = (await self.api.call("GET", "joined_rooms"))["joined_rooms"]
        for room_id in set(joined) - self._markers.keys():
            self._markers[room_id] = await self.state(room_id, MARKER) or {}
        return {r: self._markers[r] for r in joined if self._markers[r].get("owner") == owner}

    async def _state_of(self, room_id: str) -> State:
        events = await self.api.call("GET", "rooms", room_id, "state")
        return {(event["type"], event["state_key"]): event["content"] for event in events}

    async def read_up_to(self, room_id: str, event_id: str) -> None:
        """Wait until the bot's read marker is at an event. Polled: it comes with no sync of ours."""
        where = ("user", self.bot.user_id, "rooms", room_id, "account_data", "m.fully_read")
        async with asyncio.timeout(TIMEOUT):
            while True:
                with contextlib.suppress(MatrixError):
                    if (await self.api.call("GET", *where))["event_id"] == event_id:
                        return
                await asyncio.sleep(POLL)

    async def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait for something in the store. Polled, like `settled`."""
        await _until(done, lambda: f"waited in vain for {what}")

    async def state(self, room_id: str, kind: str, key: str = "") -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self.api.call("GET", "rooms", room_id, "state", kind, key)
        except MatrixError as error:
            if error.status == 404:
                return None
            raise
        return found


class Lanes:
    """A few lanes, each used by one case at a time; one in which a case failed is not used again."""

    def __init__(self, homeserver: Homeserver, root: Path, width: int) -> None:
        self._homeserver, self._root = homeserver, root
        self._free: asyncio.Queue[Lane | None] = asyncio.Queue()
        for _ in range(width):
            self._free.put_nowait(None)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Lane]:
        lane = await self._free.get()
        try:
            if lane is None:
                lane = await Lane.open(self._homeserver, self._root)
            yield lane
        except BaseException:
            self._free.put_nowait(None)
            if lane is not None:
                await lane.close()
            raise
        self._free.put_nowait(lane)

    async def close(self) -> None:
        while not self._free.empty():
            if (lane := self._free.get_nowait()) is not None:
                try:
                    await lane.nothing_to_mend()
                finally:
                    await lane.close()


async def _until(done: Callable[[], bool], why: Callable[[], str]) -> None:
    try:
        async with asyncio.timeout(TIMEOUT):
            while not done():
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise AssertionError(why()) from None
