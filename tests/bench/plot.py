"""Plots as SVG: readable in light and in dark, and the same bytes for the same values.

Text is text, colours are classes, and each mark says its value when one points at it. Nothing here knows what
was measured.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from tests.bench.section import Plot

WIDTH = 760
MARGIN = 16
TITLE, LEGEND = 34, 24
"""Heights, in px."""
BAR, GAP = 16, 12
NAME = 6.6
"""Width of a letter, about."""
LINES = 260
"""Height of the area of lines."""

LIGHT = ("#0b57d0", "#b26a00", "#2e7d32", "#8e24aa", "#00838f", "#c62828", "#57606a", "#795548")
DARK = ("#79b8ff", "#d29922", "#57ab5a", "#d8a6ff", "#39c5cf", "#ff7b72", "#a5adb8", "#bc9a8c")

_CSS = """
svg{font:12px system-ui,sans-serif}
.paper{fill:#ffffff}
text{fill:#24292f}
.title{font-size:14px;font-weight:600}
.grid{stroke:#d0d7de}
.tick{fill:#57606a}
"""
_DARK = """.paper{fill:#0d1117}
text{fill:#e6edf3}
.grid{stroke:#30363d}
.tick{fill:#a5adb8}
"""


def draw(plot: Plot) -> str:
    """The drawing of a plot."""
    return _bars(plot) if plot.kind == "bars" else _lines(plot)


class _Sheet:
    """A drawing with a title and, if there are several series, what their colours mean."""

    def __init__(self, plot: Plot, height: int) -> None:
        self.top = TITLE + (LEGEND if len(plot.series) > 1 else 0)
        whole = self.top + height + MARGIN
        self._root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
        self._root.set("viewBox", f"0 0 {WIDTH} {whole}")
        ET.SubElement(self._root, "title").text = plot.title
        ET.SubElement(self._root, "style").text = _style(len(plot.series))
        self.add("rect", "paper", width=WIDTH, height=whole, rx=6)
        self.text(plot.title, MARGIN, 22, "title")
        x: float = MARGIN
        for number, name in enumerate(plot.series if len(plot.series) > 1 else ()):
            self.add("rect", f"c{number}", x=x, y=TITLE + 3, width=10, height=10, rx=2)
            self.text(name, x + 15, TITLE + 12)
            x += 15 + len(name) * NAME + 22

    def add(self, tag: str, kind: str, says: str = "", **where: float | str) -> None:
        """A shape of a class; `says` is shown to who points at it."""
        words = {key: _number(value) for key, value in where.items()}
        element = ET.SubElement(self._root, tag, {"class": kind, **words})
        if says:
            ET.SubElement(element, "title").text = says

    def text(self, words: str, x: float, y: float, kind: str = "", anchor: str = "start") -> None:
        """A line of text; `y` is where its letters stand."""
        where = {"x": _number(x), "y": _number(y), "text-anchor": anchor}
        ET.SubElement(
            self._root, "text", {**({"class": kind} if kind else {}), **where}
        ).text = words

    def done(self) -> str:
        """The whole of it."""
        ET.indent(self._root, "")
        return ET.tostring(self._root, encoding="unicode") + "\n"


def _bars(plot: Plot) -> str:
    each = len(plot.series) * BAR + GAP
    sheet = _Sheet(plot, each * len(plot.labels))
    left = MARGIN + max(len(label) for label in plot.labels) * NAME + 8
    room = WIDTH - MARGIN - left - 60
    values = [value for every in plot.series.values() for value in every if value is not None]
    scale = _Scale(values, plot.log)
    for row, label in enumerate(plot.labels):
        y = sheet.top + row * each + GAP / 2
        sheet.text(label, left - 8, y + len(plot.series) * BAR / 2 + 4, anchor="end")
        for number, (name, every) in enumerate(plot.series.items()):
            if (value := every[row]) is None:
                continue
            top, width = y + number * BAR, max(1.0, scale.at(value) * room)
            says = f"{label}, {name}: {told(value)}"
            sheet.add(
                "rect", f"c{number}", says, x=left, y=top + 1, width=width, height=BAR - 2, rx=2
            )
            sheet.text(told(value), left + width + 5, top + 12)
    return sheet.done()


def _lines(plot: Plot) -> str:
    sheet = _Sheet(plot, LINES + 40)
    left, right = MARGIN + 52, WIDTH - MARGIN - 20
    bottom = sheet.top + 8 + LINES
    values = [value for every in plot.series.values() for value in every if value is not None]
    scale = _Scale(values, plot.log)
    for tick in scale.ticks:
        y = bottom - scale.at(tick) * LINES
        sheet.add("line", "grid", x1=left, x2=right, y1=y, y2=y)
        sheet.text(told(tick), left - 8, y + 4, "tick", "end")
    steps = max(1, len(plot.labels) - 1)
    places = [left + 30 + (right - left - 60) * n / steps for n in range(len(plot.labels))]
    for x, label in zip(places, plot.labels, strict=True):
        sheet.text(label, x, bottom + 18, "tick", "middle")
    sheet.text(plot.along, (left + right) / 2, bottom + 36, "tick", "middle")
    for number, (name, every) in enumerate(plot.series.items()):
        points = [
            (x, bottom - scale.at(value) * LINES, value, label)
            for x, value, label in zip(places, every, plot.labels, strict=True)
            if value is not None
        ]
        path = " ".join(f"{_number(x)},{_number(y)}" for x, y, _, _ in points)
        sheet.add("polyline", f"l{number}", points=path)
        for x, y, value, label in points:
            sheet.add("circle", f"c{number}", f"{name}, {label}: {told(value)}", cx=x, cy=y, r=4)
    return sheet.done()


class _Scale:
    """Where between 0 and 1 a value lies."""

    def __init__(self, values: Sequence[float], log: bool) -> None:
        most = max(values, default=1) or 1
        self._log = log
        if log:
            positive = [value for value in values if value > 0] or [1]
            self._low = math.floor(math.log10(min(positive)) + 1e-9)
            self._high = max(self._low + 1, math.ceil(math.log10(most) - 1e-9))
            self.ticks = [10.0**power for power in range(self._low, self._high + 1)]
        else:
            step = _round_step(most / 5)
            self.ticks = [step * n for n in range(math.ceil(most / step - 1e-9) + 1)]

    def at(self, value: float) -> float:
        """The place of a value."""
        if not self._log:
            return value / self.ticks[-1]
        power = math.log10(max(value, 10.0**self._low))
        return (power - self._low) / (self._high - self._low)


def _round_step(rough: float) -> float:
    """The next of 1, 2, 5, 10, 20 …"""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def told(value: float) -> str:
    """A value with three digits that count."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):,}".removesuffix(".0")


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def _style(series: int) -> str:
    def colours(values: Sequence[str]) -> str:
        lines = (
            f".c{number}{{fill:{colour}}}.l{number}{{fill:none;stroke:{colour};stroke-width:2}}"
            for number, colour in enumerate(values[:series])
        )
        return "\n".join(lines) + "\n"

    dark = f"@media (prefers-color-scheme: dark){{\n{_DARK}{colours(DARK)}}}\n"
    return _CSS + colours(LIGHT) + dark
