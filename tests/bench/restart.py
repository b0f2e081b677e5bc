"""How long a start takes, and how much memory, with few rooms and with many.

    uv run python -m tests.bench.restart [--rooms 10,100,500] [--runs N] [--synthetic …] [--json]

One Synapse and one installation that grows. Measured from the start of the process until a message that was
sent while it was down has its answer at the person's client: a *delta* start goes on from its sync token, a
*full* one has lost it. What a start costs anybody stands beside it, from the same run: importing the program,
and a bare nio bot that logs in and syncs once, the delta or everything. `own` is the processor time that the
bot's process took for it, `peak` its memory (VmHWM). Python's bytecode is at hand, as where it is installed.
In the end the reconciler's plan alone, of rooms that never were.
"""

from __future__ import annotations

import asyncio
import os
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

from rich.progress import Progress

from machines.effects import Fresh
from machines.room import Room, order_of
from store import Put, TinyStore
from store.documents import room_key, user_key, written
from surface import logs
from surface.failpoints import Failpoints
from surface.installation import BLOCK
from surface.installation import Sequence as Ids
from surface.login import MATRIX_STORE
from surface.matrix.account_data import AccountData
from surface.matrix.courier import Courier
from surface.matrix.crypto import Crypto
from surface.matrix.rooms import NewRoom, Rooms
from surface.matrix.session import asking, load, open_session
from tests.bench.alone import alone
from tests.bench.meter import Meter
from tests.bench.section import Figures, Goal, Plot, Section, Table, times
from tests.bench.shared import LIMITS, folder, homeserver_in_memory, memory, processor
from tests.bench.synthetic import planning
from tests.rig.bot import PASSWORD, PROJECT, Bot
from tests.rig.bytecode import keep_bytecode
from tests.rig.desk import onboard
from tests.rig.person import Person

GOAL = 2.0
"""Seconds of the bot's own processor time for a delta start."""
PEOPLE = 5
"""Who share the rooms."""
AT_ONCE = 4
"""Rooms that are made at one time."""
PATIENCE = 600.0
"""Seconds that a start may take that nobody measures."""
IMPORT = "import os, surface.cli, surface.serve; os._exit(0)"
"""Without the clearing up at the end, which no start waits for."""


async def measure(
    progress: Progress,
    *,
    rooms: tuple[int, ...] = (10, 100, 500),
    runs: int = 3,
    synthetic: tuple[int, ...] = (1_000, 10_000, 100_000),
) -> Figures:
    """How long a start takes.

    Args:
        rooms: sizes of the installation, growing.
        runs: starts of each kind and size.
        synthetic: rooms that the plan alone is made for.
    """
    logs.set_up("warning", "console")
    planned = plans(synthetic)
    with tempfile.TemporaryDirectory(prefix="bench-bytecode-") as cache:
        keep_bytecode(Path(cache))
        return {"starts": await _starts(sorted(rooms), runs, progress), "plans": planned}


async def _starts(sizes: Sequence[int], runs: int, progress: Progress) -> list[Figures]:
    """The figures of each size: seconds, and megabytes."""
    async with AsyncExitStack() as stack:
        homeserver = await homeserver_in_memory(stack)
        bot = await Bot.register(homeserver, folder(stack), settings=LIMITS)
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
    kept = bot.state_dir / MATRIX_STORE
    session = load(kept)
    assert session is not None
    client = open_session(session, kept)
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
    async with asking(bot.url, bot.user_id, bot.login.access_token) as api:
        nowhere = Failpoints(None)
        ids = Ids(store, AccountData(api, nowhere, bot.user_id), nowhere)
        try:
            # No more ids are issued than Matrix knows to be reserved.
            for first in range(0, len(puts), BLOCK):
                await ids.more()
                await store.save(puts[first : first + BLOCK])
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
    assert bot.pid is not None
    own, peak = processor(bot.pid), memory(bot.pid, "VmHWM")
    await bot.logged("bot.ready")
    await bot.stop()
    return wall, own, peak


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


def plans(sizes: Sequence[int]) -> list[Figures]:
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


def section(figures: Figures) -> Section:
    """What the figures say."""
    starts, planned = figures["starts"], figures["plans"]
    sizes = [f"{its['rooms']:.0f}" for its in starts]
    kinds = ("delta", "full")
    rows = [
        (
            f"{size}, {kind}",
            times(its[kind], its[f"{kind} bare"]),
            *(f"{its[what]:.2f} s" for what in (kind, f"{kind} bare", "import", f"{kind} own")),
            f"{its[f'{kind} peak']:.0f} MB",
        )
        for size, its in zip(sizes, starts, strict=True)
        for kind in kinds
    ]
    headings = ("rooms", "× bare nio", "answer", "bare nio", "import", "own", "peak")
    alone_ = Table(
        ("rooms", "the plan", "a room"),
        [
            (
                f"{its['rooms']:,.0f}",
                f"{its['seconds'] * 1000:,.1f} ms",
                f"{its['seconds'] / its['rooms'] * 1e6:.1f} µs",
            )
            for its in planned
        ],
        "The reconciler's plan alone, of rooms that never were",
    )
    series = {kind: [its[kind] for its in starts] for kind in kinds}
    series |= {f"bare nio, {kind}": [its[f"{kind} bare"] for its in starts] for kind in kinds}
    plots = [
        Plot(
            "restart",
            "From the start of the process to the first answer, seconds",
            "lines",
            sizes,
            series,
            along="rooms",
        ),
        Plot(
            "restart-plan",
            "The reconciler's plan alone, milliseconds",
            "lines",
            [f"{its['rooms']:,.0f}" for its in planned],
            {"plan": [its["seconds"] * 1000 for its in planned]},
            along="rooms that never were",
            log=True,
        ),
    ]
    most = max(its["delta own"] for its in starts)
    goals = [Goal("Delta start, own processor time, any number of rooms", most, GOAL, "s")]
    notes = [
        "*Delta* goes on from the sync token, *full* has lost it. A bare nio bot imports, logs in and syncs "
        "once, the delta or everything. *Own* is the processor time until the answer, *import* what loading "
        "the program takes."
    ]
    title = "From the start of the process until a message sent meanwhile is answered"
    return Section([Table(headings, rows, title), alone_], plots, goals, notes)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
