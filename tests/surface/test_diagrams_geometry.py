"""What is drawn can be read: nothing overlaps, nothing is cut, nothing is missing, nothing is too small.

All of it is found in the SVGs themselves: where texts and boxes are, and what they say they stand for.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest

from machines import MACHINES
from machines.tables import TransitionRow, describe
from surface.diagrams.drawn import NAMES
from surface.diagrams.lit import lit
from surface.diagrams.mermaid import ANYWHERE
from tests.machines.kit import AnyChart, named
from tests.rig.cli import PROJECT

SVG = "{http://www.w3.org/2000/svg}"
WIDTHS = {
    **dict.fromkeys("abdeghnopqu_0123456789L–", 556),
    **dict.fromkeys("cksvxyzJ", 500),
    **dict.fromkeys("ijl'", 222),
    **dict.fromkeys(" ftI[]./,:!", 278),
    **dict.fromkeys("r()-·", 333),
    **dict.fromkeys("ABEKPSVXYFTZ", 667),
    **dict.fromkeys("CDHNRUGOQw", 722),
    **dict.fromkeys("mMW", 833),
    **dict.fromkeys("→…", 1000),
    "−": 584,
}
"""Widths of glyphs of Arial and of what is put in its place, in thousandths of its size."""
SCREEN = 1200
"""Pixels that a drawing has on a page."""
SMALLEST = 9.0
"""Pixels that text has at least, then."""


@dataclass(frozen=True)
class Box:
    """A text, or the frame of a state, where it lies on the paper."""

    what: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > 0 and down > 0

    def holds(self, other: Box, play: float) -> bool:
        return (
            self.left - play <= other.left
            and other.right <= self.right + play
            and self.top - play <= other.top
            and other.bottom <= self.bottom + play
        )


@dataclass(frozen=True)
class Found:
    """What lies on a drawing."""

    paper: Box
    texts: list[Box]
    frames: list[Box]
    inside: list[tuple[Box, Box]]
    """Texts with the frame that they belong into."""
    smallest: float
    """Size of the smallest text, in px of the drawing."""


@pytest.fixture(scope="module")
def folder() -> Path:
    """The committed pictures; that they are what is drawn is shown in `test_diagrams_pictures`."""
    return PROJECT / "diagrams"


def look(svg: str) -> Found:
    root = ET.fromstring(svg)
    left, top, width, height = map(float, root.get("viewBox", "").split())
    texts: list[Box] = []
    frames: list[Box] = []
    inside: list[tuple[Box, Box]] = []
    sizes: list[float] = []

    def walk(element: ET.Element, x: float, y: float, frame: Box | None, label: bool) -> None:
        moved = re.match(
            r"translate\(\s*([-\d.]+)[ ,]+([-\d.]+)\s*\)", element.get("transform") or ""
        )
        if moved:
            x, y = x + float(moved[1]), y + float(moved[2])
        classes = (element.get("class") or "").split()
        if "node" in classes:
            found = _frame(element, x, y)
            if found is not None:
                frame = found
                frames.append(found)
        label = label or "edgeLabel" in classes
        if element.tag == f"{SVG}text" and "".join(element.itertext()).strip():
            size = _size(element)
            sizes.append(size)
            box = _text(element, x, y, size)
            texts.append(box)
            if frame is not None and not label:
                inside.append((box, frame))
        for child in element:
            walk(child, x, y, frame, label)

    walk(root, 0, 0, None, False)
    paper = Box("paper", left, top, left + width, top + height)
    return Found(paper, texts, frames, inside, min(sizes))


def _frame(node: ET.Element, x: float, y: float) -> Box | None:
    for rect in node.iter(f"{SVG}rect"):
        if rect.get("width"):
            left, top = x + float(rect.get("x", 0)), y + float(rect.get("y", 0))
            return Box(
                "frame",
                left,
                top,
                left + float(rect.get("width", 0)),
                top + float(rect.get("height", 0)),
            )
    return None


def _size(text: ET.Element) -> float:
    told = text.get("font-size") or ""
    told += ";" + (text.get("style") or "")
    found = re.search(r"(\d+(?:\.\d+)?)px", told)
    return float(found[1]) if found else 14.0


def _text(text: ET.Element, x: float, y: float, size: float) -> Box:
    words = "".join(text.itertext()).strip()
    bold = 1.08 if "title" in (text.get("class") or "") else 1
    wide = sum(WIDTHS[glyph] for glyph in words) / 1000 * size * bold
    at, base = x + float(text.get("x", 0)), y + float(text.get("y", 0))
    style = (text.get("style") or "") + (text.get("text-anchor") or "")
    left = at - wide / 2 if "middle" in style else at
    up, down = 0.75 * size, 0.2 * size
    if text.get("dominant-baseline") in ("central", "middle"):
        up = down = 0.48 * size
    return Box(words, left, base - up, left + wide, base + down)


@pytest.mark.parametrize("name", NAMES)
def test_no_text_covers_another(folder: Path, name: str) -> None:
    texts = look((folder / f"{name}.svg").read_text()).texts
    assert len(texts) > 5
    assert [pair for pair in combinations(texts, 2) if pair[0].overlaps(pair[1])] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_label_covers_a_box(folder: Path, name: str) -> None:
    found = look((folder / f"{name}.svg").read_text())
    own = {id(text) for text, _ in found.inside}
    labels = [text for text in found.texts if id(text) not in own]
    assert [(a, b) for a in labels for b in found.frames if a.overlaps(b)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_text_is_cut(folder: Path, name: str) -> None:
    """Neither by the paper's edge nor by its box's."""
    found = look((folder / f"{name}.svg").read_text())
    assert [text for text in found.texts if not found.paper.holds(text, 0)] == []
    assert [text for text, frame in found.inside if not frame.holds(text, 1)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_text_is_readable_at_1200_px(folder: Path, name: str) -> None:
    found = look((folder / f"{name}.svg").read_text())
    assert found.smallest * min(1, SCREEN / (found.paper.right - found.paper.left)) >= SMALLEST


def told(svg: str) -> Iterator[tuple[str, str, str, str, tuple[str, ...]]]:
    """Every (source, target, event, guard, effects) that a drawing shows, read from its own text."""
    root = ET.fromstring(svg)
    for group in root.iter(f"{SVG}g"):
        state, source, target = (group.get(f"data-{n}") for n in ("state", "source", "target"))
        if state is not None:
            source = target = state
        if source is None or target is None:
            continue
        for event, lines in _by_event(group):
            said = " ".join(line for line in lines if not line.startswith("/"))
            guard = re.search(r"\[(.*)\]", said)
            effects = [e for line in lines if line.startswith("/") for e in line[1:].split(",")]
            yield (
                source,
                target,
                event,
                guard[1] if guard else "",
                tuple(e.strip() for e in effects),
            )


def _by_event(group: ET.Element) -> Iterator[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for text in group.iter(f"{SVG}text"):
        event, line = text.get("data-event"), text.text or ""
        if event is None:
            continue
        if not line.startswith(("[", "and ", "/")):
            found.append((event, []))
        assert found[-1][0] == event
        found[-1][1].append(line)
    yield from found


def wanted(chart: AnyChart) -> Iterator[tuple[str, str, str, str, tuple[str, ...]]]:
    table = describe(chart)
    for way in table.transitions:
        first = table.ways(way.source, way.event)[0] is way
        guard = way.guard or ("" if first else "else")
        yield way.source, way.target, way.event, guard, way.effects


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_way_is_drawn_with_its_guard_and_its_effects_and_nothing_else(
    folder: Path, chart: AnyChart
) -> None:
    shown = set(told((folder / f"{chart.__name__}.svg").read_text()))
    anywhere = {way for way in shown if way[0] == ANYWHERE}
    for way in wanted(chart):
        once = (ANYWHERE, *way[1:])
        assert way in shown or once in anywhere, way
    meant = {way[1:] for way in wanted(chart)}
    assert [way for way in shown if way[1:] not in meant] == []


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_state_has_one_box_and_its_kind_is_to_be_seen(folder: Path, chart: AnyChart) -> None:
    root = ET.fromstring((folder / f"{chart.__name__}.svg").read_text())
    groups = [g for g in root.iter(f"{SVG}g") if g.get("data-state")]
    assert Counter(g.get("data-state") for g in groups) == Counter(
        state.id for state in describe(chart).states
    )
    for group in groups:
        state = describe(chart).state(group.get("data-state", ""))
        kind = "durable" if state.durable else "ending" if state.ends else "transient"
        assert kind in (group.get("class") or "").split()


def _style(svg: str) -> tuple[str, str]:
    """The drawing's own colours, in light and in dark."""
    light, _, dark = svg.partition("@media (prefers-color-scheme: dark)")
    return light, dark


@pytest.mark.parametrize("name", NAMES)
def test_light_and_dark_differ_in_paper_and_text(folder: Path, name: str) -> None:
    light, dark = _style((folder / f"{name}.svg").read_text())
    assert ".paper{fill:#ffffff}" in light
    assert ".paper{fill:#0d1117}" in dark
    assert "#e6edf3" in dark


def test_a_way_that_is_drawn_for_every_state_is_one_of_every_living_state() -> None:
    """What is said of "any other living state" is true of each of them, and of no other."""
    for chart in MACHINES:
        table = describe(chart)
        ended = {state.id for state in table.states if state.ends}
        ways: list[TransitionRow] = list(table.transitions)
        assert not [way for way in ways if way.source in ended]


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_what_lives_is_shown_beside_the_texts(folder: Path, chart: AnyChart) -> None:
    """Flags and numbers cover no text of the drawing, nor one another."""
    svg = (folder / f"{chart.__name__}.svg").read_text()
    states = [state.id for state in describe(chart).states]
    for current in states:
        found = look(lit(svg, current=current, counts=dict.fromkeys(states, 1_000)))
        marks = [text for text in found.texts if text.what in ("now", "1,000")]
        assert len(marks) == len(states) + 1
        covered = [(m, t) for m in marks for t in found.texts if m is not t and m.overlaps(t)]
        assert covered == []
        assert [mark for mark in marks if not found.paper.holds(mark, 0)] == []
