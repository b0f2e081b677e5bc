"""What is found among people and rooms, in which order, and how much of it leaves the process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.roster import RoomLine, UserLine, roster
from store.store import StoreError
from surface.inspector.find import PAGE, Finder, Question, found, page
from tests.inspector.standing import fill

ALICE, BOB = UserLine("@alice:hs", "ready"), UserLine("@bob:hs", "choosing")
HOME = RoomLine("!home", "@alice:hs", "", "", "home", "")
KITCHEN = RoomLine("!one", "@alice:hs", "C1", "Kitchen", "bound", "echo")
TENTH = RoomLine("!ten", "@alice:hs", "C10", "Путешествие", "archived", "echo")
BOBS = RoomLine("!bobs", "@bob:hs", "C1", "About alice", "bound", "shout")
ROOMS = [TENTH, BOBS, KITCHEN, HOME]


def asked(**question: Any) -> list[UserLine | RoomLine]:
    return found(Question(**question), [BOB, ALICE], ROOMS)


def test_nothing_asked_finds_everything_by_owner_and_label() -> None:
    assert asked() == [ALICE, HOME, KITCHEN, TENTH, BOB, BOBS]


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("C1", [KITCHEN, BOBS, TENTH]),
        ("c10", [TENTH]),
        ("!one", [KITCHEN]),
        ("one", [KITCHEN]),
        ("  kitchen ", [KITCHEN]),
        ("ПУТЕШ", [TENTH]),
        ("@bob:hs", [BOB, BOBS]),
        ("bob", [BOB, BOBS]),
        ("alice", [ALICE, HOME, KITCHEN, TENTH, BOBS]),
        ("%", []),
        ("nobody", []),
    ],
)
def test_what_is_found_by_words(words: str, first: list[UserLine | RoomLine]) -> None:
    assert asked(words=words) == first


def test_by_state_owner_and_place() -> None:
    assert asked(machine="user", state="choosing") == [BOB]
    assert asked(machine="room", state="bound") == [KITCHEN, BOBS]
    assert asked(machine="room", owner="@bob:hs") == [BOBS]
    assert asked(words="alice", machine="room", state="home") == [HOME]
    assert asked(machine="room", among={"!ten"}) == [TENTH]
    assert asked(machine="room", among=()) == []


@pytest.mark.parametrize(("number", "got"), [(0, 1), (1, 1), (3, 3), (99, 3)])
def test_pages(number: int, got: int) -> None:
    rooms = [RoomLine(f"!{n}", "@a:hs", f"C{n}", "", "bound", "") for n in range(1, 2 * PAGE + 4)]
    told = page(list(rooms), number)
    assert (told["page"], told["pages"], told["total"]) == (got, 3, 2 * PAGE + 3)
    assert len(told["found"]) == (3 if got == 3 else PAGE)
    assert page([], number) == {"total": 0, "page": 1, "pages": 1, "found": []}


async def test_among_ten_thousand_rooms_a_page_is_a_page(tmp_path: Path) -> None:
    await fill(tmp_path / "db", 10_000)
    finder = Finder(tmp_path / "db")
    everything = await finder.page(Question(), 1)
    assert (everything["total"], len(everything["found"])) == (20_000, PAGE)
    one = await finder.page(Question("kitchen 07777"), 1)
    assert [line["id"] for line in one["found"]] == ["!room07777"]
    last = await finder.page(Question(machine="room", state="cleared"), 99_999)
    assert last["page"] == last["pages"]
    assert {line["state"] for line in last["found"]} == {"cleared"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "db").write_text("no database, whatever else")
    with pytest.raises(StoreError, match="cannot be read"):
        roster(tmp_path / "db")
