"""Many rooms stream at once: when people see the first words and the last, and what that takes.

    uv run python -m tests.bench.streaming [--rooms 1,10,30,100] [--limited N] [--json]

One bot; in each of so many rooms somebody asks at the same moment for an answer of 60 words over 9 s. Then
the same on a homeserver that allows an account two messages a second after a burst of 10; the people are
not limited. Every answer must become complete, or the bench fails.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from rich.progress import Progress

from surface.homeserver import Homeserver
from tests.bench.alone import alone
from tests.bench.meter import Meter
from tests.bench.reader import Reader
from tests.bench.section import Figures, Plot, Section, Table, times
from tests.bench.shared import LIMITS, folder, homeserver_in_memory, processor
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.limits import lift_message_limit
from tests.rig.ops import metrics
from tests.rig.person import Person

WORDS = 60
DELAY = 0.15
LASTS = WORDS * DELAY
TEXT = " ".join(f"w{n}" for n in range(WORDS))
AGENTS = [{"id": "slow", "name": "Poet", "adapter": "echo", "delay": DELAY}]
LIMITED = {"rc_message": {"per_second": 2, "burst_count": 10}}
PEOPLE = 5
"""Who share the rooms."""
PATIENCE = 300.0


async def measure(
    progress: Progress, *, rooms: tuple[int, ...] = (1, 10, 30, 100), limited: int = 20
) -> Figures:
    """Many rooms stream at once.

    Args:
        rooms: how many, growing.
        limited: how many where the homeserver limits the bot; 0: this part is left out.
    """
    free = await _runs(progress, sorted(rooms), {})
    return {"free": free, "limited": await _runs(progress, [limited], LIMITED) if limited else []}


async def _runs(progress: Progress, sizes: Sequence[int], limits: Figures) -> list[Figures]:
    async with AsyncExitStack() as stack:
        homeserver = await homeserver_in_memory(stack, settings=limits)
        bot = await Bot.register(
            homeserver, folder(stack), agents=AGENTS, default="slow", settings=LIMITS
        )
        stack.callback(bot.kill)
        await bot.start()
        people = range(min(PEOPLE, max(sizes)))
        desks = [await _desk(stack, homeserver, bot, bool(limits)) for _ in people]
        rooms = [(desk, desk.chat) for desk in desks]
        readers: dict[str, Reader] = {}
        found = []
        for size in sizes:
            rooms += await _more(desks, size - len(rooms), progress)
            for desk in desks:
                await desk.person.pause()
                if desk.me not in readers:
                    meter = Meter(homeserver.url, desk.person.login)
                    readers[desk.me] = Reader(await stack.enter_async_context(meter), bot.user_id)
            asked = [(readers[desk.me], chat) for desk, chat in rooms[:size]]
            found.append(await _run(bot, asked, progress))
            for desk in desks:
                desk.person.resume()
        await bot.stop()
        return found


async def _desk(stack: AsyncExitStack, homeserver: Homeserver, bot: Bot, limited: bool) -> Desk:
    person = await stack.enter_async_context(await Person.register(homeserver, "alice"))
    if limited:
        await lift_message_limit(homeserver, person.user_id)
    return await onboard(person, bot)


async def _more(desks: Sequence[Desk], count: int, progress: Progress) -> list[tuple[Desk, str]]:
    """So many more rooms, fairly shared."""
    task = progress.add_task("making rooms", total=max(0, count))

    async def make(desk: Desk, number: int) -> list[tuple[Desk, str]]:
        made = []
        for _ in range(number):
            made.append((desk, await desk.new()))
            progress.advance(task)
        return made

    shares = [len(range(n, max(0, count), len(desks))) for n in range(len(desks))]
    every = await asyncio.gather(*map(make, desks, shares))
    return [room for made in every for room in made]


async def _run(bot: Bot, asked: Sequence[tuple[Reader, str]], progress: Progress) -> Figures:
    task = progress.add_task(f"{len(asked)} rooms stream", total=None)
    await bot.at_rest()
    assert bot.pid is not None
    refused, spent, began = await _refusals(bot), processor(bot.pid), time.perf_counter()
    answers = await asyncio.gather(
        *(reader.ask(room, TEXT.__eq__, text=TEXT, patience=PATIENCE) for reader, room in asked)
    )
    seconds = time.perf_counter() - began
    spent = processor(bot.pid) - spent
    progress.remove_task(task)
    return {
        "rooms": len(asked),
        "first p50": round(statistics.median(its.first for its in answers)),
        "whole p50": round(statistics.median(its.whole for its in answers)),
        "whole last": round(max(its.whole for its in answers)),
        "edits p50": statistics.median(its.edits for its in answers),
        "edits most": max(its.edits for its in answers),
        "events a second": round(sum(1 + its.edits for its in answers) / seconds, 1),
        "429s": round(await _refusals(bot) - refused),
        "processor": round(spent / len(answers) * 1000, 1),
    }


async def _refusals(bot: Bot) -> float:
    found = await metrics(bot)
    return sum(found.get("surface_limited_total", {}).values())


def section(figures: Figures) -> Section:
    """What the figures say."""
    free = figures["free"]
    runs = [(f"{its['rooms']}", its) for its in free]
    runs += [(f"{its['rooms']}, limited", its) for its in figures["limited"]]
    headings = (
        "rooms",
        "complete ×",
        "last ×",
        "first words",
        "edits",
        "429s",
        "events/s",
        "own for each",
        "× one room",
    )
    lasts = LASTS * 1000
    rows = [
        (
            name,
            times(its["whole p50"], lasts),
            times(its["whole last"], lasts),
            f"{its['first p50'] / 1000:.2f} s",
            f"{its['edits p50']:g}",
            f"{its['429s']}",
            f"{its['events a second']}",
            f"{its['processor']:.0f} ms",
            times(its["processor"], free[0]["processor"]),
        )
        for name, its in runs
    ]
    plot = Plot(
        "streaming",
        "Answers that stream at once: seconds after asking",
        "lines",
        [str(its["rooms"]) for its in free],
        {
            "first words, p50": [its["first p50"] / 1000 for its in free],
            "complete, p50": [its["whole p50"] / 1000 for its in free],
            "the last complete": [its["whole last"] / 1000 for its in free],
        },
        along="rooms at once",
    )
    notes = [
        f"p50 of all rooms. × is of the {LASTS:.0f} s that the agent takes for its {WORDS} words; all "
        "answers became complete. *Own* is the bot's processor time for one answer. *Limited*: the "
        "homeserver allows two messages a second after a burst of 10. First words are held back by choice "
        "(`answers.placeholder_after`): a quick answer is one message."
    ]
    return Section([Table(headings, rows)], [plot], notes=notes)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
