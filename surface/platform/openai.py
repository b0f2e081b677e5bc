"""An agent that is a model behind an OpenAI-compatible API, without a platform in between.

The surface stands in for the platform: it keeps the conversations through the store, in the table
`openai`. One rule: a message enters the memory with its whole answer, or not at all.

What the protocol cannot do is declared: a model does not ask back and takes no files, and a message
whose answer was cut by a crash costs a second answer, so it does not dedupe. One that was answered
whole is not asked again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Final

from store.store import Store

from .chat_memory import ChatMemory, Remembered, utc_now
from .interface import (
    CallFailed,
    Capabilities,
    ChatRef,
    ConfirmationGone,
    ContextDescription,
    Done,
    Health,
    PlatformError,
    SavedContext,
    TextDelta,
    TurnEvent,
    TurnRequest,
)
from .model import Model, ModelOptions
from .streams import Streams


class OpenAIClient:
    """`PlatformClient` of one model.

    Args:
        store: where the memory is kept; stays open when the client is closed.
        installation_id: the only installation it answers.
        agent_id: the only agent it answers for.
        options: where the model is and what it is told.
        now: the clock, for the dates of saves.
    """

    capabilities: Final = Capabilities(dedupes=False, confirmations=False, saves=True, files=False)

    def __init__(
        self,
        store: Store,
        *,
        installation_id: str,
        agent_id: str,
        options: ModelOptions,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._memory = ChatMemory(
            store, "openai", installation_id=installation_id, agent_id=agent_id, now=now
        )
        self._streams = Streams(installation_id, agent_id)
        self._model = Model(options)

    async def turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Ask the model; see `PlatformClient`."""
        self._streams.own(request.chat)
        async with aclosing(self._streams.run(request, self._answer(request))) as events:
            async for event in events:
                yield event

    async def answer_confirmation(
        self, chat: ChatRef, confirmation_id: str, accepted: bool, *, request_id: str
    ) -> None:
        """Models ask nothing."""
        said = "a model asks no questions"
        raise ConfirmationGone(PlatformError("confirmation_gone", said, retryable=False))

    async def cancel(self, chat: ChatRef, message_id: str, *, request_id: str) -> None:
        """End the stream of a message, and with it the model's work."""
        self._streams.cancel(self._streams.own(chat), message_id)

    async def disconnect_chat(self, chat: ChatRef, *, request_id: str) -> None:
        """Do nothing: between turns nothing is alive here."""
        self._streams.own(chat)

    async def describe_context(self, chat: ChatRef) -> ContextDescription:
        """Tell what is remembered of a chat."""
        conversation = await self._memory.conversation(self._streams.own(chat))
        saves = tuple(await self._memory.saves(chat.user_id))
        if conversation is None:
            return ContextDescription(turns=0, summary="", saves=saves)
        return ContextDescription(
            turns=len(conversation.messages),
            summary=conversation.summary,
            saves=saves,
            loaded_from=conversation.loaded_from,
        )

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

    async def health(self) -> Health:
        """Tell whether the API answers and knows the model."""
        if self._streams.closed:
            return Health(ok=False, detail="closed")
        return await self._model.health()

    async def aclose(self) -> None:
        """End the running streams. The store stays open: it is not ours."""
        self._streams.close()
        await self._model.aclose()

    async def _answer(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        if request.attachments:
            yield PlatformError("unsupported", "This agent takes no files, only text.", False)
            return
        try:
            conversation = await self._memory.conversation(request.chat)
            earlier = conversation.messages if conversation else ()
            known = conversation.find(request.message_id) if conversation else None
            if known is not None:
                yield TextDelta(known.answer)
                yield Done()
                return
            answer: list[str] = []
            async with aclosing(self._model.answer(earlier, request.text)) as events:
                async for event in events:
                    if isinstance(event, TextDelta):
                        answer.append(event.text)
                    if isinstance(event, Done):
                        said = Remembered(request.message_id, request.text, "".join(answer))
                        await self._memory.record(
                            request.chat,
                            request.message_id,
                            lambda _: said,  # noqa: B023
                        )
                    yield event
        except CallFailed as failed:
            yield failed.error
