"""What the benches of round trips share: the bot they compare with, their figures, the machine's shape."""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

from surface.homeserver import Homeserver
from tests.rig.bot import PROJECT

WARM_UP = 5
"""Rounds that do not count."""


async def minimal_bot(
    stack: AsyncExitStack, homeserver: Homeserver, *, store: Path | None = None
) -> str:
    """Start a `minimal_nio` that ends with the stack, encrypting if it gets a store; returns its user id."""
    login = await homeserver.register("minimal" if store is None else "minimalencrypted", "pw")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.minimal_nio"),
        *(homeserver.url, login.user_id, "pw", *([] if store is None else [str(store)])),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
    )
    stack.push_async_callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert (await process.stdout.readline()).strip() == b"ready"
    return login.user_id


def spread(values: list[float]) -> dict[str, float]:
    """Where most of the values lie. `p10` is what a round takes when nothing else wants the processor."""
    ordered = sorted(values)
    return {
        "p10": round(ordered[len(ordered) // 10], 1),
        "p50": round(statistics.median(ordered), 1),
        "p95": round(ordered[min(len(ordered) - 1, round(len(ordered) * 0.95))], 1),
        "n": len(ordered),
    }


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "synapse": version("matrix-synapse"),
        "matrix-nio": version("matrix-nio"),
    }
