"""The embedded agent: says everything back, and needs no network.

One rule: it keeps the whole contract of `interface`, memory and saves included, so that every
command can be tried, and tested, with nothing but the surface. Its memory is `chat_memory`.

What it answers, by the text of the message (case and closing punctuation do not matter):

=============================================  =====================================================
`what did I say?`, `что я говорил(а)?`         the list of what was said in this chat before
`fail`                                         the error `echo_failed`, retryable; nothing is kept
`confirm`                                      asks for a yes or a no, then says which it was
`confirm twice`                                asks two such questions at once
anything else                                  the text itself, in the agent's `style`
=============================================  =====================================================

Attachments are sent back as they came. With a `delay` the answer comes word by word, that many
seconds apart; without one it comes in one piece.

The answer is decided and remembered before its first word is sent. A turn that is cut therefore
goes on from its record: the same message gets the same answer and is in the memory once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias, assert_never

from store.store import Store

from .chat_memory import ChatMemory, Remembered, utc_now
from .interface import (
    CANCELLED,
    CLOSED,
    CallFailed,
    Capabilities,
    ChatRef,
    ConfirmationAsked,
    ConfirmationGone,
    ContextDescription,
    Done,
    FileOut,
    Health,
    PlatformError,
    SavedContext,
    TextDelta,
    TurnEvent,
    TurnRequest,
)

Style: TypeAlias = Literal["plain", "shout", "reverse"]

# The agent's own words: content of the conversation, like a model's, not texts of the surface.
ASKED = "Shall I go on?"
ASKED_TOO = "And shall I tell the others?"
FAILED = PlatformError("echo_failed", "The agent was asked to fail.", retryable=True)

FAIL: Final = "fail"
CONFIRM: Final = "confirm"
_QUESTIONS: Final = {CONFIRM: (ASKED,), "confirm twice": (ASKED, ASKED_TOO)}
_SECOND: Final = "/second"
"""What the id of a second question has behind that of its message."""
_RECALL_EN: Final = frozenset({"what did i say"})
_RECALL_RU: Final = frozenset({"что я говорил", "что я говорила", "что я сказал", "что я сказала"})
_WORDS: Final = re.compile(r"\S+\s*|\s+")


class EchoOptions(Protocol):
    """What the registry says of an echo agent."""

    @property
    def style(self) -> Style:
        """How the text is said back."""
        ...

    @property
    def delay(self) -> float:
        """Seconds between two words of an answer; 0: all at once."""
        ...


class _Stream:
    """A turn that is being answered now, and the two ways to reach it from outside."""

    def __init__(self, chat: ChatRef, message_id: str) -> None:
        loop = asyncio.get_running_loop()
        self.chat = chat
        self.message_id = message_id
        self.ended: asyncio.Future[PlatformError] = loop.create_future()
        self.verdicts: dict[str, asyncio.Future[bool]] = {}

    def ask(self, prompt: str) -> ConfirmationAsked:
        question = self.message_id + (_SECOND if self.verdicts else "")
        self.verdicts[question] = self.ended.get_loop().create_future()
        return ConfirmationAsked(id=question, prompt=prompt)

    async def verdicts_or_end(self) -> None:
        all_said = asyncio.gather(*self.verdicts.values())
        either: tuple[asyncio.Future[Any], ...] = (all_said, self.ended)
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)

    def end(self, error: PlatformError) -> None:
        if not self.ended.done():
            self.ended.set_result(error)

    def decide(self, question: str, accepted: bool) -> None:
        if not self.verdicts[question].done():
            self.verdicts[question].set_result(accepted)


class EchoClient:
    """`PlatformClient` of one echo agent.

    Args:
        store: where the memory is kept; stays open when the client is closed.
        installation_id: the only installation it answers.
        agent_id: the only agent it answers for.
        options: style and delay.
        now: the clock, for the dates of saves.
    """

    capabilities: Final = Capabilities(dedupes=True, confirmations=True, saves=True, files=True)

    def __init__(
        self,
        store: Store,
        *,
        installation_id: str,
        agent_id: str,
        options: EchoOptions,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._installation_id = installation_id
        self._agent_id = agent_id
        self._options = options
        self._memory = ChatMemory(
            store, "echo", installation_id=installation_id, agent_id=agent_id, now=now
        )
        self._streams: set[_Stream] = set()
        self._closed = False

    async def turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Say a message back, as the module's text describes.

        Raises:
            ValueError: the chat is of another agent or installation.
        """
        chat = self._own(request.chat)
        if self._closed:
            yield _closed()
            return
        stream = _Stream(chat, request.message_id)
        self._streams.add(stream)
        try:
            command = command_of(request.text)
            questions = _QUESTIONS.get(command, ())
            if command == FAIL or questions:
                known = await self._memory.knows(chat, request.message_id)
                if command == FAIL and not known:
                    yield FAILED
                    return
                for prompt in () if known else questions:
                    yield stream.ask(prompt)
                await stream.verdicts_or_end()
                if stream.ended.done():
                    yield stream.ended.result()
                    return

            verdicts = [verdict.result() for verdict in stream.verdicts.values()]
            said = await self._remember(request, verdicts)
            delay = self._options.delay
            for place, piece in enumerate(_pieces(said.answer, whole=delay <= 0)):
                if place:
                    await asyncio.wait({stream.ended}, timeout=delay)
                if stream.ended.done():
                    break
                yield TextDelta(piece)
            for file in said.files:
                if stream.ended.done():
                    break
                yield file
            if stream.ended.done():
                yield stream.ended.result()
            else:
                yield Done(usage={"words": len(said.answer.split())})
        except CallFailed as failed:
            yield failed.error
        finally:
            self._streams.discard(stream)

    async def answer_confirmation(
        self, chat: ChatRef, confirmation_id: str, accepted: bool, *, request_id: str
    ) -> None:
        """Answer a question of a running `confirm`; see `PlatformClient`."""
        self._own(chat)
        message_id = confirmation_id.removesuffix(_SECOND)
        waiting = [s for s in self._running(chat, message_id) if confirmation_id in s.verdicts]
        for stream in waiting:
            stream.decide(confirmation_id, accepted)
        if waiting:
            return
        if not await self._memory.knows(chat, message_id):
            raise ConfirmationGone(
                PlatformError(
                    "confirmation_gone",
                    f"nobody waits for an answer to {confirmation_id}",
                    retryable=False,
                )
            )

    async def cancel(self, chat: ChatRef, message_id: str, *, request_id: str) -> None:
        """End the stream of a message, if it runs."""
        self._own(chat)
        for stream in self._running(chat, message_id):
            stream.end(PlatformError(CANCELLED, "The answer was stopped.", retryable=False))

    async def disconnect_chat(self, chat: ChatRef, *, request_id: str) -> None:
        """Do nothing: between turns nothing is alive here."""
        self._own(chat)

    async def describe_context(self, chat: ChatRef) -> ContextDescription:
        """Tell what is remembered of a chat."""
        conversation = await self._memory.conversation(self._own(chat))
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
        return await self._memory.save(self._own(chat), name, request_id=request_id)

    async def list_contexts(self, user_id: str) -> list[SavedContext]:
        """List the saves of a user, newest first."""
        return await self._memory.saves(user_id)

    async def load_context(self, into: ChatRef, save_id: str, *, request_id: str) -> SavedContext:
        """Begin a chat with a save; see `PlatformClient` for what is raised."""
        return await self._memory.load(self._own(into), save_id, request_id=request_id)

    async def forget_user(self, user_id: str, *, request_id: str) -> None:
        """Delete the chats and saves of a user."""
        await self._memory.forget(user_id)

    async def health(self) -> Health:
        """Tell whether the memory can be read."""
        if self._closed:
            return Health(ok=False, detail="closed")
        try:
            await self._memory.check()
        except CallFailed as failed:
            return Health(ok=False, detail=failed.error.message)
        return Health(ok=True)

    async def aclose(self) -> None:
        """End the running streams. The store stays open: it is not ours."""
        self._closed = True
        for stream in self._streams:
            stream.end(_closed())

    def _own(self, chat: ChatRef) -> ChatRef:
        if (chat.installation_id, chat.agent_id) != (self._installation_id, self._agent_id):
            raise ValueError(
                f"client of agent {self._agent_id} in installation {self._installation_id} "
                f"was given a chat of agent {chat.agent_id} in {chat.installation_id}"
            )
        return chat

    def _running(self, chat: ChatRef, message_id: str) -> list[_Stream]:
        return [
            stream
            for stream in self._streams
            if stream.message_id == message_id
            and stream.chat.platform_chat_id == chat.platform_chat_id
        ]

    async def _remember(self, request: TurnRequest, verdicts: Sequence[bool]) -> Remembered:
        def answered(earlier: tuple[Remembered, ...]) -> Remembered:
            return Remembered(
                id=request.message_id,
                text=request.text,
                answer=_answer(request.text, self._options.style, earlier, verdicts),
                files=tuple(
                    FileOut(file.workspace_path, file.filename, file.mime_type)
                    for file in request.attachments
                ),
            )

        return await self._memory.record(request.chat, request.message_id, answered)


def _answer(
    text: str, style: Style, earlier: tuple[Remembered, ...], verdicts: Sequence[bool]
) -> str:
    """Decide what is said to a message."""
    if verdicts:
        return verdict_on(verdicts)
    return said_back(text, style, earlier)


def verdict_on(verdicts: Sequence[bool]) -> str:
    """Tell how the questions were answered."""
    return f"You said {' and '.join('yes' if said else 'no' for said in verdicts)}."


def said_back(text: str, style: Style, earlier: tuple[Remembered, ...]) -> str:
    """Say a message back, or list what was said before, if it asks for that."""
    command = command_of(text)
    if command in _RECALL_EN:
        things = "1 thing" if len(earlier) == 1 else f"{len(earlier)} things"
        return _listed(f"You said {things}:", earlier) if earlier else "You said nothing yet."
    if command in _RECALL_RU:
        return _listed(f"Вы сказали ({len(earlier)}):", earlier) if earlier else "Пока ничего."
    match style:
        case "plain":
            return text
        case "shout":
            return text.upper()
        case "reverse":
            return text[::-1]
        case _:
            assert_never(style)


def _listed(heading: str, earlier: tuple[Remembered, ...]) -> str:
    lines = (f"{number}. {said.gist}" for number, said in enumerate(earlier, start=1))
    return "\n".join((heading, "", *lines))


def command_of(text: str) -> str:
    """Return a message as the list of what echo answers knows it."""
    return " ".join(text.split()).rstrip("?!. ").casefold()


def _pieces(text: str, *, whole: bool) -> Iterator[str]:
    """Cut a text into words with the space behind them; joined they are the text again."""
    if whole:
        if text:
            yield text
        return
    for word in _WORDS.finditer(text):
        yield word.group()


def _closed() -> PlatformError:
    return PlatformError(CLOSED, "The client of this agent was closed.", retryable=True)
