"""The running bot: what is started in which order, and how it is stopped.

Start: lock and open the store, restore the session, fit the machines to the registry, read what happened
meanwhile (one sync and its gaps), and only then carry out what is pending and handle what came. Stop: take
nothing new, finish or park what runs, close.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import structlog

from config import Registry, Settings
from store import Store, StoreError, TinyStore
from surface import failpoints as failpoints_
from surface.actor import Actors
from surface.case import World
from surface.catch_up import CatchUp
from surface.clock import SystemClock
from surface.deeds import Deeds
from surface.encryption import Encryption
from surface.files.inbox import Inbox
from surface.files.outgoing import Outgoing
from surface.files.workspace import Workspace
from surface.house import House
from surface.inbox import InboxRow
from surface.ingest import Ingest
from surface.installation import Sequence
from surface.ledger import Ledger
from surface.login import (
    DATABASE,
    MATRIX_STORE,
    first_login,
    login_hint,
    take_session,
)
from surface.matrix import session as sessions
from surface.matrix.account_data import AccountData
from surface.matrix.api import Api, Lost, MatrixError, TokenDead
from surface.matrix.courier import Courier
from surface.matrix.media import Media
from surface.matrix.rooms import Rooms
from surface.matrix.session import Session, SessionError
from surface.matrix.sync import SyncLoop, backoff
from surface.matrix.tls import greeted
from surface.memory import Memory
from surface.mirrors.writer import MirrorWriter
from surface.ops.checks import Agents
from surface.ops.server import Ops
from surface.outbox import Outbox
from surface.platform.directory import Directory
from surface.read_marker import ReadMarkers
from surface.reconcile.look import look
from surface.reconcile.observe import Picture
from surface.reconcile.run import audit, reconcile
from surface.reload import Reload
from surface.timers import dialog_timers, tray_timers
from surface.turn_run import Runner
from surface.turns import Turns

log = structlog.get_logger()
T = TypeVar("T")

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
        await _reached(self.rooms.prepare, self.settings)
        await self.encryption.vouch(_reached)
        await self.outbox.start(self.ledger.world.boot)
        self.sync.since = await self.ingest.start()
        seen = None
        if self.full or self.sync.since is None:
            log.info("reconcile.full", hint="looking at all rooms first")
            seen = await _reached(self.look, self.settings)
        done = await reconcile(self.ledger, seen, me=self.settings.user_id)
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
                pause = AUDIT_EVERY
            except (Lost, MatrixError) as error:
                log.warning("audit.put_off", why=str(error))
            except StoreError as error:
                log.error("audit.failed", why=str(error))


async def _reached(work: Callable[[], Awaitable[T]], settings: Settings) -> T:
    """Do what needs the homeserver, as soon as it is there."""
    failures = 0
    while True:
        try:
            return await work()
        except (Lost, MatrixError) as error:
            failures += 1
            delay = backoff(failures)
            log.warning(
                "homeserver.not_reached",
                homeserver=settings.homeserver,
                why=str(error),
                again_in=round(delay, 1),
                hint="waiting for it; check `homeserver` if it should be up",
            )
            await asyncio.sleep(delay)


@asynccontextmanager
async def running(
    settings: Settings,
    agents: Registry,
    *,
    full: bool = False,
    show_key: Callable[[str], None] = lambda key: None,
) -> AsyncIterator[App]:
    """Build the bot on its state directory; takes it down on the way out.

    Args:
        show_key: is given a recovery key that was just made, to show it.
        full: look at all rooms first. A new device does so in any case.

    Raises:
        StoreError: the state directory is locked, damaged or not writable.
        SessionError: the bot cannot log in.
    """
    fresh = await first_login(settings)
    try:
        store: Store = TinyStore.open(settings.state_dir / DATABASE)
    except StoreError:
        if fresh is not None:
            await sessions.log_out(fresh)
        raise
    try:
        session = await take_session(settings, fresh)
        new_device = fresh is not None and fresh.device_id == session.device_id
        if new_device:
            log.warning(
                "session.new_device",
                device=session.device_id,
                hint="what was encrypted for an earlier device of the bot stays unreadable to it",
            )
        full = full or new_device
        await _reached(lambda: greeted(settings.homeserver), settings)
        async with (
            Ops(settings) as ops,
            _built(settings, agents, store, session, ops, full=full, show_key=show_key) as app,
        ):
            await ops.attach(app)
            yield app
    finally:
        await store.aclose()


@asynccontextmanager
async def _built(
    settings: Settings,
    agents: Registry,
    store: Store,
    session: Session,
    ops: Ops,
    *,
    full: bool,
    show_key: Callable[[str], None],
) -> AsyncIterator[App]:
    client = sessions.open_session(session, settings.state_dir / MATRIX_STORE)
    directory: Directory | None = None
    try:
        points, memory = failpoints_.from_environment(), Memory()
        api = Api(client)
        account = AccountData(api, points, session.user_id)
        sequence = Sequence(store, account, points)
        # Before anything is decided: which ids may be issued, and under which name.
        installation_id = await _reached(sequence.settle, settings)
        world = World(agents, settings.locale, secrets.token_hex(6), installation_id)
        ledger = Ledger(store, memory, world, points, SystemClock())
        ledger.more_ids = sequence.more
        ledger.raise_ids = lambda value: _reached(lambda: sequence.at_least(value), settings)
        encryption = Encryption(client, api, points, settings, session, show_key)
        crypto, courier = encryption.crypto, Courier(api)
        rooms = Rooms(
            api,
            courier,
            crypto,
            points,
            user_id=session.user_id,
            room_version=settings.room_version,
        )
        directory = Directory(agents, store, world.installation_id)
        workspace, media = Workspace(settings.workspace_dir), Media(api, points)
        inbox = Inbox(workspace, media, settings.files, points)
        mirrors = MirrorWriter(ledger, account)
        deeds = Deeds(
            rooms,
            media,
            inbox,
            Outgoing(workspace, media),
            store,
            agents,
            directory,
            points,
            encryption=settings.encryption,
            installation_id=world.installation_id,
            chat_idle=lambda chat: turns.chat_idle(chat),  # noqa: PLW0108 — made below
            write_mirrors=mirrors.write_all,
        )
        outbox = Outbox(ledger, deeds.perform)
        runner = Runner(ledger, outbox, directory, rooms, inbox, settings.answers, points)
        turns = Turns(ledger, rooms, runner)
        house = House(settings.access, settings.limits, settings.catch_up, settings.files)
        actors = Actors(ledger, rooms, crypto, directory, house, session.user_id)
        ingest = Ingest(ledger, rooms, session.user_id, actors.deliver, actors.hold, outbox.echoed)
        markers = ReadMarkers(ledger, rooms, outbox, actors)
        catch_up = CatchUp(ledger, rooms, actors, house)
        encryption.watch(ledger, actors, house)

        def settled(row: InboxRow) -> None:
            ingest.settled(row.key)
            markers.settled(row)

        actors.on_settled, actors.joined, actors.asked = settled, outbox.joined, outbox.asked
        sync = SyncLoop(api, crypto, ingest.keep, None)
        sync.on_keys = actors.keys_came
        timers = (
            dialog_timers(ledger, settings.dialog_timeout),
            tray_timers(ledger, settings.files.tray_timeout),
        )
        for listener in (outbox, turns, sequence, mirrors, *timers, markers):
            ledger.listen(listener.on_decided)
        ledger.mirrors_due = mirrors.wake
        app = App(
            settings,
            ledger,
            sync,
            ingest,
            catch_up,
            actors,
            turns,
            outbox,
            rooms,
            inbox,
            markers,
            mirrors,
            directory,
            Reload(settings.agents, ledger, deeds, directory),
            lambda: look(api, session.user_id),
            encryption,
            full,
            courier,
            runner,
            Agents(directory),
            ops,
            settings.shutdown_grace,
        )
        try:
            yield app
        finally:
            await app.stop()
            await sequence.aclose()
    finally:
        if directory is not None:
            await directory.aclose()
        await client.close()  # type: ignore[no-untyped-call]


async def serve(
    settings: Settings,
    agents: Registry,
    stop: asyncio.Event,
    on_hangup: Callable[[Callable[[], None]], None] = lambda _: None,
    *,
    full: bool = False,
    show_key: Callable[[str], None] = lambda key: None,
) -> None:
    """Run the bot until `stop` is set.

    Args:
        settings: what the operator decides.
        agents: the registry, as read.
        stop: set from outside.
        on_hangup: is given what to call to have the registry read again.
        full: look at all rooms before anything else.
        show_key: is given the recovery key of the bot's account when it has been made, to show it.

    Raises:
        SessionError: it cannot log in, or the homeserver has forgotten it.
        StoreError: the state directory is locked, damaged or not writable.
    """

    async def live() -> None:
        async with running(settings, agents, full=full, show_key=show_key) as app:
            on_hangup(app.reload.asked.set)
            app.stop_asked = stop.set
            await app.run()

    living = asyncio.create_task(live(), name="app")
    asked = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({living, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (living, asked):
            task.cancel()
        await asyncio.wait({living, asked})
    try:
        if not living.cancelled():
            living.result()
    except TokenDead:
        raise SessionError(login_hint(settings)) from None
