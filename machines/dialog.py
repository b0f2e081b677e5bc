"""DialogMachine: a question the bot has put in a room, and that waits for the person's next word.

Theory of operation
-------------------
One machine per room, in memory only: a restart forgets the question, and that is right, because its
answer would come from another conversation. No state here can be stored, by construction.

`choosing` offers numbered choices (agents, saves); `confirming` asks `!yes` or `!no`. A newer
question of the bot's replaces an older one, which then says that it is closed. A number outside the
list keeps the list open and says what is allowed. Any other command or plain message cancels the
question, and one timer per dialog makes it expire.

An agent's question never takes the place of another: who is about to answer one must not find that
they have answered the next. So it waits (`agent_asks`) until the room is free (`next`). An agent is
always told how its question ended; one that nobody wants to answer is answered no. `agent_done`: the
agent's turn is over, nobody waits for an answer any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from machines.chart import Chart, TransientState
from machines.effects import Amend, Notice, SettleQuestion, Text

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
    waiting: list[tuple[str, Text, str | None]] = field(default_factory=list)
    """An agent's questions that are not asked yet: their ids, what they say, and in which thread."""


class DialogMachine(Chart[Dialog]):
    """Transient machine of one room's open question.

    {table}
    """

    idle = TransientState(initial=True)
    choosing = TransientState()
    confirming = TransientState()

    offer = (
        idle.to(choosing, on="show_choices")
        | choosing.to(choosing, on="show_choices_instead")
        | confirming.to(choosing, on="show_choices_instead")
    )
    ask = (
        idle.to(confirming, on="show_question")
        | choosing.to(confirming, on="show_question_instead")
        | confirming.to(confirming, on="show_question_instead")
    )
    agent_asks = (
        idle.to(confirming, on="show_agents_question")
        | choosing.to.itself(internal=True, on="queue_question")
        | confirming.to.itself(internal=True, on="queue_question")
    )
    next = idle.to(confirming, cond="has_waiting", on="show_next")
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
    agent_done = (
        idle.to.itself(internal=True, on="drop_waiting")
        | choosing.to.itself(internal=True, on="drop_waiting")
        | confirming.to(idle, cond="of_agent", on="say_over")
        | confirming.to.itself(internal=True, on="drop_waiting")
    )

    def in_range(self, number: int) -> bool:
        """The number stands in the list."""
        return 1 <= number <= len(self.record.choices)

    def has_waiting(self) -> bool:
        """A question of an agent's waits to be asked."""
        return bool(self.record.waiting)

    def of_agent(self) -> bool:
        """The open question is an agent's."""
        return self.record.purpose == "agent_question"

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
        thread: str | None = None,
    ) -> None:
        """Put a yes-or-no question into the room."""
        r = self.record
        r.purpose, r.choices, r.subject, r.outcome = purpose, [], subject, None
        r.labels, r.list_event_id = [], None
        taps = (YES, NO)
        self.want(Notice(r.room_id, text, event_id, dialog=True, taps=taps, thread=thread))

    def show_choices_instead(
        self,
        purpose: Literal["agent", "load"],
        choices: list[str],
        text: Text,
        labels: Sequence[str] = (),
        event_id: str | None = None,
    ) -> None:
        """Close what was open, then put the list into the room."""
        self._close("dialog-replaced")
        self.show_choices(purpose, choices, text, labels, event_id)

    def show_question_instead(
        self,
        purpose: Literal["archive", "forget", "bind"],
        text: Text,
        event_id: str | None = None,
    ) -> None:
        """Close what was open, then put the question into the room."""
        self._close("dialog-replaced")
        self.show_question(purpose, text, event_id=event_id)

    def show_agents_question(self, question: str, text: Text, thread: str | None = None) -> None:
        """The room is free: ask at once."""
        self.show_question("agent_question", text, question, thread=thread)

    def queue_question(self, question: str, text: Text, thread: str | None = None) -> None:
        """Something is open: ask when it is not, unless that is this very question."""
        r = self.record
        if question != r.subject and all(question != waiting for waiting, *_ in r.waiting):
            r.waiting.append((question, text, thread))

    def show_next(self) -> None:
        """The room is free for the question that has waited longest."""
        question, text, thread = self.record.waiting.pop(0)
        self.show_question("agent_question", text, question, thread=thread)

    def note_list(self, list_event_id: str) -> None:
        """The list is in the room: a reply to it is a choice."""
        self.record.list_event_id = list_event_id

    def say_cancelled(self) -> None:
        """Something else was said: a question that changes things is visibly closed."""
        if self.record.purpose != "agent":
            self._close("dialog-cancelled")

    def say_expired(self) -> None:
        """Nobody answered in time."""
        self._close("dialog-expired")

    def say_over(self) -> None:
        """The agent does not wait for the answer any more."""
        r = self.record
        r.waiting = []
        self.want(Amend(r.room_id, r.list_event_id, Text("dialog-over")))

    def drop_waiting(self) -> None:
        """Nobody waits for these answers any more."""
        self.record.waiting = []

    def _close(self, key: str) -> None:
        r = self.record
        self.want(Amend(r.room_id, r.list_event_id, Text(key)))
        self._tell_agent(accepted=False)

    def _tell_agent(self, *, accepted: bool) -> None:
        r = self.record
        if r.purpose == "agent_question" and r.subject is not None:
            self.want(SettleQuestion(r.room_id, r.subject, accepted))

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
        self._tell_agent(accepted=True)

    def take_no(self) -> None:
        """Declined."""
        self.record.outcome = "no"
        self._tell_agent(accepted=False)
