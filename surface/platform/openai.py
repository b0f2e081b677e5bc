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

from .chat_memory import utc_now
from .embedded import Embedded
from .interface import (
    CallFailed,
    Capabilities,
    ChatRef,
    ConfirmationGone,
    Done,
    Health,
    PlatformError,
    TextDelta,
    TurnEvent,
    TurnRequest,
)
from .memory_documents import Remembered
from .model import Model, ModelOptions


class OpenAIClient(Embedded):
    """`PlatformClient` of one model; see `Embedded` for what is not said here.

    Args:
        options: where the model is and what it is told.
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
        super().__init__(
            store, "openai", installation_id=installation_id, agent_id=agent_id, now=now
        )
        self._model = Model(options)

    async def answer_confirmation(
        self, chat: ChatRef, confirmation_id: str, accepted: bool, *, request_id: str
    ) -> None:
        """Models ask nothing."""
        said = "a model asks no questions"
        raise ConfirmationGone(PlatformError("confirmation_gone", said, retryable=False))

    async def health(self) -> Health:
        """Tell whether the API answers and knows the model."""
        if self._streams.closed:
            return Health(ok=False, detail="closed")
        return await self._model.health()

    async def aclose(self) -> None:
        """End the running streams, and let go of the API."""
        await super().aclose()
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
