"""Where it all happens: homeserver, reference platform and bot, each a process, and the bad network between.

One rule: who dies is started again, by whoever watches over it, until the end. Why it died is written down; a
bot that ends by itself while nothing is wrong with its disk is a violation.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from surface.homeserver import Homeserver, HomeserverError
from tests.chaos.journal import Journal
from tests.rig.bot import Bot
from tests.rig.proxy import FaultProxy
from tests.rig.services import PlatformProcess

AGENTS: Final = ("echo", "slow", "remote", "remote-slow")
"""Who can be talked to: in the bot's process and behind the contract, at once and word by word."""
LOUD: Final = frozenset({"slow", "remote-slow"})
"""Who of them answers in capitals: so it is seen who has answered."""
SETTINGS: Final[dict[str, Any]] = {
    "answers": {"placeholder_after": 0.2, "edit_every": 0.3},
    "limits": {"per_minute": 10_000, "waiting": 1_000, "rooms": 100},
    "shutdown_grace": 5,
}
DISK: Final = "16m"
"""How much the bot's disk holds, where one can be mounted."""
AFTERMATH: Final = 30.0
"""Seconds after a fault of the disk in which the bot may still end of it."""
PATIENCE: Final = 120.0


class Stage:
    """The processes, and who watches over them.

    Attributes:
        deaths: when the bot died, as in the journal.
        busy_kills: how many kills of the bot met work under way, by its store.
        surprises: how the bot ended when nobody had killed it, but for its word that it cannot write to
            a disk that was bad.
        own_disk: the bot's folders are file systems of their own, which can be full.
    """

    def __init__(
        self,
        journal: Journal,
        root: Path,
        homeserver: Homeserver,
        proxy: FaultProxy,
        platform: PlatformProcess,
        bot: Bot,
    ) -> None:
        self.journal, self.root = journal, root
        self.homeserver, self.proxy, self.platform, self.bot = homeserver, proxy, platform, bot
        self.deaths: list[float] = []
        self.busy_kills = 0
        self.surprises: list[str] = []
        self._disk_bad_until = 0.0
        self.own_disk = False
        self.clock: Path | None = None
        """What is written here moves the bot's clock; None where it cannot be moved."""
        self.bot_away = 0.0
        """Seconds that a dead bot stays away."""
        self.temporary = root / "temporary"
        """Where the bot puts temporary files."""
        self.temporary.mkdir(parents=True, exist_ok=True)
        bot.env["TMPDIR"] = str(self.temporary)
        self._killed = False
        self._launched: int | None = None
        """The process whose clock there may be something left of."""
        self._keeping: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, journal: Journal, root: Path) -> AsyncIterator[Stage]:
        """Everything runs; all of it ends with the block."""
        async with AsyncExitStack() as stack:
            homeserver = await stack.enter_async_context(Homeserver(root / "homeserver"))
            proxy = await stack.enter_async_context(FaultProxy(homeserver.url))
            workspace = root / "bot" / "workspace"
            platform = PlatformProcess(
                root / "platform",
                [
                    {"id": "remote", "name": "Remote", "brain": "echo"},
                    {
                        "id": "remote-slow",
                        "name": "Remote Poet",
                        "brain": "echo",
                        "delay": 0.1,
                        "style": "shout",
                    },
                ],
                workspace=str(workspace),
            )
            agents = [
                {"id": "echo", "name": "Echo", "adapter": "echo"},
                {"id": "slow", "name": "Poet", "adapter": "echo", "delay": 0.1, "style": "shout"},
                {"id": "remote", "name": "Remote", "adapter": "http", "url": platform.url},
                {
                    "id": "remote-slow",
                    "name": "Remote Poet",
                    "adapter": "http",
                    "url": platform.url,
                },
            ]
            bot = await Bot.register(
                homeserver, root / "bot", url=proxy.url, agents=agents, settings=SETTINGS
            )
            stage = cls(journal, root, homeserver, proxy, platform, bot)
            stage.own_disk = stage._mount(stack)
            stage._fake_clock()
            stack.callback(platform.kill)
            await asyncio.to_thread(platform.start)
            stack.push_async_callback(stage._end_bot)
            stage._keeping = asyncio.create_task(stage._keep(), name="keeper of the bot")
            await stage.bot_launched()
            await bot.logged("bot.ready", timeout=PATIENCE)
            yield stage

    # --- who is killed -------------------------------------------------------------------------

    async def kill_bot(self, away: float) -> None:
        """SIGKILL; its keeper starts it again."""
        self._killed, self.bot_away = True, away
        await asyncio.to_thread(self.bot.kill)

    async def bot_launched(self) -> None:
        """Wait until there is a process of the bot."""
        while self.bot.pid is None:
            await asyncio.sleep(0.02)

    async def start_homeserver(self) -> None:
        """Start it, as often as it takes: it may be killed while it starts."""
        await self._until_up("homeserver", self.homeserver.start)

    async def start_homeserver_if_down(self) -> None:
        if self.homeserver.pid is None:
            await self.start_homeserver()

    async def start_platform_if_down(self) -> None:
        if self.platform.pid is None:
            await self.start_platform()

    async def start_platform(self) -> None:
        """Start it, as often as it takes."""
        await self._until_up("platform", lambda: asyncio.to_thread(self.platform.start))

    async def _until_up(self, name: str, start: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await start()
                self.journal.note("up", who=name)
                return
            except (HomeserverError, AssertionError) as error:
                self.journal.note("start failed", who=name, why=str(error)[:200])
                await asyncio.sleep(0.2)

    # --- the bot's keeper ----------------------------------------------------------------------

    async def _keep(self) -> None:
        while True:
            self._killed = False
            self.bot.launch()
            self._launched = self.bot.pid
            self.journal.note("launched", who="bot", pid=self.bot.pid)
            code = await self.bot.died(timeout=1e9)
            self._clear_clock()
            self.deaths.append(self.journal.now)
            busy = under_way(self.bot)
            self.busy_kills += self._killed and bool(busy)
            self.journal.note("died", who="bot", code=code, killed=self._killed, under_way=busy)
            if not self._killed:
                last = [str(line.get("event")) for line in self.bot.events()[-3:]]
                if self.journal.now > self._disk_bad_until or not says_why(code, self.bot.events()):
                    self.surprises.append(f"the bot ended with {code}: {last}")
                self.bot_away = 0.5
            await asyncio.sleep(self.bot_away)

    async def let_go(self) -> None:
        """Watch over the bot no more; it runs on."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None

    async def _end_bot(self) -> None:
        await self.let_go()
        await asyncio.to_thread(self.bot.kill)
        self._clear_clock()

    @contextmanager
    def disk_trouble(self) -> Iterator[None]:
        """While it lasts, and a moment after it, the bot may end by itself: it cannot write."""
        self._disk_bad_until = float("inf")
        try:
            yield
        finally:
            self._disk_bad_until = self.journal.now + AFTERMATH

    # --- disk and clock ------------------------------------------------------------------------

    def _mount(self, stack: AsyncExitStack) -> bool:
        """Give state and workspace file systems of their own, where that is allowed."""
        for folder in (self.bot.state_dir, self.bot.workspace):
            folder.mkdir(parents=True, exist_ok=True)
            mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(folder)]
            if subprocess.run(mount, check=False, capture_output=True).returncode:
                return False
            stack.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
        return True

    def _fake_clock(self) -> None:
        """Let the bot see a wall clock that can be moved while it runs. Durations stay true."""
        library = faketime()
        if library is None:
            return
        self.clock = self.root / "clock"
        self.clock.write_text("+0\n")
        self.bot.env |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
            # Else what waits for Python's lock waits too long, and everything takes four times as long.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def _clear_clock(self) -> None:
        """Remove what the bot, which is dead, shared its clock in."""
        if self._launched is not None:
            for path in shared_clock(self._launched):
                path.unlink(missing_ok=True)
        self._launched = None


def says_why(code: int, lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the bot has ended as it does when it cannot go on: with one word, and exit code 1."""
    words = [str(line.get("event", "")) for line in lines if line.get("level") == "raw"]
    return code == 1 and any(word.startswith("error: ") for word in words)


def under_way(bot: Bot) -> dict[str, int] | None:
    """How much a bot has left to do, alive or dead, by table; None where its store cannot be read."""
    with contextlib.suppress(sqlite3.Error):
        return {table: len(rows) for table, rows in bot.pending().items() if table != "dirty"}
    return None


def shared_clock(pid: int) -> list[Path]:
    """The shared memory of a process whose clock is moved; who is killed leaves it behind."""
    memory = Path("/dev/shm")
    return [memory / f"faketime_shm_{pid}", memory / f"sem.faketime_sem_{pid}"]


def faketime() -> Path | None:
    """The library that moves a process's wall clock (libfaketime); None where there is none."""
    found = find_spec("libfaketime")
    if not sys.platform.startswith("linux") or found is None or found.origin is None:
        return None
    library = Path(found.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
    if not library.exists() or os.uname().machine != "x86_64":
        return None
    return library
