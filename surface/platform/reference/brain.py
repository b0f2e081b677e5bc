"""What thinks behind the reference platform: the `Brain` protocol, and the brain that says it back.

A brain answers a message with beats: events, each with the seconds of silence before it and the work
it stands for. It ends with `Done` or `PlatformError`.

One rule for every brain that is `repeatable`: the same message, the same memory and the same verdicts
give the same beats. Then a turn that was cut by a restart is played again from the beginning, and what
was sent already is passed over, without its silence and without its work.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from surface.platform.echo import (
    ASKED,
    CONFIRM,
    FAIL,
    FAILED,
    EchoOptions,
    command_of,
    pieces,
    said_back,
    verdict_on,
)
from surface.platform.interface import (
    ConfirmationAsked,
    Done,
    FileOut,
    PlatformError,
    TextDelta,
    TurnEvent,
)
from surface.platform.memory_documents import Remembered
from surface.platform.wire import Message


@dataclass(frozen=True, slots=True)
class Beat:
    """One event of an answer.

    Args:
        event: what is sent.
        pause: seconds of silence before it.
        work: what was done for it; counted once, with the event.
    """

    event: TurnEvent
    pause: float = 0.0
    work: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A message to be answered.

    Args:
        message: what was said.
        platform_chat_id: in which conversation.
        earlier: what is remembered of it, oldest first.
        verdict: waits for a person's answer to a question, by the question's id.
        sent: what was sent of the answer before a restart.
    """

    message: Message
    platform_chat_id: str
    earlier: tuple[Remembered, ...]
    verdict: Callable[[str], Awaitable[bool]]
    sent: tuple[TurnEvent, ...] = ()


class Brain(Protocol):
    """One agent's thinking."""

    @property
    def repeatable(self) -> bool:
        """Whether it keeps the module's rule."""
        ...

    def answer(self, task: Task) -> AsyncGenerator[Beat, None]:
        """Answer a message; the last beat is a `Done` or a `PlatformError`."""
        ...

    async def check(self) -> str:
        """Say why it could not answer now; empty if it could."""
        ...

    async def aclose(self) -> None:
        """Release everything."""
        ...


class EchoBrain:
    """Says everything back, as the embedded echo agent does."""

    repeatable: Final = True

    def __init__(self, options: EchoOptions) -> None:
        self._options = options

    async def answer(self, task: Task) -> AsyncGenerator[Beat, None]:
        """Say a message back."""
        command = command_of(task.message.text)
        if command == FAIL:
            yield Beat(FAILED)
            return
        if command == CONFIRM:
            question = task.message.message_id
            yield Beat(ConfirmationAsked(question, ASKED))
            text = verdict_on([await task.verdict(question)])
        else:
            text = said_back(task.message.text, self._options.style, task.earlier)
        for beat in spoken(text, self._options.delay):
            yield beat
        for file in task.message.attachments:
            yield Beat(FileOut(file.workspace_path, file.filename, file.mime_type))
        yield Beat(Done(usage={"words": len(text.split())}))

    async def check(self) -> str:
        """Nothing can be missing."""
        return ""

    async def aclose(self) -> None:
        """Nothing to release."""


def spoken(text: str, every: float) -> list[Beat]:
    """Cut a text into words, `every` seconds apart; in one piece if that is 0."""
    words = pieces(text, whole=every <= 0)
    return [Beat(TextDelta(word), every if place else 0) for place, word in enumerate(words)]


def failed(code: str, message: str, *, retryable: bool = True) -> Beat:
    """The beat that ends an answer that failed."""
    return Beat(PlatformError(code, message, retryable))
