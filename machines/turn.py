"""TurnMachine: one message and the agent's answer to it, keyed by the source event id.

Theory of operation
-------------------
Accepting a message commits a turn in `waiting`: with the agent and the platform chat of that
moment. A turn that is running is `thinking` until the agent's first words, then `streaming`; both
are transient, their document says `waiting` all along, so a turn cut by a crash simply waits again.

An agent may ask back, also several things at once: the turn is `asking` until the person has
answered all of it, or nobody will (`question_over`).

A turn ends as `answered`, `failed` or `stopped`. An ending is no place to be restored to: its
document is deleted in the transaction that also commits the last words to the outbox. After that
the turn cannot run again, and no preview may follow.

`placeholder_sent` is what makes the growing answer one message: the intent is committed before the
placeholder goes out, and everything after it is an edit.

Files of the answer are numbered as they come. `send_files` commits them to the outbox, and their
number to the document: a turn that is asked again after a crash sends none of them twice.

While a turn waits, its message may be edited (`replace`) or redacted (`withdraw`); once it runs,
neither changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from machines.chart import Chart, DurableState, TransientState
from machines.effects import Answer, FileIn, Placeholder, SendFile, Text


@dataclass
class Turn:
    """What is remembered of a turn besides its state."""

    event_id: str
    room_id: str
    user_id: str
    body: str
    agent_id: str
    platform_chat_id: str
    order: str
    """Position in the room, taken from the homeserver's order of events."""
    thread: str | None = None
    placeholder_asked: bool = False
    """The placeholder is in the outbox or beyond."""
    placeholder_id: str | None = None
    """Event id of the placeholder, once the homeserver has it."""
    files: list[FileIn] = field(default_factory=list)
    """What came with the message."""
    files_sent: int = 0
    """Files of the answer that are in the outbox or beyond."""
    asked: bool = False
    """The platform may have begun to work on it, and would do so again if asked again."""


class TurnMachine(Chart[Turn]):
    """Persisted machine of one turn; only `waiting` is ever stored.

    {table}
    """

    waiting = DurableState(initial=True)
    thinking = TransientState(stored_as="waiting")
    streaming = TransientState(stored_as="waiting")
    asking = TransientState(stored_as="waiting")
    answered = TransientState(ends=True)
    failed = TransientState(ends=True)
    stopped = TransientState(ends=True)

    start = waiting.to(thinking)
    delta = thinking.to(streaming) | streaming.to.itself(internal=True)
    question_asked = thinking.to(asking) | streaming.to(asking) | asking.to.itself(internal=True)
    question_over = asking.to(thinking)
    place = (
        thinking.to.itself(internal=True, cond="no_placeholder", on="ask_placeholder")
        | streaming.to.itself(internal=True, cond="no_placeholder", on="ask_placeholder")
        | asking.to.itself(internal=True, cond="no_placeholder", on="ask_placeholder")
    )
    placeholder_sent = (
        waiting.to.itself(internal=True, on="note_placeholder")
        | thinking.to.itself(internal=True, on="note_placeholder")
        | streaming.to.itself(internal=True, on="note_placeholder")
        | asking.to.itself(internal=True, on="note_placeholder")
    )
    finish = (
        thinking.to(answered, on="answer")
        | streaming.to(answered, on="answer")
        | asking.to(answered, on="answer")
    )
    fail = (
        waiting.to(failed, on="break_off")
        | thinking.to(failed, on="break_off")
        | streaming.to(failed, on="break_off")
        | asking.to(failed, on="break_off")
    )
    stop = (
        waiting.to(stopped, cond="placeholder_asked", on="break_off")
        | waiting.to(stopped)
        | thinking.to(stopped, on="break_off")
        | streaming.to(stopped, on="break_off")
        | asking.to(stopped, on="break_off")
    )
    send_files = (
        thinking.to.itself(internal=True, on="send_more_files")
        | streaming.to.itself(internal=True, on="send_more_files")
        | asking.to.itself(internal=True, on="send_more_files")
    )
    replace = waiting.to.itself(internal=True, on="take_body")
    withdraw = waiting.to(stopped)

    def no_placeholder(self) -> bool:
        """No placeholder has been asked for yet."""
        return not self.record.placeholder_asked

    def placeholder_asked(self) -> bool:
        """A placeholder is out, from before a crash: it must not be left growing."""
        return self.record.placeholder_asked

    def on_start(self, repeatable: bool = True) -> None:
        """From here on the platform may have begun to work; a turn not repeatable is asked once."""
        self.record.asked = not repeatable

    def ask_placeholder(self, body: str, reply_to: str | None = None) -> None:
        """The answer takes a while: show what there is, to grow by edits."""
        r = self.record
        r.placeholder_asked = True
        self.want(Placeholder(r.room_id, r.event_id, body, r.thread, reply_to))

    def send_more_files(self, files: Sequence[SendFile]) -> None:
        """More files of the answer, after those that were sent already."""
        self.want(*files)
        self.record.files_sent += len(files)

    def note_placeholder(self, placeholder_id: str) -> None:
        """The homeserver has the placeholder."""
        self.record.placeholder_asked = True
        self.record.placeholder_id = placeholder_id

    def answer(
        self, body: str, reply_to: str | None = None, files: Sequence[SendFile] = ()
    ) -> None:
        """The agent is done; what it has left in the workspace follows its words."""
        self.want(self._last_words(body, None, reply_to), *files)

    def break_off(
        self,
        body: str,
        ending: Text,
        reply_to: str | None = None,
        files: Sequence[SendFile] = (),
    ) -> None:
        """It failed or was stopped: keep what was said so far, and say why there is no more."""
        self.want(self._last_words(body, ending, reply_to), *files)

    def take_body(self, body: str) -> None:
        """The person changed the message before it was taken up."""
        self.record.body = body

    def _last_words(self, body: str, ending: Text | None, reply_to: str | None) -> Answer:
        r = self.record
        return Answer(
            r.room_id,
            r.event_id,
            body,
            edits=r.placeholder_id,
            ending=ending,
            thread=r.thread,
            reply_to=reply_to,
            placed=r.placeholder_asked and r.placeholder_id is None,
        )
