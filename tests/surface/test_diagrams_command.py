"""`surface diagrams` as it is typed: all files, one machine, one event, one page; and what cannot be had."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from machines import MACHINES, RoomMachine
from machines.tables import describe
from surface.diagrams import FORMATS, book, mermaid, page, table, text
from surface.diagrams.drawn import drawn
from tests.machines.kit import AnyChart, named
from tests.rig.cli import PROJECT, Installation, run

NAMES = [chart.__name__ for chart in MACHINES]


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def said(*words: str, cwd: Path = PROJECT) -> str:
    done = run("diagrams", *words, cwd=cwd, env={})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("word", ["RoomMachine", "ROOM"])
def test_a_machine_is_shown_as_it_was_drawn(word: str, tmp_path: Path) -> None:
    """Nothing is drawn for it, wherever one is."""
    assert said(word, cwd=tmp_path) == drawn("RoomMachine")
    assert list(tmp_path.iterdir()) == []


def test_a_machine_in_each_form() -> None:
    machine = describe(RoomMachine)
    assert said("room", "--format", "mermaid") == mermaid.source(machine)
    assert said("room", "--format", "markdown") == table.page(machine)
    assert said("room", "--format", "mermaid", "-o", "-") == mermaid.source(machine)
    assert said("room", "--format", "html").startswith("<!DOCTYPE html>")


def test_the_chapter_about_all() -> None:
    machines = [describe(chart) for chart in MACHINES]
    assert said("--format", "markdown") == book.readme(machines, files=False)
    assert said("--format", "html") == (PROJECT / "diagrams" / "print.html").read_text()


def test_the_way_of_an_event() -> None:
    source = said("room", "--event", "clear", "-f", "mermaid")
    assert source.startswith("---\ntitle: RoomMachine · clear\n")
    shown = said("room", "--event", "clear")
    assert "RoomMachine takes clear" in ["".join(t.itertext()) for t in ET.fromstring(shown).iter()]


@pytest.mark.parametrize("form", ["svg", "html"])
def test_a_folder_gets_what_is_asked_for(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "deep" / "folder"
    told = said("room", "-f", form, "-o", str(folder))
    (file,) = folder.iterdir()
    assert told == f"{file}\n"
    assert file.name == f"RoomMachine.{FORMATS[form]}"  # type: ignore[index]
    assert file.read_text() == text("RoomMachine", form)  # type: ignore[arg-type]


def test_a_folder_gets_a_file_for_each_machine(tmp_path: Path) -> None:
    said("--format", "mermaid", "--output", str(tmp_path))
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}.mmd" for name in NAMES}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("rom",), f"there is no machine 'rom'; one of {', '.join(NAMES)}"),
        (("tray", "-e", "sing"), "TrayMachine has no event 'sing'; one of collect, drop, expire"),
        (("-e", "clear"), "--event needs the machine that takes it; one of UserMachine"),
        (("-o", "-"), "all diagrams are several files: name a machine"),
        (("--user", "@a:hs"), "--user says whose --room is meant"),
        (("-f", "svg"), "of all machines svg is several files: name one of UserMachine"),
        (("room", "-e", "clear", "-f", "html"), "an event's way is a picture: svg or mermaid"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, tuple) else "",
)
def test_what_cannot_be_had_is_refused_with_what_can(
    here: Installation, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in here.complaint("diagrams", *words)


def test_a_folder_that_cannot_be_made(here: Installation) -> None:
    there = here.root / "file"
    there.write_text("")
    assert here.complaint("diagrams", "room", "-o", str(there)) == f"{there}: File exists"


class Page(HTMLParser):
    """What a page fetches, shows and leads to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.figures: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag != "a":
            self.fetched += [told[n] for n in ("src", "href", "srcset", "data") if n in told]
        if tag == "a":
            self.links.append(told["href"])
        if "id" in told:
            self.anchors.append(told["id"])
        if tag == "figure":
            self.figures.append(told["aria-label"])

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_to_print_is_whole_in_itself() -> None:
    html = (PROJECT / "diagrams" / "print.html").read_text()
    shown = Page(html)
    assert shown.fetched == []
    assert not {"script", "img", "link", "iframe", "object"} & set(shown.tags)
    assert re.findall(r"@import|url\((?!#)", html) == []
    assert len(html) < 1_000_000
    assert shown.figures == [
        "All machines, who sends them events, and what is stored",
        *(f"States of {name}" for name in NAMES),
        "The way of one event, from the inbox to its effect and back",
    ]
    assert set(shown.links) == {f"#{name.lower()}" for name in NAMES}
    assert len(shown.anchors) == len(set(shown.anchors)), "pictures on one page share no ids"
    assert {link.removeprefix("#") for link in shown.links} <= set(shown.anchors)
    assert "@media print" in html
    assert "prefers-color-scheme" in html


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_the_page_says_all_that_the_tables_say(chart: AnyChart) -> None:
    words = "".join(Page((PROJECT / "diagrams" / "print.html").read_text()).words)
    machine = describe(chart)
    for way in machine.transitions:
        assert way.event in words
        assert all(effect in words for effect in way.effects)
    assert " ".join(machine.theory.split("\n\n")[0].split()) in " ".join(words.split())


def test_a_picture_that_is_missing_makes_no_page() -> None:
    with pytest.raises(KeyError, match="RoomMachine"):
        page.html("x", "[![States](RoomMachine.svg)](RoomMachine.svg)", {})


def test_the_chapter_is_as_expected(snapshot: SnapshotAssertion) -> None:
    machines = [describe(chart) for chart in MACHINES]
    assert book.readme(machines) == snapshot
    assert page.html("The machines", "# A\n\n| a |\n| --- |\n| `b` |\n", {}) == snapshot
