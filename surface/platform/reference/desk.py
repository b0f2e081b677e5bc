"""All turns, memories and saves of the reference platform, without HTTP.

One rule: a message is worked on once. Whoever asks with a `message_id` that is being worked on follows
that work; whose turn was cut by a restart sets it going again where it stopped; and who asks for one
that was answered is given its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import NoReturn

from store.store import Store
from surface.platform.chat_memory import ChatMemory, utc_now
from surface.platform.interface import (
    CANCELLED,
    CallFailed,
    ChatRef,
    ConfirmationGone,
    ContextDescription,
    Done,
    FileOut,
    PlatformError,
    SavedContext,
    TextDelta,
    TurnEvent,
)
from surface.platform.memory_documents import Remembered
from surface.platform.wire import Message, after

from .brain import Brain, Task
from .journal import Journal, Record
from .work import Sent, Work


class AgentUnknown(CallFailed):
    """The platform has no such agent."""


class Desk:
    """Everything the service does, one method a call.

    Args:
        store: the platform's own; stays open.
        brains: the agents, by id.
        now: the clock, for the dates of saves.
    """

    def __init__(
        self, store: Store, brains: Mapping[str, Brain], now: Callable[[], datetime] = utc_now
    ) -> None:
        self._store, self._brains, self._now = store, brains, now
        self._journal = Journal(store)
        self._works: dict[tuple[ChatRef, str], tuple[Work, asyncio.Task[None]]] = {}
        self._taking = asyncio.Lock()
        self._closed = False

    async def turn(
        self, chat: ChatRef, message: Message, place: int | None
    ) -> AsyncGenerator[Sent | None, None]:
        """Answer a message; see `wire` for the places.

        Args:
            chat: where it was said.
            message: what was said.
            place: go on from here with the same turn; None: from the beginning, anew if it had failed.

        Raises:
            AgentUnknown: the platform has no such agent.
            CallFailed, StoreError: the memory cannot be read or written.
        """
        async with self._taking:
            found = await self._take(chat, message, anew=place is None)
        if isinstance(found, Work):
            return found.follow(place or 0)
        return _replay(found, place or 0)

    async def decide(self, chat: ChatRef, question: str, accepted: bool) -> None:
        """Answer a question; see `PlatformClient.answer_confirmation`."""
        self._brain(chat)
        for work in self._of(chat):
            if work.decide(question, accepted):
                return
        message_id = question.partition("/")[0]
        for key in (question, message_id):
            record = await self._journal.find(chat, key)
            if record is not None and question in record.verdicts:
                return
        raise ConfirmationGone(
            PlatformError(
                "confirmation_gone", f"nobody waits for an answer to {question}", retryable=False
            )
        )

    async def cancel(self, chat: ChatRef, message_id: str) -> None:
        """End the work on a message, if there is any, and wait until it has ended."""
        self._brain(chat)
        running = self._works.get((_key(chat), message_id))
        if running is not None:
            work, task = running
            work.end(PlatformError(CANCELLED, "The answer was stopped.", retryable=False))
            await asyncio.wait({task})

    async def describe(self, chat: ChatRef) -> ContextDescription:
        """Tell what is remembered of a chat."""
        return await self._memory(chat).describe(chat)

    async def save(self, chat: ChatRef, name: str, request_id: str) -> SavedContext:
        """Keep the memory of a chat under a name."""
        return await self._memory(chat).save(chat, name, request_id=request_id)

    async def saves(self, who: ChatRef) -> list[SavedContext]:
        """List a user's saves, newest first."""
        return await self._memory(who).saves(who.user_id)

    async def load(self, into: ChatRef, save_id: str, request_id: str) -> SavedContext:
        """Begin a chat with a save."""
        return await self._memory(into).load(into, save_id, request_id=request_id)

    async def forget(self, who: ChatRef) -> None:
        """Delete a user's chats, saves and turns with an agent, those that run included."""
        memory = self._memory(who)
        for (chat, message_id), (work, _) in list(self._works.items()):
            theirs = work.record.chat.user_id == who.user_id
            if theirs and (chat.installation_id, chat.agent_id) == (
                who.installation_id,
                who.agent_id,
            ):
                await self.cancel(chat, message_id)
        await memory.forget(who.user_id)
        await self._journal.forget(who.installation_id, who.agent_id, who.user_id)

    async def check(self) -> str:
        """Say why messages could not be answered now; empty if they could."""
        await self._store.get("meta", "schema")
        said = [(agent, await brain.check()) for agent, brain in self._brains.items()]
        return "; ".join(f"{agent}: {why}" for agent, why in said if why)

    async def aclose(self) -> None:
        """Stop all work where it is; it goes on when it is asked for again. Twice is no error."""
        self._closed = True
        tasks = [task for _, task in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for brain in self._brains.values():
            await brain.aclose()

    async def _take(
        self, chat: ChatRef, message: Message, *, anew: bool
    ) -> Work | tuple[TurnEvent, ...]:
        """Return the work on a message, set going if need be, or its events if it has ended."""
        brain, message_id = self._brain(chat), message.message_id
        if self._closed:
            raise CallFailed(PlatformError("stopping", "The platform stops.", retryable=True))
        running = self._works.get((_key(chat), message_id))
        if running is not None and running[0].record.end is None:
            return running[0]
        record = await self._journal.find(chat, message_id)
        conversation = await self._memory(chat).conversation(chat)
        known = conversation.find(message_id) if conversation else None
        messages = conversation.messages if conversation else ()
        if record is not None and record.end is not None:
            if isinstance(record.end, Done) or not anew:
                return record.told
            record = None
        if known is not None:
            return _answered(known)
        if record is None:
            latest = messages[-1].id if messages else None
            record = await self._journal.begin(chat, message_id, latest)
        task = Task(message, chat.platform_chat_id, _until(messages, record.after), _never)
        work = Work(record, brain, task, self._journal.keep, self._remembering(chat, message))
        self._start(chat, message_id, work)
        return work

    def _start(self, chat: ChatRef, message_id: str, work: Work) -> None:
        key = (_key(chat), message_id)
        task = asyncio.create_task(work.run(), name=f"turn {message_id}")
        self._works[key] = work, task
        task.add_done_callback(lambda _: self._over(key, work))

    def _over(self, key: tuple[ChatRef, str], work: Work) -> None:
        if (running := self._works.get(key)) is not None and running[0] is work:
            del self._works[key]

    def _remembering(self, chat: ChatRef, message: Message) -> Callable[[Record], Awaitable[None]]:
        async def remember(record: Record) -> None:
            said = Remembered(
                id=message.message_id,
                text=message.text,
                answer="".join(e.text for e in record.events if isinstance(e, TextDelta)),
                files=tuple(event for event in record.events if isinstance(event, FileOut)),
            )
            await self._memory(chat).record(chat, message.message_id, lambda _: said)

        return remember

    def _of(self, chat: ChatRef) -> list[Work]:
        return [work for (of, _), (work, _) in self._works.items() if of == _key(chat)]

    def _memory(self, chat: ChatRef) -> ChatMemory:
        self._brain(chat)
        return ChatMemory(
            self._store,
            "platform",
            installation_id=chat.installation_id,
            agent_id=chat.agent_id,
            now=self._now,
        )

    def _brain(self, chat: ChatRef) -> Brain:
        brain = self._brains.get(chat.agent_id)
        if brain is None:
            raise AgentUnknown(
                PlatformError(
                    "agent_unknown",
                    f"no agent {chat.agent_id!r} here; there are: {', '.join(self._brains)}",
                    retryable=False,
                )
            )
        return brain


def _key(chat: ChatRef) -> ChatRef:
    return ChatRef(chat.installation_id, chat.agent_id, chat.platform_chat_id, "")


def _until(messages: tuple[Remembered, ...], last: str | None) -> tuple[Remembered, ...]:
    """What was remembered when a turn began: later messages are not news to it."""
    if last is None:
        return ()
    places = [place for place, said in enumerate(messages) if said.id == last]
    return messages[: places[0] + 1] if places else messages


async def _replay(events: tuple[TurnEvent, ...], place: int) -> AsyncGenerator[Sent | None, None]:
    for one in after(events, place):
        yield one


def _answered(known: Remembered) -> tuple[TurnEvent, ...]:
    text = (TextDelta(known.answer),) if known.answer else ()
    return (*text, *known.files, Done())


async def _never(_: str) -> NoReturn:
    raise AssertionError("the work asks")
