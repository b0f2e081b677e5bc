"""What a decision did to the machines, as plain values: for the log, the metrics and whoever shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.store import Table


@dataclass(frozen=True, slots=True)
class Move:
    """One event that a machine took."""

    machine: Literal["user", "room", "turn", "dialog"]
    source: str
    event: str
    target: str
    key: str
    """MXID, room id, or source event id; a dialog's is its room's id."""
    room_id: str | None
    """The room that it is about; a user's is none."""
    agent_id: str | None = None
    """Who is asked, of a turn."""


@dataclass(frozen=True, slots=True)
class Change:
    """A document that was written: which state it held, and which it holds. None: there was or is none."""

    table: Table
    before: str | None
    after: str | None
