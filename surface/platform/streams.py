"""The turns that run in a client, and the ways to end them from outside.

One rule: whatever feeds a stream runs in one task from its first event to its last, so that its time
limits hold; and that task is over when the stream is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from .interface import CANCELLED, CLOSED, ChatRef, PlatformError, TurnEvent, TurnRequest
from .wire import is_end

LETTING_GO: Final = 5.0
"""Seconds that a source may take after its last event."""


class Streams:
    """The streams of one client.

    Args:
        installation_id: the only installation that may be asked for.
        agent_id: the only agent.
    """

    def __init__(self, installation_id: str, agent_id: str) -> None:
        self._installation_id, self._agent_id = installation_id, agent_id
        self._running: set[_Stream] = set()
        self.closed = False

    def own(self, chat: ChatRef) -> ChatRef:
        """Return the chat.

        Raises:
            ValueError: it is of another agent or installation.
        """
        if (chat.installation_id, chat.agent_id) != (self._installation_id, self._agent_id):
            raise ValueError(
                f"client of agent {self._agent_id} in installation {self._installation_id} "
                f"was given a chat of agent {chat.agent_id} in {chat.installation_id}"
            )
        return chat

    async def run(
        self, request: TurnRequest, source: AsyncGenerator[TurnEvent, None]
    ) -> AsyncGenerator[TurnEvent, None]:
        """Yield what the source yields, until it is through or the stream is ended from outside."""
        if self.closed:
            await source.aclose()
            yield closed()
            return
        stream = _Stream(request)
        self._running.add(stream)
        feeding = asyncio.create_task(stream.feed(source), name=f"feed {request.message_id}")
        try:
            while True:
                await stream.more.wait()
                stream.more.clear()
                events, stream.events = stream.events, []
                for event in events:
                    yield event
                if stream.ended is not None:
                    yield stream.ended
                    return
                if feeding.done():
                    feeding.result()
                    if not stream.events:
                        return
                    stream.more.set()
        finally:
            self._running.discard(stream)
            try:
                if stream.through:
                    # It lets go of its connection; cut short in that, it never would.
                    await asyncio.wait({feeding}, timeout=LETTING_GO)
            finally:
                feeding.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await feeding

    def cancel(self, chat: ChatRef, message_id: str) -> None:
        """End the stream of a message, if it runs."""
        for stream in self._running:
            if (stream.chat.platform_chat_id, stream.message_id) == (
                chat.platform_chat_id,
                message_id,
            ):
                stream.end(PlatformError(CANCELLED, "The answer was stopped.", retryable=False))

    def close(self) -> None:
        """End all streams, and let none begin."""
        self.closed = True
        for stream in self._running:
            stream.end(closed())


class _Stream:
    def __init__(self, request: TurnRequest) -> None:
        self.chat, self.message_id = request.chat, request.message_id
        self.events: list[TurnEvent] = []
        self.more = asyncio.Event()
        self.ended: PlatformError | None = None
        self.through = False
        """Whether the source has said its last."""

    async def feed(self, source: AsyncGenerator[TurnEvent, None]) -> None:
        try:
            async with aclosing(source):
                async for event in source:
                    self.events.append(event)
                    self.through = is_end(event)
                    self.more.set()
        finally:
            # Only after this the task is done, and the reader looks at it.
            asyncio.get_running_loop().call_soon(self.more.set)

    def end(self, error: PlatformError) -> None:
        self.ended = self.ended or error
        self.more.set()


def closed() -> PlatformError:
    """The end of a stream whose client was closed."""
    return PlatformError(CLOSED, "The client of this agent was closed.", retryable=True)
