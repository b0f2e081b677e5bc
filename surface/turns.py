"""Runs turns: asks the agent, lets the answer grow in the room, commits the last words.

One turn of a room at a time, in the order of their messages; rooms do not wait for each other. What is
durable is in the turn's document and the outbox. How far a running turn has come is in memory only: after a
crash it is asked again, and a platform that dedupes gives the same answer.

Order of things in one turn: placeholder (committed, then sent), previews (never committed), last words
(committed, with the end of the turn, then sent). No preview is under way when the last words are committed.
"""

from __future__ import annotations

import asyncio
import bisect
from collections import defaultdict
from contextlib import aclosing

import structlog

from config import Answers
from machines.effects import Text
from machines.turn import Turn
from store.documents import read, room_key, user_key
from surface import render
from surface.case import Accepted, Case
from surface.failpoints import Failpoints
from surface.ledger import Decided, Ledger
from surface.matrix.rooms import SOURCE, Rooms
from surface.memory import Progress
from surface.outbox import Outbox
from surface.platform.directory import AdapterMissing, AgentMissing, Directory
from surface.platform.interface import CallFailed, Done, PlatformError, TextDelta, TurnRequest

log = structlog.get_logger()

THINKING = "…"
"""What a placeholder shows before the agent's first words."""


class Turns:
    """All turns that wait or run."""

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        directory: Directory,
        rooms: Rooms,
        answers: Answers,
        failpoints: Failpoints,
    ) -> None:
        self._ledger, self._outbox, self._directory = ledger, outbox, directory
        self._rooms, self._answers, self._failpoints = rooms, answers, failpoints
        self._waiting: dict[str, list[tuple[str, Accepted]]] = defaultdict(list)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: set[str] = set()
        self._chats: dict[str, int] = defaultdict(int)
        self._chat_left = asyncio.Condition()
        self._taking = True

    async def start(self) -> None:
        """Take up the turns that the last process left."""
        for key, stored in await self._ledger.store.scan("turns"):
            body = stored.body
            self._add(Accepted(key, body["room_id"], body["order"], body["platform_chat_id"]))

    def on_decided(self, decided: Decided[object]) -> None:
        """Queue new turns, and stop those that a decision has ended."""
        for accepted in decided.accepted:
            self._add(accepted)
        for turn_id in decided.ended:
            task = self._running.get(turn_id)
            if task is not None and turn_id not in self._ending:
                task.cancel()

    async def chat_idle(self, platform_chat_id: str) -> None:
        """Wait until no turn of a platform chat waits or runs."""
        async with self._chat_left:
            await self._chat_left.wait_for(lambda: not self._chats.get(platform_chat_id))

    async def aclose(self, grace: float) -> None:
        """Take up no more turns; give the running ones `grace` seconds. The rest wait on disk."""
        self._taking = False
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=grace)
        for worker in list(self._workers.values()):
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def _add(self, accepted: Accepted) -> None:
        bisect.insort(
            self._waiting[accepted.room_id], (accepted.order, accepted), key=lambda w: w[0]
        )
        self._chats[accepted.platform_chat_id] += 1
        if accepted.room_id not in self._workers and self._taking:
            worker = asyncio.create_task(
                self._work(accepted.room_id), name=f"turns {accepted.room_id}"
            )
            self._workers[accepted.room_id] = worker

    async def _work(self, room_id: str) -> None:
        waiting = self._waiting[room_id]
        try:
            while waiting and self._taking:
                _, accepted = waiting.pop(0)
                task = asyncio.create_task(
                    self._run(accepted.turn_id), name=f"turn {accepted.turn_id}"
                )
                self._running[accepted.turn_id] = task
                try:
                    await asyncio.wait({task})
                except asyncio.CancelledError:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
                    raise
                finally:
                    self._running.pop(accepted.turn_id, None)
                    self._ledger.memory.running.pop(accepted.turn_id, None)
                    self._ending.discard(accepted.turn_id)
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.error("turn.broke", turn=accepted.turn_id, exc_info=error)
                await self._left(accepted.platform_chat_id)
        finally:
            del self._workers[room_id]
            if not waiting:
                self._waiting.pop(room_id, None)

    async def _left(self, chat: str) -> None:
        async with self._chat_left:
            self._chats[chat] -= 1
            if not self._chats[chat]:
                del self._chats[chat]
                self._chat_left.notify_all()

    async def _run(self, turn_id: str) -> None:
        stored = await self._ledger.store.get("turns", turn_id)
        if stored is None:
            return
        turn = read("turns", turn_id, stored, Turn("", "", "", "", "", "", "")).record
        progress = self._ledger.memory.running[turn_id] = Progress("waiting")
        if turn.asked:
            await self._end(turn, "fail", body="", ending=Text("turn-interrupted"))
            return
        if turn.placeholder_asked and turn.placeholder_id is None:
            await self._outbox.settled(f"{turn_id}/placeholder/0")
        finished = asyncio.Event()
        growing = asyncio.create_task(self._grow(turn, progress, finished), name=f"grow {turn_id}")
        try:
            ending = await self._ask(turn, progress)
        except BaseException:
            growing.cancel()
            await asyncio.gather(growing, return_exceptions=True)
            raise
        finished.set()
        await growing
        self._failpoints.hit("platform.done")
        if ending is None:
            await self._end(turn, "finish", body=progress.text)
        else:
            await self._end(turn, "fail", body=progress.text, ending=ending)

    async def _ask(self, turn: Turn, progress: Progress) -> Text | None:
        """Take the agent's answer in; returns why it is none, or not a whole one."""
        try:
            client = self._directory.client_for(turn.agent_id)
        except (AgentMissing, AdapterMissing):
            await self._decide(turn.event_id, "start")
            return Text("turn-agent-gone", {"id": turn.agent_id})
        await self._decide(turn.event_id, "start", repeatable=client.capabilities.dedupes)
        request = TurnRequest(
            message_id=turn.event_id,
            installation_id=self._ledger.world.installation_id,
            agent_id=turn.agent_id,
            platform_chat_id=turn.platform_chat_id,
            user_id=turn.user_id,
            text=turn.body,
        )
        self._failpoints.hit("platform.asked")
        try:
            async with aclosing(client.turn(request)) as stream:
                async for event in stream:
                    match event:
                        case TextDelta(text):
                            if not progress.text:
                                await self._decide(turn.event_id, "delta")
                            progress.text += text
                            self._failpoints.hit("platform.streamed")
                        case PlatformError(_, message):
                            return Text("turn-failed", {"reason": message})
                        case Done():
                            return None
                        case _:
                            log.info("turn.event_not_shown", kind=type(event).__name__)
        except asyncio.CancelledError:
            raise
        except CallFailed as error:
            return Text("turn-failed", {"reason": error.error.message})
        except Exception as error:
            # An adapter's bug must not take the room with it.
            log.exception("turn.adapter_broke", agent=turn.agent_id)
            return Text("turn-crashed", {"reason": type(error).__name__})
        return Text("turn-crashed", {"reason": "the stream ended without an end"})

    async def _grow(self, turn: Turn, progress: Progress, finished: asyncio.Event) -> None:
        """Show the answer while it comes: a placeholder after a while, then edits of it."""
        turn_id, shown = turn.event_id, ""
        placeholder = await self._placeholder_id(turn_id)
        if placeholder is None:
            if turn.placeholder_asked:
                return  # It was refused for good: there will be one message, at the end.
            if await _soon(finished, self._answers.placeholder_after):
                return
            if self._rooms.limited:
                return
            shown = progress.text
            await self._ledger.decide(
                f"{turn_id}/placeholder",
                lambda case: _take(case, turn_id, "place", body=shown or THINKING),
                point="turn.placeholder",
            )
            await self._outbox.settled(f"{turn_id}/placeholder/0")
            placeholder = await self._placeholder_id(turn_id)
        attempt, count = self._ledger.world.boot, 0
        stored = await self._ledger.store.get("rooms", f"matrix_room:{turn.room_id}")
        while placeholder is not None and not await _soon(finished, self._answers.edit_every):
            if progress.text == shown:
                continue
            text, count = progress.text, count + 1
            content = render.parts(text, edits=placeholder)[0]
            content[SOURCE] = f"preview-{turn_id}"
            encrypted = bool(stored and stored.body["encrypted"])
            transaction = f"p{attempt}-{count}-{turn_id}"
            if await self._rooms.preview(turn.room_id, content, transaction, encrypted=encrypted):
                shown = text

    async def _placeholder_id(self, turn_id: str) -> str | None:
        stored = await self._ledger.store.get("turns", turn_id)
        return stored.body["placeholder_id"] if stored else None

    async def _decide(self, turn_id: str, event: str, **details: object) -> None:
        await self._ledger.decide(
            f"{turn_id}/{event}",
            lambda case: _take(case, turn_id, event, **details),
            point="input",
            preload=[("turns", turn_id)],
        )

    async def _end(self, turn: Turn, event: str, **details: object) -> None:
        self._ending.add(turn.event_id)
        await self._ledger.decide(
            f"{turn.event_id}/final",
            lambda case: _take(case, turn.event_id, event, **details),
            point="turn.final",
            preload=[
                ("turns", turn.event_id),
                ("rooms", room_key(turn.room_id)),
                ("users", user_key(turn.user_id)),
            ],
        )


def _take(case: Case, turn_id: str, event: str, **details: object) -> None:
    turn = case.turn(turn_id)
    if turn is not None and turn.knows(event):
        turn.take(event, **details)


async def _soon(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event, but not longer; say whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
