"""What a decision did to the machines, as plain values: for the log, the metrics and whoever shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from machines.effects import Effect
from store.history import Cause, Machine, Step, Wanted
from store.store import Table
from surface.lanes import lane_kind


@dataclass(frozen=True, slots=True)
class Move:
    """One event that a machine took."""

    machine: Machine
    source: str
    event: str
    target: str
    key: str
    """MXID, room id, or source event id; a dialog's is its room's id, a tray's its person's."""
    room_id: str | None
    """The room that it is about; a user's is none."""
    agent_id: str | None = None
    """Who is asked, of a turn."""
    effects: tuple[Effect, ...] = ()
    """What the machine wanted done by it."""

    @property
    def moved(self) -> bool:
        """Whether the state is another one since."""
        return self.source != self.target

    def step(self, at: str, cause: Cause) -> Step:
        """The move as it is recorded: of the effects their names only."""
        key = self.key if self.machine in ("turn", "tray") else ""
        return Step(
            self.machine,
            self.source,
            self.event,
            self.target,
            at,
            cause,
            tuple(_wanted(self.effects)),
            key,
        )


@dataclass(frozen=True, slots=True)
class Change:
    """A document that was written: which state it held, and which it holds. None: there was or is none."""

    table: Table
    before: str | None
    after: str | None


def _wanted(effects: Iterable[Effect]) -> Iterable[Wanted]:
    return {type(e): Wanted(type(e).__name__, lane_kind(e)) for e in effects}.values()
