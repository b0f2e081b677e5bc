"""Writes mirrors into the account data: beside everything else, soon, and once for many changes.

No answer waits for a mirror, but for one that tells a label which stands nowhere else in Matrix
(`write_all`). What a commit makes stale is written about a second later, one request at a time; what is due
at a stop is written then, and what a crash leaves is due again at the next start.
"""

from __future__ import annotations

import asyncio

import structlog

from store.store import Conflict, Delete
from surface.ledger import Decided, Ledger
from surface.matrix.account_data import AccountData
from surface.matrix.api import Lost, MatrixError
from surface.matrix.sync import backoff
from surface.mirrors.content import BINDING, Content, binding_of, mirror, profile_of
from surface.mirrors.due import Due, decode

log = structlog.get_logger()

PAUSE = 1.0
"""Seconds between a commit and its mirror: what else changes meanwhile goes with it."""
LAST_MOMENT = 5.0
"""Seconds that a stop gives the mirrors that are due."""


class MirrorWriter:
    """Keeps the mirrors true to the documents."""

    def __init__(self, ledger: Ledger, account: AccountData, *, pause: float = PAUSE) -> None:
        self._ledger, self._account, self._pause = ledger, account, pause
        self._due, self._writing = asyncio.Event(), asyncio.Lock()
        self._worker: asyncio.Task[None] | None = None
        self._written: dict[str, Content] = {}
        """By key, what this process has written last but for the revision."""

    async def start(self) -> None:
        """Take up what the last process left."""
        if await self._ledger.store.scan("mirrors"):
            self._due.set()
        self._worker = asyncio.create_task(self._work(), name="mirrors")

    def on_decided(self, decided: Decided[object]) -> None:
        """Have the mirrors written that a commit has made stale."""
        if decided.mirrors:
            self._due.set()

    def wake(self) -> None:
        """Something was noted as due without a decision."""
        self._due.set()

    async def aclose(self) -> None:
        """Write what is due, as far as that can be done in a moment."""
        if self._worker is None:
            return
        self._worker.cancel()
        await asyncio.gather(self._worker, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_MOMENT):
                await self.write_all()
        except (Lost, MatrixError, TimeoutError) as error:
            log.info("mirror.put_off", why=str(error), hint="written after the next start")

    async def _work(self) -> None:
        failures = 0
        while True:
            await self._due.wait()
            await asyncio.sleep(self._pause)
            self._due.clear()
            try:
                await self.write_all()
                failures = 0
            except (Lost, MatrixError) as error:
                failures += 1
                delay = max(backoff(failures), getattr(error, "retry_after", None) or 0.0)
                log.warning("mirror.put_off", why=str(error), again_in=round(delay, 1))
                await asyncio.sleep(delay)
                self._due.set()

    async def write_all(self) -> None:
        """Write all that are due now.

        Raises:
            MatrixError, Lost: some are not written yet.
        """
        async with self._writing:
            for key, row in await self._ledger.store.scan("mirrors"):
                await self._write(decode(row.body))
                try:
                    await self._ledger.save([Delete("mirrors", key, row.rev)], point="mirror")
                except Conflict:
                    self._due.set()  # Stale again meanwhile.

    async def _write(self, due: Due) -> None:
        stored = await self._ledger.store.get(due.table, due.document)
        body, rev = (stored.body, stored.rev) if stored else (None, 0)
        content = binding_of(body) if due.kind == BINDING else profile_of(body, due.room_id)
        if self._written.get(due.key) == content:
            return
        try:
            await self._account.write(due.kind, mirror(content, rev), due.room_id, point="mirror")
        except MatrixError as error:
            if error.limited:
                raise
            log.warning("mirror.refused", kind=due.kind, room=due.room_id, why=str(error))
            return
        self._written[due.key] = content
