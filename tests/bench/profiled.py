"""The bot with a sampler in it: what `tests.bench.profile` starts instead of `python -m surface`.

Between two SIGUSR1 every tick of processor time that the process has used counts for the part of the
program that is running then; after the second what was counted is written to the file named in
`BENCH_SAMPLES`. Nothing is traced, so nothing is slower than it is.
"""

from __future__ import annotations

import cProfile
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from surface.cli import main

TICK = 0.001
"""Seconds of processor time between two looks; a kernel may make it up to ten times as long."""
OWN = str(Path(__file__).parents[2]) + "/"

PARTS = (
    ("structlog/", "log"),
    ("surface/logs.py", "log"),
    ("prometheus_client/", "metrics"),
    ("surface/ops/", "metrics"),
    ("statemachine/", "statecharts"),
    ("machines/chart.py", "statecharts"),
    ("markdown_it/", "render"),
    ("mdurl/", "render"),
    ("surface/render.py", "render"),
    ("store/", "store"),
    ("tinydb/", "store"),
    ("surface/platform/", "agent"),
    ("surface/ingest.py", "ingest"),
    ("surface/inbox.py", "ingest"),
    ("surface/inputs.py", "ingest"),
    ("nio/", "nio"),
    ("aiohttp/", "aiohttp"),
    ("yarl/", "aiohttp"),
    ("multidict/", "aiohttp"),
    ("surface/matrix/", "matrix requests"),
    ("surface/deeds.py", "act"),
    ("surface/outbox.py", "act"),
    ("surface/turns.py", "turn"),
    ("surface/turn_run.py", "turn"),
    ("surface/read_marker.py", "read marker"),
    ("machines/", "decide"),
    ("surface/", "decide"),
)
"""Of which part a file is, the first that fits; a library's work counts for who has called it."""
WAITING = "store's writer, other threads"
"""The main thread waits, so the processor time is another's."""
LOOP = "event loop"


def part_of(frame: FrameType | None) -> str:
    """The part of the program that a stack is in."""
    if frame is not None and frame.f_code.co_name == "select":
        return WAITING
    while frame is not None:
        file = frame.f_code.co_filename
        inside = file.rpartition("site-packages/")[2].removeprefix(OWN)
        if not inside.startswith("/"):
            for begin, part in PARTS:
                if inside.startswith(begin):
                    return part
        frame = frame.f_back
    return LOOP


def run() -> None:
    """Run the bot; see the module."""
    out = Path(os.environ["BENCH_SAMPLES"])
    exact = cProfile.Profile(time.thread_time) if os.environ.get("BENCH_EXACT") else None
    counted: Counter[str] = Counter()
    running = False

    def look(_number: int, frame: FrameType | None) -> None:
        counted[part_of(frame)] += 1

    def begin_or_end(_number: int, _frame: FrameType | None) -> None:
        nonlocal running
        running = not running
        if exact is not None:
            exact.enable() if running else exact.disable()
        elif running:
            counted.clear()
            signal.setitimer(signal.ITIMER_PROF, TICK, TICK)
        else:
            signal.setitimer(signal.ITIMER_PROF, 0)
        if not running:
            if exact is not None:
                exact.dump_stats(out.with_suffix(".exact"))
            partial = out.with_suffix(".partial")
            partial.write_text(json.dumps(counted))
            partial.replace(out)

    signal.signal(signal.SIGPROF, look)
    signal.signal(signal.SIGUSR1, begin_or_end)
    main()


if __name__ == "__main__":
    run()
