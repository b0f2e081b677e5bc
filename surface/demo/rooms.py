"""What the demo's guest sees of a room, put together from /sync answers. Pure.

Rule: a message is shown as its latest edit has it, in the place where it was said; while the bot is still
at it (a placeholder, a preview) it is *growing*. That is told from the key that the bot puts into what it
sends (`lambda.surface.source`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from surface import keys

Event = dict[str, Any]

# As in `surface.matrix.rooms`, which would bring nio with it: a second of every start.
MARKER = "lambda.surface.room"
SOURCE = "lambda.surface.source"
DIALOG = "lambda.surface.dialog"
_PREVIEW = "preview-"


@dataclass(frozen=True)
class Message:
    """A message with its latest edit applied."""

    event_id: str
    sender: str
    kind: str
    """Its `msgtype`."""
    body: str
    html: str | None
    reply_to: str | None
    source: str
    """The bot's key of its latest version, empty for other people's."""
    edited: bool = False
    asks: bool = False
    """It waits for an answer itself."""


@dataclass
class Room:
    """One room of the guest."""

    room_id: str
    membership: str = "leave"
    invited_by: str | None = None
    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    """In the order of the homeserver."""
    marker: dict[str, Any] = field(default_factory=dict)
    """The bot's marker; empty if it is not the bot's."""

    def take(self, events: Iterable[Event], *, bot: str) -> None:
        """Take in state and messages, in order."""
        for event in events:
            content = event.get("content") or {}
            if "state_key" in event:
                self.state[event["type"], event["state_key"]] = content
                if event["type"] == MARKER and event.get("sender") == bot:
                    self.marker = content
            elif event["type"] == "m.room.message":
                self._say(event, content)

    def content(self, kind: str, key: str = "") -> dict[str, Any]:
        """The content of a state event; empty if there is none."""
        return self.state.get((kind, key), {})

    @property
    def is_space(self) -> bool:
        """Whether this is a Space, not a room to talk in."""
        return self.content("m.room.create").get("type") == "m.space"

    def growing(self, message: Message) -> bool:
        """Whether the bot is still at it."""
        if message.source.startswith(_PREVIEW):
            return True
        return not message.edited and message.source in self._placeholders()

    def answers(self, event_id: str, bot: str) -> list[Message]:
        """The finished messages of the bot that answer one of ours: the agent's last words on it, and
        notices in reply to it; or notices that came after it unasked."""
        ids = list(self.messages)
        if event_id not in self.messages:
            return []
        last_words = keys.transaction(keys.effect_key(keys.ending(event_id)))
        later = (self.messages[other] for other in ids[ids.index(event_id) + 1 :])
        return [
            message
            for message in later
            if message.sender == bot
            and message.reply_to in (None, event_id)
            and (message.kind == "m.notice" or message.source == last_words)
        ]

    def _placeholders(self) -> frozenset[str]:
        return frozenset(
            keys.transaction(keys.effect_key(keys.placing(message.event_id)))
            for message in self.messages.values()
            if not message.source
        )

    def _say(self, event: Event, content: dict[str, Any]) -> None:
        relation = content.get("m.relates_to") or {}
        source = str(content.get(SOURCE, ""))
        if relation.get("rel_type") == "m.replace":
            edited = self.messages.get(str(relation.get("event_id")))
            if edited is not None and edited.sender == event["sender"]:
                new = content.get("m.new_content") or content
                self.messages[edited.event_id] = replace(
                    edited, **_words(new), source=source, edited=True
                )
            return
        if event["event_id"] not in self.messages and content.get("msgtype"):
            reply = (relation.get("m.in_reply_to") or {}).get("event_id")
            self.messages[event["event_id"]] = Message(
                event["event_id"],
                event["sender"],
                reply_to=reply,
                source=source,
                asks=DIALOG in content,
                **_words(content),
            )


def _words(content: dict[str, Any]) -> dict[str, Any]:
    html = content.get("formatted_body")
    return {
        "kind": str(content.get("msgtype", "m.text")),
        "body": str(content.get("body", "")),
        "html": html if isinstance(html, str) else None,
    }
