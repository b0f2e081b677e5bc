"""How long an answer takes: this bot beside the least that a bot can be, and the floor under both.

    uv run python -m tests.bench.roundtrip [--rounds N] [--json]

One Synapse, one person, and in the same run: the *floor* (a PUT until another client's /sync has it), a
*minimal* echo bot on nio (`minimal_nio.py`), and *this* bot with its echo agent, both bots as processes of
their own. Sequential rounds take turns (A B C, B C A, …), so that a drift of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from surface.homeserver import Homeserver
from tests.bench.meter import Meter
from tests.bench.shared import WARM_UP, machine, minimal_bot, spread
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

ROOMS = 20
GOAL = 1.10
Measure = Callable[[], Awaitable[float]]


async def main(rounds: int, progress: Progress) -> dict[str, Any]:
    """All figures: milliseconds by what was measured and how."""
    async with AsyncExitStack() as stack:
        memory = Path("/dev/shm")
        # The homeserver's database in memory (it is not what is measured), the bot's on the disk.
        root = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if memory.is_dir() else None))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        state = Path(tempfile.mkdtemp(prefix="bench-state-"))
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        homeserver = await stack.enter_async_context(Homeserver(root))
        # One person says here what many would: their own limits are lifted.
        limits = {"waiting": 1_000, "per_minute": 10_000}
        bot = await Bot.register(homeserver, state, settings={"limits": limits})
        stack.callback(bot.kill)
        await bot.start()
        minimal = await minimal_bot(stack, homeserver)

        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        bob = await stack.enter_async_context(await Person.register(homeserver, "bob"))
        rooms = {
            "floor": [await alice.dm(bob.user_id)],
            "minimal": [await alice.dm_joined(minimal) for _ in range(ROOMS)],
            "this bot": await _chats(alice, bot),
        }
        await bob.join(rooms["floor"][0])
        await alice.pause()
        await bob.pause()
        one = await stack.enter_async_context(Meter(homeserver.url, alice.login))
        other = await stack.enter_async_context(Meter(homeserver.url, bob.login))

        answerers = {"minimal": minimal, "this bot": bot.user_id}

        def measure(name: str, room: str) -> Measure:
            if name == "floor":
                return lambda: one.round(room, alice.user_id, at=other)
            return lambda: one.round(room, answerers[name])

        sequential = await _sequential(
            {name: measure(name, every[0]) for name, every in rooms.items()}, rounds, progress
        )
        at_once = await _at_once(
            {name: [measure(name, room) for room in rooms[name]] for name in answerers},
            max(1, rounds // 10),
            progress,
        )
        await bot.stop()
    return {"sequential": sequential, "at once": at_once}


async def _chats(alice: Person, bot: Bot) -> list[str]:
    desk = await onboard(alice, bot)
    return [desk.chat, *[await desk.new() for _ in range(ROOMS - 1)]]


async def _sequential(
    measures: dict[str, Measure], rounds: int, progress: Progress
) -> dict[str, Any]:
    taken: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    task = progress.add_task("one after the other", total=WARM_UP + rounds)
    for number in range(WARM_UP + rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            milliseconds = await measures[name]()
            if number >= WARM_UP:
                taken[name].append(milliseconds)
        progress.advance(task)
    return {name: spread(values) for name, values in taken.items()}


async def _at_once(
    measures: dict[str, list[Measure]], waves: int, progress: Progress
) -> dict[str, Any]:
    taken: dict[str, list[float]] = {name: [] for name in measures}
    spent = dict.fromkeys(measures, 0.0)
    task = progress.add_task(f"{ROOMS} rooms at once", total=waves + 1)
    for number in range(waves + 1):
        for name, every in measures.items():
            started = time.perf_counter()
            values = await asyncio.gather(*(measure() for measure in every))
            if number:
                spent[name] += time.perf_counter() - started
                taken[name] += values
        progress.advance(task)
    return {
        name: {**spread(values), "per_second": round(len(values) / spent[name], 1)}
        for name, values in taken.items()
    }


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title="Round trips, in milliseconds")
    for heading in ("", "", "p50", "p95", "× minimal (p50)", "× minimal (p95)", "a second", "n"):
        table.add_column(heading, justify="right" if heading else "left")
    for how, by_name in figures.items():
        base = by_name["minimal"]
        for name, its in by_name.items():
            ratios = (f"{its[p] / base[p]:.2f}" for p in ("p50", "p95"))
            rate = f"{its['per_second']}" if "per_second" in its else ""
            table.add_row(how, name, f"{its['p50']}", f"{its['p95']}", *ratios, rate, f"{its['n']}")
    return table


def run() -> int:
    parser = argparse.ArgumentParser(description="How long an answer takes.")
    parser.add_argument("--rounds", type=int, default=200, help="sequential round trips (200)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    about = machine()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        figures = asyncio.run(main(options.rounds, progress))
    ratio = figures["sequential"]["this bot"]["p50"] / figures["sequential"]["minimal"]["p50"]
    if options.json:
        print(json.dumps({"machine": about, "ratio": round(ratio, 3), **figures}, indent=1))
    else:
        out = Console()
        out.print(_table(figures))
        out.print(", ".join(f"{key} {value}" for key, value in about.items()))
        verdict = "reached" if ratio <= GOAL else "missed"
        out.print(f"Goal: p50 at most {GOAL:.2f} × the minimal bot's; {verdict}: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(run())
