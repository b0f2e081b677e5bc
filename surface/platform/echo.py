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
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias, assert_never

from store.store import Store

from .chat_memory import utc_now
from .embedded import Embedded
from .interface import (
    CallFailed,
    Capabilities,
    ChatRef,
    ConfirmationAsked,
    ConfirmationGone,
    Done,
    FileOut,
    Health,
    PlatformError,
    TextDelta,
    TurnEvent,
    TurnRequest,
)
from .memory_documents import Remembered

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


@dataclass(frozen=True, eq=False)
class _Question:
    """A question of a turn that waits."""

    chat: str
    asked: ConfirmationAsked
    verdict: asyncio.Future[bool]


class EchoClient(Embedded):
    """`PlatformClient` of one echo agent; see `Embedded` for what is not said here.

    Args:
        options: style and delay.
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
        super().__init__(store, "echo", installation_id=installation_id, agent_id=agent_id, now=now)
        self._options = options
        self._waiting: set[_Question] = set()

    async def answer_confirmation(
        self, chat: ChatRef, confirmation_id: str, accepted: bool, *, request_id: str
    ) -> None:
        """Answer a question of a running `confirm`; see `PlatformClient`."""
        place = (self._streams.own(chat).platform_chat_id, confirmation_id)
        waiting = [q for q in self._waiting if (q.chat, q.asked.id) == place]
        for question in waiting:
            if not question.verdict.done():
                question.verdict.set_result(accepted)
        if waiting or await self._memory.knows(chat, confirmation_id.removesuffix(_SECOND)):
            return
        said = f"nobody waits for an answer to {confirmation_id}"
        raise ConfirmationGone(PlatformError("confirmation_gone", said, retryable=False))

    async def health(self) -> Health:
        """Tell whether the memory can be read."""
        if self._streams.closed:
            return Health(ok=False, detail="closed")
        try:
            await self._memory.check()
        except CallFailed as failed:
            return Health(ok=False, detail=failed.error.message)
        return Health(ok=True)

    async def _answer(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Say a message back, as the module's text describes."""
        command = command_of(request.text)
        prompts = _QUESTIONS.get(command, ())
        verdicts: list[bool] = []
        try:
            if command == FAIL or prompts:
                known = await self._memory.knows(request.chat, request.message_id)
                if command == FAIL and not known:
                    yield FAILED
                    return
                questions = [] if known else self._questions(request, prompts)
                self._waiting.update(questions)
                try:
                    for question in questions:
                        yield question.asked
                    verdicts = [await question.verdict for question in questions]
                finally:
                    self._waiting.difference_update(questions)

            said = await self._remember(request, verdicts)
            delay = self._options.delay
            for place, piece in enumerate(pieces(said.answer, whole=delay <= 0)):
                if place:
                    await asyncio.sleep(delay)
                yield TextDelta(piece)
            for file in said.files:
                yield file
            yield Done(usage={"words": len(said.answer.split())})
        except CallFailed as failed:
            yield failed.error

    @staticmethod
    def _questions(request: TurnRequest, prompts: Sequence[str]) -> list[_Question]:
        loop, chat = asyncio.get_running_loop(), request.platform_chat_id
        return [
            _Question(
                chat,
                ConfirmationAsked(request.message_id + (_SECOND if place else ""), prompt),
                loop.create_future(),
            )
            for place, prompt in enumerate(prompts)
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


def pieces(text: str, *, whole: bool) -> Iterator[str]:
    """Cut a text into words with the space behind them; joined they are the text again."""
    if whole:
        if text:
            yield text
        return
    for word in _WORDS.finditer(text):
        yield word.group()
