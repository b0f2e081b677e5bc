"""What rooms in which nothing happens cost: memory, processor time, and whether a sync costs more for them.

    uv run python -m tests.bench.idle [--rooms 100,1000,10000] [--seconds N] [--syncs N] [--json]

The bot itself, on a homeserver whose rooms never were (`pretend.py`). *Idle*: it goes on from its token and
nothing comes; its processor time over a while, and its memory before and after it has compared all rooms with
the homeserver, as it does daily. *A sync*: somebody whom it does not hear says something in one room, again
and again; the processor time that one of these syncs takes, to be held against that with few rooms.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from aiohttp import web
from rich.progress import Progress

from store import Put
from store.documents import VERSIONS
from surface.reconcile.observe import Seen
from tests.bench.alone import alone
from tests.bench.pretend import TOKEN, Home, served
from tests.bench.section import Figures, Goal, Plot, Section, Table
from tests.bench.shared import folder, memory, processor
from tests.bench.synthetic import ME, installation, kept
from tests.rig.bot import Bot

PATIENCE = 600.0
MANY, MOST_MEMORY, MOST_SHARE = 10_000, 200.0, 1.0
"""So many rooms take no more megabytes, and no more percent of a core."""


class Talking(Home):
    """A homeserver whose syncs bring nothing, or so many times a word of somebody's in one room."""

    def __init__(self, me: str, rooms: Mapping[str, Seen]) -> None:
        super().__init__(me, rooms)
        self._numbers = itertools.count(1)
        self._left, self._wanted, self._silent = 0, asyncio.Event(), asyncio.Event()

    async def talk(self, times: int) -> None:
        """Let so many syncs bring something; returns when the one after the last is asked for."""
        self._left = times
        self._silent.clear()
        self._wanted.set()
        await self._silent.wait()

    async def _sync(self, request: web.Request) -> web.Response:
        if request.query.get("since") is None or request.query.get("timeout") == "0":
            return await super()._sync(request)
        return web.json_response(await self._news())

    async def _news(self) -> dict[str, Any]:
        if not self._left:
            self._silent.set()
            self._wanted.clear()
            await self._wanted.wait()
        self._left -= 1
        number = next(self._numbers)
        said = {
            "type": "m.room.message",
            "event_id": f"$said{number}",
            "sender": "@stranger:hs",
            "origin_server_ts": 1_767_225_600_000,
            "content": {"msgtype": "m.text", "body": "hello"},
        }
        room = {"timeline": {"events": [said], "limited": False, "prev_batch": "p"}}
        return {"next_batch": f"{TOKEN}.{number}", "rooms": {"join": {"!room0": room}}}


async def measure(
    progress: Progress,
    *,
    rooms: tuple[int, ...] = (100, 1_000, 10_000),
    seconds: int = 90,
    syncs: int = 500,
) -> Figures:
    """What rooms in which nothing happens cost.

    Args:
        rooms: the sizes.
        seconds: how long nothing happens; the daily comparison comes after sixty.
        syncs: that bring something.
    """
    found = []
    task = progress.add_task("idling", total=len(rooms))
    for size in sorted(rooms):
        found.append(await _one(size, seconds, syncs))
        progress.advance(task)
    return {"sizes": found}


async def _one(size: int, seconds: int, syncs: int) -> Figures:
    async with AsyncExitStack() as stack:
        documents, seen = installation(size)
        home = Talking(ME, seen)
        bot = Bot(await stack.enter_async_context(served(home)), home.login, folder(stack))
        stack.callback(bot.kill)
        token = {"v": VERSIONS["meta"], "token": TOKEN, "sync": 1}
        file = bot.state_dir / "lambda_matrix.db"
        await kept(documents, file, Put("meta", "next_batch", token, None))
        # With a new device it looks at all rooms first.
        await bot.start(timeout=PATIENCE)
        assert bot.pid is not None
        its: Figures = {"rooms": size, "first peak": round(memory(bot.pid, "VmHWM"))}
        await bot.stop()
        began = time.perf_counter()
        await bot.start(timeout=PATIENCE)
        assert bot.pid is not None
        its["start"] = round(time.perf_counter() - began, 1)
        its["memory"] = round(memory(bot.pid))
        before = processor(bot.pid)
        await home.talk(syncs)
        its["sync"] = round((processor(bot.pid) - before) / syncs * 1000, 2)
        before, began = processor(bot.pid), time.perf_counter()
        await asyncio.sleep(min(seconds, 40))  # Before it compares all rooms.
        its["share"] = round((processor(bot.pid) - before) / (time.perf_counter() - began) * 100, 2)
        await asyncio.sleep(max(0, seconds - 40))
        its["memory after"], its["peak"] = round(memory(bot.pid)), round(memory(bot.pid, "VmHWM"))
        await bot.stop()
        return its


def section(figures: Figures) -> Section:
    """What the figures say."""
    sizes = figures["sizes"]
    least = sizes[0]["sync"] or 1
    rows = [
        (
            f"{its['rooms']:,}",
            f"{its['first peak']} MB",
            f"{its['start']:.1f} s",
            f"{its['memory']} MB",
            f"{its['memory after']} MB",
            f"{its['peak']} MB",
            f"{its['share']:.2f} %",
            f"{its['sync'] / least:.2f}",
        )
        for its in sizes
    ]
    headings = (
        "rooms",
        "first start, peak",
        "start",
        "memory",
        "compared",
        "peak",
        "a core",
        "× a sync with few",
    )
    labels = [f"{its['rooms']:,}" for its in sizes]
    plot = Plot(
        "idle",
        "Processor time of a sync that brings one message, ms",
        "lines",
        labels,
        {"a sync": [its["sync"] for its in sizes]},
        along="rooms",
    )
    goals = [
        goal
        for its in sizes
        if its["rooms"] == MANY
        for goal in (
            Goal(f"{MANY:,} idle rooms, memory", its["memory after"], MOST_MEMORY, "MB", 0),
            Goal(f"{MANY:,} idle rooms, of a core", its["share"], MOST_SHARE, "%", 2),
        )
    ]
    return Section([Table(headings, rows)], [plot], goals, [])


if __name__ == "__main__":
    sys.exit(alone(measure, section))
