"""How much memory a room takes, from a hundred rooms to ten thousand.

    uv run python -m tests.bench.memory [--rooms 100,1000,3000,10000] [--json]

The bot itself, on a homeserver whose rooms never were (`pretend.py`), all of them as they should be. A
*full* start has lost its token and reads all rooms; a *delta* one goes on from it. Resident memory is read
when the bot is ready; the slope is that of the straight line closest to the sizes.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import AsyncExitStack

from rich.progress import Progress

from tests.bench.alone import alone
from tests.bench.pretend import Home, served
from tests.bench.section import Figures, Goal, Plot, Section, Table
from tests.bench.shared import folder, memory
from tests.bench.synthetic import ME, installation, kept
from tests.rig.bot import Bot

PATIENCE = 300.0
MANY, GOAL = 10_000, 200.0
"""So many rooms, all of them read, take no more megabytes."""
KINDS = ("full", "delta")


async def measure(
    progress: Progress, *, rooms: tuple[int, ...] = (100, 1_000, 3_000, 10_000)
) -> Figures:
    """How much memory a room takes.

    Args:
        rooms: the sizes.
    """
    task = progress.add_task("starts", total=len(rooms) * len(KINDS))
    found = []
    for size in sorted(rooms):
        async with AsyncExitStack() as stack:
            documents, seen = installation(size)
            home = Home(ME, seen)
            bot = Bot(await stack.enter_async_context(served(home)), home.login, folder(stack))
            stack.callback(bot.kill)
            await kept(documents, bot.state_dir / "lambda_matrix.db")
            its: Figures = {"rooms": size}
            for kind in KINDS:
                await bot.start(timeout=PATIENCE)
                assert bot.pid is not None
                its[kind] = round(memory(bot.pid), 1)
                its[f"{kind} peak"] = round(memory(bot.pid, "VmHWM"), 1)
                await bot.stop()
                progress.advance(task)
            found.append(its)
    return {"starts": found}


def slope(figures: Figures, what: str) -> float:
    """Kilobytes more for each room more."""
    starts = figures["starts"]
    line = statistics.linear_regression(
        [its["rooms"] for its in starts], [its[what] * 1024 for its in starts]
    )
    return line.slope


def section(figures: Figures) -> Section:
    """What the figures say."""
    columns = [what for kind in KINDS for what in (kind, f"{kind} peak")]
    rows = [
        (f"{its['rooms']:,}", *(f"{its[what]:.0f} MB" for what in columns))
        for its in figures["starts"]
    ]
    rows.append(("each room more", *(f"{slope(figures, what):.1f} kB" for what in columns)))
    sizes = [f"{its['rooms']:,}" for its in figures["starts"]]
    series = {what: [its[what] for its in figures["starts"]] for what in columns}
    plot = Plot("memory", "Resident memory when ready, MB", "lines", sizes, series, along="rooms")
    notes = [
        "Full: without a token, so all rooms were read at once; what that took at most is the peak. Delta: "
        "from the token, as after any stop."
    ]
    goals = [
        Goal(f"{MANY:,} rooms, memory when ready", its["full"], GOAL, "MB", 0)
        for its in figures["starts"]
        if its["rooms"] == MANY
    ]
    return Section([Table(("rooms", *columns), rows)], [plot], goals, notes)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
