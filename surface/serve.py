"""The bot put together on its state directory, and run until it is told to stop.

Lock and open the store, restore the session, and make the parts, each given what it needs. What they do then,
and in which order, is `App`'s.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from config import Registry, Settings
from store import Store, StoreError, TinyStore
from surface import failpoints as failpoints_
from surface.actor import Actors
from surface.app import App
from surface.case import World
from surface.catch_up import CatchUp
from surface.clock import SystemClock
from surface.deeds import Deeds
from surface.encryption import Encryption, require_recovery_key
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
from surface.matrix.api import Api, TokenDead
from surface.matrix.courier import Courier
from surface.matrix.media import Media
from surface.matrix.rooms import Rooms
from surface.matrix.session import Session, SessionError
from surface.matrix.sync import SyncLoop
from surface.matrix.tls import greeted
from surface.memory import Memory
from surface.mirrors.writer import MirrorWriter
from surface.ops.checks import Agents
from surface.ops.server import Ops
from surface.outbox import Outbox
from surface.patience import reached
from surface.platform.directory import Directory
from surface.read_marker import ReadMarkers
from surface.reconcile.look import look
from surface.reload import Reload
from surface.timers import dialog_timers, tray_timers
from surface.turn_run import Runner
from surface.turns import Turns
from surface.volumes import volumes_apart

log = structlog.get_logger()


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
        StoreError: the state directory is locked, damaged, not writable, or in the agents' reach.
        SessionError: the bot cannot log in.
        ConfigError: the recovery key is none.
    """
    require_recovery_key(settings)
    apart = volumes_apart(settings)
    if apart.level == "fail":
        raise StoreError(f"{apart.found}; {apart.to_do}")
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
        await reached(lambda: greeted(settings.homeserver), settings)
        async with (
            Ops(settings) as ops,
            _built(
                settings,
                agents,
                store,
                session,
                ops,
                full=full or new_device,
                new_device=new_device,
                show_key=show_key,
            ) as app,
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
    new_device: bool,
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
        installation_id = await _settled(
            sequence, settings, session.device_id if new_device else None
        )
        world = World(agents, settings.locale, secrets.token_hex(6), installation_id)
        ledger = Ledger(store, memory, world, points, SystemClock())
        ledger.more_ids = sequence.more
        ledger.raise_ids = lambda value: reached(lambda: sequence.at_least(value), settings)
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
            answer_shown=lambda turn_id: _answer_shown(turns, outbox, turn_id),
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
        sync = SyncLoop(api, session.user_id, crypto, ingest.keep, None)
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


async def _answer_shown(turns: Turns, outbox: Outbox, turn_id: str) -> None:
    """Wait until a turn is over and all its files are in the room, or will not be."""
    await turns.over(turn_id)
    await outbox.shown(turn_id)


async def _settled(sequence: Sequence, settings: Settings, new_device: str | None) -> str:
    """The installation's id; it also tells whether a device that was just made takes another's place."""
    installation_id = await reached(sequence.settle, settings)
    if new_device is not None and not sequence.is_first:
        log.warning(
            "session.new_device",
            device=new_device,
            hint="what was encrypted for an earlier device of the bot stays unreadable to it",
        )
    return installation_id


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
