"""The command line of one bench: the keyword arguments of its `measure` are the options.

    uv run python -m tests.bench.NAME [--OPTION …] [--json]

Prints what the bench has to say as tables, or what it measured as JSON and nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import inspect
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from rich.console import Console
from rich.progress import Progress

from tests.bench.page import on_terminal
from tests.bench.section import Figures, Section
from tests.bench.shared import machine
from tests.rig.options import at_least

Measure = Callable[..., Awaitable[Figures]]
MAY_BE_NONE = {"exact", "limited", "peers"}
"""Options of which 0 leaves something out."""


def alone(measure: Measure, section: Callable[[Figures], Section]) -> int:
    """Run one bench as a program.

    Args:
        measure: takes a progress display and, by name, whole numbers or tuples of them that have defaults.
        section: what its figures say.
    """
    parser = argparse.ArgumentParser(description=(inspect.getdoc(measure) or "").split("\n")[0])
    every = inspect.signature(measure).parameters.values()
    for its in (one for one in every if one.kind is one.KEYWORD_ONLY):
        several = isinstance(its.default, tuple)
        shown = ",".join(map(str, its.default)) if several else str(its.default)
        parser.add_argument(
            f"--{its.name}",
            type=_numbers if several else _least(its.name),
            default=its.default,
            help=shown,
        )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = vars(parser.parse_args())
    as_json, about = options.pop("json"), machine()
    figures = _measured(measure, options)
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        out = Console()
        on_terminal(section(figures), out)
        out.print(", ".join(f"{key} {value}" for key, value in about.items()))
    return 0


def _measured(measure: Measure, options: dict[str, Any]) -> Figures:
    # Whatever else is printed meanwhile must not get between the figures.
    with (
        contextlib.redirect_stdout(sys.stderr),
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):

        async def run() -> Figures:
            return await measure(progress, **options)

        return asyncio.run(run())


def _least(name: str) -> Callable[[str], int]:
    return at_least(0 if name in MAY_BE_NONE else 1)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(at_least(1), text.split(",")))
