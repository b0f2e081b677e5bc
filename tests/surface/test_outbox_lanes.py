"""What the outbox keeps in one order."""

import pytest

from machines.effects import Effect, Notice, RenameRoom, SetParent, SetTopic, Text
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
