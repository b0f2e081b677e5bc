"""What the bot's process holds, before and after equal pieces of work: what grows with each is a leak.

A process that has just begun grows for good reasons (caches, pools, a heap with holes), and by steps. So it
works for a while first, and what counts is how it grows over the second half of blocks of work of one size:
by how much with each message, and in all by more than a step. Of what is there only while something is done
there must be none at all in the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from tests.rig.bot import Bot
from tests.rig.ops import metrics

Sample: TypeAlias = Mapping[str, float]
"""How much of what the process holds."""

STEP: Final[Mapping[str, float]] = {
    "memory, MB": 2.0,
    "open files": 2,
    "sockets": 8,
    "threads": 2,
    "tasks": 2,
}
"""By how much there may be more of it in the end, however few messages that took."""
NONE: Final = ("children", "unfinished files")
"""What there must be none of when nothing is to be done."""
PER_MESSAGE: Final[Mapping[str, float]] = {"memory, MB": 0.01}
"""By how much there may be more of it with each message."""
LITTLE: Final = 0.01
"""The same, of what is counted: one in a hundred messages."""
UNFINISHED: Final = ("*.part", "*.tmp", "tmp*", ".tmp*")


async def sample(bot: Bot, temporary: Path) -> Sample:
    """Look at the running bot, which has nothing to do.

    Args:
        temporary: where it puts its temporary files.
    """
    process = Path(f"/proc/{bot.pid}")
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    children = [
        child for file in process.glob("task/*/children") for child in file.read_text().split()
    ]
    scraped = await metrics(bot)
    opened = [_target(file) for file in (process / "fd").iterdir()]
    sockets = [target for target in opened if target.startswith("socket:")]
    return {
        "memory, MB": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "open files": len(opened) - len(sockets),
        # Those that wait to be used again are many or few, by chance.
        "sockets": len(sockets),
        "threads": int(status["Threads"]),
        "tasks": scraped["surface_tasks"][()],
        "children": len(children),
        "unfinished files": len(unfinished(bot, temporary)),
    }


def unfinished(bot: Bot, temporary: Path) -> list[Path]:
    """Files that nobody finished or cleared away."""
    found = [path for path in temporary.rglob("*") if path.is_file()]
    for folder in (bot.state_dir, bot.workspace):
        found += [path for pattern in UNFINISHED for path in folder.rglob(pattern)]
    return found


def leaks(samples: Sequence[Sample], messages: int) -> list[str]:
    """What grew by more than a step, and by more than it may with each message; and what was left.

    Args:
        samples: after the work that warms up, and after each block that follows.
        messages: how many there are in a block.
    """
    judged = samples[(len(samples) - 1) // 2 :]
    found = [
        f"{name}: {_course(samples, name)}; none may be left" for name in NONE if judged[-1][name]
    ]
    for name, step in STEP.items():
        values = [its[name] for its in judged]
        # The median over all pairs: one step, or one block that was unlike the others, makes no slope.
        slope = median((b - a) / (m - n) for (n, a), (m, b) in combinations(enumerate(values), 2))
        most = PER_MESSAGE.get(name, LITTLE)
        if values[-1] - values[0] > step and slope / messages > most:
            found.append(
                f"{name}: {_course(samples, name)}; {slope / messages:.3g} more with each message, "
                f"{most:g} are allowed, and {step:g} in all"
            )
    return found


def _course(samples: Sequence[Sample], name: str) -> str:
    return " → ".join(f"{its[name]:g}" for its in samples)


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except FileNotFoundError:
        return ""
