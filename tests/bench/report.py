"""One report of all benches: each runs as a process of its own; what it measured is kept, and then drawn.

Results are kept as JSON, so page and plots can be drawn again, and whether the committed ones fit the
committed results can be said at any time. A bench that fails is told of; the others go on.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench.catalogue import BENCHES, Bench
from tests.bench.page import Chapter, in_markdown, on_terminal
from tests.bench.plot import draw
from tests.bench.shared import machine
from tests.rig.bot import PROJECT

PAGE, RESULTS, PLOTS = "tests/bench/README.md", "tests/bench/results.json", "diagrams/bench"
"""Where things are in the project, or in another folder."""
PATIENCE = 1_800.0
"""Seconds that one bench may take."""
MARK = "<!-- What follows is written by `uv run python -m tests.bench report`. -->\n"


@dataclass
class Results:
    """What was measured: figures by bench, each with when, where and how; and what came to nothing."""

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read results that were kept."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def keep(self, path: Path) -> None:
        """Write them down."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(vars(self), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def measure(benches: Sequence[Bench], kept: Path, *, quick: bool, out: Console) -> Results:
    """Run benches one after the other; results of others stay as they were.

    Args:
        kept: where results are, and are kept after each bench.
    """
    found = Results.load(kept) if kept.is_file() else Results()
    for number, bench in enumerate(benches, 1):
        out.print(f"[bold]{number}/{len(benches)} {bench.name}[/]: {bench.title}")
        about, started = machine(), time.monotonic()
        figures, why = _run(bench, quick)
        seconds = time.monotonic() - started
        if figures is None:
            found.failures[bench.name] = why
            found.keep(kept)
            out.print(f"[red]it came to nothing: {why}[/]")
            continue
        found.failures.pop(bench.name, None)
        date = datetime.now(UTC).date().isoformat()
        taken = {"date": date, "machine": about, "seconds": round(seconds), "quick": quick}
        found.results[bench.name] = {"taken": taken, "figures": figures}
        found.keep(kept)
        out.print(f"{seconds:.0f} s")
    return found


def _run(bench: Bench, quick: bool) -> tuple[dict[str, Any] | None, str]:
    words = (sys.executable, "-m", bench.module, "--json", *(bench.quick if quick else ()))
    # Its progress is for whoever looks on.
    process = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE)
    try:
        printed, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        _stop(process)
        return None, f"it was not done after {PATIENCE / 60:.0f} minutes"
    except KeyboardInterrupt:
        _stop(process)
        raise
    if process.returncode:
        return None, f"it ended with {process.returncode}"
    figures = json.loads(printed)
    figures.pop("machine", None)
    return figures, ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As by Ctrl-C: it ends what it has started."""
    process.send_signal(signal.SIGINT)
    process.communicate()


def chapters(results: Results) -> list[Chapter]:
    """What is told, in the catalogue's order."""
    return [
        Chapter(bench.name, bench.title, its["taken"], bench.section(its["figures"]))
        for bench in BENCHES
        if (its := results.results.get(bench.name)) is not None
    ]


def drawn(results: Results) -> dict[str, str]:
    """The files of a report, by path from the folder they go to."""
    told = chapters(results)
    head, mark, _ = (PROJECT / PAGE).read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{PAGE} has lost its mark: {MARK}"
    files = {PAGE: f"{head}{MARK}\n{in_markdown(told, results.failures)}"}
    plots = (plot for chapter in told for plot in chapter.section.plots)
    return files | {f"{PLOTS}/{plot.name}.svg": draw(plot) for plot in plots}


def write(files: dict[str, str], root: Path) -> None:
    """Write a report into a folder; plots of before that it does not have go."""
    for name in stale(files, root):
        (root / name).unlink(missing_ok=True)
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def stale(files: dict[str, str], root: Path) -> list[str]:
    """Which files in a folder are not as they would be written, or would not be."""
    there = {f"{PLOTS}/{path.name}" for path in (root / PLOTS).glob("*.svg")}
    return sorted(
        name
        for name in there | files.keys()
        if name not in files
        or not (root / name).is_file()
        or (root / name).read_text(encoding="utf-8") != files[name]
    )


def show(results: Results, out: Console) -> None:
    """Print a report."""
    for chapter in chapters(results):
        out.rule(f"{chapter.title} ({chapter.name}, {chapter.taken['date']})")
        on_terminal(chapter.section, out)
    for name, why in results.failures.items():
        out.print(f"[red]{name} came to nothing: {why}[/]")
