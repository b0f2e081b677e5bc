"""People talk to the bot while it, platform and homeserver are killed, and network, disk and clock fail.
In the end: is everything answered, once, and nothing left behind?

    uv run python -m tests.chaos --minutes 10 [--seed S]

Everything runs on this machine, on loopback, in a directory that is removed, but for the journal. The same
seed deals out the same acts and the same faults in the same order; what they meet is chance. Ctrl-C ends it,
and says that nothing was judged. The exit code is 1 if anything was violated, or there was nothing to judge.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.chaos.journal import Journal, story
from tests.chaos.plan import plan
from tests.chaos.run import Verdict, run
from tests.rig.bytecode import keep_bytecode
from tests.rig.options import at_least

STORIES: Final = 5
"""Violations whose stories are told in full."""
WEEK: Final = 7 * 24 * 60
"""Minutes that a run may take; all that is done in them is planned at once."""


def main() -> int:
    """Run, say what came of it, and only then keep the logs."""
    options = options_of()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=_fast()) as folder:
        try:
            return _judged(options, Path(folder), Console())
        finally:
            if options.keep is not None:
                _keep(Path(folder), options.keep)


def _judged(options: argparse.Namespace, root: Path, out: Console) -> int:
    """Run, and say what came of it; returns the exit code."""
    keep_bytecode(root / "bytecode")
    journal_at = options.journal or _new_journal(options.seed)
    out.print(f"seed {options.seed}, {options.minutes:g} minutes; journal: {journal_at}")
    with Journal(journal_at) as journal, _progress() as progress:
        task = progress.add_task("", total=1.0)
        try:
            verdict = asyncio.run(
                run(
                    plan(options.seed, options.minutes * 60, options.people),
                    root,
                    journal,
                    people=options.people,
                    blocks=options.blocks,
                    say=lambda what, part: progress.update(task, description=what, completed=part),
                )
            )
        except KeyboardInterrupt:
            progress.stop()
            out.print("stopped; nothing was judged")
            return 130
    out.print(summary(verdict))
    tell(verdict, out)
    if not verdict.count.messages:
        out.print("nothing was judged: nobody has said anything to an agent")
        return 1
    return 1 if verdict.violations else 0


def summary(verdict: Verdict) -> Table:
    """What was done, and what came of it."""
    count = verdict.count
    table = Table("what", "how many", title=f"seed {verdict.plan.seed}")
    table.add_row("deeds of people", str(verdict.deeds))
    table.add_row("messages for agents", str(count.messages))
    table.add_row("answers", str(count.answers))
    table.add_row("of these, why there is none", str(count.reasons))
    table.add_row("commands", str(count.commands))
    table.add_row("replies", str(count.replies))
    table.add_row("rightly without an answer", str(count.excused))
    table.add_row("sends whose answer was lost", str(verdict.lost_sends))
    table.add_row("of these, sent again", str(verdict.repeated_sends))
    for victim, times in sorted(verdict.kills.items()):
        table.add_row(f"kills of the {victim}", str(times))
        if victim == "bot":
            table.add_row("of these, with work under way", str(verdict.busy_kills))
    table.add_row("lives of the bot", str(verdict.lives))
    for event, times in sorted(verdict.errors.items()):
        table.add_row(f"logged: {event}", str(times))
    for kind, times in sorted(verdict.faults.items()):
        table.add_row(f"fault: {kind}", verdict.skipped.get(kind, str(times)))
    if verdict.samples:
        for name in verdict.samples[0]:
            grown = " → ".join(f"{its[name]:g}" for its in verdict.samples)
            table.add_row(f"after equal work: {name}", grown)
    kinds = Counter(violation.kind for violation in verdict.violations)
    table.add_row("violations", ", ".join(f"{n} {kind}" for kind, n in kinds.items()) or "none")
    return table


def tell(verdict: Verdict, out: Console) -> None:
    """Each violation, the first with what happened around it."""
    for number, violation in enumerate(verdict.violations):
        where = f" in {violation.room_id}" if violation.room_id else ""
        out.print(f"{violation.kind}{where}: {violation.why}", markup=False, highlight=False)
        if number < STORIES and violation.room_id:
            told = story(verdict.journal, violation.room_id, violation.at)
            out.print(told, markup=False, highlight=False, soft_wrap=True)


def minutes(text: str) -> float:
    """A time that ends."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= WEEK:
        wanted = f"a number of minutes above 0, and of {WEEK} (a week) at most"
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value


def folder(text: str) -> Path:
    """A folder that there is from now on."""
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no folder: {error.strerror}") from error
    return Path(text)


def file(text: str) -> Path:
    """A file that there is from now on, and that can be written."""
    try:
        Path(text).parent.mkdir(parents=True, exist_ok=True)
        Path(text).open("a").close()
    except OSError as error:
        why = f"{text!r} cannot be written: {error.strerror}"
        raise argparse.ArgumentTypeError(why) from error
    return Path(text)


def _new_journal(seed: int) -> Path:
    """A file of this run's own, whoever else runs with the same seed."""
    handle, name = tempfile.mkstemp(prefix=f"chaos-{seed}-", suffix=".jsonl")
    os.close(handle)
    return Path(name)


def options_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options that a command line gives; ends with exit code 2 if it makes no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--minutes", type=minutes, default=10.0, help="how long things go wrong (10)"
    )
    parser.add_argument("--seed", type=int, help="what is dealt out (another each time)")
    parser.add_argument("--people", type=at_least(1), default=5, help="how many talk (5)")
    parser.add_argument(
        "--blocks",
        type=at_least(2),
        default=4,
        help="blocks of equal work at the end (4; 2 or more)",
    )
    parser.add_argument("--journal", type=file, help="where to write down what happens")
    parser.add_argument("--keep", type=folder, help="where to copy the logs of the processes")
    options = parser.parse_args(words)
    if options.seed is None:
        options.seed = random.randrange(1_000_000)
    return options


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _fast() -> Path | None:
    """The RAM disk, where there is one: the homeserver's database is not what is tried."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


def _keep(root: Path, where: Path) -> None:
    for log in ("bot/bot.log", "homeserver/homeserver.log"):
        if (root / log).exists():
            shutil.copy(root / log, where)


if __name__ == "__main__":
    sys.exit(main())
