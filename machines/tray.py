"""TrayMachine: files a person has sent without words, waiting for the message they belong to.

Theory of operation
-------------------
One machine per room and person, in memory only. A file without a caption is staged (`holding`); the
person's next message takes all staged files along. `drop` or a timer empties the tray; `unstage`
takes out one file: it was taken back, or could not be fetched. A file that waits has a sign in the room
(`signed`), which is taken back when no message took the file along. The files themselves lie in
the workspace; a restart forgets that they were staged, not the files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from machines.chart import Chart, TransientState
from machines.effects import FileIn, Notice, Text, UnsignStaged

MOST_STAGED = 50
"""Files that one message takes along at most."""


@dataclass
class Tray:
    """The staged files of a person in a room, in the order they came."""

    room_id: str
    user_id: str
    staged: list[FileIn] = field(default_factory=list)
    taken: list[FileIn] = field(default_factory=list)
    """What the last `collect` took along."""
    signs: dict[str, str] = field(default_factory=dict)
    """By the event of a staged file, the event of the sign that it waits."""

    def holds(self, event_id: str) -> bool:
        """Whether the file of an event is staged."""
        return any(file.event_id == event_id for file in self.staged)


class TrayMachine(Chart[Tray]):
    """Transient machine of one person's staged files in one room.

    {table}
    """

    empty = TransientState(initial=True)
    holding = TransientState()

    stage = empty.to(holding, on="add") | holding.to.itself(
        internal=True, cond="has_place", on="add"
    )
    unstage = holding.to(empty, cond="is_the_last", on="take_out") | holding.to.itself(
        internal=True, on="take_out"
    )
    signed = holding.to.itself(internal=True, on="note_sign")
    collect = holding.to(empty, on="hand_over")
    drop = holding.to(empty, on="throw_away")
    expire = holding.to(empty, on="say_expired")

    def has_place(self) -> bool:
        """One more file can be taken along."""
        return len(self.record.staged) < MOST_STAGED

    def is_the_last(self, event_id: str) -> bool:
        """There is no other file in the tray."""
        return all(file.event_id == event_id for file in self.record.staged)

    def add(self, file: FileIn) -> None:
        """One more file waits."""
        self.record.staged.append(file)

    def take_out(self, event_id: str) -> None:
        """This one does not wait any more."""
        self.record.staged = [f for f in self.record.staged if f.event_id != event_id]
        self.record.signs.pop(event_id, None)

    def note_sign(self, event_id: str, sign_id: str) -> None:
        """The room shows that this file waits."""
        self.record.signs[event_id] = sign_id

    def hand_over(self) -> None:
        """The message takes them all."""
        self.record.taken, self.record.staged = self.record.staged, []
        self.record.signs = {}

    def throw_away(self) -> None:
        """Forget them."""
        self.record.staged = []
        self._unsign()

    def say_expired(self) -> None:
        """No message came in time: who thinks that the files are with the agent is told."""
        r = self.record
        files = ", ".join(file.name for file in r.staged[:5])
        text = Text("tray-expired", {"n": len(r.staged), "files": files})
        self.want(Notice(r.room_id, text, reply_to=r.staged[-1].event_id))
        r.staged = []
        self._unsign()

    def _unsign(self) -> None:
        self.want(*(UnsignStaged(self.record.room_id, sign) for sign in self.record.signs.values()))
        self.record.signs = {}
