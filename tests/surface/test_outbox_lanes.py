"""What the outbox keeps in one order."""

from typing import get_args

import pytest

from machines.effects import (
    Effect,
    LeaveRoom,
    LinkChild,
    Notice,
    RenameRoom,
    SetParent,
    SetTopic,
    Text,
    UnlinkChild,
)
from surface.diagrams.origins import lanes
from surface.lanes import AT_ONCE, lane_of


@pytest.mark.parametrize(
    "effect",
    [RenameRoom("!r", "name"), SetTopic("!r", "echo"), SetParent("!r", "!space", linked=True)],
)
def test_a_rooms_state_never_goes_out_beside_a_message(effect: Effect) -> None:
    """Sent at once they fork the room, and /sync tells clients the state of before."""
    assert lane_of(effect) == lane_of(Notice("!r", Text("renamed")))


def test_a_space_is_left_after_its_links() -> None:
    """Who has left cannot take anything out any more."""
    unlinked, linked = UnlinkChild("!space", "!r"), LinkChild("!space", "!r", "1")
    assert lane_of(unlinked) == lane_of(linked) == lane_of(LeaveRoom("!space"))


@pytest.mark.parametrize("kind", get_args(Effect), ids=lambda kind: kind.__name__)
def test_what_is_followed_at_once_is_what_the_decision_follows(kind: type) -> None:
    assert (kind in AT_ONCE) == (lanes()[kind.__name__] == "decision")
