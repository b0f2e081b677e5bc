"""TrayMachine: files a person has sent without words, waiting for the message they belong to.

Theory of operation
-------------------
One machine per room, in memory only. A file without a caption is staged (`holding`); the next
message takes all staged files along; `drop` or a timer empties the tray. The files themselves lie
in the workspace; a restart forgets that they were staged, not the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from machines.chart import Chart, TransientState


@dataclass
class Tray:
    """The staged files of a room, as workspace paths in the order they came."""

    room_id: str
    staged: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    """What the last `collect` took along."""


class TrayMachine(Chart[Tray]):
    """Transient machine of one room's staged attachments.

    {table}
    """

    empty = TransientState(initial=True)
    holding = TransientState()

    stage = empty.to(holding, on="add") | holding.to.itself(internal=True, on="add")
    collect = holding.to(empty, on="hand_over")
    drop = holding.to(empty, on="throw_away")
    expire = holding.to(empty, on="throw_away")

    def add(self, path: str) -> None:
        """One more file waits."""
        self.record.staged.append(path)

    def hand_over(self) -> None:
        """The message takes them all."""
        self.record.taken, self.record.staged = self.record.staged, []

    def throw_away(self) -> None:
        """Forget them."""
        self.record.staged = []
