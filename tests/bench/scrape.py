"""What a scrape costs where there are many rooms, and what it costs the bot to count.

    uv run python -m tests.bench.scrape [--rooms 10,10000] [--json]

No Matrix: a store with so many rooms, every one of them bound, and a ledger whose decisions are watched. A
scrape reads what is in memory, so it must not grow with the rooms; counting them all is done once, at start.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry
from rich.progress import Progress

from machines.room import Room
from machines.user import User
from store import Put, TinyStore
from store.census import census
from store.documents import room_key, user_key, written
from store.history import HISTORY, Cause
from surface.app import App
from surface.health import Report
from surface.ledger import Decided
from surface.matrix.health import CryptoHealth
from surface.moves import Change, Move
from surface.ops.metrics import Watch
from surface.ops.reading import scraped
from tests.bench.alone import alone
from tests.bench.section import Figures, Section, Table, times

STEP = {
    "from": "bound",
    "event": "talk",
    "to": "bound",
    "at": "2026-01-01T00:00:00+00:00",
    "cause": {"event": "$" + "e" * 43},
    "effects": {"AcceptTurn": None},
}


async def filled(path: Path, rooms: int) -> None:
    """A store with so many rooms, each of a person of its own, with all the history it may have."""
    store = TinyStore.open(path)
    for first in range(0, rooms, 1000):
        puts = []
        for n in range(first, min(rooms, first + 1000)):
            room = Room(
                f"!{n}:hs",
                room_type="chat",
                matrix_user_id=f"@{n}:hs",
                space_id=f"!space{n}:hs",
                chat_id="C1",
                display_name="Chat 1",
                agent_id="echo",
                platform_chat_id=str(n),
            )
            body = written("rooms", room, "bound", history=[STEP] * HISTORY)
            puts.append(Put("rooms", room_key(room.room_id), body, 0))
            person = User(f"@{n}:hs", selected_agent_id="echo")
            user = written("users", person, "ready", history=[STEP] * HISTORY)
            puts.append(Put("users", user_key(f"@{n}:hs"), user, 0))
        await store.save(puts)
    await store.aclose()


def watched(counted: Any) -> tuple[CollectorRegistry, Watch]:
    """A watch that has seen every kind of event of three agents."""
    registry = CollectorRegistry()
    watch = Watch(registry)
    watch.machines.update(counted)
    for agent in ("one", "two", "three"):
        for event, target in (
            ("start", "thinking"),
            ("delta", "streaming"),
            ("finish", "answered"),
        ):
            move = Move("turn", "", event, target, "$turn", "!room", agent)
            watch.on_decided(decided(move))
    for n in range(100):
        watch.on_decided(decided(Move("room", "bound", f"event{n}", "bound", "!room", "!room")))
    return registry, watch


def decided(*moves: Move) -> Decided[None]:
    """A decision in which machines have moved."""
    changes = [Change("rooms", "bound", "bound")]
    by, at = Cause("event", "$event"), "2026-01-01T00:00:00+00:00"
    return Decided(None, [], [], [], by, at, moves=moves, states=changes, seconds=0.004)


class _Empty(SimpleNamespace):
    def __len__(self) -> int:
        return 0


def app() -> App:
    """As much of a bot as a scrape looks at."""
    outbox = _Empty(rows=[], troubles={}, tally={("Answer", "done"): 5})
    return cast(
        "App",
        SimpleNamespace(
            actors=SimpleNamespace(waiting=[], parked=frozenset()),
            encryption=SimpleNamespace(health=CryptoHealth(signed=True)),
            outbox=outbox,
            rooms=SimpleNamespace(server_now=None),
            turns=SimpleNamespace(counts=(0, 0)),
            sync=SimpleNamespace(succeeded=time.monotonic()),
            agents=SimpleNamespace(up={"one": True, "two": True, "three": True}),
            courier=SimpleNamespace(refusals={"message": 1}, asked_to_wait={"message": 1.0}),
            runner=SimpleNamespace(failures={("one", "busy"): 1}),
        ),
    )


def milliseconds(work: Callable[[], object], times: int) -> float:
    """Processor time of one call, the median."""
    taken = []
    for _ in range(times):
        started = time.thread_time_ns()
        work()
        taken.append((time.thread_time_ns() - started) / 1e6)
    return round(statistics.median(taken), 4)


async def _of(rooms: int) -> Figures:
    """What it costs with so many rooms, in milliseconds of processor time."""
    with tempfile.TemporaryDirectory(prefix="bench-scrape-") as folder:
        path = Path(folder) / "lambda_matrix.db"
        await filled(path, rooms)
        counting = milliseconds(lambda: census(path), 5)
        registry, watch = watched(census(path))
    bot, report = app(), Report({})
    body = scraped(registry, watch, bot, report)
    move = decided(Move("room", "bound", "event1", "bound", "!room", "!room"))
    return {
        "rooms": rooms,
        "scrape": milliseconds(lambda: scraped(registry, watch, bot, report), 50),
        "bytes": len(body),
        "series": len(body.splitlines()),
        "decision": milliseconds(lambda: [watch.on_decided(move) for _ in range(1000)], 11) / 1000,
        "start": counting,
    }


async def measure(progress: Progress, *, rooms: tuple[int, ...] = (10, 10_000)) -> Figures:
    """What a scrape costs.

    Args:
        rooms: how many there are.
    """
    sizes = progress.track(sorted(rooms), description="stores")
    return {"sizes": [await _of(size) for size in sizes]}


def section(figures: Figures) -> Section:
    """What the figures say."""
    few = figures["sizes"][0]
    rows = [
        (
            f"{its['rooms']:,}",
            times(its["scrape"], few["scrape"]),
            f"{its['scrape']:.2f} ms",
            f"{its['bytes'] / 1000:.0f} kB",
            f"{its['decision'] * 1000:.1f} µs",
            f"{its['start']:.0f} ms",
        )
        for its in figures["sizes"]
    ]
    headings = (
        "rooms",
        "× the fewest",
        "a scrape",
        "its size",
        "counting, for each decision",
        "counting all, once at the start",
    )
    notes = [
        "Processor time. A scrape reads what is in memory; states are counted at the start and from then on "
        "with each commit."
    ]
    return Section([Table(headings, rows)], notes=notes)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
