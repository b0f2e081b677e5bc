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

from dataclasses import dataclass, field
from typing import Literal

from machines.chart import Chart, TransientState
from machines.effects import Notice, Text


@dataclass
class Dialog:
    """What is asked in a room right now."""

    room_id: str
    purpose: Literal["agent", "load", "archive", "forget", "agent_question", "bind"] | None = None
    choices: list[str] = field(default_factory=list)
    """Ids behind the numbers 1, 2, …"""
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
    cancel = choosing.to(idle) | confirming.to(idle)
    expire = choosing.to(idle) | confirming.to(idle)

    def in_range(self, number: int) -> bool:
        """The number stands in the list."""
        return 1 <= number <= len(self.record.choices)

    def show_choices(
        self,
        purpose: Literal["agent", "load"],
        choices: list[str],
        text: Text,
        event_id: str | None = None,
    ) -> None:
        """Put a numbered list into the room."""
        r = self.record
        r.purpose, r.choices, r.subject, r.outcome = purpose, list(choices), None, None
        r.list_event_id = None
        self.want(Notice(r.room_id, text, reply_to=event_id, dialog=True))

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
        r.list_event_id = None
        self.want(Notice(r.room_id, text, reply_to=event_id, dialog=True))

    def note_list(self, list_event_id: str) -> None:
        """The list is in the room: a reply to it is a choice."""
        self.record.list_event_id = list_event_id

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
