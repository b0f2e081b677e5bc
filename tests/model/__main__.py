"""Checks the machines and the reconciler in every state that a small world can come to within a budget, up to
a number of states. Turns are not modelled: they are answered at once.

    uv run python -m tests.model [--states N] [--person N] [--crashes N] [--losses N] [--jobs N]

Prints how many states were looked at, how many were reached and not looked at any more, which states of
which machine occurred, and what no step led to. Ends with 1 and the story of it, in words and as a Mermaid
diagram, if a law does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import structlog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from machines import MACHINES
from machines.tables import describe
from tests.model import beginnings, story
from tests.model.search import Broken, Found, around, search
from tests.model.world import Budget, SmallWorld
from tests.rig.options import at_least

MODELLED = [chart for chart in MACHINES if chart.__name__ != "TurnMachine"]


def explore(budget: Budget, states: int, jobs: int, progress: Progress) -> Found:
    """Search from all beginnings at once, with so many processes."""
    task = progress.add_task("states", total=states)

    async def begun() -> list[SmallWorld]:
        return [await begin(budget) for begin in beginnings.EVERY]

    try:
        beginning = asyncio.run(begun())
    except beginnings.UnlawfulError as error:
        return Found(broken=Broken(str(error), error.way))
    with ProcessPoolExecutor(jobs, initializer=_working) as pool:
        try:
            return search(
                beginning,
                most=states,
                seen=lambda done: progress.update(task, completed=done),
                expand=lambda worlds: pool.map(around, worlds, chunksize=4),
            )
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise


def _working() -> None:
    _silent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Who has begun them ends them.


def _silent() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main(words: list[str] | None = None) -> int:
    """Search, and say what was found."""
    parser = argparse.ArgumentParser(
        "python -m tests.model",
        description="Every state that a small world can come to within a budget, up to a number of states.",
    )
    some, any_ = at_least(1), at_least(0)
    parser.add_argument(
        "--states", type=some, default=5_000, help="look at so many at most (5,000)"
    )
    parser.add_argument("--person", type=any_, default=2, help="things that Alice does (2)")
    parser.add_argument("--crashes", type=any_, default=1, help="kills of the bot (1)")
    parser.add_argument("--losses", type=any_, default=0, help="lost databases (0)")
    parser.add_argument(
        "--jobs", type=some, default=os.cpu_count() or 1, help="processes (one per core)"
    )
    options = parser.parse_args(words)
    _silent()
    budget = Budget(options.person, options.crashes, options.losses)
    started = time.perf_counter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            found = explore(budget, options.states, options.jobs, progress)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    out = Console()
    out.print(
        f"{found.states:,} states, {found.steps:,} steps in {time.perf_counter() - started:.0f} s; "
        + _ended(found)
    )
    out.print(_coverage(found))
    out.print("Turns are not modelled: each is answered at once.")
    if found.broken is None:
        return 0
    print(story.told(found.broken.why, found.broken.path))
    print(story.drawn(found.broken.why, found.broken.path))
    return 1


def _ended(found: Found) -> str:
    if found.broken is not None:
        return "ended by a broken law"
    if found.left:
        return f"NOT exhaustive: {found.left:,} states ahead"
    return "exhaustive: nothing is left to look at"


def _coverage(found: Found) -> Table:
    table = Table("machine", "states seen", "not seen", "transitions seen")
    for chart in MODELLED:
        about = describe(chart)
        name = about.name.removesuffix("Machine").lower()
        steps = {
            (source, event, to) for machine, source, event, to in found.moves if machine == name
        }
        been = {state for source, _, to in steps for state in (source, to)}
        missing = [state.id for state in about.states if state.id not in been]
        ways = {(t.source, t.event, t.target) for t in about.transitions}
        table.add_row(
            name,
            f"{len(been)} of {len(about.states)}",
            ", ".join(missing),
            f"{len(steps & ways)} of {len(ways)}",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
