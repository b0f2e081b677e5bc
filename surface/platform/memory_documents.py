"""The form in which chats and saves are remembered: as values, and as documents of the store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from store.documents import VERSIONS

from .interface import FileOut, SavedContext

_SUMMARY_LENGTH: Final = 80

MemoryTable: TypeAlias = Literal["echo", "openai", "platform"]
"""The tables that hold memories."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A message of the user, with the answer it was given."""

    id: str
    text: str
    answer: str
    files: tuple[FileOut, ...] = ()

    @property
    def gist(self) -> str:
        """The message on one line: its text, or the names of its files."""
        return " ".join(self.text.split()) or ", ".join(file.filename for file in self.files)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The memory of one chat.

    Args:
        user_id: whose chat it is; `forget` goes by it.
        messages: oldest first.
        loaded_from: the name of the save it began with.
        load_request: the `request_id` of that load.
    """

    user_id: str
    messages: tuple[Remembered, ...] = ()
    loaded_from: str | None = None
    load_request: str | None = None

    @property
    def summary(self) -> str:
        """The first message, shortened."""
        return _summary(self.messages)

    def find(self, message_id: str) -> Remembered | None:
        """Return what is remembered of a message, if anything."""
        return next((said for said in self.messages if said.id == message_id), None)


@dataclass(frozen=True, slots=True)
class Save:
    """A saved context. `requests` are the ids of the latest saves under this name."""

    user_id: str
    name: str
    saved_at: datetime
    messages: tuple[Remembered, ...]
    requests: tuple[str, ...]

    def listed(self) -> SavedContext:
        """The save as people see it."""
        return SavedContext(
            id=self.name,
            name=self.name,
            turns=len(self.messages),
            summary=_summary(self.messages),
            saved_at=self.saved_at,
        )


def _summary(messages: tuple[Remembered, ...]) -> str:
    gist = messages[0].gist if messages else ""
    return gist if len(gist) <= _SUMMARY_LENGTH else gist[: _SUMMARY_LENGTH - 1] + "…"


def conversation_body(
    table: MemoryTable, conversation: Conversation, *, begins: str | None = None
) -> dict[str, Any]:
    """The document of a chat.

    Args:
        begins: all messages but the last as text, if they are at hand.
    """
    messages = conversation.messages
    return {
        "v": VERSIONS[table],
        "user_id": conversation.user_id,
        "messages": _messages_text(messages) if begins is None else _with(begins, messages[-1]),
        "loaded_from": conversation.loaded_from,
        "load_request": conversation.load_request,
    }


def conversation_of(body: Mapping[str, Any]) -> Conversation:
    """The chat of a document."""
    return Conversation(
        user_id=body["user_id"],
        messages=_messages(body),
        loaded_from=body["loaded_from"],
        load_request=body["load_request"],
    )


def save_body(table: MemoryTable, save: Save) -> dict[str, Any]:
    """The document of a save."""
    return {
        "v": VERSIONS[table],
        "user_id": save.user_id,
        "name": save.name,
        "saved_at": save.saved_at.isoformat(),
        "messages": _messages_text(save.messages),
        "requests": list(save.requests),
    }


def save_of(body: Mapping[str, Any]) -> Save:
    """The save of a document."""
    return Save(
        user_id=body["user_id"],
        name=body["name"],
        saved_at=datetime.fromisoformat(body["saved_at"]),
        messages=_messages(body),
        requests=tuple(body["requests"]),
    )


def _messages_text(messages: tuple[Remembered, ...]) -> str:
    return json.dumps([_message_body(said) for said in messages])


def _with(text: str, said: Remembered) -> str:
    """The text of one message more."""
    last = json.dumps(_message_body(said))
    return f"[{last}]" if text == "[]" else f"{text[:-1]}, {last}]"


def _messages(body: Mapping[str, Any]) -> tuple[Remembered, ...]:
    return tuple(_message(said) for said in json.loads(body["messages"]))


def _message_body(said: Remembered) -> dict[str, Any]:
    return {
        "id": said.id,
        "text": said.text,
        "answer": said.answer,
        "files": [[file.workspace_path, file.filename, file.mime_type] for file in said.files],
    }


def _message(body: Mapping[str, Any]) -> Remembered:
    return Remembered(
        id=body["id"],
        text=body["text"],
        answer=body["answer"],
        files=tuple(FileOut(*file) for file in body["files"]),
    )
