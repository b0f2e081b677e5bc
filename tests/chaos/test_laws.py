"""The laws of a person's rooms hold where all is well, and each is seen to break."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.rig.laws import Household, broken, ids_in_use

ALICE, SPACE = "@alice:hs", "!space"
VIA = {"via": ["localhost"]}


def _chat(label: str, state: str = "bound") -> dict[str, Any]:
    return {
        "room_id": f"!{label}",
        "chat_id": label,
        "state": state,
        "matrix_user_id": ALICE,
        "space_id": SPACE,
        "display_name": f"Name {label}",
        "agent_id": "echo",
        "platform_chat_id": f"7{label}",
        "previous_chat_id": None,
    }


@pytest.fixture
def home() -> Household:
    """A Space with a chat that is bound and one that is archived."""
    chats = [_chat("C1"), _chat("C2", "archived")]
    states: dict[str, Any] = {
        f"!{label}": {
            ("m.room.name", ""): {"name": f"Name {label}"},
            ("m.room.topic", ""): {"topic": "Agent: Echo."},
            ("m.space.parent", SPACE): dict(VIA),
        }
        for label in ("C1", "C2")
    }
    states[SPACE] = {("m.space.child", "!C1"): {**VIA, "order": "00000001"}}
    return Household(
        user={"user_id": ALICE, "space_id": SPACE, "creations": {}, "next_chat_index": 3},
        chats=chats,
        index={
            f"chat:{ALICE}:{chat['chat_id']}": {
                "surface_ref": chat["room_id"],
                "name": chat["display_name"],
            }
            for chat in chats
        },
        markers={
            SPACE: {"kind": "space", "nonce": "n0", "chat_id": None},
            "!C1": {"kind": "chat", "nonce": "n1", "chat_id": "C1"},
            "!C2": {"kind": "chat", "nonce": "n2", "chat_id": "C2"},
        },
        states=states,
        agents={"echo": "Echo"},
    )


def test_all_is_well(home: Household) -> None:
    assert broken(home) == []
    assert len(ids_in_use(home.chats)) == len(dict(ids_in_use(home.chats))) == 4


BREAKS: dict[str, Callable[[Any], Any]] = {
    "creations left": lambda h: h.user["creations"].update(n9={}),
    "has the Spaces": lambda h: h.markers.update({"!two": {"kind": "space", "nonce": "n9"}}),
    "in Matrix but not in the store": lambda h: h.markers.update(
        {"!C3": {"kind": "chat", "nonce": "n9"}}
    ),
    "only there": lambda h: h.markers.pop("!C2"),
    "two rooms of one nonce": lambda h: h.markers["!C2"].update(nonce="n1"),
    "two chats of one label": lambda h: h.chats[1].update(chat_id="C1"),
    "will get a label again": lambda h: h.user.update(next_chat_index=2),
    "is lost": lambda h: h.chats[0].update(state="lost"),
    "is stored in the Space": lambda h: h.chats[0].update(space_id="!other"),
    "is marked as": lambda h: h.markers["!C1"].update(chat_id="C9"),
    "is in the index as": lambda h: h.index.clear(),
    "is called": lambda h: h.chats[0].update(display_name="Else"),
    "has the agent": lambda h: h.states["!C1"].pop(("m.room.topic", "")),
    "is in the Space as": lambda h: h.states[SPACE].clear(),
    "knows its Space as": lambda h: h.states["!C1"].pop(("m.space.parent", SPACE)),
    "still in the Space": lambda h: h.states[SPACE].update({("m.space.child", "!C2"): VIA}),
}


@pytest.mark.parametrize("words", BREAKS)
def test_what_breaks_a_law_is_told(home: Household, words: str) -> None:
    household = copy.deepcopy(home)
    BREAKS[words](household)
    assert any(words in law for law in broken(household)), broken(household)
