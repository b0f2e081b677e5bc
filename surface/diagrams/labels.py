"""Labels that lie on a box, on one another or beside their arrow move along it until they are free.

mermaid.js puts a label near the middle of its arrow, whatever is there; with many arrows something is.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import dist
from typing import TypeAlias

SVG = "http://www.w3.org/2000/svg"
STEPS = 24
"""Places that are tried on each piece of an arrow."""
MARGIN = 3.0
"""Pixels that stay free around a label."""

Point: TypeAlias = tuple[float, float]

_TRANSLATE = re.compile(r"translate\(\s*([-\d.]+)[ ,]+([-\d.]+)\s*\)")
_PIECE = re.compile(r"([MLC])([-\d.,\s]+)")


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    across: float
    down: float
    """Centre, and half of width and height."""

    def covers(self, other: _Box) -> bool:
        return (
            abs(self.x - other.x) < self.across + other.across + MARGIN
            and abs(self.y - other.y) < self.down + other.down + MARGIN
        )

    def holds(self, point: Point) -> bool:
        x, y = point
        return abs(self.x - x) < self.across and abs(self.y - y) < self.down


def move_apart(root: ET.Element) -> None:
    """Move what covers something, or is not on its arrow, to a free place on it, if there is one.

    Better one that no other arrow crosses, better a near one.
    """
    states = [box for node in _of_class(root, "node") if (box := _state(node)) is not None]
    labels = {id(label): box for label in _of_class(root, "edgeLabel") if (box := _label(label))}
    arrows = {
        path.get("data-id"): list(_along(path.get("d", "")))
        for path in root.iter(f"{{{SVG}}}path")
        if path.get("data-et") == "edge"
    }
    for label in _of_class(root, "edgeLabel"):
        box = labels.pop(id(label), None)
        if box is None:
            continue
        taken = [*states, *labels.values()]
        own = arrows.get(label[0].get("data-id"), [])
        astray = bool(own) and not any(box.holds(point) for point in own)
        if astray or any(box.covers(other) for other in taken):
            others = [point for points in arrows.values() if points is not own for point in points]
            boxes = [_Box(*place, box.across, box.down) for place in own]
            free = [b for b in boxes if not any(b.covers(other) for other in taken)]
            if free:
                box = min(free, key=partial(_cost, (box.x, box.y), others))
                label.set("transform", f"translate({box.x:g}, {box.y:g})")
        labels[id(label)] = box


def _cost(start: Point, others: list[Point], box: _Box) -> tuple[bool, float]:
    return any(box.holds(point) for point in others), dist(start, (box.x, box.y))


def _of_class(root: ET.Element, name: str) -> Iterator[ET.Element]:
    return (g for g in root.iter(f"{{{SVG}}}g") if name in (g.get("class") or "").split())


def _moved(element: ET.Element) -> Point:
    found = _TRANSLATE.search(element.get("transform") or "")
    return (float(found[1]), float(found[2])) if found else (0.0, 0.0)


def _state(node: ET.Element) -> _Box | None:
    rect = node.find(f".//{{{SVG}}}rect")
    if rect is None or not rect.get("width"):
        return None
    x, y = _moved(node)
    return _Box(x, y, float(rect.get("width", 0)) / 2, float(rect.get("height", 0)) / 2)


def _label(label: ET.Element) -> _Box | None:
    if label.find(f".//{{{SVG}}}text") is None:
        return None
    (x, y), (left, top) = _moved(label), _moved(label[0])
    return _Box(x, y, abs(left), abs(top))


def _along(path: str) -> Iterator[Point]:
    """Points of a path of straight lines and cubic curves."""
    here: Point = (0.0, 0.0)
    for command, numbers in _PIECE.findall(path):
        values = [float(number) for number in re.split(r"[,\s]+", numbers.strip())]
        points = list(zip(values[::2], values[1::2], strict=True))
        if command == "M":
            here = points[0]
            continue
        (x0, y0), (x3, y3) = here, points[-1]
        (x1, y1), (x2, y2) = (points[0], points[1]) if command == "C" else (here, points[-1])
        for step in range(1, STEPS + 1):
            t = step / STEPS
            a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
            yield (a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3)
        here = points[-1]
