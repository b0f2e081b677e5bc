"""DialogMachine: a question the bot has put in a room, and that waits for the person's next word.

Theory of operation
-------------------
One machine per room, in memory only: a restart forgets the question, and that is right, because its
answer would come from another conversation. No state here can be stored, by construction.

`choosing` offers numbered choices (agents, saves); `confirming` asks `!yes` or `!no`. A newer
question replaces an older one. A number outside the list keeps the list open and says what is
allowed. Any other command or plain message cancels the question, and one timer per dialog makes it
expire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from machines.chart import Chart, TransientState
from machines.effects import Amend, Notice, Text

KEYCAPS = tuple(f"{n}\ufe0f\u20e3" for n in range(1, 10))
"""The reactions that stand for the numbers of a list."""
YES, NO = "✅", "❌"
"""The reactions that stand for `!yes` and `!no`."""


@dataclass
class Dialog:
    """What is asked in a room right now."""

    room_id: str
    purpose: Literal["agent", "load", "archive", "forget", "agent_question", "bind"] | None = None
    choices: list[str] = field(default_factory=list)
    """Ids behind the numbers 1, 2, …"""
    labels: list[str] = field(default_factory=list)
    """Their names, where a name can be chosen by too."""
    list_event_id: str | None = None
    """The bot's message that shows the list or the question, once it is sent."""
    subject: str | None = None
    """What a confirmation is about: an id of the agent's question, a name."""
    outcome: str | None = None
    """The choice taken, or `yes` / `no`."""


class DialogMachine(Chart[Dialog]):
    """Transient machine of one room's open question.

    {table}
    """

    idle = TransientState(initial=True)
    choosing = TransientState()
    confirming = TransientState()

    offer = (
        idle.to(choosing, on="show_choices")
        | choosing.to(choosing, on="show_choices")
        | confirming.to(choosing, on="show_choices")
    )
    ask = (
        idle.to(confirming, on="show_question")
        | choosing.to(confirming, on="show_question")
        | confirming.to(confirming, on="show_question")
    )
    posted = choosing.to.itself(internal=True, on="note_list") | confirming.to.itself(
        internal=True, on="note_list"
    )
    pick = choosing.to(idle, cond="in_range", on="take_choice") | choosing.to.itself(
        internal=True, on="say_range"
    )
    yes = confirming.to(idle, on="take_yes")
    no = confirming.to(idle, on="take_no")
    cancel = choosing.to(idle, on="say_cancelled") | confirming.to(idle, on="say_cancelled")
    expire = choosing.to(idle, on="say_expired") | confirming.to(idle, on="say_expired")

    def in_range(self, number: int) -> bool:
        """The number stands in the list."""
        return 1 <= number <= len(self.record.choices)

    def show_choices(
        self,
        purpose: Literal["agent", "load"],
        choices: list[str],
        text: Text,
        labels: Sequence[str] = (),
        event_id: str | None = None,
    ) -> None:
        """Put a numbered list into the room."""
        r = self.record
        r.purpose, r.choices, r.subject, r.outcome = purpose, list(choices), None, None
        r.labels, r.list_event_id = list(labels), None
        taps = KEYCAPS[: len(choices)]
        self.want(Notice(r.room_id, text, reply_to=event_id, dialog=True, taps=taps))

    def show_question(
        self,
        purpose: Literal["archive", "forget", "agent_question", "bind"],
        text: Text,
        subject: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Put a yes-or-no question into the room."""
        r = self.record
        r.purpose, r.choices, r.subject, r.outcome = purpose, [], subject, None
        r.labels, r.list_event_id = [], None
        self.want(Notice(r.room_id, text, reply_to=event_id, dialog=True, taps=(YES, NO)))

    def note_list(self, list_event_id: str) -> None:
        """The list is in the room: a reply to it is a choice."""
        self.record.list_event_id = list_event_id

    def say_cancelled(self) -> None:
        """Something else was said: a question that changes things is visibly closed."""
        if self.record.purpose != "agent":
            self._amend("dialog-cancelled")

    def say_expired(self) -> None:
        """Nobody answered in time."""
        self._amend("dialog-expired")

    def _amend(self, key: str) -> None:
        r = self.record
        if r.list_event_id is not None:
            self.want(Amend(r.room_id, r.list_event_id, Text(key)))

    def take_choice(self, number: int) -> None:
        """The id behind the number is the outcome."""
        self.record.outcome = self.record.choices[number - 1]

    def say_range(self, number: int, event_id: str | None = None) -> None:
        """Say which numbers there are, and keep the list open."""
        text = Text("choice-out-of-range", {"number": number, "last": len(self.record.choices)})
        self.want(Notice(self.record.room_id, text, reply_to=event_id))

    def take_yes(self) -> None:
        """Confirmed."""
        self.record.outcome = "yes"

    def take_no(self) -> None:
        """Declined."""
        self.record.outcome = "no"
