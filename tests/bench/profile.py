"""What one plain message costs the bot, in processor time, and which part of it spends that.

    uv run python -m tests.bench.profile [--messages N] [--exact 1] [--json]

One Synapse, one person, one room, this bot with its echo agent: a message, its answer, the next. The whole
is read from the kernel's account of the process, the parts from a sampler in it (`profiled.py`). Beside it,
on the same homeserver in the same run, the minimal nio bot; they take turns. Processor time depends less than
times do on what else runs, but caches and clocks count: compare ratios.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

from rich.progress import Progress

from tests.bench.alone import alone
from tests.bench.meter import Meter
from tests.bench.section import Figures, Goal, Plot, Section, Table, ms, times
from tests.bench.shared import (
    WARM_UP,
    folder,
    homeserver_in_memory,
    minimal_bot,
    processor,
    spread,
)
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

GOAL = 5.0
"""Milliseconds of processor time for one plain message."""
EXACT = Path("artifacts/bench/profile.pstats")
"""Where the statistics of cProfile go, for `python -m pstats`."""
POLL = 0.02


async def measure(progress: Progress, *, messages: int = 400, exact: int = 0) -> Figures:
    """Milliseconds of processor time for each message, and of those by part.

    Args:
        messages: how many, besides those that warm up.
        exact: 1 writes the statistics of cProfile to `EXACT`; it is slower by half, so all other figures
            are void.
    """
    task = progress.add_task("messages", total=messages)
    async with AsyncExitStack() as stack:
        state = folder(stack)
        homeserver = await homeserver_in_memory(stack)
        samples = state / "samples"
        bot = await Bot.register(
            homeserver,
            state,
            settings={"limits": {"waiting": 1_000, "per_minute": 10_000}},
            env={"BENCH_SAMPLES": str(samples), **({"BENCH_EXACT": "1"} if exact else {})},
        )
        bot.program = ("-m", "tests.bench.profiled")
        stack.callback(bot.kill)
        await bot.start()
        minimal = await minimal_bot(stack, homeserver)
        minimal_pid = _running("tests.bench.minimal_nio")
        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        desk = await onboard(alice, bot)
        room = await alice.dm_joined(minimal)
        await alice.pause()
        meter = await stack.enter_async_context(Meter(homeserver.url, alice.login))
        for _ in range(WARM_UP * 4):
            await meter.round(desk.chat, bot.user_id)
            await meter.round(room, minimal)
        await bot.at_rest()
        assert bot.pid is not None
        bot.signal(signal.SIGUSR1)
        spent, theirs = processor(bot.pid), processor(minimal_pid)
        taken: list[float] = []
        beside: list[float] = []
        ours, least = (taken, desk.chat, bot.user_id), (beside, room, minimal)
        for number in range(messages):
            for times_, where, user in (ours, least) if number % 2 else (least, ours):
                times_.append(await meter.round(where, user))
            progress.advance(task)
        await bot.at_rest()
        spent, theirs = processor(bot.pid) - spent, processor(minimal_pid) - theirs
        bot.signal(signal.SIGUSR1)
        while not samples.exists():
            await asyncio.sleep(POLL)
        counted = Counter(json.loads(samples.read_text()))
        if exact:
            EXACT.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(samples.with_suffix(".exact"), EXACT)
        await bot.stop()
    whole = spent / messages * 1000
    every = counted.total() or 1
    return {
        "messages": messages,
        "own": round(whole, 2),
        "minimal": round(theirs / messages * 1000, 2),
        "parts": {part: round(whole * n / every, 2) for part, n in counted.most_common()},
        "samples": counted.total(),
        "round": spread(taken),
        "round minimal": spread(beside),
    }


def _running(module: str) -> int:
    """The process that was started to run a module."""
    (pid,) = (
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal()
        and f"PPid:\t{os.getpid()}\n".encode() in _read(process / "status")
        and module.encode() in _read(process / "cmdline")
    )
    return pid


def _read(path: Path) -> bytes:
    """What the kernel says of a process; nothing if it has just ended."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def section(figures: Figures) -> Section:
    """What the figures say."""
    own, minimal = figures["own"], figures["minimal"]
    rows = [
        (part, f"{spent / own:.0%}", f"{times(spent, minimal)} ×", ms(spent, 2))
        for part, spent in figures["parts"].items()
    ]
    rows.append(("all of this bot", "", f"{times(own, minimal)} ×", ms(own, 2)))
    parts = Plot(
        "profile",
        "Processor time for one plain message by part, ms",
        "bars",
        list(figures["parts"]),
        {"this bot": list(figures["parts"].values())},
    )
    notes = [
        "All of it, also what nio, aiohttp, statemachine and SQLite spend for this bot. The parts are "
        "sampled: small ones are rough."
    ]
    return Section(
        [Table(("part", "share", "all of the minimal bot", "processor time"), rows)],
        [parts],
        [Goal("Processor time for one plain message", own, GOAL, "ms")],
        notes,
    )


if __name__ == "__main__":
    sys.exit(alone(measure, section))
