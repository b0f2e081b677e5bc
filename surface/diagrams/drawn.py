"""The pictures as they were drawn and committed: for who wants to show one, not to draw it.

An installed wheel carries them as package data; a source checkout has them in `diagrams/`. So
nobody needs mermaidx to see a machine.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from machines import MACHINES

NAMES = (*(machine.__name__ for machine in MACHINES), "Overview", "Sequence")
"""The pictures there are: the machines, all of them at a glance, and the way of an event."""


class NotDrawn(LookupError):
    """There is no picture of that name."""


def drawn(machine_name: str) -> str:
    """The committed SVG of a machine, or of another picture of `NAMES`.

    Args:
        machine_name: name of its class (`RoomMachine`).

    Raises:
        NotDrawn: there is no such machine, or this installation lacks its picture.
    """
    if machine_name not in NAMES:
        raise NotDrawn(f"there is no picture {machine_name!r}; one of {', '.join(NAMES)}")
    for place in _places():
        picture = place / f"{machine_name}.svg"
        if picture.is_file():
            return picture.read_text(encoding="utf-8")
    raise NotDrawn(
        f"{machine_name}.svg is not in this installation; "
        "in a source checkout `surface diagrams` draws it"
    )


def _places() -> tuple[Traversable, ...]:
    """Where pictures may be: the wheel's package data, or the checkout's own folder."""
    return files("surface.diagrams") / "pictures", Path(__file__).parents[2] / "diagrams"
