"""What the bot's process holds, before and after equal pieces of work: what grows with each is a leak.

A process that has just begun grows for good reasons (caches, pools, a heap with holes), and by steps. So it
works for a while first, and what counts is how it grows over the second half of blocks of work of one size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from tests.rig.bot import Bot
from tests.rig.ops import metrics

Sample: TypeAlias = Mapping[str, float]
"""How much of what the process holds."""

MAY_GROW: Final[Mapping[str, float]] = {
    "memory, MB": 4.0,
    "open files": 2,
    "sockets": 16,
    "threads": 4,
    "tasks": 4,
    "children": 0,
    "unfinished files": 0,
}
"""By how much more there may be of it after the last block of work than half of them before."""
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


def leaks(samples: Sequence[Sample]) -> list[str]:
    """What grew by more than it may.

    Args:
        samples: after the work that warms up, and after each block that follows.
    """
    first, last = samples[(len(samples) - 1) // 2], samples[-1]
    return [
        f"{name}: {' → '.join(f'{its[name]:g}' for its in samples)}; {most:g} more are allowed"
        for name, most in MAY_GROW.items()
        if last[name] - first[name] > most
    ]


def _target(file: Path) -> str:
    try:
        return str(file.readlink())
    except FileNotFoundError:
        return ""
