"""What lives only as long as the process: open dialogs, trays, and how far running turns have come.

Deliberately never stored. A decision works on copies; what it changed is taken over when, and only when, its
commit has succeeded.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from machines import Pool
from machines.dialog import Dialog
from machines.effects import SendFile
from machines.tray import Tray


@dataclass
class Progress:
    """How far a running turn has come."""

    room_id: str
    state: str
    text: str = ""
    status: str = ""
    """What the agent says it is doing, if it has said nothing since."""
    files: list[SendFile] = field(default_factory=list)
    """Files of the answer, in order; the turn's document knows how many of them are sent."""
    shown: bool = False
    """The answer is growing in the room: what comes with it is sent at once."""
    edits: int = 0
    """How often the growing answer was edited."""


@dataclass
class Memory:
    """All transient state of the process."""

    dialogs: dict[str, tuple[Dialog, str]] = field(default_factory=dict)
    """By room id: the record and the machine's state; idle dialogs are not kept."""
    trays: dict[tuple[str, str], tuple[Tray, str]] = field(default_factory=dict)
    """By room id and person; empty ones are not kept."""
    running: dict[str, Progress] = field(default_factory=dict)
    """By source event id."""
    pace: dict[str, list[float]] = field(default_factory=dict)
    """By person: when they said something within the last minute, by the homeserver's clock."""
    warned: dict[str, float] = field(default_factory=dict)
    """By person: when they were last told that they are too fast."""
    waiting: dict[str, int] = field(default_factory=dict)
    """By person: how many of their turns wait or run."""
    latest: dict[str, str] = field(default_factory=dict)
    """By room: the last message in it that is not ours."""
    asked_anew: set[str] = field(default_factory=set)
    """Persons who were asked to choose since the start though their room can talk."""
    machines: Pool = field(default_factory=Pool)
    """Machines to use again; what they stood for is not in them."""

    def turns_in(self, room_id: str) -> dict[str, str]:
        """The states of the turns that run in a room, by source event id."""
        its = ((turn, run) for turn, run in self.running.items() if run.room_id == room_id)
        return {turn: run.state for turn, run in its}

    def trays_in(self, room_id: str) -> dict[str, tuple[Tray, str]]:
        """The trays of a room, by person."""
        return {person: its for (room, person), its in self.trays.items() if room == room_id}
