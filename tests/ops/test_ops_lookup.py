"""Which room an operator means, and what they are told if it is none, or more than one."""

from __future__ import annotations

from typing import Any

import pytest

from surface.ops.lookup import the_room
from surface.terminal import Failure


def room(room_id: str, label: str | None, name: str, owner: str | None = "@alice:hs") -> Any:
    return {
        "room_id": room_id,
        "room_type": "chat" if label else "home",
        "chat_id": label,
        "display_name": name,
        "matrix_user_id": owner,
    }


ROOMS = [
    room("!home:hs", None, ""),
    room("!kitchen:hs", "C1", "Kitchen"),
    room("!attic:hs", "C2", "Attic"),
    room("!bobs:hs", "C1", "Garage", "@bob:hs"),
    room("!bobs2:hs", "C2", "Attic", "@bob:hs"),
    room("!evil:hs", "C9", "\x1b[2J[red]Cellar[/red]", "@bob:hs"),
    room("!unowned:hs", None, "", None),
]
SLY = [room("!sly:hs", "C3", "C1"), room("!sly2:hs", "C4", "!kitchen:hs")]


@pytest.mark.parametrize(
    ("meant", "person", "found"),
    [
        ("!home:hs", None, "!home:hs"),
        ("!unowned:hs", None, "!unowned:hs"),
        ("C1", "@alice:hs", "!kitchen:hs"),
        ("c2", "@bob:hs", "!bobs2:hs"),
        ("C9", None, "!evil:hs"),
        ("Kitchen", None, "!kitchen:hs"),
        ("gArAgE", None, "!bobs:hs"),
        ("attic", "@bob:hs", "!bobs2:hs"),
    ],
)
def test_a_room_is_found(meant: str, person: str | None, found: str) -> None:
    assert the_room(ROOMS, meant, person)["room_id"] == found


@pytest.mark.parametrize(
    ("meant", "person", "said"),
    [
        (
            "C1",
            None,
            "C1 may be !kitchen:hs C1 “Kitchen” of @alice:hs; !bobs:hs C1 “Garage” of @bob",
        ),
        ("Attic", None, "!attic:hs C2 “Attic” of @alice:hs; !bobs2:hs"),
        (
            "Kitchn",
            None,
            "there is no room Kitchn: did you mean !kitchen:hs C1 “Kitchen” of @alice:hs?",
        ),
        ("!kitchem:hs", None, "did you mean !kitchen:hs"),
        ("C7", "@alice:hs", "there is no room C7: `surface rooms` lists them"),
        ("!home:hs", "@bob:hs", "there is no room !home:hs"),
        ("", None, "there is no room : `surface rooms` lists them"),
        ("C1", "@carol:hs", "@carol:hs has no rooms here; `surface users` lists who is known"),
        ("#kitchen:hs", None, "aliases are not kept here"),
    ],
)
def test_what_is_said_of_none_or_many(meant: str, person: str | None, said: str) -> None:
    with pytest.raises(Failure) as caught:
        the_room(ROOMS, meant, person)
    assert said in str(caught.value)


def test_no_name_stands_in_the_way_of_an_id_or_a_label() -> None:
    assert the_room([*SLY, *ROOMS], "C1", "@alice:hs")["room_id"] == "!kitchen:hs"
    assert the_room([*SLY, *ROOMS], "!kitchen:hs")["room_id"] == "!kitchen:hs"


def test_a_name_does_not_steer_the_terminal() -> None:
    with pytest.raises(Failure) as caught:
        the_room(ROOMS, "[2J[red]Cellar[/red]")
    assert "Cellar" in str(caught.value) and "\x1b" not in str(caught.value)


def test_of_many_only_some_are_named() -> None:
    many = [room(f"!{n}:hs", "C1", "Same") for n in range(8)]
    with pytest.raises(Failure, match=r"same may be !0:hs .*; 5 more\. Say its id"):
        the_room(many, "same")
