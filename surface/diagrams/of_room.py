"""One room's machines on their pictures: the state each is in, and the way it came there as far as known."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

from machines import MACHINES
from machines.tables import describe
from store.history import Machine
from surface.diagrams.command import named
from surface.diagrams.drawn import drawn
from surface.diagrams.lit import lit
from surface.ops.standing import Standings
from surface.terminal import Failure

NAMES: Final[dict[str, Machine]] = {
    f"{kind.capitalize()}Machine": kind for kind in get_args(Machine)
}
"""The machines that a room has, by the names of their classes."""


def picture(found: Standings, name: str = "RoomMachine") -> str:
    """The SVG of one of a room's machines, with what it is and was.

    Args:
        name: of a turn's machine: the turn that runs, or ran last; of the others there is only one.

    Raises:
        Failure: there is no such machine, or only a running bot knows of it.
    """
    name = named(name)
    kind = NAMES[name]
    steps, current = found.steps_of(kind), found.state_of(kind)
    if current is None and kind in ("turn", "dialog", "tray") and not found.running:
        raise Failure(
            f"the bot is stopped, and nothing is kept of a {kind}: only a running bot knows"
        )
    if current is None and steps:
        current = steps[-1].target
    if current is None and kind in ("dialog", "tray"):
        (chart,) = (chart for chart in MACHINES if chart.__name__ == name)
        current = next(state.id for state in describe(chart).states if state.initial)
    path = [(step.source, step.event, step.target) for step in steps]
    return lit(drawn(name), current=current, path=path)


def file_name(found: Standings, name: str = "RoomMachine") -> Path:
    """What the file of such a picture is called: by the room's label, or by what kind of room it is."""
    kind = NAMES[named(name)]
    of = "" if kind == "room" else f"-{kind}"
    return Path(f"{found.room['chat_id'] or found.room['room_type'] or 'room'}{of}.svg")
