"""How long an answer takes: this bot, the least that a bot can be, others' bots, and the floor under all.

    uv run python -m tests.bench.roundtrip [--rounds N] [--waves N] [--peers 0] [--json]

One Synapse, one person, and in the same run: the *floor* (a PUT until another client's /sync has it), a
*minimal* echo bot on nio (`minimal_nio.py`), the peers (`peers/`), and *this* bot with its echo agent,
every bot as a process of its own. Sequential rounds take turns (A B C, B C A, …), so that a drift of the
machine hits all alike; then each bot is asked in 20 rooms at once, in turns, too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from rich.progress import Progress

from tests.bench.alone import alone
from tests.bench.meter import Meter
from tests.bench.peers import PEERS, Unavailable, start
from tests.bench.section import Figures, Goal, Plot, Section, Table, ms, times
from tests.bench.shared import (
    LIMITS,
    WARM_UP,
    folder,
    homeserver_in_memory,
    in_turn,
    minimal_bot,
    spread,
)
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

ROOMS = 20
GOAL = 1.05
FLOOR, MINIMAL, OURS = "floor", "minimal", "this bot"
Measure = Callable[[], Awaitable[float]]


async def measure(
    progress: Progress, *, rounds: int = 150, waves: int = 10, peers: int = 1
) -> Figures:
    """How long an answer takes.

    Args:
        rounds: sequential round trips of each.
        waves: how often each is asked in all rooms at once.
        peers: 0 leaves out what others wrote.
    """
    async with AsyncExitStack() as stack:
        homeserver = await homeserver_in_memory(stack)
        bot = await Bot.register(homeserver, folder(stack), settings=LIMITS)
        stack.callback(bot.kill)
        await bot.start()
        bots = {MINIMAL: await minimal_bot(stack, homeserver), OURS: bot.user_id}
        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        bob = await stack.enter_async_context(await Person.register(homeserver, "bob"))
        desk = await onboard(alice, bot)
        rooms = {
            FLOOR: [await alice.dm(bob.user_id)],
            MINIMAL: [await alice.dm_joined(bots[MINIMAL]) for _ in range(ROOMS)],
            OURS: [desk.chat, *[await desk.new() for _ in range(ROOMS - 1)]],
        }
        await bob.join(rooms[FLOOR][0])
        missing: dict[str, str] = {}
        for peer in PEERS if peers else ():
            name = f"{peer.package} {peer.version}"
            progress.console.print(f"starting {name}")
            try:
                user = await start(stack, homeserver, peer)
                rooms[name] = [await alice.dm_joined(user) for _ in range(ROOMS)]
            except (Unavailable, AssertionError) as why:
                missing[name] = str(why).splitlines()[0]
            else:
                bots[name] = user
        await alice.pause()
        await bob.pause()
        one = await stack.enter_async_context(Meter(homeserver.url, alice.login))
        other = await stack.enter_async_context(Meter(homeserver.url, bob.login))

        def ask(name: str, room: str) -> Measure:
            if name == FLOOR:
                return lambda: one.round(room, alice.user_id, at=other)
            return lambda: one.round(room, bots[name])

        for name in [name for name in bots if name not in (MINIMAL, OURS)]:
            try:
                await ask(name, rooms[name][0])()
            except TimeoutError:
                missing[name] = "it joined, but did not answer within a minute"
                del bots[name], rooms[name]
        firsts = {name: ask(name, every[0]) for name, every in rooms.items()}
        sequential = await _sequential(firsts, rounds, progress)
        everywhere = {name: [ask(name, room) for room in rooms[name]] for name in bots}
        at_once = await _at_once(everywhere, waves, progress)
        await bot.stop()
    return {"sequential": sequential, "at once": at_once, "missing": missing}


async def _sequential(
    measures: dict[str, Measure], rounds: int, progress: Progress
) -> dict[str, Any]:
    taken: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    task = progress.add_task("one after the other", total=WARM_UP + rounds)
    for number in range(WARM_UP + rounds):
        for name in in_turn(names, number):
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
    names = list(measures)
    task = progress.add_task(f"{ROOMS} rooms at once", total=waves + 1)
    for number in range(waves + 1):
        for name in in_turn(names, number):
            started = time.perf_counter()
            values = await asyncio.gather(*(measure() for measure in measures[name]))
            if number:
                spent[name] += time.perf_counter() - started
                taken[name] += values
        progress.advance(task)
    return {
        name: {**spread(values), "per_second": round(len(values) / spent[name], 1)}
        for name, values in taken.items()
    }


def section(figures: Figures) -> Section:
    """What the figures say."""
    alone_, together = figures["sequential"], figures["at once"]
    floor, least, ours = (alone_[name] for name in (FLOOR, MINIMAL, OURS))
    one = Table(
        ("", "× minimal", "× floor", "p50", "p95", "× minimal, p95"),
        [
            (
                name,
                times(its["p50"], least["p50"]),
                times(its["p50"], floor["p50"]),
                ms(its["p50"]),
                ms(its["p95"]),
                times(its["p95"], least["p95"]),
            )
            for name, its in _fastest_first(alone_)
        ],
        f"One message after the other ({ours['n']} each)",
    )
    base = together[MINIMAL]
    many = Table(
        ("", "× minimal", "p50", "p95", "answers a second"),
        [
            (
                name,
                times(its["p50"], base["p50"]),
                ms(its["p50"], 0),
                ms(its["p95"], 0),
                f"{its['per_second']}",
            )
            for name, its in _fastest_first(together)
        ],
        f"{ROOMS} rooms at once",
    )
    peers = {name: its for name, its in alone_.items() if name not in (FLOOR, MINIMAL, OURS)}
    goals = [Goal("Round trip, p50", ours["p50"] / least["p50"], GOAL, "× a minimal nio bot")]
    if peers:
        name, best = min(peers.items(), key=lambda peer: float(peer[1]["p50"]))
        goals.append(Goal("Round trip, p50", ours["p50"] / best["p50"], 1.0, f"× {name}"))
    notes = [
        "The floor is a PUT until another client's /sync has it. The minimal bot keeps nothing: it answers "
        "as soon as it hears, and what it was doing when it ends is lost. This bot commits what it heard, "
        "and what it is going to say, before it says it.",
        *(f"{name} is left out: {why}." for name, why in figures["missing"].items()),
    ]
    return Section((one, many), _plots(alone_, together), goals, notes)


def _plots(alone_: Figures, together: Figures) -> list[Plot]:
    def bars(name: str, title: str, by_name: Figures) -> Plot:
        names, found = zip(*_fastest_first(by_name), strict=True)
        series = {what: [its[what] for its in found] for what in ("p50", "p95")}
        return Plot(name, title, "bars", names, series)

    return [
        bars("roundtrip", "Round trip, milliseconds", alone_),
        bars("roundtrip-at-once", f"Round trip, {ROOMS} rooms at once, milliseconds", together),
    ]


def _fastest_first(by_name: Figures) -> list[tuple[str, Any]]:
    return sorted(by_name.items(), key=lambda item: float(item[1]["p50"]))


if __name__ == "__main__":
    sys.exit(alone(measure, section))
