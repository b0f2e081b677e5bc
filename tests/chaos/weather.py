"""Carries out what the plan says goes wrong, and in the end makes all well again.

Kills and other faults go their own ways and meet as they may: a bot may be killed while the network is cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import resource
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from surface.homeserver import Homeserver
from tests.chaos.plan import Fault, Kill, Plan
from tests.chaos.stage import Stage, under_way
from tests.rig.proxy import (
    Action,
    Delay,
    DropResponse,
    Garbage,
    Refuse,
    Status,
    TooMany,
    Truncate,
)
from tests.rig.services import PlatformProcess

CLIENT = r"/_matrix/"
SEND = r"/send/m\.room\.message/s[0-9a-f]{24}"
"""A message that the bot owes; growing previews have other transaction ids, and are not sent again."""
LOST_SENDS = 3
"""Such messages whose answers are lost for certain: a death of the bot may spare one its repetition."""
SPARED = 30.0
"""Seconds that a bot gets to be ready before it may be killed, but for the kills while it starts."""
AIMED, PATIENT, LOOK = 0.75, 5.0, 0.01
"""The share of the bot's kills that wait for a moment with work under way; seconds that they wait at
most, and between two looks."""
SPARE = 4_096
"""Bytes beyond the largest file that may still be written while writes are refused."""


class Weather:
    """What goes wrong on a stage.

    Attributes:
        kills: how often who was killed.
        faults: how often what else went wrong.
        skipped: what cannot be done here, and why.
    """

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage, self._plan = stage, plan
        self._chance = random.Random(plan.seed)
        self.kills: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        self._lost: Counter[str] = Counter()
        """How often the answer to a message was lost for certain, by its path."""
        self._loses = False

    async def rage(self) -> None:
        """Everything in its time; returns when the last is over, and all are up again."""
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as all_of_it:
            all_of_it.create_task(self._kills(began))
            all_of_it.create_task(self._faults(began))
        await self._stage.start_homeserver_if_down()
        await self._stage.start_platform_if_down()

    async def _kills(self, began: float) -> None:
        for kill in self._plan.kills:
            await _until(began + kill.at)
            await self._kill(kill)

    async def _faults(self, began: float) -> None:
        for fault in self._plan.faults:
            await _until(began + fault.at)
            await self._go_wrong(fault)

    # --- kills ---------------------------------------------------------------------------------

    async def _kill(self, kill: Kill) -> None:
        stage = self._stage
        if kill.victim == "bot":
            await self._has_lived()
            if self._chance.random() < AIMED:
                await self._is_at_work()
        match kill.victim:
            case "bot":
                self._killed(kill, stage.bot.pid)
                await stage.kill_bot(kill.away)
                if kill.again is not None:
                    await stage.bot_launched()
                    await asyncio.sleep(kill.again)
                    self._killed(kill, stage.bot.pid, again=True)
                    await stage.kill_bot(kill.away)
            case "platform":
                await self._kill_server(kill, stage.platform, stage.start_platform)
                await stage.start_platform_if_down()
            case "homeserver":
                await self._kill_server(kill, stage.homeserver, stage.start_homeserver)
                await stage.start_homeserver_if_down()

    async def _kill_server(
        self, kill: Kill, server: PlatformProcess | Homeserver, start: Callable[[], Awaitable[None]]
    ) -> None:
        self._killed(kill, server.pid)
        server.kill()
        await asyncio.sleep(kill.away)
        if kill.again is not None:
            starting = asyncio.create_task(start())
            await asyncio.sleep(kill.again)
            self._killed(kill, server.pid, again=True)
            server.kill()
            await starting

    async def _has_lived(self) -> None:
        """Let the bot come up before the next kill, if it can: on a slow machine it would never work."""
        await self._stage.bot_launched()
        with contextlib.suppress(AssertionError):
            await self._stage.bot.logged("bot.ready", timeout=SPARED)

    async def _is_at_work(self) -> None:
        """Let the bot begin something before it is killed: most of the time it waits for people."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENT):
                while not await asyncio.to_thread(under_way, self._stage.bot):
                    await asyncio.sleep(LOOK)

    def _killed(self, kill: Kill, pid: int | None, *, again: bool = False) -> None:
        """Count a kill; who is down already (`pid` None) cannot be killed."""
        if pid is not None:
            self.kills[kill.victim] += 1
        what = "kill" if pid is not None else "was down"
        self._stage.journal.note(what, who=kill.victim, away=kill.away, again=again or None)

    # --- the rest ------------------------------------------------------------------------------

    async def _go_wrong(self, fault: Fault) -> None:
        journal = self._stage.journal
        self.faults[fault.kind] += 1
        journal.note("fault", kind=fault.kind, seconds=fault.seconds, amount=fault.amount)
        match fault.kind:
            case "cut":
                await self._stage.proxy.stop()
                try:
                    await asyncio.sleep(fault.seconds)
                finally:
                    await self._stage.proxy.start()
            case "full disk":
                await self._fill_disk(fault)
            case "refused writes":
                await self._refuse_writes(fault)
            case "clock jump":
                await self._jump(fault)
            case _:
                await self._bad_network(fault)
        journal.note("fault over", kind=fault.kind)

    async def _bad_network(self, fault: Fault) -> None:
        """So many of ten requests fail, by chance."""
        actions: dict[str, Action] = {
            "slow": Delay(fault.amount),
            "lost answers": DropResponse(),
            "truncated": Truncate(),
            "garbage": Garbage(),
            "server errors": Status(502),
            "limited": TooMany(500),
        }
        if fault.kind == "lost answers" and not self._loses:
            self._lose_sends()
        often = 1.0 if fault.kind == "slow" else fault.amount / 10
        rules = [
            self._stage.proxy.arm("*", CLIENT, action, times=None, when=lambda o=o: self._hits(o))  # type: ignore[misc]
            for action, o in ((actions[fault.kind], often), (Refuse(), 0.1))
        ]
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            for rule in rules:
                rule.disarm()

    def _lose_sends(self) -> None:
        """Let the homeserver carry out some messages of the bot's, and the bot hear nothing: now, or as soon
        as it sends any, however short the fault is.

        Twice each: the HTTP client itself repeats a request on a connection that was kept too long, once.
        """

        def wanted() -> bool:
            assert rule.latest is not None
            path = rule.latest.path
            lose = self._lost[path] < 2 if path in self._lost else rule.done < LOST_SENDS
            self._lost[path] += lose
            return lose

        rule = self._stage.proxy.arm("PUT", SEND, DropResponse(), times=None, when=wanted)
        self._loses = True

    @property
    def lost_sends(self) -> int:
        """How many messages were sent twice and the bot did not hear that they had arrived."""
        return sum(times > 1 for times in self._lost.values())

    @property
    def repeated_sends(self) -> int:
        """How many of these the bot has sent again under the same transaction id."""
        requests = Counter(r.path for r in self._stage.proxy.requests if r.method == "PUT")
        return sum(times > 1 and requests[path] > times for path, times in self._lost.items())

    def _hits(self, often: float) -> bool:
        return self._chance.random() < often

    async def _fill_disk(self, fault: Fault) -> None:
        stage = self._stage
        if not stage.own_disk:
            self._skip(fault, "nothing can be mounted here; needs root")
            return
        ballast = [folder / ".ballast" for folder in (stage.bot.state_dir, stage.bot.workspace)]
        with stage.disk_trouble():
            try:
                for file in ballast:
                    await asyncio.to_thread(_fill, file)
                await asyncio.sleep(fault.seconds)
            finally:
                for file in ballast:
                    file.unlink(missing_ok=True)

    async def _refuse_writes(self, fault: Fault) -> None:
        """No file of the bot's grows: what a quota does, or a limit of the system's."""
        stage = self._stage
        await stage.bot_launched()
        with stage.disk_trouble(), contextlib.suppress(ProcessLookupError):
            pid = stage.bot.pid or 0
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (SPARE, hard))
            await asyncio.sleep(fault.seconds)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))

    async def _jump(self, fault: Fault) -> None:
        if (clock := self._stage.clock) is None:
            self._skip(fault, "libfaketime is not installed, or not for this machine")
            return
        clock.write_text(f"{fault.amount:+.0f}\n")
        await asyncio.sleep(fault.seconds)
        # Half of the jumps stay, until the next.
        if self._chance.random() < 0.5:
            clock.write_text("+0\n")

    def _skip(self, fault: Fault, why: str) -> None:
        self.faults[fault.kind] -= 1
        self.skipped[fault.kind] = why


def _fill(file: Path) -> None:
    """Write until nothing more fits."""
    with file.open("wb", buffering=0) as out:
        for size in (65_536, 512):
            try:
                while True:
                    out.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
