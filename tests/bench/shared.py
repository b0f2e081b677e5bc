"""What the benches share: where they put their files, the bots they compare with, and what a process uses."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from surface.homeserver import Homeserver
from tests.rig.bot import PROJECT

WARM_UP = 5
"""Rounds that do not count."""
LIMITS = {"limits": {"rooms": 10_000, "waiting": 1_000, "per_minute": 10_000}}
"""Settings of a bot to which one person says what many would."""
TICKS = os.sysconf("SC_CLK_TCK")


def folder(stack: AsyncExitStack, *, fast: bool = False) -> Path:
    """A new folder that goes with the stack; `fast`: in memory, for what is not measured."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if fast and memory.is_dir() else None))
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    return made


async def homeserver_in_memory(stack: AsyncExitStack, **settings: Any) -> Homeserver:
    """A homeserver with its database in memory: it is not what is measured."""
    return await stack.enter_async_context(Homeserver(folder(stack, fast=True) / "hs", **settings))


async def minimal_bot(
    stack: AsyncExitStack,
    homeserver: Homeserver,
    *,
    store: Path | None = None,
    url: str | None = None,
) -> str:
    """Start a `minimal_nio` that ends with the stack; returns its user id.

    Args:
        store: where it keeps its keys; None: it does not encrypt.
        url: where it reaches the homeserver, if not directly.
    """
    login = await homeserver.register("minimal" if store is None else "minimalencrypted", "pw")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.minimal_nio"),
        *(url or homeserver.url, login.user_id, "pw", *([] if store is None else [str(store)])),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    stack.push_async_callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert (await process.stdout.readline()).strip() == b"ready"
    return login.user_id


def in_turn(names: Sequence[str], number: int) -> list[str]:
    """In which order what is compared is measured in a round: A B C, B C A, …"""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def spread(values: Iterable[float], digits: int = 1) -> dict[str, float]:
    """Where most of the values lie. `p10` is what a round takes when nothing else wants the processor."""
    ordered = sorted(values)
    return {
        "p10": round(ordered[len(ordered) // 10], digits),
        "p50": round(statistics.median(ordered), digits),
        "p95": round(ordered[min(len(ordered) - 1, round(len(ordered) * 0.95))], digits),
        "n": len(ordered),
    }


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used, all threads together."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS


def memory(pid: int, what: str = "VmRSS") -> float:
    """Megabytes that a process has in memory; `VmHWM`: had at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


def machine() -> dict[str, Any]:
    """What the figures are taken on."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": os.cpu_count(),
        "ram": f"{whole / 2**30:.0f} GB",
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "synapse": version("matrix-synapse"),
        "matrix-nio": version("matrix-nio"),
    }
