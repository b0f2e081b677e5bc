"""What one plain message costs the bot, in processor time, and which part of it spends that.

    uv run python -m tests.bench.profile [--messages N] [--json] [--exact FILE]

One Synapse, one person, one room, this bot with its echo agent: a message, its answer, the next. The whole
is read from the kernel's account of the process, the parts from a sampler in it (`profiled.py`). Beside it,
on the same homeserver in the same run, the minimal nio bot. Processor time depends less than times do on what
else runs, but caches and clocks count: compare ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from surface.homeserver import Homeserver
from tests.bench.meter import Meter
from tests.bench.shared import WARM_UP, machine, minimal_bot, spread
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

GOAL = 5.0
"""Milliseconds of processor time for one plain message."""
TICKS = os.sysconf("SC_CLK_TCK")
POLL = 0.02


async def measure(messages: int, *, exact: Path | None = None) -> dict[str, Any]:
    """Milliseconds of processor time for each message, and of those by part.

    Args:
        messages: how many, besides those that warm up.
        exact: where the statistics of cProfile go; it is slower by half, so all other figures are void.
    """
    async with AsyncExitStack() as stack:
        memory = Path("/dev/shm")
        root = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if memory.is_dir() else None))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        state = Path(tempfile.mkdtemp(prefix="bench-state-"))
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        homeserver = await stack.enter_async_context(Homeserver(root))
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
        spent, taken = (
            _used(bot.pid),
            [await meter.round(desk.chat, bot.user_id) for _ in range(messages)],
        )
        await bot.at_rest()
        spent = _used(bot.pid) - spent
        bot.signal(signal.SIGUSR1)
        while not samples.exists():
            await asyncio.sleep(POLL)
        counted = Counter(json.loads(samples.read_text()))
        if exact is not None:
            shutil.copy(samples.with_suffix(".exact"), exact)
        theirs = _used(minimal_pid)
        beside = [await meter.round(room, minimal) for _ in range(messages)]
        theirs = _used(minimal_pid) - theirs
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
        and f"PPid:\t{os.getpid()}\n" in (process / "status").read_text()
        and module.encode() in (process / "cmdline").read_bytes()
    )
    return pid


def _used(pid: int) -> float:
    """Seconds of processor time that a process has used, all threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title="Processor time for one plain message")
    table.add_column("part")
    table.add_column("ms", justify="right")
    table.add_column("share", justify="right")
    for part, spent in figures["parts"].items():
        table.add_row(part, f"{spent:.2f}", f"{spent / figures['own']:.0%}")
    table.add_row("all of this bot", f"{figures['own']:.2f}", "100%")
    table.add_row("minimal nio bot", f"{figures['minimal']:.2f}", "")
    return table


def run() -> int:
    parser = argparse.ArgumentParser(description="What one plain message costs, by part.")
    parser.add_argument("--messages", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--exact", type=Path, help="write the statistics of cProfile to this file")
    options = parser.parse_args()
    began = time.monotonic()
    figures = asyncio.run(measure(options.messages, exact=options.exact))
    figures = {"machine": machine(), "seconds": round(time.monotonic() - began), **figures}
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        out = Console()
        out.print(_table(figures))
        out.print(", ".join(f"{key} {value}" for key, value in figures["machine"].items()))
        verdict = "reached" if figures["own"] <= GOAL else "missed"
        out.print(
            f"Goal: at most {GOAL:.0f} ms of its own a message; {verdict}: {figures['own']:.1f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(run())
