"""Which benches there are: what a report is made of, in its order.

A bench is a module here whose docstring opens with what it answers, with a command line that prints its
figures as JSON. How they are told is its `section`; figures of one without are listed as they are.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass
from pathlib import Path

from tests.bench.section import Figures, Section, Table, flat

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Bench:
    """One bench.

    Args:
        name: its module's.
        quick: its options where it is only tried out.
    """

    name: str
    quick: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        """What Python is to run."""
        return f"tests.bench.{self.name}"

    @property
    def title(self) -> str:
        """What it answers."""
        source = (HERE / f"{self.name}.py").read_text(encoding="utf-8")
        return (ast.get_docstring(ast.parse(source)) or self.name).splitlines()[0].rstrip(".")

    def section(self, figures: Figures) -> Section:
        """What its figures say."""
        module = importlib.import_module(self.module)
        if hasattr(module, "section"):
            told: Section = module.section(figures)
            return told
        return Section([Table(("figure", "value"), flat(figures))])


BENCHES = (
    Bench("roundtrip", ("--rounds", "10", "--waves", "1")),
    Bench("path", ("--rounds", "10")),
    Bench("encrypted", ("--rounds", "5")),
    Bench("streaming", ("--rooms", "1,5", "--limited", "0")),
    Bench("first_text", ("--rounds", "1")),
    Bench("platform", ("--chats", "5", "--rounds", "1")),
    Bench("restart", ("--rooms", "6,10", "--runs", "1", "--synthetic", "100,1000")),
    Bench("store", ("--rounds", "20", "--documents", "100")),
    Bench("memory", ("--rooms", "50,500")),
    Bench("scrape", ("--rooms", "10,500")),
    Bench("profile", ("--messages", "40")),
    Bench("idle", ("--rooms", "50,500", "--seconds", "2", "--syncs", "20")),
)
