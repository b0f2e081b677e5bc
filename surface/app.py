"""The running bot: what is done in which order, and how it is stopped.

Start: fit the machines to the registry, read what happened meanwhile (one sync and its gaps), and only then
carry out what is pending and handle what came. Stop: take nothing new, finish or park what runs, close.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from config import Settings
from store import StoreError
from surface.actor import Actors
from surface.catch_up import CatchUp
from surface.encryption import Encryption
from surface.files.inbox import Inbox
from surface.ingest import Ingest
from surface.ledger import Ledger
from surface.matrix.api import Lost, MatrixError
from surface.matrix.courier import Courier
from surface.matrix.rooms import Rooms
from surface.matrix.sync import SyncLoop
from surface.mirrors.writer import MirrorWriter
from surface.ops.checks import Agents
from surface.ops.server import Ops
from surface.outbox import Outbox
from surface.patience import reached
from surface.platform.directory import Directory
from surface.read_marker import ReadMarkers
from surface.reconcile.observe import Picture
from surface.reconcile.run import audit, reconcile
from surface.reload import Reload
from surface.turn_run import Runner
from surface.turns import Turns

log = structlog.get_logger()

BREATH = 0.05
"""Seconds that quick answers are given to leave before the next sync is asked for."""
AUDIT_AFTER, AUDIT_EVERY = 60.0, 86_400.0
"""Seconds from the start to the first comparison of all rooms, and from one to the next."""
CLEAN_EVERY = 86_400.0
"""Seconds from one search for old files to the next."""


@dataclass
class App:
    """Everything that runs."""

    settings: Settings
    ledger: Ledger
    sync: SyncLoop
    ingest: Ingest
    catch_up: CatchUp
    actors: Actors
    turns: Turns
    outbox: Outbox
    rooms: Rooms
    files: Inbox
    markers: ReadMarkers
    mirrors: MirrorWriter
    directory: Directory
    reload: Reload
    look: Callable[[], Awaitable[Picture]]
    """Asks the homeserver what all rooms look like."""
    encryption: Encryption
    full: bool
    """All rooms come first, whatever the store knows."""
    courier: Courier
    runner: Runner
    agents: Agents
    ops: Ops
    grace: float
    """Seconds that running turns get at the end."""
    phase: Literal["catching up", "live", "stopping"] = "catching up"
    reconciled: bool = False
    """The machines were driven into the states that fit, as far as could be done at the start."""
    findings_left: int | None = None
    """What was found and is not mended yet; None: nothing was compared yet."""
    stop_asked: Callable[[], None] = lambda: None
    """Ends the process as SIGTERM does."""

    async def run(self) -> None:
        """Catch up, then live until cancelled.

        Raises:
            TokenDead: the session is over.
            StoreError: the store is not usable.
        """
        await self._catch_up()
        # What is there now stays: searching it for garbage again and again would hold answers up.
        gc.collect()
        gc.freeze()
        self.phase = "live"
        self.ops.notifier.tell("READY=1", f"STATUS=answers as {self.settings.user_id}")
        log.info("bot.ready", user=self.settings.user_id, pending=len(self.outbox))
        self.sync.answered = self.answered
        live = asyncio.create_task(self.sync.run(), name="sync")
        beside = [
            asyncio.create_task(self._audit(), name="audit"),
            asyncio.create_task(self.directory.warm(), name="warm"),
            asyncio.create_task(self.reload.run(), name="reload"),
            asyncio.create_task(self.encryption.canary.run(), name="canary"),
            asyncio.create_task(self._clean(), name="clean"),
            asyncio.create_task(
                self.ops.notifier.run(lambda: self.ops.is_live), name="signs of life"
            ),
        ]
        failed = asyncio.ensure_future(self.outbox.failed)
        try:
            done, _ = await asyncio.wait({live, failed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (live, *beside):
                task.cancel()
            await asyncio.gather(live, *beside, return_exceptions=True)

    def drain(self, within: float) -> None:
        """Take nothing more, give running turns so many seconds, then end like a clean stop."""
        self.grace = within
        self.stop_asked()

    async def stop(self) -> None:
        """Take nothing new, finish or park what runs within the grace, write the token down."""
        grace, self.phase = self.grace, "stopping"
        self.ops.notifier.tell("STOPPING=1")
        log.info("bot.stopping", grace=grace)
        await self.ingest.aclose()
        await self.encryption.aclose()
        await self.actors.aclose()
        await self.turns.aclose(grace)
        await self.outbox.aclose(grace / 2)
        await self.markers.aclose()
        await self.mirrors.aclose()
        await self.ingest.keep_token(self.sync.since)
        log.info("bot.stopped", left=len(self.outbox))

    async def answered(self) -> None:
        """Wait until nothing is left to do, but no longer than `BREATH`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BREATH):
                await self.actors.idle()
                await self.turns.idle()
                await self.outbox.idle()

    async def _catch_up(self) -> None:
        await reached(self.rooms.prepare, self.settings)
        await self.encryption.vouch()
        await self.outbox.start(self.ledger.world.boot)
        self.sync.since = await self.ingest.start()
        seen = None
        if self.full or self.sync.since is None:
            log.info("reconcile.full", hint="looking at all rooms first")
            seen = await reached(self.look, self.settings)
        done = await reconcile(self.ledger, seen, me=self.settings.user_id, left=self._are_left)
        self.reconciled = True
        self.ops.watch.found(done.counts, everything=seen is not None)
        await self.actors.start()
        # What happened meanwhile comes first: our own echoes settle what need not be sent again.
        await self.sync.once()
        await self.ingest.fill_stored_gaps()
        await self.catch_up.settle()
        self.ingest.go_live()
        self.outbox.open()
        self.actors.open()
        await self.turns.start()
        await self.mirrors.start()

    def _are_left(self, findings: int) -> None:
        self.findings_left = findings

    async def _clean(self) -> None:
        """Delete files that are too old, at the start and daily."""
        while True:
            removed = await self.files.clean()
            log.info("files.cleaned", removed=removed)
            await asyncio.sleep(CLEAN_EVERY)

    async def _audit(self) -> None:
        """Compare everything, some time after the start and daily: what no event told of is found here."""
        pause = AUDIT_AFTER
        while True:
            await asyncio.sleep(pause)
            try:
                done = await audit(self.ledger, self.look, me=self.settings.user_id)
                self.ops.watch.found(done.counts, everything=True)
                self._are_left(0)
                pause = AUDIT_EVERY
            except (Lost, MatrixError) as error:
                log.warning("audit.put_off", why=str(error))
            except StoreError as error:
                log.error("audit.failed", why=str(error))
