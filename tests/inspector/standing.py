"""An inspector of a bot that never met anybody: a real store, ledger and web server, no Matrix.

What a test changes, it changes by decisions of the ledger, as everything does.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from aiohttp import web
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from machines.room import Room
from machines.user import User
from store import Put, TinyStore
from store.census import census
from store.documents import room_key, user_key, written
from store.history import HISTORY, Cause, Step, extended
from surface.app import App
from surface.case import Case, World
from surface.clock import SystemClock
from surface.failpoints import Failpoints
from surface.inspector.routes import PREFIX, Inspector
from surface.ledger import Ledger
from surface.memory import Memory
from surface.ops.metrics import Watch
from surface.ops.recent import Recent
from tests.inspector.browser import TOKEN
from tests.surface.place import AGENTS

BOT = "@lambda:hs"
STATES = ("bound", "bound", "bound", "cleared", "unbound", "archived")
STEP = Step(
    "room", "bound", "rename", "bound", "2026-01-01T00:00:00+00:00", Cause("event", "$" + "e" * 43)
)


class _Empty(SimpleNamespace):
    def __len__(self) -> int:
        return 0


@dataclass
class Standing:
    """An inspector that is served, and the ledger behind it."""

    url: str
    inspector: Inspector
    ledger: Ledger

    async def archive(self, room_id: str) -> None:
        """A room is archived, for the reason that somebody said so."""
        await self.ledger.decide(
            f"$archive{room_id}",
            lambda case: _archive(case, room_id),
            by=Cause("event", f"$archive{room_id}"),
            point="input",
        )


def _archive(case: Case, room_id: str) -> None:
    case.room(room_id).take("archive")
    case.say(room_id, "archived", label="C1")


async def fill(path: Path, rooms: int) -> None:
    """A store with so many rooms, each of a person of its own, with all the history it may have."""
    store = TinyStore.open(path)
    record = extended([], [STEP] * HISTORY)
    for n in range(min(rooms, len(STATES))):
        owner = f"@person{n:05}:hs"
        room = Room(
            f"!room{n:05}",
            room_type="chat",
            matrix_user_id=owner,
            space_id=f"!space{n:05}",
            chat_id=f"C{n + 1}",
            display_name=f"Kitchen {n:05}",
            agent_id="echo",
            platform_chat_id=f"1{n:05}",
        )
        body = written("rooms", room, STATES[n], history=record)
        user = written("users", User(owner, selected_agent_id="echo"), "ready", history=[])
        puts = [
            Put("rooms", room_key(room.room_id), body, 0),
            Put("users", user_key(owner), user, 0),
        ]
        await store.save(puts)
    await store.aclose()
    _multiply(path, rooms)


def _multiply(path: Path, rooms: int) -> None:
    """The same documents under other numbers: through the store it would take as long as the tests."""
    with closing(sqlite3.connect(path)) as db, db:
        made = db.execute("select tbl, key, json from documents where tbl in ('users', 'rooms')")
        for table, key, text in made.fetchall():
            of = re.search(r"\d{5}", key)
            assert of is not None
            numbers = range(int(of[0]) + len(STATES), rooms, len(STATES))
            rows = ((table, *(t.replace(of[0], f"{n:05}") for t in (key, text))) for n in numbers)
            db.executemany("insert into documents (tbl, key, json) values (?, ?, ?)", rows)


@asynccontextmanager
async def standing(path: Path, rooms: int = 3) -> AsyncIterator[Standing]:
    """An inspector of so many rooms."""
    await fill(path, rooms)
    store = TinyStore.open(path)
    world = World(AGENTS, "en", "boot", "installation")
    ledger = Ledger(store, Memory(), world, Failpoints(None), SystemClock())
    watch, recent = Watch(CollectorRegistry()), Recent()
    watch.machines.update(census(path))
    for listener in (watch, recent):
        ledger.listen(listener.on_decided)
    nothing = SimpleNamespace(
        waiting=[], parked=frozenset(), waiting_in=lambda room: [], parked_in=lambda room: []
    )
    turns = SimpleNamespace(counts=(0, 0), waiting_in=lambda room: [], rooms_waiting=[])
    app = SimpleNamespace(
        settings=SimpleNamespace(user_id=BOT),
        ledger=ledger,
        phase="live",
        actors=nothing,
        turns=turns,
        outbox=_Empty(rows=[], troubles={}),
    )
    inspector = Inspector(SecretStr(TOKEN), path, watch, recent)
    inspector.attach(cast("App", app))
    outer = web.Application()
    outer.add_subapp(PREFIX, inspector.application())
    runner = web.AppRunner(outer, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Standing(f"http://127.0.0.1:{runner.addresses[0][1]}", inspector, ledger)
    finally:
        inspector.close()
        await runner.cleanup()
        await store.aclose()
