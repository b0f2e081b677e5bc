"""One actor per room: its inputs in order, one at a time, each to its commit.

An actor exists while its room has something to do. Inputs of a room whose timeline has a gap wait until
the gap is filled. A message that cannot be decrypted yet is parked: it stays in the inbox, holds nobody up,
and is tried again when keys have come. Before a decision the actor gathers what the decision may need
from outside (is that number an answer to an old list? how long is the context?), because deciding does no
I/O.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from machines.chart import Refused
from store.documents import room_key, user_key
from store.store import Delete, StoreError, Table
from surface.commands.parse import Command, Number, parse
from surface.commands.registry import BY_NAME
from surface.commands.said import Facts
from surface.house import House
from surface.inbox import InboxRow, decode_row
from surface.inputs import (
    Ciphertext,
    Input,
    Membership,
    Message,
    Reaction,
    Removed,
    read,
    read_invite,
)
from surface.ledger import Ledger
from surface.matrix.crypto import Crypto
from surface.matrix.rooms import DIALOG, Rooms
from surface.matrix.sync import backoff
from surface.platform.directory import Directory
from surface.platform.interface import CallFailed, ChatRef, PlatformError
from surface.reception import receive

log = structlog.get_logger()

POSTING = 5.0
"""Seconds to wait for a question of the bot's that is on its way into the room."""

ASK_LIMIT = 10.0
"""Seconds that the platform may take to describe a context."""


class Actors:
    """The rooms that have something to do."""

    def __init__(
        self,
        ledger: Ledger,
        rooms: Rooms,
        crypto: Crypto,
        directory: Directory,
        house: House,
        me: str,
    ) -> None:
        self._ledger, self._rooms, self._crypto = ledger, rooms, crypto
        self._directory, self._house, self._me = directory, house, me
        self._queues: dict[str, list[tuple[str, InboxRow]]] = defaultdict(list)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, int] = defaultdict(int)
        self._parked: dict[str, InboxRow] = {}
        self._taking = False
        self.joined: Callable[[str], Awaitable[None]] = _at_once
        """Waits until a room is not being joined any more."""
        self.asked: Callable[[str], Awaitable[None]] = _at_once
        """Waits until the question of a room is posted, if one is on its way."""
        self.on_settled: Callable[[InboxRow], None] = lambda row: None
        self.on_parked: Callable[[InboxRow], None] = lambda row: None
        """Called when an input cannot be decrypted, each time it is tried."""
        self.on_decrypted: Callable[[InboxRow], None] = lambda row: None

    async def start(self) -> None:
        """Take up the inputs that the last process left."""
        rows = [decode_row(key, s.body) for key, s in await self._ledger.store.scan("inbox")]
        self.deliver(rows)

    def open(self) -> None:
        """Begin to handle inputs."""
        self._taking = True
        for room_id in list(self._queues):
            self._wake(room_id)

    def deliver(self, rows: list[InboxRow]) -> None:
        """Queue inputs that are committed to the inbox."""
        for row in rows:
            bisect.insort(self._queues[row.room_id], (row.order, row), key=lambda q: q[0])
            self._wake(row.room_id)

    def passed_over(self, rows: Iterable[InboxRow]) -> None:
        """Inputs that are settled without being handled."""
        for row in rows:
            self._parked.pop(row.key, None)
            queue = self._queues[row.room_id]
            queue[:] = [entry for entry in queue if entry[1].key != row.key]
            self.on_settled(row)

    @property
    def parked(self) -> frozenset[str]:
        """The inputs that wait for keys, and hold nobody up."""
        return frozenset(self._parked)

    def parked_in(self, room_id: str) -> list[InboxRow]:
        """The inputs of a room that wait for keys."""
        return [row for row in self._parked.values() if row.room_id == room_id]

    @property
    def waiting(self) -> list[InboxRow]:
        """The inputs that are to be handled and are not yet, the one being handled included."""
        return [row for queue in self._queues.values() for _, row in queue]

    def waiting_in(self, room_id: str) -> list[InboxRow]:
        """Those of one room."""
        return [row for _, row in self._queues.get(room_id, ())]

    def hold(self, room_id: str, held: bool) -> None:
        """Let a room's inputs wait, or go on; holds are counted."""
        self._held[room_id] += 1 if held else -1
        if not self._held[room_id]:
            del self._held[room_id]
            self._wake(room_id)

    def keys_came(self) -> None:
        """Try again what could not be decrypted."""
        parked, self._parked = list(self._parked.values()), {}
        self.deliver(parked)

    async def idle(self) -> None:
        """Wait until no room has anything to do."""
        while self._workers:
            await asyncio.wait(list(self._workers.values()))

    async def aclose(self) -> None:
        """Take no more; what is being decided is decided, the rest stays in the inbox."""
        self._taking = False
        if self._workers:
            await asyncio.wait(list(self._workers.values()), timeout=ASK_LIMIT)
        for worker in list(self._workers.values()):
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def _wake(self, room_id: str) -> None:
        if self._taking and room_id not in self._workers and not self._held.get(room_id):
            if self._queues.get(room_id):
                worker = asyncio.create_task(self._work(room_id), name=f"actor {room_id}")
                self._workers[room_id] = worker
                worker.add_done_callback(lambda _: self._rest(room_id))

    def _rest(self, room_id: str) -> None:
        del self._workers[room_id]
        if not self._queues.get(room_id):
            self._queues.pop(room_id, None)
        self._wake(room_id)

    async def _work(self, room_id: str) -> None:
        queue = self._queues[room_id]
        while queue and self._taking and not self._held.get(room_id):
            _, row = queue[0]
            await self._handle_surely(row)
            queue.remove((row.order, row))

    async def _handle_surely(self, row: InboxRow) -> None:
        failures = 0
        while True:
            try:
                await self._handle(row)
                return
            except StoreError as error:
                failures += 1
                log.error("store.failed", why=str(error), again_in=backoff(failures))
                await asyncio.sleep(backoff(failures))
            except asyncio.CancelledError:
                raise
            except Exception:
                # One input that we cannot handle must not end the process nor silence the room. It
                # stays in the inbox, so that a mended version finds it.
                log.exception("input.broke", room=row.room_id, input=row.key)
                return

    async def _handle(self, row: InboxRow) -> None:
        event = self.read(row)
        if isinstance(event, Ciphertext):
            self._parked[row.key] = row
            self.on_parked(row)
            return
        if row.kind == "event" and row.content.get("type") == "m.room.encrypted":
            self.on_decrypted(row)
        settle = [Delete("inbox", row.key)]
        if event is None:
            await self._ledger.save(settle, point="input", durable=False)
            self.on_settled(row)
            return
        facts = Facts()
        preload: list[tuple[Table, str]] = [("rooms", room_key(row.room_id))]
        body, thread, sender = "", None, ""
        if isinstance(event, Message | Membership):
            # Before that nobody knows what they mean in the room.
            await self.joined(row.room_id)
        if isinstance(event, Message):
            event, facts = await self._prepared(event)
            body, thread, sender = event.body, event.thread, event.sender
            preload.append(("users", user_key(sender)))
        if isinstance(event, Reaction):
            stale = await self._is_closed(event.room_id, event.target)
            event, sender = replace(event, stale_question=stale), event.sender
        try:
            await self._ledger.decide(
                row.key,
                lambda case: receive(case, event, self._house, facts),
                settle=settle,
                preload=preload,
                by=row.cause,
                point="input",
                order=row.order,
                body=body,
                thread=thread,
                sender=sender,
                quiet=True,
            )
        except Refused as refusal:
            # The decision and the diagram disagree: say so loudly, and do not try for ever.
            log.error("input.refused", room=row.room_id, input=row.key, why=str(refusal))
            await self._ledger.save(settle, point="input", durable=False)
        self.on_settled(row)

    def read(self, row: InboxRow) -> Input | None:
        """What an input says, decrypted if it can be; None if nothing."""
        if row.kind == "invite":
            return read_invite(row.room_id, row.content, self._me)
        if row.kind == "removed":
            return Removed(row.room_id)
        event = row.content
        if event.get("type") == "m.room.encrypted":
            event = self._crypto.decrypt(row.room_id, event) or event
        return read(row.room_id, event, self._me)

    async def _prepared(self, message: Message) -> tuple[Message, Facts]:
        said = parse(message.body)
        dialog = self._ledger.memory.dialogs.get(message.room_id)
        room = await self._room(message.room_id)
        if room and room["others"]:
            message = await self.in_company(message)
        if isinstance(said, Number) and (dialog is None or message.reply_to is not None):
            return replace(message, stale_list=await self._answers_old_list(message)), Facts()
        if isinstance(said, Number):
            return replace(message, apart=await self._stands_apart(message)), Facts()
        spec = BY_NAME.get(said.name) if isinstance(said, Command) else None
        if spec is not None and spec.name in ("context", "load") and room:
            return message, await self._facts(room, spec.name)
        staged = (message.room_id, message.sender) in self._ledger.memory.trays
        if room and (message.file is not None or staged):
            return message, Facts(takes_files=self._takes_files(room["agent_id"]))
        return message, Facts()

    def _takes_files(self, agent_id: str | None) -> bool:
        """Whether an agent takes files; of one that is not there, nobody needs to be told."""
        try:
            return self._directory.client_for(agent_id or "").capabilities.files
        except CallFailed:
            return True

    async def in_company(self, message: Message) -> Message:
        """The message, with what has to be known where others are: whether it answers the bot."""
        if message.reply_to is None or message.mentions:
            return message
        answered = await self._rooms.event(message.room_id, message.reply_to)
        return replace(
            message, answers_us=answered is not None and answered.get("sender") == self._me
        )

    async def _room(self, room_id: str) -> dict[str, Any] | None:
        stored = await self._ledger.store.get("rooms", room_key(room_id))
        return stored.body if stored is not None else None

    async def _answers_old_list(self, message: Message) -> bool:
        """Whether what a bare number answers is one of our lists that is not open any more."""
        if message.reply_to is not None:
            return await self._is_closed(message.room_id, message.reply_to)
        before = await self._rooms.message_before(message.room_id, message.event_id)
        return self._is_question(before)

    async def _stands_apart(self, message: Message) -> bool:
        """Whether an agent has answered between the open list and this: then this may be for the agent."""
        before = await self._rooms.message_before(message.room_id, message.event_id)
        if before is not None and before.get("type") == "m.room.encrypted":
            before = self._crypto.decrypt(message.room_id, before)
        content = before.get("content") if before is not None else None
        if before is None or before.get("sender") != self._me or not isinstance(content, dict):
            return False
        # What a running turn is still writing came before the list, or beside it.
        running = self._ledger.memory.turns_in(message.room_id)
        return content.get("msgtype") == "m.text" and not running

    async def _is_closed(self, room_id: str, event_id: str) -> bool:
        """Whether an event is a question or list of ours, and not the open one."""
        dialog = self._ledger.memory.dialogs.get(room_id)
        if dialog is not None and dialog[0].list_event_id is None:
            # Not for ever: a question that cannot be put now must not silence the room.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POSTING):
                    await self.asked(room_id)
            dialog = self._ledger.memory.dialogs.get(room_id)
        if dialog is not None and dialog[0].list_event_id == event_id:
            return False
        return self._is_question(await self._rooms.event(room_id, event_id))

    def _is_question(self, event: dict[str, Any] | None) -> bool:
        content = event.get("content") if event is not None else None
        ours = event is not None and event.get("sender") == self._me
        return ours and isinstance(content, dict) and DIALOG in content

    async def _facts(self, room: dict[str, Any], command: str) -> Facts:
        """What the platform says of a room's context, or of its owner's saves."""
        if room["state"] not in ("bound", "cleared"):
            return Facts()
        agent_id, chat, owner = (
            room[k] for k in ("agent_id", "platform_chat_id", "matrix_user_id")
        )
        ref = ChatRef(self._ledger.world.installation_id, agent_id, chat, owner)
        try:
            async with asyncio.timeout(ASK_LIMIT):
                client = self._directory.client_for(agent_id)
                if command == "load":
                    return Facts(saves=tuple(await client.list_contexts(owner)))
                return Facts(turns=(await client.describe_context(ref)).turns)
        except CallFailed as failed:
            return Facts(failed=failed.error)
        except TimeoutError:
            said = f"no answer within {ASK_LIMIT:.0f} s"
            return Facts(failed=PlatformError("timeout", said, retryable=True))


async def _at_once(_room_id: str) -> None:
    """Nothing to wait for."""
