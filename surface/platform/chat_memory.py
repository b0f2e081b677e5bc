"""What stands in for a platform's memory: chats and saves, kept through the store.

The embedded echo agent, the `openai` adapter and the reference platform each keep theirs in a table
of their own (`MemoryTable`), all in this form.

One rule: a message enters the memory together with its whole answer, in one save, and once. So
whatever is cut afterwards, the same message finds its answer here and nothing is decided twice.

Keys: `{installation_id}:{agent_id}:{platform_chat_id}` for a chat and
`save:{installation_id}:{agent_id}:{user_id}:{name}` for a save. Each part is percent-encoded,
because an MXID and a name may hold colons and one user's key must never read as another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote

from store.documents import VERSIONS, migrated
from store.store import Conflict, Delete, DocumentError, Put, Store, Stored, StoreError

from .interface import (
    CallFailed,
    ChatInUse,
    ChatRef,
    ContextDescription,
    PlatformError,
    SavedContext,
    SaveMissing,
)
from .memory_documents import (
    Conversation,
    MemoryTable,
    Remembered,
    Save,
    conversation_body,
    conversation_of,
    save_body,
    save_of,
)

REMEMBERED: Final = 500
"""How many messages a chat keeps. The document is written whole at every turn, so it has an end."""

KEPT_READY: Final = 64
"""Chats of which what was read or written last is kept, so that one more message costs one message."""

_ATTEMPTS: Final = 100
_REQUESTS: Final = 20

_T = TypeVar("_T")


class ChatMemory:
    """The chats and saves of one agent of one installation.

    Args:
        store: where they are kept; stays open.
        table: whose memory it is.
        installation_id: part of every key.
        agent_id: part of every key.
        now: the clock, for the dates of saves.
        durable: an answer is on the disk before it is given; not needed where whoever shows it commits to the
            same store before.

    Every method raises `CallFailed` where the store cannot be read or written.
    """

    def __init__(
        self,
        store: Store,
        table: MemoryTable,
        *,
        installation_id: str,
        agent_id: str,
        now: Callable[[], datetime],
        durable: bool = True,
    ) -> None:
        self._store, self._durable = store, durable
        self._table: MemoryTable = table
        self._installation_id = installation_id
        self._agent_id = agent_id
        self._now = now
        self._ready: dict[str, tuple[Mapping[str, Any], Conversation]] = {}
        """By key, the latest last: a body, and what it says."""

    async def conversation(self, chat: ChatRef) -> Conversation | None:
        """Return the memory of a chat; None if it was never used."""
        _, conversation, _ = await self._chat(self._chat_key(chat))
        return conversation

    async def describe(self, chat: ChatRef) -> ContextDescription:
        """Tell what is remembered of a chat, and which saves its user has."""
        known = await self.conversation(chat) or Conversation(user_id=chat.user_id)
        return ContextDescription(
            turns=len(known.messages),
            summary=known.summary,
            saves=tuple(await self.saves(chat.user_id)),
            loaded_from=known.loaded_from,
        )

    async def knows(self, chat: ChatRef, message_id: str) -> bool:
        """Whether a message has its answer already."""
        conversation = await self.conversation(chat)
        return conversation is not None and conversation.find(message_id) is not None

    async def record(
        self,
        chat: ChatRef,
        message_id: str,
        answer: Callable[[tuple[Remembered, ...]], Remembered],
    ) -> Remembered:
        """Return what is remembered of a message; if nothing is, let it be answered and keep that.

        Args:
            chat: where it was said.
            message_id: its idempotency key.
            answer: makes the answer from what was said before; called again when that has changed.
        """
        key = self._chat_key(chat)
        for _ in range(_ATTEMPTS):
            rev, found, text = await self._chat(key)
            before = found or Conversation(user_id=chat.user_id)
            if (known := before.find(message_id)) is not None:
                return known
            said = answer(before.messages)
            after = Conversation(
                user_id=before.user_id,
                messages=(*before.messages, said)[-REMEMBERED:],
                loaded_from=before.loaded_from,
                load_request=before.load_request,
            )
            cut = len(after.messages) <= len(before.messages)
            body = conversation_body(self._table, after, begins=None if cut else text)
            if await self._write(Put(self._table, key, body, rev), durable=self._durable):
                self._keep_ready(key, body, after)
                return said
        raise _busy(self._table, key)

    async def save(self, chat: ChatRef, name: str, *, request_id: str) -> SavedContext:
        """Copy the memory of a chat into the save `name`, once per `request_id`."""
        key = self._save_key(chat.user_id, name)
        for _ in range(_ATTEMPTS):
            rev, old = await self._read(key, save_of)
            if old is not None and request_id in old.requests:
                return old.listed()
            conversation = await self.conversation(chat)
            save = Save(
                user_id=chat.user_id,
                name=name,
                saved_at=self._now(),
                messages=conversation.messages if conversation else (),
                requests=(*(old.requests if old else ()), request_id)[-_REQUESTS:],
            )
            if await self._write(Put(self._table, key, save_body(self._table, save), expect=rev)):
                return save.listed()
        raise _busy(self._table, key)

    async def saves(self, user_id: str) -> list[SavedContext]:
        """Return the saves of a user, newest first."""
        prefix = self._save_key(user_id, "")
        with _store_failures():
            rows = await self._store.scan(self._table, prefix=prefix)
        saves = [_parse(self._table, key, stored, save_of) for key, stored in rows]
        saves.sort(key=lambda save: save.saved_at, reverse=True)
        return [save.listed() for save in saves]

    async def load(self, into: ChatRef, name: str, *, request_id: str) -> SavedContext:
        """Begin a chat with a copy of the save `name`.

        Raises:
            SaveMissing: no such save.
            ChatInUse: the chat has a memory, and not from this request.
        """
        key = self._chat_key(into)
        for _ in range(_ATTEMPTS):
            rev, there, _ = await self._chat(key)
            _, save = await self._read(self._save_key(into.user_id, name), save_of)
            if there is not None:
                if there.load_request != request_id:
                    raise ChatInUse(
                        PlatformError(
                            "chat_in_use",
                            f"chat {into.platform_chat_id} has a memory already; "
                            "load into a fresh platform_chat_id",
                            retryable=False,
                        )
                    )
                # The save may be gone or replaced since; what was loaded is in the chat.
                return save.listed() if save else _loaded(name, there)
            if save is None:
                raise SaveMissing(
                    PlatformError(
                        "save_missing",
                        f"{into.user_id} has no save {name!r} with agent {self._agent_id}",
                        retryable=False,
                    )
                )
            seeded = Conversation(
                user_id=into.user_id,
                messages=save.messages,
                loaded_from=save.name,
                load_request=request_id,
            )
            if await self._write(
                Put(self._table, key, conversation_body(self._table, seeded), expect=rev)
            ):
                return save.listed()
        raise _busy(self._table, key)

    async def forget(self, user_id: str) -> None:
        """Delete all chats and saves of a user, in one transaction."""
        chats = f"{self._key(self._installation_id, self._agent_id)}:"
        saves = self._save_key(user_id, "")
        for _ in range(_ATTEMPTS):
            with _store_failures():
                rows = await self._store.scan(self._table, prefix=chats)
                rows += await self._store.scan(self._table, prefix=saves)
            theirs = [
                Delete(self._table, key, expect=stored.rev)
                for key, stored in rows
                if stored.body.get("user_id") == user_id
            ]
            if not theirs or await self._write(*theirs):
                return
        raise _busy(self._table, chats)

    async def check(self) -> None:
        """Read the store, to see that it can be read."""
        await self._get(self._key(self._installation_id, self._agent_id, "0"))

    async def _get(self, key: str) -> Stored | None:
        with _store_failures():
            return await self._store.get(self._table, key)

    async def _chat(self, key: str) -> tuple[int, Conversation | None, str | None]:
        """The revision of a chat, what it says, and its messages as text."""
        stored = await self._get(key)
        if stored is None:
            return 0, None, None
        body, conversation = self._ready.get(key, ({}, None))
        if conversation is None or body != stored.body:
            body = stored.body
            conversation = _parse(self._table, key, stored, conversation_of)
            self._keep_ready(key, body, conversation)
        return (
            stored.rev,
            conversation,
            body["messages"] if body["v"] == VERSIONS[self._table] else None,
        )

    def _keep_ready(self, key: str, body: Mapping[str, Any], conversation: Conversation) -> None:
        self._ready.pop(key, None)
        self._ready[key] = (body, conversation)
        if len(self._ready) > KEPT_READY:
            del self._ready[next(iter(self._ready))]

    async def _read(
        self, key: str, parse: Callable[[Mapping[str, Any]], _T]
    ) -> tuple[int, _T | None]:
        stored = await self._get(key)
        if stored is None:
            return 0, None
        return stored.rev, _parse(self._table, key, stored, parse)

    async def _write(self, *writes: Put | Delete, durable: bool = True) -> bool:
        """Save, or say that something has moved meanwhile."""
        try:
            with _store_failures():
                await self._store.save(writes, durable=durable)
        except Conflict:
            return False
        return True

    def _chat_key(self, chat: ChatRef) -> str:
        return self._key(self._installation_id, self._agent_id, chat.platform_chat_id)

    def _save_key(self, user_id: str, name: str) -> str:
        return self._key("save", self._installation_id, self._agent_id, user_id, name)

    @staticmethod
    def _key(*parts: str) -> str:
        return ":".join(quote(part, safe="@", errors="surrogatepass") for part in parts)


def utc_now() -> datetime:
    """Return the present moment, by the wall clock."""
    return datetime.now(UTC)


def _loaded(name: str, chat: Conversation) -> SavedContext:
    return SavedContext(id=name, name=name, turns=len(chat.messages), summary=chat.summary)


def _parse(
    table: MemoryTable, key: str, stored: Stored, parse: Callable[[Mapping[str, Any]], _T]
) -> _T:
    """Read a document of ours, or name the one that cannot be read; it is never replaced."""
    try:
        return parse(migrated(table, stored.body))
    except (KeyError, TypeError, ValueError) as error:
        damage = f"document {table}/{key} is damaged ({error!r})"
        raise CallFailed(PlatformError("memory_unreadable", damage, retryable=False)) from error


@contextmanager
def _store_failures() -> Iterator[None]:
    """Tell what the store cannot do in the contract's words."""
    try:
        yield
    except DocumentError as error:
        raise CallFailed(PlatformError("memory_unreadable", str(error), retryable=False)) from error
    except StoreError as error:
        raise CallFailed(PlatformError("store_failed", str(error), retryable=True)) from error


def _busy(table: MemoryTable, key: str) -> CallFailed:
    return CallFailed(
        PlatformError("memory_busy", f"{table}/{key} kept changing while written", retryable=True)
    )
