"""How long a start takes, and how much memory, with few rooms and with many.

    uv run python -m tests.bench.restart [--rooms 10,100,500] [--runs N] [--json]

One Synapse and one installation that grows. Measured from the start of the process until a message that was
sent while it was down has its answer at the person's client: a *delta* start goes on from its sync token, a
*full* one has lost it. What a start costs anybody stands beside it, from the same run: importing the program,
and a bare nio bot that logs in and syncs once, the delta or everything. `own` is the processor time that the
bot's process took for it, `peak` its memory (VmHWM). Python's bytecode is at hand, as where it is installed.
In the end the reconciler's plan alone, of rooms that never were.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from surface.homeserver import Homeserver
from tests.bench.meter import Meter
from tests.bench.roundtrip import machine
from tests.bench.synthetic import planning
from tests.rig.bot import PASSWORD, PROJECT, Bot
from tests.rig.bytecode import keep_bytecode
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person

PEOPLE = 5
"""Who share the rooms."""
PATIENCE = 1800.0
"""Seconds that the rooms of one size may take to be made."""
PLANS = (1_000, 10_000, 100_000)
TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = {"rooms": 10_000, "waiting": 1_000, "per_minute": 10_000}
Figures = dict[str, float]


async def main(sizes: Sequence[int], runs: int, progress: Progress) -> list[Figures]:
    """The figures of each size: seconds, and megabytes."""
    async with AsyncExitStack() as stack:
        memory = Path("/dev/shm")
        # The homeserver's database in memory (it is not what is measured), the bot's on the disk.
        root = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if memory.is_dir() else None))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        state = Path(tempfile.mkdtemp(prefix="bench-state-"))
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        homeserver = await stack.enter_async_context(Homeserver(root))
        bot = await Bot.register(homeserver, state, settings={"limits": LIMITS})
        stack.callback(bot.kill)
        await bot.start()
        people = [
            await stack.enter_async_context(await Person.register(homeserver, "alice"))
            for _ in range(PEOPLE)
        ]
        desks = [await onboard(person, bot) for person in people]
        meter = await stack.enter_async_context(Meter(homeserver.url, people[0].login))
        found = []
        for size in sizes:
            await _grow(bot, desks, size, progress)
            await meter.round(desks[0].chat, bot.user_id)
            await bot.stop()
            found.append(await _measure(bot, meter, desks[0].chat, size, runs, progress))
            await bot.start()
        await bot.stop()
        return found


async def _grow(bot: Bot, desks: Sequence[Desk], size: int, progress: Progress) -> None:
    """Let the people make chat rooms until there are so many."""
    have = len([room for room in bot.documents("rooms").values() if room["chat_id"]])
    task = progress.add_task(f"making rooms, to {size}", total=max(size - have, 0))
    for number in range(have, size):
        desk = desks[number % len(desks)]
        desk.person.auto_join_from.add(bot.user_id)
        await desk.person.send(desk.home, f"!new Room {number}")
    for desk in desks:
        wanted = len(range(desks.index(desk), size, len(desks)))
        await desk.person.until(
            lambda d=desk, n=wanted: _chats(d) >= n,  # type: ignore[misc]
            timeout=PATIENCE,
            what="the rooms",
        )
        progress.advance(task, wanted)
    await _settled(bot)


def _chats(desk: Desk) -> int:
    """In how many chat rooms a person is that are linked in their Space."""
    return len(set(desk.person.joined()) & set(desk.person.children(desk.space)))


async def _settled(bot: Bot) -> None:
    """Wait until nothing is pending. Polled: another process's commits wake nobody."""
    async with asyncio.timeout(PATIENCE):
        while bot.pending():
            await asyncio.sleep(0.2)


async def _measure(
    bot: Bot, meter: Meter, room_id: str, size: int, runs: int, progress: Progress
) -> Figures:
    taken: dict[str, list[float]] = defaultdict(list)
    task = progress.add_task(f"starts with {size} rooms", total=runs)
    for _ in range(runs):
        taken["import"].append(await _process("-c", "import surface.cli, surface.app"))
        for kind in ("delta", "full"):
            words = (bot.url, bot.user_id, PASSWORD)
            since = (_token(bot),) if kind == "delta" else ()
            bare = await _process("-m", "tests.bench.minimal_start", *words, *since)
            taken[f"{kind} bare"].append(bare)
            wall, own, peak = await _start(bot, meter, room_id, full=kind == "full")
            taken[kind].append(wall)
            taken[f"{kind} own"].append(own)
            taken[f"{kind} peak"].append(peak)
        progress.advance(task)
    return {"rooms": size, **{what: statistics.median(every) for what, every in taken.items()}}


async def _start(bot: Bot, meter: Meter, room_id: str, *, full: bool) -> tuple[float, float, float]:
    """One start: seconds until the answer, seconds of its processor, megabytes at most."""
    if full:
        with closing(sqlite3.connect(bot.state_dir / "lambda_matrix.db")) as db, db:
            db.execute("delete from documents where tbl = 'meta' and key = 'next_batch'")
    came = await meter.say(room_id, bot.user_id)
    started = time.perf_counter()
    bot.launch()
    async with asyncio.timeout(300):
        wall = await came - started
    own, peak = _used(bot)
    await bot.logged("bot.ready")
    await bot.stop()
    return wall, own, peak


def _used(bot: Bot) -> tuple[float, float]:
    """Processor seconds and peak memory (MB) of the running bot."""
    proc = Path(f"/proc/{bot.pid}")
    after_name = (proc / "stat").read_text().rpartition(")")[2].split()
    ticks = int(after_name[11]) + int(after_name[12])
    lines = (proc / "status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return ticks / TICKS, peak / 1024


def _token(bot: Bot) -> str:
    return str(bot.documents("meta")["next_batch"]["token"])


async def _process(*words: str) -> float:
    """Seconds from the start of a Python process to its end."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", *words),
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return time.perf_counter() - started


def plans(sizes: Sequence[int] = PLANS) -> list[Figures]:
    """Seconds that the reconciler's plan takes, best of three."""
    found = []
    for size in sizes:
        make, taken = planning(size), []
        for _ in range(3):
            started = time.perf_counter()
            assert make() == [], "a plan for what is as it should be"
            taken.append(time.perf_counter() - started)
        found.append({"rooms": size, "seconds": round(min(taken), 4)})
    return found


def _tables(starts: Sequence[Figures], planned: Sequence[Figures]) -> list[Table]:
    table = Table(title="From the start of the process to the first answer, in seconds")
    for heading in (
        "rooms",
        "start",
        "answer",
        "× bare nio",
        "bare nio",
        "import",
        "own",
        "peak MB",
    ):
        table.add_column(heading, justify="right")
    for its in starts:
        for kind in ("delta", "full"):
            seconds, bare = its[kind], its[f"{kind} bare"]
            row = (seconds, seconds / bare, bare, its["import"], its[f"{kind} own"])
            cells = [f"{value:.2f}" for value in row]
            table.add_row(f"{its['rooms']:.0f}", kind, *cells, f"{its[f'{kind} peak']:.0f}")
    alone = Table(title="The reconciler's plan alone, all rooms consistent")
    for heading in ("rooms", "seconds", "µs a room"):
        alone.add_column(heading, justify="right")
    for its in planned:
        each = its["seconds"] / its["rooms"] * 1e6
        alone.add_row(f"{its['rooms']:.0f}", f"{its['seconds']:.3f}", f"{each:.1f}")
    return [table, alone]


def run() -> int:
    parser = argparse.ArgumentParser(description="How long a start takes.")
    parser.add_argument("--rooms", default="10,100,500", help="sizes, growing (10,100,500)")
    parser.add_argument("--runs", type=int, default=3, help="starts of each kind and size (3)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    sizes = sorted(int(size) for size in options.rooms.split(","))
    about, planned = machine(), plans()
    with (
        tempfile.TemporaryDirectory(prefix="bench-bytecode-") as folder,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        keep_bytecode(Path(folder))
        starts = asyncio.run(main(sizes, options.runs, progress))
    if options.json:
        print(json.dumps({"machine": about, "starts": starts, "plans": planned}, indent=1))
    else:
        out = Console()
        for table in _tables(starts, planned):
            out.print(table)
        out.print(", ".join(f"{key} {value}" for key, value in about.items()))
    return 0


if __name__ == "__main__":
    sys.exit(run())
