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
from surface.case import Row
from surface.outbox import lane_of


@pytest.mark.parametrize(
    "effect",
    [RenameRoom("!r", "name"), SetTopic("!r", "echo"), SetParent("!r", "!space", linked=True)],
)
def test_a_rooms_state_never_goes_out_beside_a_message(effect: Effect) -> None:
    """Sent at once they fork the room, and /sync tells clients the state of before."""
    said = Row("k/0", 1, Notice("!r", Text("renamed")), "en")
    assert lane_of(Row("k/1", 2, effect, "en")) == lane_of(said)


def test_a_space_is_left_after_its_links() -> None:
    """Who has left cannot take anything out any more."""
    unlinked = Row("k/0", 1, UnlinkChild("!space", "!r"), "en")
    linked = Row("k/1", 2, LinkChild("!space", "!r", "1"), "en")
    left = Row("k/2", 3, LeaveRoom("!space"), "en")
    assert lane_of(unlinked) == lane_of(linked) == lane_of(left)
