"""What a drawing's parts stand for, written on them: `data-state`, `data-source`, `data-event` …

So a page or a program finds the box of a state or the arrow of an event without knowing how
mermaid.js names its elements. `surface.diagrams.lit` and the inspector build on these attributes:

- a state's group has `data-state`, and so has the text with its name;
- an arrow and its label's group have `data-source` and `data-target`;
- each line of a label, or inside a box, that belongs to an event has `data-event`.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

SVG = "http://www.w3.org/2000/svg"

KINDS = {"durable", "transient", "ending"}
"""Classes of boxes that are states; the legend, and "any other state", are none."""

_RELATION = re.compile(r"^ +(\S+) --> (\S+)", re.MULTILINE)
_NODE = re.compile(r"-state-(\w+)-\d+$")
_WORD = re.compile(r"[a-z]\w*")
GOES_ON = ("[", "and ", "/")
"""How the lines begin that belong to the event above them: its guard, its effects."""


def name_parts(root: ET.Element, source: str) -> None:
    """Write on boxes, arrows and lines what they stand for.

    Args:
        root: a drawing whose labels are plain text already; changed in place.
        source: the Mermaid source that it was drawn from; its arrows are numbered in their order.
    """
    ends = {f"edge{n}": pair for n, pair in enumerate(_RELATION.findall(source))}
    for element in root.iter():
        pair = ends.get(element.get("data-id", ""))
        if pair is not None:
            element.set("data-source", pair[0])
            element.set("data-target", pair[1])
            name_lines(element)
    for group in root.iter(f"{{{SVG}}}g"):
        found = _NODE.search(group.get("id", ""))
        if found and KINDS & set(group.get("class", "").split()):
            group.set("data-state", found[1])
            lines = list(_lines(group))
            if lines:
                lines[0].set("data-state", found[1])
            _name(lines[1:])


def name_lines(label: ET.Element) -> None:
    """Write on each line of a label which event it belongs to."""
    _name(list(_lines(label)))


def _name(lines: list[ET.Element]) -> None:
    event = ""
    for line in lines:
        text = line.text or ""
        if not text.startswith(GOES_ON):
            found = _WORD.match(text)
            event = found[0] if found else ""
        if event:
            line.set("data-event", event)


def _lines(group: ET.Element) -> Iterator[ET.Element]:
    return group.iter(f"{{{SVG}}}text")
