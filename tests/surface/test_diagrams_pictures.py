"""The pictures show the machines that run, and can be read: nothing hidden, cut or overlapping."""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from machines import MACHINES, RoomMachine
from machines.tables import describe
from surface.diagrams import RendererMissing, check, mermaid, svg, table, write
from tests.machines.kit import AnyChart, named

COMMITTED = Path(__file__).parents[2] / "diagrams"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `write` leaves it; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("diagrams")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def drawn(whole: Path) -> Callable[[AnyChart], str]:
    """The SVG of a machine, drawn by this program."""
    return lambda chart: (whole / f"{chart.__name__}.svg").read_text()


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


def test_the_committed_pictures_are_what_is_drawn(whole: Path) -> None:
    """Byte for byte: also what is done with a drawing after its source was drawn."""
    assert [
        p.name for p in whole.iterdir() if p.read_bytes() != (COMMITTED / p.name).read_bytes()
    ] == []


def test_what_is_written_is_fresh(whole: Path, tmp_path: Path) -> None:
    assert check(tmp_path)
    assert check(whole) == []
    first = {path.name for path in whole.iterdir()}
    assert {"README.md", "print.html", "Overview.svg", "Sequence.mmd"} <= first
    assert {"RoomMachine.mmd", "RoomMachine.md", "RoomMachine.svg"} <= first


def test_stale_missing_and_left_over_files_are_named_and_mended(
    whole: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "RoomMachine.mmd").write_text("stateDiagram-v2\n")
    (copied / "TurnMachine.svg").unlink()
    (copied / "OldMachine.svg").write_text("<svg/>")
    (copied / "notes.txt").write_text("not ours")
    assert check(copied) == ["RoomMachine.mmd", "TurnMachine.svg", "print.html", "OldMachine.svg"]
    drawings = [path.read_text() for path in whole.glob("*.svg")]
    # What was drawn a moment ago from the same source: to draw all takes long.
    by_source = {svg.fingerprint_of(drawing): drawing for drawing in drawings}
    monkeypatch.setattr(
        "surface.diagrams.render", lambda source: by_source[svg.fingerprint(source)]
    )
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
    assert "RoomMachine.svg" in check(copied)


def test_a_page_that_shows_another_picture_is_stale(copied: Path) -> None:
    path = copied / "print.html"
    path.write_text(path.read_text().replace("observed_gone", "observed_here"))
    assert check(copied) == ["print.html"]


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


def test_observed_arrows_and_lines_have_their_own_colour(
    drawn: Callable[[AnyChart], str],
) -> None:
    root = ET.fromstring(drawn(RoomMachine))
    classes = {text.text: text.get("class", "") for text in root.iter(f"{SVG}text") if text.text}
    assert "observed" in classes["observed_gone"]
    assert "observed" not in classes["clear"]
    arrows = [path for path in root.iter(f"{SVG}path") if "observed" in path.get("class", "")]
    assert arrows
    assert len(arrows) < len([p for p in root.iter(f"{SVG}path") if p.get("data-et") == "edge"])


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_state_and_label_stands_in_the_drawing_as_text(
    chart: AnyChart, drawn: Callable[[AnyChart], str]
) -> None:
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


def test_the_chapter_tells_the_theory_of_every_machine() -> None:
    chapter = (COMMITTED / "README.md").read_text()
    for chart in MACHINES:
        described = describe(chart)
        assert f"({described.name}.svg)" in chapter
        assert described.theory.splitlines()[0] in chapter
        assert "\n----" not in chapter, "underlined headings became headings of the chapter"
