"""A machine's picture with something living shown on it: where it stands, how it came there.

Pure: an SVG in, an SVG out. Nothing is told by colour alone: the current state has a thick ring and
a flag that says `now`; the steps taken are thick arrows and underlined lines; how many stand in a
state is a number at its box. What is shown is drawn inside the group of its state, in a group of
the class `marks`; so it moves with its box, and another call takes it away again.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence

from surface.diagrams.mermaid import ANYWHERE
from surface.diagrams.parts import SVG

NOW = "now"
"""What the flag of the current state says."""

_GROUP, _RECT, _TEXT, _PATH, _STYLE = (
    f"{{{SVG}}}{n}" for n in ("g", "rect", "text", "path", "style")
)
_MARKS = "marks"
_RING = 6.0
"""Pixels between a box and its ring."""
_FLAG = 18.0
"""Height of a flag, in pixels."""
_GLYPH = 8.0
"""Width of a glyph of a flag at most, in pixels."""

_CSS = """
#ID .marks .ring{fill:none;stroke:#7b1fa2;stroke-width:5px;stroke-dasharray:none}
#ID .marks rect.flag{fill:#7b1fa2;stroke:none}
#ID .marks rect.count{fill:#37474f;stroke:none}
#ID .marks text{fill:#ffffff;stroke:none;font-weight:bold;font-size:13px}
#ID .marks .ring.visited{stroke-width:2px;stroke-dasharray:2 4}
#ID path.walked{stroke:#7b1fa2;stroke-width:4px;stroke-dasharray:none}
#ID .node text.line.walked,#ID .edgeLabel text.line.walked{fill:#7b1fa2 !important}
#ID text.walked{font-weight:bold;text-decoration:underline}
@media (prefers-color-scheme: dark){
#ID .marks .ring{stroke:#d8a6ff}
#ID .marks rect.flag{fill:#d8a6ff}
#ID .marks rect.count{fill:#cfd8dc}
#ID .marks text{fill:#12071a}
#ID path.walked{stroke:#d8a6ff}
#ID .node text.line.walked,#ID .edgeLabel text.line.walked{fill:#d8a6ff !important}
}
"""


def lit(
    svg: str,
    *,
    current: str | None,
    path: Sequence[tuple[str, str, str]] = (),
    counts: Mapping[str, int] | None = None,
) -> str:
    """The same picture with what lives shown on it.

    States and steps that the picture does not have are passed over: a record may be older than the
    chart. Whatever an earlier call has shown is taken away first.

    Args:
        svg: as `drawn` gives it.
        current: id of the state the machine is in; None: of no single machine.
        path: the steps taken, (source, event, target), the oldest first.
        counts: how many machines are in a state, by its id.

    Raises:
        xml.etree.ElementTree.ParseError: `svg` is no well-formed XML.
    """
    ET.register_namespace("", SVG)
    root = ET.fromstring(svg)  # noqa: S314  # nosec B314 # our own file
    _clear(root)
    boxes = {g.get("data-state", ""): g for g in root.iter(_GROUP) if g.get("data-state")}
    visited = {state for source, _, target in path for state in (source, target)}
    for state, group in boxes.items():
        marks = ET.Element(_GROUP, {"class": _MARKS})
        if state == current:
            _ring(marks, group, "ring")
            _flag(marks, group, NOW)
        elif state in visited:
            _ring(marks, group, "ring visited")
        if counts is not None and state in counts:
            _badge(marks, group, counts[state])
        if len(marks):
            group.append(marks)
    for step in path:
        for element in _of_step(root, boxes, *step):
            element.set("class", f"{element.get('class', '')} walked")
    style = ET.Element(_STYLE, {"class": _MARKS})
    style.text = _CSS.replace("#ID", f"#{root.get('id')}")
    root.append(style)
    return ET.tostring(root, encoding="unicode") + "\n"


def _clear(root: ET.Element) -> None:
    for parent in root.iter():
        for child in [c for c in parent if c.get("class") == _MARKS]:
            parent.remove(child)
        kept = [name for name in (parent.get("class") or "").split() if name != "walked"]
        if kept:
            parent.set("class", " ".join(kept))


def _of_step(
    root: ET.Element, boxes: Mapping[str, ET.Element], source: str, event: str, target: str
) -> Iterator[ET.Element]:
    """The arrow of a step and the lines of its event; for one that stays, the lines in the box."""
    if source == target and source in boxes:
        yield from _lines(boxes[source], event)
        return
    for start in (source, ANYWHERE):
        ends = {"data-source": start, "data-target": target}
        both = [e for e in root.iter() if all(e.get(name) == value for name, value in ends.items())]
        lines = [line for element in both for line in _lines(element, event)]
        if lines:
            yield from (e for e in both if e.tag == _PATH)
            yield from lines
            return


def _lines(element: ET.Element, event: str) -> Iterator[ET.Element]:
    """The lines that name an event and its guard; those of its effects stay small."""
    for line in element.iter(_TEXT):
        if line.get("data-event") == event and "effects" not in (line.get("class") or "").split():
            yield line


def _outline(group: ET.Element) -> tuple[float, float, float, float]:
    """Left, top, width and height of a state's box, as seen from its group."""
    for rect in group.iter(_RECT):
        if rect.get("width"):
            x, y, width, height = (float(rect.get(n, "0")) for n in ("x", "y", "width", "height"))
            return x, y, width, height
    raise ValueError(f"the picture's state {group.get('data-state')!r} has no box")


def _ring(marks: ET.Element, group: ET.Element, name: str) -> None:
    x, y, width, height = _outline(group)
    place = (x - _RING, y - _RING, width + 2 * _RING, height + 2 * _RING)
    _rect(marks, name, place, round_by=9)


def _flag(marks: ET.Element, group: ET.Element, text: str) -> None:
    """On the upper edge of the box, at the left, where no text is."""
    x, y, _, _ = _outline(group)
    _label(marks, "flag", (x - 8, y - _FLAG + 4, _wide(text), _FLAG), text)


def _badge(marks: ET.Element, group: ET.Element, count: int) -> None:
    """On the upper edge of the box, at the right of a flag."""
    text = f"{count:,}"
    x, y, width, _ = _outline(group)
    left = max(x + width - _wide(text) + 8, x + _wide(NOW))
    _label(marks, "count", (left, y - _FLAG + 4, _wide(text), _FLAG), text)


def _wide(text: str) -> float:
    return len(text) * _GLYPH + 12


def _label(
    marks: ET.Element, name: str, place: tuple[float, float, float, float], text: str
) -> None:
    _rect(marks, name, place, round_by=_FLAG / 2)
    x, y, width, height = place
    shown = ET.SubElement(marks, _TEXT, {"class": name, "text-anchor": "middle"})
    shown.set("x", f"{x + width / 2:g}")
    shown.set("y", f"{y + height / 2 + 4.5:g}")
    shown.text = text


def _rect(
    marks: ET.Element, name: str, place: tuple[float, float, float, float], round_by: float
) -> None:
    numbers = zip(("x", "y", "width", "height"), place, strict=True)
    rect = ET.SubElement(marks, _RECT, {key: f"{value:g}" for key, value in numbers})
    rect.set("class", name)
    rect.set("rx", f"{round_by:g}")
