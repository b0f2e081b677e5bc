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
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from machines.effects import Fresh
from machines.room import Room, order_of
from store import Put, TinyStore
from store.documents import room_key, user_key, written
from surface import logs
from surface.failpoints import Failpoints
from surface.homeserver import Homeserver
from surface.login import MATRIX_STORE
from surface.matrix.courier import Courier
from surface.matrix.crypto import Crypto
from surface.matrix.rooms import NewRoom, Rooms
from surface.matrix.session import asking, load, open_session
from tests.bench.meter import Meter
from tests.bench.shared import machine
from tests.bench.synthetic import planning
from tests.rig.bot import PASSWORD, PROJECT, Bot
from tests.rig.bytecode import keep_bytecode
from tests.rig.desk import onboard
from tests.rig.person import Person

PEOPLE = 5
"""Who share the rooms."""
AT_ONCE = 4
"""Rooms that are made at one time."""
PATIENCE = 600.0
"""Seconds that a start may take that nobody measures."""
IMPORT = "import os, surface.cli, surface.serve; os._exit(0)"
"""Without the clearing up at the end, which no start waits for."""
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
        for person in people:
            await person.pause()
        meter = await stack.enter_async_context(Meter(homeserver.url, people[0].login))
        await meter.round(desks[0].chat, bot.user_id)
        found = []
        for size in sizes:
            await bot.stop()
            await _grow(bot, size, progress)
            # It takes note of what it finds new; that is no part of a start.
            await bot.start(timeout=PATIENCE)
            await bot.stop()
            found.append(await _measure(bot, meter, desks[0].chat, size, runs, progress))
            await bot.start(timeout=PATIENCE)
        await bot.stop()
        return found


async def _grow(bot: Bot, size: int, progress: Progress) -> None:
    """Give the people more chat rooms, until there are so many: as the bot makes them, but beside it.

    The bot is down. To ask it for them would take most of the bench's time.
    """
    have = len([room for room in bot.documents("rooms").values() if room["chat_id"]])
    task = progress.add_task(f"making rooms, to {size}", total=size - have)
    folder = bot.state_dir / MATRIX_STORE
    session = load(folder)
    assert session is not None
    client = open_session(session, folder)
    async with asking(bot.url, bot.user_id, bot.login.access_token) as api:
        rooms = Rooms(
            api,
            Courier(api),
            Crypto(client, api, Failpoints(None)),
            Failpoints(None),
            user_id=bot.user_id,
            room_version=None,
        )
        await rooms.prepare()
        few = asyncio.Semaphore(AT_ONCE)

        async def make(number: int, user: dict[str, Any]) -> Room:
            label, name = f"C{user['next_chat_index'] + number}", f"Room {number}"
            owner, space = user["user_id"], user["space_id"]
            async with few:
                wanted = NewRoom("chat", owner, f"bench{number}", name, "Bench", space, label)
                room_id = await rooms.create(wanted)
                await rooms.set_child(space, room_id, order_of(label))
            progress.advance(task)
            return Room(room_id, "chat", owner, space, label, name, "echo", Fresh(room_id))

        users = list(bot.documents("users").values())
        numbers = range(have, size)
        made = await asyncio.gather(*(make(n, users[n % len(users)]) for n in numbers))
    await client.close()
    for user in users:
        user["next_chat_index"] += size
    puts = [
        Put("rooms", room_key(room.room_id), written("rooms", room, "bound", history=[]), 0)
        for room in made
    ]
    for user in users:
        user.pop("rev")
        puts.append(Put("users", user_key(user["user_id"]), user, None))
    store = TinyStore.open(bot.state_dir / "lambda_matrix.db")
    try:
        await store.save(puts)
    finally:
        await store.aclose()


async def _measure(
    bot: Bot, meter: Meter, room_id: str, size: int, runs: int, progress: Progress
) -> Figures:
    taken: dict[str, list[float]] = defaultdict(list)
    task = progress.add_task(f"starts with {size} rooms", total=runs)
    for _ in range(runs):
        taken["import"].append(await _process("-c", IMPORT))
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
    logs.set_up("warning", "console")
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
