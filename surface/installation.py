"""Which installation this is, and which ids it may issue: settled with Matrix before anything is decided.

Ids of platform chats come from one sequence and are never used twice, also when the disk is lost right
after one was issued. So they are reserved in blocks: first the end of the block is written into the
account data (`lambda.surface.installation`), then into the store, which issues none beyond it. A lost
database goes on after the end that Matrix knows, under the same installation id.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from machines.effects import PLATFORM_CHAT_SEQ
from store.documents import VERSIONS
from store.store import Conflict, Put, Store, StoreError, Write
from surface.failpoints import Failpoints
from surface.ledger import Decided
from surface.matrix.api import Lost, MatrixError
from surface.matrix.sync import backoff
from surface.mirrors.content import INSTALLATION, VERSION, Installation, read_installation

log = structlog.get_logger()

BLOCK = 100
"""Ids reserved at a time; more are asked for when half of them are issued."""


class Account(Protocol):
    """Where account data is kept; `AccountData` is the real one."""

    async def read(self, kind: str, room_id: str | None = None) -> dict[str, Any] | None:
        """Return what is there."""

    async def write(
        self, kind: str, content: dict[str, Any], room_id: str | None = None, *, point: str
    ) -> None:
        """Write it."""


@dataclass(frozen=True)
class _Stored:
    """What the database knows."""

    installation_id: str
    id_rev: int
    value: int
    """The last id issued."""
    reserved: int | None
    """None: this database has never reserved any."""
    rev: int


class Sequence:
    """The ids that may be issued."""

    def __init__(self, store: Store, account: Account, failpoints: Failpoints) -> None:
        self._store, self._account, self._failpoints = store, account, failpoints
        self._lock = asyncio.Lock()
        self._reserved = 0
        self._refill: asyncio.Task[None] | None = None
        self.is_first = False
        """Neither the database nor Matrix knew of an earlier start."""

    async def settle(self) -> str:
        """Agree with Matrix on the installation and a reserved block; returns the installation id.

        Raises:
            StoreError: Matrix holds what this program cannot read and must not replace.
            MatrixError, Lost, TokenDead: the homeserver does not answer; try again.
        """
        stored, found = (
            await self._read(),
            read_installation(await self._account.read(INSTALLATION)),
        )
        if found is not None and not isinstance(found, Installation):
            if found.newer or stored.reserved is None:
                raise StoreError(
                    f"account data {INSTALLATION}: cannot be read ({found.why}). Run the version that "
                    "wrote it, or restore a backup of the database"
                )
            log.error("mirror.unreadable", kind=INSTALLATION, why=found.why, hint="written again")
            found = None
        self.is_first = found is None and stored.reserved is None
        ours, value = stored.installation_id, stored.value
        if found is not None:
            if stored.reserved is None and await self._is_new():
                ours = found.installation_id
                log.warning(
                    "database.lost", installation=ours, hint="rebuilt from what Matrix knows"
                )
            elif found.installation_id != ours:
                log.error("installation.changed", ours=ours, in_matrix=found.installation_id)
            if found.reserved > (stored.reserved or 0):
                # Reserved by a database that is gone, or that this one is an old copy of.
                value = max(value, found.reserved)
        agreed = found is not None and found.installation_id == ours
        left = (stored.reserved or 0) - value
        if not agreed or left < BLOCK // 2 or (found and found.reserved != stored.reserved):
            end = max(value, stored.reserved or 0, found.reserved if found else 0) + BLOCK
            await self._reserve(ours, value, end, stored)
        else:
            self._reserved = stored.reserved or 0
        return ours

    async def more(self) -> None:
        """Reserve one more block; tried until the homeserver takes it.

        Raises:
            StoreError, TokenDead: this cannot work.
        """
        before, failures = self._reserved, 0
        async with self._lock:
            while self._reserved == before:
                try:
                    stored = await self._read()
                    end = max(stored.value, stored.reserved or 0) + BLOCK
                    await self._reserve(stored.installation_id, stored.value, end, stored)
                except (Lost, MatrixError) as error:
                    failures += 1
                    delay = max(backoff(failures), getattr(error, "retry_after", None) or 0.0)
                    log.warning("sequence.put_off", why=str(error), again_in=round(delay, 1))
                    await asyncio.sleep(delay)

    async def at_least(self, value: int) -> None:
        """Never issue an id up to `value` again: it turned out to be in use.

        Raises:
            MatrixError, Lost, TokenDead, StoreError: see `settle`.
        """
        async with self._lock:
            stored = await self._read()
            if stored.value < value:
                end = max(value, stored.reserved or 0) + BLOCK
                await self._reserve(stored.installation_id, value, end, stored)

    def on_decided(self, decided: Decided[object]) -> None:
        """Reserve more in the background when half of the block is issued."""
        newest = max((int(issued) for issued in decided.issued), default=0)
        if newest and self._reserved - newest < BLOCK // 2 and self._refill is None:
            self._refill = asyncio.create_task(self.more(), name="reserve ids")
            self._refill.add_done_callback(self._refilled)

    async def aclose(self) -> None:
        """Stop reserving."""
        if self._refill is not None:
            self._refill.cancel()
            await asyncio.gather(self._refill, return_exceptions=True)

    def _refilled(self, task: asyncio.Task[None]) -> None:
        self._refill = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not fatal: who needs an id beyond the end asks again, and gets the error.
            log.error("sequence.not_reserved", why=str(error))

    async def _is_new(self) -> bool:
        return not await self._store.scan("users") and not await self._store.scan("rooms")

    async def _read(self) -> _Stored:
        own = await self._store.get("meta", "installation_id")
        sequence = await self._store.get("meta", PLATFORM_CHAT_SEQ)
        assert own is not None
        body = sequence.body if sequence else {}
        rev = sequence.rev if sequence else 0
        value, reserved = int(body.get("value", 0)), body.get("reserved")
        return _Stored(own.body["value"], own.rev, value, reserved, rev)

    async def _reserve(self, ours: str, value: int, end: int, stored: _Stored) -> None:
        """Matrix first, then the store: what the store may issue is known to Matrix already."""
        content = {"v": VERSION, "installation_id": ours, "reserved": end}
        await self._account.write(INSTALLATION, content, point="reserve")
        while True:
            body = {"v": VERSIONS["meta"], "value": max(value, stored.value), "reserved": end}
            changes: list[Write] = [Put("meta", PLATFORM_CHAT_SEQ, body, stored.rev)]
            if ours != stored.installation_id:
                own = {"v": VERSIONS["meta"], "value": ours}
                changes.append(Put("meta", "installation_id", own, stored.id_rev))
            self._failpoints.hit("commit.reserve.before")
            try:
                await self._store.save(changes)
            except Conflict:
                stored = await self._read()
                continue
            self._failpoints.hit("commit.reserve.after")
            self._reserved = end
            return
