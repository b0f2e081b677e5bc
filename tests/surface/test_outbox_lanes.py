"""What the outbox keeps in one order."""

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
from surface.lanes import lane_of


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
