"""What lives is shown on a machine's picture, and not by colour alone."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from machines import MACHINES, RoomMachine
from machines.tables import describe
from surface.diagrams.drawn import drawn
from surface.diagrams.lit import lit
from tests.machines.kit import AnyChart, named

SVG = "{http://www.w3.org/2000/svg}"


def shown(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def box(root: ET.Element, state: str) -> ET.Element:
    (found,) = [g for g in root.iter(f"{SVG}g") if g.get("data-state") == state]
    return found


def marks(root: ET.Element, state: str) -> list[str]:
    """What is written on the marks of a state."""
    inside = box(root, state).findall(f"{SVG}g[@class='marks']")
    return [text.text or "" for group in inside for text in group.iter(f"{SVG}text")]


def rings(root: ET.Element, name: str = "ring") -> list[str]:
    groups = [g for g in root.iter(f"{SVG}g") if g.get("data-state")]
    return [
        g.get("data-state", "")
        for g in groups
        if g.find(f".//{SVG}rect[@class='{name}']") is not None
    ]


def walked(root: ET.Element) -> list[tuple[str, str]]:
    """The arrows and lines that are emphasised: (ends or text, tag)."""
    found = [e for e in root.iter() if "walked" in (e.get("class") or "").split()]
    return [
        (e.text or f"{e.get('data-source')} → {e.get('data-target')}", e.tag.removeprefix(SVG))
        for e in found
    ]


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_the_current_state_has_a_ring_and_says_so(chart: AnyChart) -> None:
    for state in describe(chart).states:
        root = shown(lit(drawn(chart.__name__), current=state.id))
        assert rings(root) == [state.id]
        assert [s.id for s in describe(chart).states if marks(root, s.id)] == [state.id]
        assert marks(root, state.id) == ["now"]


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_step_of_a_machine_can_be_shown(chart: AnyChart) -> None:
    """So no arrow lacks its ends, and no line its event."""
    for way in describe(chart).transitions:
        step = (way.source, way.event, way.target)
        emphasised = walked(shown(lit(drawn(chart.__name__), current=None, path=[step])))
        lines = [text for text, tag in emphasised if tag == "text"]
        assert any(text.startswith(way.event) for text in lines), step
        assert ("path" in [tag for _, tag in emphasised]) is (way.source != way.target), step


def test_a_path_emphasises_its_arrows_its_lines_and_the_states_it_came_through() -> None:
    path = [
        ("unprovisioned", "provision", "bound"),
        ("bound", "save", "bound"),
        ("bound", "clear", "cleared"),
    ]
    root = shown(lit(drawn("RoomMachine"), current="cleared", path=path))
    assert [what for what, tag in walked(root) if tag == "path"] == [
        "unprovisioned → bound",
        "bound → cleared",
    ]
    lines = [what for what, tag in walked(root) if tag == "text"]
    assert {line.partition(" ")[0] for line in lines if line[0].isalpha()} == {
        "provision",
        "save",
        "clear",
    }
    assert rings(root) == ["cleared"]
    assert set(rings(root, "ring visited")) == {"unprovisioned", "bound"}


def test_a_step_that_is_drawn_for_all_states_at_once_is_found() -> None:
    root = shown(
        lit(drawn("RoomMachine"), current="lost", path=[("home", "observed_gone", "lost")])
    )
    assert ("any_other → lost", "path") in walked(root)
    assert "observed_replaced" not in [what for what, _ in walked(root)]


def test_counts_stand_at_their_states() -> None:
    root = shown(lit(drawn("RoomMachine"), current="home", counts={"bound": 12345, "home": 0}))
    assert marks(root, "bound") == ["12,345"]
    assert marks(root, "home") == ["now", "0"]
    assert marks(root, "lost") == []


def test_states_and_steps_the_picture_does_not_have_are_passed_over() -> None:
    plain = lit(drawn("RoomMachine"), current=None)
    assert (
        lit(
            drawn("RoomMachine"),
            current="asleep",
            path=[("asleep", "wake", "awake")],
            counts={"gone": 2},
        )
        == plain
    )


def test_what_was_shown_before_is_taken_away() -> None:
    once = lit(
        drawn("RoomMachine"),
        current="home",
        path=[("bound", "clear", "cleared")],
        counts={"home": 3},
    )
    assert lit(once, current="lost") == lit(drawn("RoomMachine"), current="lost")


def test_marks_of_one_state_do_not_cover_each_other() -> None:
    counts = {state.id: 10_000 for state in describe(RoomMachine).states}
    for state in counts:
        root = shown(lit(drawn("RoomMachine"), current=state, counts=counts))
        flag, count = (
            box(root, state).find(f".//{SVG}rect[@class='{n}']") for n in ("flag", "count")
        )
        assert flag is not None
        assert count is not None
        assert float(flag.get("x", 0)) + float(flag.get("width", 0)) <= float(count.get("x", 0))


def test_light_and_dark_have_their_own_colours() -> None:
    style = [
        s.text or "" for s in shown(lit(drawn("TrayMachine"), current="empty")).iter(f"{SVG}style")
    ][-1]
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    assert "#TrayMachine .marks .ring" in light
    assert "#TrayMachine .marks .ring" in dark
