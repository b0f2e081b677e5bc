"""The pictures show the machines that run, and can be read: nothing hidden, cut or overlapping."""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest
from syrupy.assertion import SnapshotAssertion

from machines import MACHINES, RoomMachine
from machines.tables import describe
from surface.diagrams import RendererMissing, check, mermaid, svg, table, write
from tests.machines.kit import AnyChart, named

COMMITTED = Path(__file__).parents[2] / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"
GLYPH = 7.2
"""Width of an average glyph of the drawings' font at their size, in px."""


@cache
def drawn(chart: AnyChart) -> str:
    return svg.render(mermaid.source(describe(chart)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `write` leaves it; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("diagrams")
    write(folder)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A folder as `write` leaves it, to be spoilt."""
    return Path(shutil.copytree(whole, tmp_path / "diagrams"))


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_the_mermaid_source_is_as_expected(chart: AnyChart, snapshot: SnapshotAssertion) -> None:
    assert mermaid.source(describe(chart)) == snapshot


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_the_tables_are_as_expected(chart: AnyChart, snapshot: SnapshotAssertion) -> None:
    assert table.page(describe(chart)) == snapshot


def test_the_committed_diagrams_are_fresh() -> None:
    assert check(COMMITTED) == [], "run `surface diagrams`"


def test_what_is_written_is_fresh_and_the_same_each_time(whole: Path, tmp_path: Path) -> None:
    assert check(tmp_path)
    again = {path.name: path.read_bytes() for path in write(tmp_path)}
    first = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert first == again
    assert check(whole) == []
    assert {"README.md", "RoomMachine.mmd", "RoomMachine.md", "RoomMachine.svg"} <= set(first)


def test_stale_missing_and_left_over_files_are_named(copied: Path) -> None:
    (copied / "RoomMachine.mmd").write_text("stateDiagram-v2\n")
    (copied / "TurnMachine.svg").unlink()
    (copied / "OldMachine.svg").write_text("<svg/>")
    (copied / "notes.txt").write_text("not ours")
    assert check(copied) == ["RoomMachine.mmd", "TurnMachine.svg", "OldMachine.svg"]
    write(copied)
    assert check(copied) == []
    assert not (copied / "OldMachine.svg").exists()
    assert (copied / "notes.txt").exists()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("observed_gone", "observed_here"),
        lambda text: re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, text),
        lambda text: text.replace("</svg>", ""),
        lambda _: "",
    ],
    ids=["another label", "another source", "cut off", "empty"],
)
def test_a_drawing_that_does_not_show_its_machine_is_stale(
    copied: Path, spoil: Callable[[str], str]
) -> None:
    path = copied / "RoomMachine.svg"
    path.write_text(spoil(path.read_text()))
    assert check(copied) == ["RoomMachine.svg"]


def test_without_the_renderer_nothing_is_written_and_the_way_out_is_named(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mermaidx", None)
    with pytest.raises(RendererMissing, match=r"matrix-surface\[diagrams\]"):
        write(tmp_path / "half")
    assert not (tmp_path / "half").exists()
    assert check(whole) == [], "checking needs no renderer"


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_durable_and_transient_states_are_styled_apart(chart: AnyChart) -> None:
    styles: dict[str, str] = {}
    for line in mermaid.source(describe(chart)).splitlines():
        if found := re.fullmatch(r" +class (\S+) (\w+)", line):
            styles |= dict.fromkeys(found[1].split(","), found[2])
    for row in describe(chart).states:
        assert (styles[row.id] == "durable") is row.durable


def test_observed_arrows_and_lines_have_their_own_colour() -> None:
    root = ET.fromstring(drawn(RoomMachine))
    classes = {text.text: text.get("class", "") for text in root.iter(f"{SVG}text") if text.text}
    assert "observed" in classes["observed_gone"]
    assert "observed" not in classes["clear"]
    arrows = [path for path in root.iter(f"{SVG}path") if "observed" in path.get("class", "")]
    assert arrows
    assert len(arrows) < len([p for p in root.iter(f"{SVG}path") if p.get("data-et") == "edge"])


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_state_and_label_stands_in_the_drawing_as_text(chart: AnyChart) -> None:
    assert mermaid.words(describe(chart)) <= set(svg.texts(drawn(chart)))
    assert "foreignObject" not in drawn(chart), "HTML in SVG is not shown by every viewer"


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_transition_is_drawn(chart: AnyChart) -> None:
    source = mermaid.source(describe(chart))
    for way in describe(chart).transitions:
        inside = rf"^ +{way.source} : {way.event}\b"
        arrow = rf"^ +({way.source}|any_other) --> {way.target} : (.*<br/>)?{way.event}\b"
        wanted = inside if way.source == way.target else arrow
        assert re.search(wanted, source, re.MULTILINE), way


class Box(NamedTuple):
    """A rectangle of the drawing that must not be covered."""

    what: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > 0 and down > 0


def _boxes(root: ET.Element) -> list[Box]:
    found: list[Box] = []

    def walk(element: ET.Element, x: float, y: float, place: str) -> None:
        moved = re.match(r"translate\(\s*([-\d.]+)[ ,]+([-\d.]+)\)", element.get("transform") or "")
        if moved:
            x, y = x + float(moved[1]), y + float(moved[2])
        classes = (element.get("class") or "").split()
        place = next((c for c in ("node", "edgeLabel") if c in classes), place)
        if place == "node" and element.tag == f"{SVG}rect" and element.get("width"):
            left, top = x + float(element.get("x", 0)), y + float(element.get("y", 0))
            width, height = float(element.get("width", 0)), float(element.get("height", 0))
            found.append(Box("state", left, top, left + width, top + height))
        if place == "edgeLabel" and element.tag == f"{SVG}text" and element.text:
            half = len(element.text) * GLYPH / 2
            middle, base = x + float(element.get("x", 0)), y + float(element.get("y", 0))
            found.append(Box(element.text, middle - half, base - 11, middle + half, base + 4))
        for child in element:
            walk(child, x, y, place)

    walk(root, 0, 0, "")
    return found


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_no_label_covers_a_state_or_another_label(chart: AnyChart) -> None:
    boxes = _boxes(ET.fromstring(drawn(chart)))
    assert any(box.what == "state" for box in boxes)
    assert any(box.what != "state" for box in boxes)
    assert [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])] == []


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_nothing_reaches_over_the_edge_of_the_paper(chart: AnyChart) -> None:
    root = ET.fromstring(drawn(chart))
    left, top, width, height = map(float, root.get("viewBox", "").split())
    for box in _boxes(root):
        assert box.left >= left - GLYPH, box
        assert box.right <= left + width + GLYPH, box
        assert box.top >= top, box
        assert box.bottom <= top + height, box


def test_at_1200_px_the_text_is_still_readable() -> None:
    for chart in MACHINES:
        width = float(ET.fromstring(drawn(chart)).get("viewBox", "").split()[2])
        assert svg.FONT * min(1, 1200 / width) >= 10, chart.__name__


def test_the_chapter_tells_the_theory_of_every_machine() -> None:
    chapter = (COMMITTED / "README.md").read_text()
    for chart in MACHINES:
        described = describe(chart)
        assert f"({described.name}.svg)" in chapter
        assert described.theory.splitlines()[0] in chapter
        assert "\n----" not in chapter, "underlined headings became headings of the chapter"
