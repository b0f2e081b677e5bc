"""Mermaid source to SVG, offline: `mermaidx` runs mermaid.js itself, without a browser.

What it draws is then made fit to stand alone: text is real text, not HTML (so that every viewer
shows it), light and dark are both readable, and `observed_*` has its own colour. The drawing
carries the hash of its source: whether it is fresh can be said without drawing it again.
"""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from importlib.metadata import version

from machines.tables import OBSERVED
from surface.diagrams.labels import move_apart
from surface.diagrams.mermaid import EFFECTS
from surface.diagrams.parts import name_parts

SVG = "http://www.w3.org/2000/svg"
XHTML = "http://www.w3.org/1999/xhtml"
_LABEL = re.compile(r"(?<= : ).+")
_STATE = re.compile(r'(?<=state ")[^"]+(?=" as )')
_COLOUR = re.compile(r"(?<![-\w])color: ([^;!]+?) ?(?:!important)?;")
_TITLE = re.compile(r"^title: (.+)$", re.MULTILINE)
_HASH = re.compile(r"source sha256:([0-9a-f]{64})")

FONT = 14
"""Size of text, in px of the drawing."""

SMALL = 12
"""Size of what explains an event, its effects."""

CONFIG = {
    "theme": "neutral",
    "fontSize": FONT,
    "themeVariables": {"fontSize": f"{FONT}px"},
    "flowchart": {"nodeSpacing": 40, "rankSpacing": 60},
    # Rough shapes are drawn with random strokes unless they are seeded.
    "handDrawnSeed": 1,
}
"""Options of mermaid.js that make the drawing calm and the same each time."""

CSS = """
#my-svg .paper{fill:#ffffff}
#my-svg .line{stroke:none}
#my-svg .title{font-weight:bold}
#my-svg text.observed{fill:#0b57d0 !important}
#my-svg text.effects,#my-svg .edgeLabel text.effects{fill:#57606a !important}
#my-svg .edgeLabel .line{paint-order:stroke;stroke:#ffffff;stroke-width:4px;stroke-linejoin:round}
#my-svg path.observed{fill:none;stroke:#0b57d0;stroke-dasharray:7 4}
#my-svg :is(.messageText,.loopText,.sectionTitle){paint-order:stroke;stroke:#ffffff;stroke-width:4px}
#my-svg .durable .divider{stroke:#2e7d32 !important;stroke-width:1px}
#my-svg .transient .divider{stroke:#b26a00 !important;stroke-width:1px}
#my-svg .legend .divider{stroke:#b0bec5 !important;stroke-width:1px}
@media (prefers-color-scheme: dark){
#my-svg .paper{fill:#0d1117}
#my-svg .edgeLabel .line{stroke:#0d1117 !important}
#my-svg :is(.node,.edgeLabel) .line{fill:#e6edf3 !important}
#my-svg :is(.node,.edgeLabel) text.observed{fill:#79b8ff !important}
#my-svg :is(.node,.edgeLabel) text.effects{fill:#a5adb8 !important}
#my-svg .durable :is(.outer,.label-container){fill:#10291a !important;stroke:#57ab5a !important}
#my-svg .transient :is(.outer,.label-container){fill:#2e2410 !important;stroke:#d29922 !important}
#my-svg .ending :is(.outer,.label-container){fill:#1c2128 !important;stroke:#768390 !important}
#my-svg .anywhere :is(.outer,.label-container){fill:#0d1117 !important;stroke:#768390 !important}
#my-svg .legend :is(.outer,.label-container){fill:#0d1117 !important;stroke:#444c56 !important}
#my-svg :is(.statediagramTitleText,.flowchartTitleText){fill:#e6edf3}
#my-svg>text{fill:#e6edf3 !important}
#my-svg :is(.messageText,.loopText,.sectionTitle){stroke:#0d1117}
#my-svg :is(.messageText,.loopText,.sectionTitle,tspan){fill:#e6edf3 !important}
#my-svg :is(.messageLine0,.messageLine1,.loopLine){stroke:#b1bac4 !important}
#my-svg .actor-line{stroke:#444c56 !important}
#my-svg :is(rect.actor,.labelBox){fill:#1c2128 !important;stroke:#768390 !important}
#my-svg :is(text.actor,text.actor tspan,.labelText,.labelText tspan){fill:#e6edf3 !important}
#my-svg .flowchart-link{stroke:#b1bac4 !important}
#my-svg .sender .label-container{fill:#0c2d4d !important;stroke:#79b8ff !important}
#my-svg .store .label-container{fill:#2b1238 !important;stroke:#d8a6ff !important}
#my-svg path.transition{stroke:#b1bac4}
#my-svg path.observed{stroke:#79b8ff}
#my-svg marker path{fill:#b1bac4 !important;stroke:#b1bac4 !important}
#my-svg .state-start{fill:#b1bac4 !important;stroke:#b1bac4 !important}
}
"""
"""Ours, after mermaid.js's own; `my-svg` becomes the drawing's name."""


class RendererMissing(Exception):
    """The optional package that draws is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "diagrams are drawn by mermaidx, which is not installed: "
            "pip install 'matrix-surface[diagrams]'"
        )


def fingerprint(source: str) -> str:
    """What an SVG carries of its Mermaid source (hex SHA-256)."""
    return hashlib.sha256(source.encode()).hexdigest()


def fingerprint_of(svg: str) -> str | None:
    """The fingerprint an SVG carries; None if it carries none."""
    found = _HASH.search(svg)
    return found[1] if found else None


def texts(svg: str) -> list[str]:
    """Every line of text in the drawing, in its order.

    Raises:
        xml.etree.ElementTree.ParseError: it is no well-formed XML.
    """
    root = ET.fromstring(svg)  # noqa: S314  # nosec B314 # our own file
    lines = ("".join(text.itertext()).strip() for text in root.iter(f"{{{SVG}}}text"))
    return [line for line in lines if line]


def render(source: str) -> str:
    """Draw Mermaid source; the same source and version of mermaidx give the same bytes.

    Raises:
        RendererMissing: mermaidx is not installed.
    """
    try:
        import mermaidx  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        raise RendererMissing from None
    drawing = mermaidx.render(_unbreakable(source), config=CONFIG).svg()
    ET.register_namespace("", SVG)
    root = ET.fromstring(drawing)  # noqa: S314  # nosec B314 # drawn a line ago
    for parent in root.iter():
        # Some viewers take no style that ends in `!important`; in place it wins anyway.
        if "style" in parent.attrib:
            parent.set("style", parent.attrib["style"].replace(" !important", ""))
        labels = parent.findall(f"{{{SVG}}}foreignObject")
        for html in labels:
            heads_a_box = html is labels[0] and len(labels) > 1
            _put_in_place(parent, html, _plain_text(html, bold=heads_a_box))
    _drop_unused(root)
    name_parts(root, source)
    _mark_observed(root)
    move_apart(root)
    _lay_on_paper(root)
    metadata = ET.Element(f"{{{SVG}}}metadata")
    metadata.text = f"source sha256:{fingerprint(source)}, mermaidx {version('mermaidx')}"
    root.insert(0, metadata)
    # Several drawings may stand in one page: what is named in one must not be found in another.
    return ET.tostring(root, encoding="unicode").replace("my-svg", _name(source)) + "\n"


def _name(source: str) -> str:
    """The drawing's name: what the source's title says, as an id."""
    title = _TITLE.search(source)
    return re.sub(r"\W+", "-", title[1]) if title else "drawing"


def _unbreakable(source: str) -> str:
    """The same source without places where mermaid.js would break a line; wide enough for bold names."""
    source = _STATE.sub(lambda name: f"\u00a0{name[0]}\u00a0", source)
    return _LABEL.sub(lambda label: label[0].replace(" ", "\u00a0"), source)


def _put_in_place(parent: ET.Element, old: ET.Element, new: ET.Element) -> None:
    place = list(parent).index(old)
    parent.remove(old)
    parent.insert(place, new)


def _plain_text(html: ET.Element, *, bold: bool) -> ET.Element:
    """A label that mermaid.js wrote as HTML, as SVG text in the same place: a `text` per line."""
    group = ET.Element(f"{{{SVG}}}g")
    if "transform" in html.attrib:
        group.set("transform", html.attrib["transform"])
    paragraph = html.find(f".//{{{XHTML}}}p")
    if paragraph is None:
        return group
    lines = [paragraph.text or "", *(br.tail or "" for br in paragraph)]
    box = html.find(f"{{{XHTML}}}div")
    style = box.get("style", "") if box is not None else ""
    width, height = float(html.attrib["width"]), float(html.attrib["height"])
    colour = _COLOUR.search(style)
    centred = bold or "text-align: center" in style
    for number, line in enumerate(lines):
        middle = (number + 0.5) * height / len(lines)
        text = ET.SubElement(group, f"{{{SVG}}}text", {"font-size": f"{FONT}px"})
        text.set("class", "line title" if bold else "line")
        text.set("x", f"{width / 2 if centred else 0:g}")
        text.set("y", f"{middle + 0.35 * FONT:g}")
        text.set("text-anchor", "middle" if centred else "start")
        text.set("fill", colour[1] if colour else "#24292f")
        text.text = line.replace("\u00a0", " ").strip()
        if text.text.startswith(EFFECTS):
            text.set("class", "line effects")
            text.set("font-size", f"{SMALL}px")
            # Nearer to its event than to what comes after it.
            text.set("y", f"{middle + 0.35 * SMALL - 3:g}")
    return group


def _mark_observed(root: ET.Element) -> None:
    """Give lines of `observed_*` their class, and arrows that carry nothing else."""
    arrows: set[str] = set()
    for label in root.iter(f"{{{SVG}}}g"):
        lines = label.findall(f"{{{SVG}}}g/{{{SVG}}}text")
        seen = [t for t in lines if (t.get("data-event") or t.text or "").startswith(OBSERVED)]
        for text in seen:
            if "effects" not in text.get("class", ""):
                text.set("class", "line observed")
        if lines and len(seen) == len(lines):
            arrows.add(label.get("data-id", ""))
    for path in root.iter(f"{{{SVG}}}path"):
        path.attrib.pop("data-points", None)
        if path.get("data-id") in arrows:
            path.set("class", f"{path.get('class', '')} observed")


def _drop_unused(root: ET.Element) -> None:
    """Take out symbols that mermaid.js brings along for other drawings than this one."""
    for defs in [d for d in root if d.tag == f"{{{SVG}}}defs"]:
        for symbol in defs.findall(f"{{{SVG}}}symbol"):
            defs.remove(symbol)
        if not len(defs):
            root.remove(defs)


def _lay_on_paper(root: ET.Element) -> None:
    x, y, width, height = (float(n) for n in root.get("viewBox", "0 0 0 0").split())
    paper = {"x": x, "y": y, "width": width, "height": height, "class": "paper"}
    style = ET.Element(f"{{{SVG}}}style")
    style.text = CSS
    sheet = ET.Element(f"{{{SVG}}}rect", {k: str(v) for k, v in paper.items()})
    first = next((i for i, child in enumerate(root) if child.tag == f"{{{SVG}}}g"), len(root))
    root.insert(first, sheet)
    root.insert(first, style)
