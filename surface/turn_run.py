"""Runs one turn: asks the agent, lets the answer grow in the room, commits the last words.

What is durable is in the turn's document and the outbox. How far a running turn has come is in memory only:
after a crash it is asked again, and a platform that dedupes gives the same answer.

Order of things: placeholder (committed, then sent), previews (never committed), last words (committed with
the end of the turn, then sent). No preview is under way when the last words are committed. Files follow
the words they came after: at once where the answer is growing in the room, else with the last words.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from typing import assert_never

import structlog

from config import Answers
from machines.effects import SendFile, Text
from machines.turn import Turn
from store.documents import read, room_key, user_key
from store.history import Cause
from store.store import StoreError
from surface import keys, render
from surface.case import Case
from surface.failpoints import Failpoints
from surface.files.inbox import Inbox
from surface.ledger import Ledger
from surface.matrix.rooms import SOURCE, TYPING_MS, Rooms
from surface.memory import Progress
from surface.outbox import Outbox
from surface.platform.directory import AgentMissing, Directory
from surface.platform.interface import (
    CallFailed,
    ConfirmationAsked,
    Done,
    FileOut,
    PlatformClient,
    PlatformError,
    Status,
    TextDelta,
    TurnRequest,
)
from surface.reasons import CODES, failure
from surface.texts import Markdown, escape

log = structlog.get_logger()

THINKING = "…"
"""What a placeholder shows before the agent's first words."""
NOTICEABLE = 0.3
"""Seconds after which a person would wonder: only then the bot shows that it types."""
STATUS = 200
"""Characters of what an agent says it is doing."""
SLOWER = 1.25
"""Each interval between edits is so much longer than the one before."""
LONGEST = 10.0
"""Seconds between edits at most."""


class Runner:
    """Runs turns, one call each."""

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        directory: Directory,
        rooms: Rooms,
        inbox: Inbox,
        answers: Answers,
        failpoints: Failpoints,
    ) -> None:
        self._ledger, self._outbox, self._directory = ledger, outbox, directory
        self._rooms, self._inbox = rooms, inbox
        self._answers, self._failpoints = answers, failpoints
        self._ending: set[str] = set()
        self._extras: set[asyncio.Task[None]] = set()
        self.failures: Counter[tuple[str, str]] = Counter()
        """How often an agent's turn failed, by agent and code."""

    def is_ending(self, turn_id: str) -> bool:
        """Whether a turn is committing its own last words."""
        return turn_id in self._ending

    def over(self, turn_id: str) -> None:
        """Forget what memory holds of a turn."""
        self._ending.discard(turn_id)
        self._ledger.memory.running.pop(turn_id, None)

    async def run(self, turn_id: str) -> None:
        """Run a turn to its end; cancelled when a decision has ended it or the process stops."""
        turn = await self._turn(turn_id)
        if turn is None:
            return
        progress = Progress(turn.room_id, "waiting")
        self._ledger.memory.running[turn_id] = progress
        if turn.asked:
            await self._end(turn, "fail", body="", ending=Text("turn-interrupted"))
            return
        if turn.placeholder_asked and turn.placeholder_id is None:
            await self._outbox.settled(keys.effect_key(keys.placing(turn_id)))
        await self._outbox.seeded(turn.platform_chat_id)
        finished = asyncio.Event()
        life = asyncio.create_task(self._show_life(turn, finished), name=f"life {turn_id}")
        self._extras.add(life)
        life.add_done_callback(self._extras.discard)
        try:
            await self._outbox.fetched(turn.files)
        except BaseException:
            finished.set()
            raise
        growing = asyncio.create_task(self._grow(turn, progress, finished), name=f"grow {turn_id}")
        try:
            ending = await self._ask(turn, progress)
            finished.set()
            await growing
        except BaseException:
            finished.set()
            growing.cancel()
            await asyncio.gather(growing, return_exceptions=True)
            raise
        self._failpoints.hit("platform.done")
        if ending is None:
            await self._end(turn, "finish", body=progress.text)
        else:
            await self._end(turn, "fail", body=progress.text, ending=ending)

    async def _ask(self, turn: Turn, progress: Progress) -> Text | None:
        """Take the agent's answer in; returns why it is none, or not a whole one."""
        try:
            client = self._directory.client_for(turn.agent_id)
        except CallFailed as failed:
            await self._decide(turn.event_id, "start")
            if isinstance(failed, AgentMissing):
                return Text("turn-agent-gone", {"id": turn.agent_id})
            log.error("turn.agent_not_usable", agent=turn.agent_id, why=failed.error.message)
            return self._failed(turn, failed.error)
        dedupes = client.capabilities.dedupes
        # From here on an edit of the message comes too late; one that came just in time counts.
        current = await self._decide(turn.event_id, "start", repeatable=dedupes) or turn
        room = await self._ledger.store.get("rooms", room_key(turn.room_id))
        # The chat is its owner's, whoever speaks in it: what is kept of it goes when the owner is forgotten.
        owner = (room and room.body["matrix_user_id"]) or turn.user_id
        request = TurnRequest(
            message_id=turn.event_id,
            installation_id=self._ledger.world.installation_id,
            agent_id=turn.agent_id,
            platform_chat_id=turn.platform_chat_id,
            user_id=owner,
            text=current.body,
            attachments=await self._inbox.attachments(current.files),
        )
        self._failpoints.hit("platform.asked")
        try:
            return await self._listen(client, request, turn, progress)
        except asyncio.CancelledError:
            await self._cancel(client, request)
            raise
        except CallFailed as failed:
            return self._failed(turn, failed.error)
        except StoreError:
            # The agent is not to blame; the turn is run again.
            raise
        except Exception as error:
            # An adapter's bug must not take the room with it.
            log.exception("turn.adapter_broke", agent=turn.agent_id)
            self.failures[turn.agent_id, "crashed"] += 1
            return Text("turn-crashed", {"reason": type(error).__name__})

    async def _listen(
        self, client: PlatformClient, request: TurnRequest, turn: Turn, progress: Progress
    ) -> Text | None:
        async with aclosing(client.turn(request)) as stream:
            async for event in stream:
                match event:
                    case TextDelta(text):
                        if progress.state != "streaming":
                            await self._decide(turn.event_id, "delta")
                        progress.text += text
                        progress.status = ""
                        self._failpoints.hit("platform.streamed")
                    case Status(text):
                        progress.status = text
                    case FileOut(path, name, mime_type):
                        progress.files.append(
                            SendFile(
                                turn.room_id, turn.event_id, path, name, mime_type, turn.thread
                            )
                        )
                        if progress.shown:
                            await self._send_files(turn, progress)
                    case ConfirmationAsked(question, prompt):
                        await self._send_files(turn, progress)
                        # The question may be about them.
                        await self._outbox.shown(turn.event_id)
                        await self._ledger.decide(
                            f"{turn.event_id}/question/{question}",
                            lambda case, q=question, p=prompt: _ask_person(case, turn, q, p),  # type: ignore[misc]
                            by=Cause("bot", "question"),
                            point="input",
                        )
                    case PlatformError() as error:
                        return self._failed(turn, error)
                    case Done():
                        return None
                    case _:
                        assert_never(event)
        return Text("turn-crashed", {"reason": "the stream ended without an end"})

    async def _send_files(self, turn: Turn, progress: Progress) -> None:
        """Commit the files that have come so far, to be sent."""
        if count := len(progress.files):
            # These and no later ones: effects are named by the cause, and no name may be used twice.
            await self._ledger.decide(
                f"{turn.event_id}/files/{count}",
                lambda case: _send_left(case, turn.event_id, count),
                by=Cause("bot", "files"),
                point="turn.files",
                preload=[("turns", turn.event_id)],
            )

    def _failed(self, turn: Turn, error: PlatformError) -> Text:
        log.info("turn.failed", agent=turn.agent_id, code=error.code)
        code = error.code if error.code in CODES else "other"
        self.failures[turn.agent_id, code] += 1
        return failure(error)

    async def _cancel(self, client: PlatformClient, request: TurnRequest) -> None:
        """Somebody stopped the turn: let the platform stop working on it too."""
        if request.message_id in self._ledger.memory.running:
            return  # The process is stopping; the turn will be asked again.
        try:
            async with asyncio.timeout(5):
                await client.cancel(
                    request.chat, request.message_id, request_id=f"{request.message_id}/cancel"
                )
        except (CallFailed, TimeoutError) as error:
            log.info("platform.cancel_failed", agent=request.agent_id, why=str(error))

    async def _grow(self, turn: Turn, progress: Progress, finished: asyncio.Event) -> None:
        """Show the answer while it comes: a placeholder after a while, then edits of it."""
        placeholder, shown = turn.placeholder_id, ""
        if placeholder is None:
            if turn.placeholder_asked:
                current = await self._turn(turn.event_id)
                placeholder = current.placeholder_id if current else None
                if placeholder is None:
                    return  # It was refused for good: there will be one message, at the end.
            elif (
                await self._is_quick(progress, finished)
                or self._rooms.limited
                or self._answers.edits == 0
            ):
                return
            else:
                shown = _shown(progress)
                placeholder = await self._place(turn, shown)
        if placeholder is not None:
            progress.shown = True
            await self._send_files(turn, progress)
        stored = await self._ledger.store.get("rooms", room_key(turn.room_id))
        encrypted = bool(stored and stored.body["encrypted"])
        pause = self._answers.edit_every
        for count in range(1, self._answers.edits):
            if placeholder is None or await _soon(finished, pause):
                return
            pause = min(pause * SLOWER, max(LONGEST, self._answers.edit_every))
            text = _shown(progress)
            if text in ("", shown):
                continue
            content = await asyncio.to_thread(render.preview, text, placeholder)
            if finished.is_set():
                return
            content[SOURCE] = f"preview-{turn.event_id}"
            transaction = f"p{self._ledger.world.boot}-{count}-{turn.event_id}"
            if await self._rooms.preview(turn.room_id, content, transaction, encrypted=encrypted):
                shown = text
                progress.edits += 1

    async def _is_quick(self, progress: Progress, finished: asyncio.Event) -> bool:
        """Whether the answer needs no placeholder. An agent that has only asked back needs none."""
        after = self._answers.placeholder_after
        while not await _soon(finished, after):
            if progress.text or progress.state != "asking":
                return False
            after = max(after, NOTICEABLE)
        return True

    async def _place(self, turn: Turn, shown: str) -> str | None:
        """Commit and send the placeholder; returns its event id."""
        reply_to = self._reply_to(turn)
        await self._ledger.decide(
            keys.placing(turn.event_id),
            lambda case: _take(
                case, turn.event_id, "place", body=shown or THINKING, reply_to=reply_to
            ),
            by=Cause("bot", "place"),
            point="turn.placeholder",
        )
        await self._outbox.settled(keys.effect_key(keys.placing(turn.event_id)))
        current = await self._turn(turn.event_id)
        return current.placeholder_id if current else None

    async def _show_life(self, turn: Turn, finished: asyncio.Event) -> None:
        """Read receipt and typing: that the message has been taken up, and is being worked on."""
        if await _soon(finished, NOTICEABLE):
            return  # Whoever answers has read; and what the homeserver does now delays the answer.
        await self._rooms.seen(turn.room_id, turn.event_id)
        while not finished.is_set():
            await self._rooms.typing(turn.room_id, on=True)
            await _soon(finished, TYPING_MS / 1000 - 5)
        await self._rooms.typing(turn.room_id, on=False)

    def _reply_to(self, turn: Turn) -> str | None:
        """The message itself, if others came after it: then it must be said what is answered."""
        latest = self._ledger.memory.latest.get(turn.room_id, turn.event_id)
        return turn.event_id if latest != turn.event_id else None

    async def _turn(self, turn_id: str) -> Turn | None:
        stored = await self._ledger.store.get("turns", turn_id)
        if stored is None:
            return None
        return read("turns", turn_id, stored, Turn("", "", "", "", "", "", "")).record

    async def _decide(self, turn_id: str, event: str, **details: object) -> Turn | None:
        decided = await self._ledger.decide(
            f"{turn_id}/{event}",
            lambda case: _take(case, turn_id, event, **details),
            by=Cause("bot", event),
            point="input",
            preload=[("turns", turn_id)],
        )
        return decided.value

    async def _end(self, turn: Turn, event: str, body: str, ending: Text | None = None) -> None:
        self._ending.add(turn.event_id)
        reply_to = self._reply_to(turn)
        await self._ledger.decide(
            keys.ending(turn.event_id),
            lambda case: _last(case, turn, event, body, ending, reply_to),
            by=Cause("bot", event),
            point="turn.final",
            preload=[
                ("turns", turn.event_id),
                ("rooms", room_key(turn.room_id)),
                ("users", user_key(turn.user_id)),
            ],
        )


def _take(case: Case, turn_id: str, event: str, **details: object) -> Turn | None:
    """Let a turn take an event if it knows it; returns what is remembered of it then, if it is not over."""
    turn = case.turn(turn_id)
    if turn is not None and turn.knows(event):
        turn.take(event, **details)
    return turn.record if turn is not None else None


def _send_left(case: Case, turn_id: str, count: int) -> None:
    """Send what of the first `count` files has not been sent yet."""
    turn = case.turn(turn_id)
    if turn is None or not turn.knows("send_files"):
        return
    if files := case.files_left(turn)[: max(0, count - turn.record.files_sent)]:
        turn.take("send_files", files=files)


def _shown(progress: Progress) -> str:
    """The answer as it is now, and below it what the agent says it is doing."""
    words = render.clipped(progress.text)
    status = " ".join(progress.status.split())[:STATUS]
    return "\n\n".join(filter(None, (words, status and f"*{escape(status)}*")))


def _last(
    case: Case, turn: Turn, event: str, body: str, ending: Text | None, reply_to: str | None
) -> None:
    """The turn's end; one that failed can be asked again where it was asked, and asks nothing any more."""
    room, machine = case.room(turn.room_id), case.turn(turn.event_id)
    if machine is None or not machine.knows(event):
        return
    if case.has_question(turn.room_id):
        case.dialog(turn.room_id).take("agent_done")
    files = case.files_left(machine)
    if ending is None:
        machine.take(event, body=body, reply_to=reply_to, files=files)
        return
    again = room.knows("turn_failed") and room.in_chat(turn.platform_chat_id)
    if again:
        asked, chat = machine.record, turn.platform_chat_id
        room.take("turn_failed", body=asked.body, files=asked.files, platform_chat_id=chat)
    ending = Text(ending.key, {**ending.params, "again": int(again)})
    machine.take(event, body=body, ending=ending, reply_to=reply_to, files=files)


def _ask_person(case: Case, turn: Turn, question: str, prompt: str) -> None:
    """The agent asks back: the person answers by `!yes`, `!no` or a tap."""
    machine = case.turn(turn.event_id)
    if machine is not None and machine.knows("question_asked"):
        machine.take("question_asked")
        text = Text("agent-question", {"prompt": Markdown(prompt[:2000])})
        dialog = case.dialog(turn.room_id)
        dialog.take("agent_asks", question=question, text=text, thread=turn.thread)


async def _soon(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, but not longer; say whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
