"""What the reference platform keeps of its turns, in the table `journal` of its own store.

One rule: an event is on disk before anyone is told of it. So a reader who knows a place in a stream
can always go on from there, also after the service was killed; and what an agent has done is counted
in the same transaction that keeps the event, hence once.

The journal of a turn outlives its end, for readers who lost the last words; a chat keeps its latest
`KEPT` turns. What was said for good is in the chat's memory.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from store.documents import VERSIONS
from store.store import Conflict, Delete, Put, Store, Write
from surface.platform.interface import (
    ChatRef,
    ConfirmationAsked,
    Done,
    PlatformError,
    Status,
    TurnEvent,
)
from surface.platform.wire import EVENTS, NAMES, data_of, event_from, is_end, joined

KEPT: Final = 20
"""How many ended turns of a chat can still be read again event by event."""


@dataclass(frozen=True, slots=True)
class Record:
    """How far a turn has come.

    Args:
        after: the last message in the chat's memory when the turn began: the agent knows up to there.
        events: what was sent, neighbouring deltas joined.
        verdicts: the questions that were answered.
        order: grows from turn to turn of a chat.
    """

    chat: ChatRef
    message_id: str
    after: str | None = None
    events: tuple[TurnEvent, ...] = ()
    verdicts: Mapping[str, bool] = field(default_factory=dict)
    order: int = 0

    @property
    def end(self) -> Done | PlatformError | None:
        """How the turn ended, if it has."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, Done | PlatformError) else None

    @property
    def told(self) -> tuple[TurnEvent, ...]:
        """The events as a reader gets them: nobody is asked again what was answered."""
        return tuple(
            Status(event.prompt)
            if isinstance(event, ConfirmationAsked) and event.id in self.verdicts
            else event
            for event in self.events
        )

    def grown(self, *events: TurnEvent) -> Record:
        """The record with more events."""
        assert self.end is None, f"{self.message_id} has ended"
        assert not any(is_end(event) for event in events[:-1])
        return replace(self, events=joined((*self.events, *events)))


class Journal:
    """The turns of all chats.

    Every method raises `StoreError` where the store cannot be read or written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, chat: ChatRef, message_id: str) -> Record | None:
        """Return what is kept of a turn."""
        stored = await self._store.get("journal", _turn_key(chat, message_id))
        return None if stored is None else _record(stored.body)

    async def begin(self, chat: ChatRef, message_id: str, after: str | None) -> Record:
        """Return a record for a new turn, replacing an old one; it is written with its first events."""
        turns = await self._turns(chat)
        order = 1 + max((record.order for _, record in turns), default=0)
        ended = [key for key, record in sorted(turns, key=lambda turn: turn[1].order) if record.end]
        if old := [Delete("journal", key) for key in ended[:-KEPT]]:
            await self._store.save(old)
        return Record(chat, message_id, after, order=order)

    async def keep(self, record: Record, worked: tuple[str, ...] = ()) -> None:
        """Write a record.

        Args:
            record: as it is now.
            worked: what the agent has done since; each is counted.
        """
        while True:
            writes: list[Write] = [
                Put("journal", _turn_key(record.chat, record.message_id), _body(record), None)
            ]
            for label in dict.fromkeys(worked):
                key = _count_key(record.chat, label)
                stored = await self._store.get("journal", key)
                before = stored.body["count"] if stored else 0
                body = {"v": VERSIONS["journal"], "count": before + worked.count(label)}
                writes.append(Put("journal", key, body, stored.rev if stored else 0))
            try:
                await self._store.save(writes)
            except Conflict:
                continue
            return

    async def forget(self, installation_id: str, agent_id: str, user_id: str) -> None:
        """Delete the turns of a user with an agent."""
        chat = ChatRef(installation_id, agent_id, "", user_id)
        rows = await self._store.scan("journal", prefix=_turn_key(chat, "").rstrip(":") + ":")
        theirs = [
            Delete("journal", key) for key, stored in rows if stored.body["user_id"] == user_id
        ]
        if theirs:
            await self._store.save(theirs)

    async def count(self, chat: ChatRef, label: str) -> int:
        """How often an agent has done something, in all chats of an installation."""
        stored = await self._store.get("journal", _count_key(chat, label))
        return 0 if stored is None else int(stored.body["count"])

    async def _turns(self, chat: ChatRef) -> list[tuple[str, Record]]:
        rows = await self._store.scan("journal", prefix=_turn_key(chat, ""))
        return [(key, _record(stored.body)) for key, stored in rows]


def _turn_key(chat: ChatRef, message_id: str) -> str:
    parts = (chat.installation_id, chat.agent_id, chat.platform_chat_id, message_id)
    return _key("turn", *parts)


def _count_key(chat: ChatRef, label: str) -> str:
    return _key("count", chat.installation_id, chat.agent_id, label)


def _key(*parts: str) -> str:
    return ":".join(quote(part, safe="", errors="surrogatepass") for part in parts)


def _body(record: Record) -> dict[str, Any]:
    chat = record.chat
    return {
        "v": VERSIONS["journal"],
        "chat": [chat.installation_id, chat.agent_id, chat.platform_chat_id],
        "user_id": chat.user_id,
        "message_id": record.message_id,
        "after": record.after,
        # As text, because a long answer is only looked at where somebody asks for it.
        "events": json.dumps([[NAMES[type(event)], data_of(event)] for event in record.events]),
        "verdicts": dict(record.verdicts),
        "order": record.order,
    }


def _record(body: Mapping[str, Any]) -> Record:
    installation_id, agent_id, platform_chat_id = body["chat"]
    events = []
    for name, data in json.loads(body["events"]):
        event = event_from(name, data)
        assert event is not None, f"one of {', '.join(EVENTS)}"
        events.append(event)
    return Record(
        chat=ChatRef(installation_id, agent_id, platform_chat_id, body["user_id"]),
        message_id=body["message_id"],
        after=body["after"],
        events=tuple(events),
        verdicts=body["verdicts"],
        order=body["order"],
    )
