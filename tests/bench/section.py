"""What a bench has to say, as plain values: tables, plots, goals. How it looks is `page` and `plot`.

A bench makes a `Section` from its figures, and from nothing else: so a report can be drawn again from
figures that were kept. Numbers are told as ratios wherever there is something to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Figures: TypeAlias = dict[str, Any]
"""What a bench has measured: JSON."""


@dataclass(frozen=True)
class Table:
    """Rows of text; the first column says what the row is about."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Plot:
    """Values of some series at the same labelled places.

    Args:
        name: the file's, without its ending.
        title: with the unit.
        kind: bars lie side by side; lines lead from one place to the next.
        labels: the places: whose bar, or what a line leads over.
        series: a value for each label; None is a gap.
        along: what the labels of lines are.
        log: the axis of values has decades.
    """

    name: str
    title: str
    kind: Literal["bars", "lines"]
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    along: str = ""
    log: bool = False


@dataclass(frozen=True)
class Goal:
    """Something that was promised, and the figure that keeps or breaks it."""

    says: str
    figure: float
    at_most: float
    unit: str
    digits: int = 2

    @property
    def met(self) -> bool:
        """Whether the figure, as it is shown, is within the goal."""
        return round(self.figure, self.digits) <= self.at_most

    def told(self) -> str:
        """The figure with its unit."""
        return f"{self.figure:,.{self.digits}f} {self.unit}"


@dataclass(frozen=True)
class Section:
    """What one bench has to say."""

    tables: Sequence[Table]
    plots: Sequence[Plot] = ()
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    """What a reader must know of these figures, a sentence or two each."""


def ms(value: float, digits: int = 1) -> str:
    """Milliseconds."""
    return f"{value:,.{digits}f} ms"


def times(value: float, base: float) -> str:
    """A ratio."""
    return f"{value / base:.2f}"


def flat(figures: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Figures of which nothing is known but that they are JSON: name and value of each."""
    rows: list[tuple[str, str]] = []
    for key, value in figures.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            rows += flat(value, f"{name}, ")
        elif isinstance(value, list):
            rows += flat({str(number): item for number, item in enumerate(value, 1)}, f"{name} ")
        else:
            rows.append((name, f"{value:,}" if isinstance(value, int | float) else str(value)))
    return rows
