"""What adapters have in common that stand in for a platform: streams, and a memory kept through the store.

One rule: an adapter decides only how a message is answered (`_answer`); whose chat it is, how it is stopped
and what is remembered is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime

from store.store import Store

from .chat_memory import ChatMemory
from .interface import ChatRef, ContextDescription, SavedContext, TurnEvent, TurnRequest
from .memory_documents import MemoryTable
from .streams import Streams


class Embedded(ABC):
    """All of a `PlatformClient` but the answering.

    Args:
        store: where the memory is kept; stays open when the client is closed.
        table: the adapter's own.
        installation_id: the only installation it answers.
        agent_id: the only agent it answers for.
        now: the clock, for the dates of saves.
    """

    def __init__(
        self,
        store: Store,
        table: MemoryTable,
        *,
        installation_id: str,
        agent_id: str,
        now: Callable[[], datetime],
    ) -> None:
        self._memory = ChatMemory(
            store,
            table,
            installation_id=installation_id,
            agent_id=agent_id,
            now=now,
            durable=False,
        )
        self._streams = Streams(installation_id, agent_id)

    @abstractmethod
    def _answer(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Answer a message; ends with a `Done` or a `PlatformError`."""

    async def turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Answer a message.

        Raises:
            ValueError: the chat is of another agent or installation.
        """
        self._streams.own(request.chat)
        async with aclosing(self._streams.run(request, self._answer(request))) as events:
            async for event in events:
                yield event

    async def cancel(self, chat: ChatRef, message_id: str, *, request_id: str) -> None:
        """End the stream of a message, if it runs, and with it the work."""
        self._streams.cancel(self._streams.own(chat), message_id)

    async def disconnect_chat(self, chat: ChatRef, *, request_id: str) -> None:
        """Do nothing: between turns nothing is alive here."""
        self._streams.own(chat)

    async def describe_context(self, chat: ChatRef) -> ContextDescription:
        """Tell what is remembered of a chat."""
        return await self._memory.describe(self._streams.own(chat))

    async def save_context(self, chat: ChatRef, name: str, *, request_id: str) -> SavedContext:
        """Keep the memory of a chat under a name."""
        return await self._memory.save(self._streams.own(chat), name, request_id=request_id)

    async def list_contexts(self, user_id: str) -> list[SavedContext]:
        """List the saves of a user, newest first."""
        return await self._memory.saves(user_id)

    async def load_context(self, into: ChatRef, save_id: str, *, request_id: str) -> SavedContext:
        """Begin a chat with a save; see `PlatformClient` for what is raised."""
        return await self._memory.load(self._streams.own(into), save_id, request_id=request_id)

    async def forget_user(self, user_id: str, *, request_id: str) -> None:
        """Delete the chats and saves of a user."""
        await self._memory.forget(user_id)

    async def aclose(self) -> None:
        """End the running streams. The store stays open: it is not ours."""
        self._streams.close()
