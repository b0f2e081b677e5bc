"""The whole bot in this process, before a homeserver that sends what it is told, byte for byte.

The bot is `serve.running`: real nio, real store on a disk, real machines; nothing of it is replaced. The
homeserver answers every request as Synapse would if all went well, and /sync with the bytes it is given, so
that one loopback request stands between a fuzzed response and everything that reads it.

    with living(folder) as life:
        life.hears(b"…")        # whatever this is: the bot lives, answers Carol, and left nothing half done
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from config import Settings
from config.agents import EchoAgent, Registry
from machines.room import Room
from machines.user import User
from store import Delete, Put, TinyStore
from store.documents import VERSIONS, read, room_key, user_key, written
from store.store import Write
from surface.app import App
from surface.case import decode_row
from surface.login import DATABASE, MATRIX_STORE
from surface.matrix import session as sessions
from surface.matrix import sync as syncing
from surface.matrix.session import Session
from surface.mirrors.content import INSTALLATION
from surface.serve import running
from tests.fuzz.shapes import ALICE, HOME, ME, ROOM, SPACE

CAROL, SANE = "@carol:hs", "!sane"
"""Somebody whom no fuzzed response names, and her room: what is said there must be answered."""
AGENTS = Registry(
    default="echo",
    agents=(
        EchoAgent(id="echo", name="Echo", adapter="echo"),
        EchoAgent(id="shout", name="Crier", adapter="echo", style="shout"),
    ),
)
TIMEOUT = 60.0
DEEP = re.compile(rb'((?:\{"x":){100,}|\[{100,})1')
"""How deep texts begin (`shapes.py`, `mutations.Deep`); each ends with one letter for each level."""
LONGEST_TOKEN = 1_000
"""No homeserver's is longer; the bot may refuse to carry one that is."""


class Home:
    """A homeserver with one account; it refuses nothing."""

    def __init__(self) -> None:
        self.syncs: asyncio.Queue[bytes] = asyncio.Queue()
        self.told = b""
        """What the bot was told last."""
        self.sent: list[tuple[str, dict[str, Any]]] = []
        """Room and content of every event that the bot sent."""
        self.changed = asyncio.Event()
        self.asking = asyncio.Event()
        """Set while the bot waits for news: it is done with all that it got."""
        self.account_data: dict[str, bytes] = {}
        self._device_keys: Any = {}
        self._ids = itertools.count(1)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{anything:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        path = re.sub("^/_matrix/client/v[0-9]+/", "", request.path)
        is_json = request.content_type == "application/json" and request.can_read_body
        body = await request.json() if is_json else {}
        if path == "sync":
            self.asking.set()
            self.told = await self._next(request)
            self.asking.clear()
            return web.Response(body=self.told, content_type="application/json")
        if "/account_data/" in path:
            if request.method == "PUT":
                self.account_data[path] = json.dumps(body).encode()
            elif path not in self.account_data:
                return web.json_response({"errcode": "M_NOT_FOUND", "error": ""}, status=404)
            return web.Response(body=self.account_data[path], content_type="application/json")
        if request.method == "PUT" and path.startswith("rooms/"):
            self.sent.append((path.split("/")[1], body))
            self.changed.set()
            return web.json_response({"event_id": f"$made{next(self._ids)}"})
        return web.json_response(self._answered(request.method, path, body))

    async def _next(self, request: web.Request) -> bytes:
        """What is told next; whoever has gone away while they waited does not take it along."""
        given = await self.syncs.get()
        if request.transport is None or request.transport.is_closing():
            later = [self.syncs.get_nowait() for _ in range(self.syncs.qsize())]
            for response in (given, *later):
                self.syncs.put_nowait(response)
        return given

    def _answered(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        match path:
            case "capabilities":
                return {"capabilities": {"m.room_versions": {"default": "11"}}}
            case "keys/upload":
                self._device_keys = body.get("device_keys") or self._device_keys
                return {"one_time_key_counts": {"signed_curve25519": 50}}
            case "keys/query":
                return {"device_keys": {ME: {"DEVICE": self._device_keys}}, "failures": {}}
            case "keys/claim":
                return {"one_time_keys": {}, "failures": {}}
            case "createRoom":
                return {"room_id": f"!made{next(self._ids)}"}
            case "joined_rooms":
                return {"joined_rooms": [HOME, SPACE, ROOM, SANE]}
        if path.endswith("/joined_members"):
            return {"joined": {ME: {}, ALICE: {}}}
        if path.endswith("/upload"):
            return {"content_uri": "mxc://hs/made"}
        if path.startswith("join/"):
            return {"room_id": path.removeprefix("join/")}
        if path.endswith("/messages"):
            return {"chunk": [], "start": "s"}
        return {}


class Life:
    """The bot, its homeserver, and what has to hold."""

    def __init__(self, app: App, home: Home, end: Callable[[], Awaitable[None]]) -> None:
        self._app, self.home, self._end = app, home, end
        self.running = asyncio.create_task(app.run())
        self._turn = itertools.count(1)

    async def hears(self, responses: tuple[bytes, ...]) -> None:
        """All of them, and then a good one; see `Living.hears`."""
        await self._reset()
        number = await self.answers(*responses)
        await self._until(self.home.syncs.empty)
        await self._idle()
        assert self._app.sync.since == f"good{number}"
        await self._whole()

    async def answers(self, *responses: bytes) -> int:
        """Carol is answered after these responses; returns which of her commands it was."""
        number = next(self._turn)
        self.home.sent.clear()
        for response in (*responses, _good(number)):
            self.home.syncs.put_nowait(response)
        said = f"$good{number}"
        await self._until(lambda: any(_answers(content, said) for _, content in self.home.sent))
        return number

    async def settled(self) -> None:
        """Nothing more happens, or what happens is tried again and again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self._idle()

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)
        await self._end()

    async def _until(self, holds: Callable[[], bool]) -> None:
        try:
            await self._waited(holds)
        except TimeoutError:
            raise AssertionError(f"it does not go on: {self._standing()}") from None

    def _standing(self) -> str:
        app = self._app
        waiting = [row.key for row in app.actors.waiting]
        effects = [type(row.effect).__name__ for row in app.outbox.rows]
        tasks = [f"{task.get_name()}: {task.get_stack(limit=3)}" for task in asyncio.all_tasks()]
        return "\n".join([f"since {app.sync.since}", f"{waiting} {effects}", *tasks])

    async def _waited(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not holds():
                self.home.changed.clear()
                news = asyncio.ensure_future(self.home.changed.wait())
                await asyncio.wait({news, self.running}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                if self.running.done():
                    self.running.result()
                    raise AssertionError("the bot has ended")

    async def _idle(self) -> None:
        async with asyncio.timeout(TIMEOUT):
            await self.home.asking.wait()
            await self._app.ingest.gaps_filled()
            await self._app.actors.idle()
            await self._app.turns.idle()
            await self._app.outbox.idle()
            await self._app.actors.idle()

    async def _whole(self) -> None:
        """Every document can be read, every input is settled or waits for keys, every effect is done."""
        await self.readable()
        store = self._app.ledger.store
        assert {key for key, _ in await store.scan("inbox")} == self._app.actors.parked
        assert [decode_row(key, row.body) for key, row in await store.scan("outbox")] == []
        assert await store.scan("turns") == []
        assert await store.scan("dirty") == []

    async def readable(self) -> None:
        """What it wrote of people and rooms, it can read."""
        store = self._app.ledger.store
        for key, stored in await store.scan("users"):
            read("users", key, stored, User(""))
        for key, stored in await store.scan("rooms"):
            read("rooms", key, stored, Room(""))

    async def _reset(self) -> None:
        """Everybody's documents as they were; what only memory knows is forgotten."""
        app = self._app
        await self._idle()
        store, memory = app.ledger.store, app.ledger.memory
        changes = people()
        known = {(put.table, put.key) for put in changes}
        for table in ("users", "rooms", "inbox"):
            for key, _ in await store.scan(table):
                if (table, key) not in known:
                    changes.append(Delete(table, key))
        await store.save(changes)
        app.actors._parked.clear()
        memory.dialogs.clear()
        memory.trays.clear()
        app.rooms._plain.clear()
        app.encryption.crypto._encrypted.clear()


def _good(number: int) -> bytes:
    event = {
        "type": "m.room.message",
        "event_id": f"$good{number}",
        "sender": CAROL,
        "origin_server_ts": 1_700_000_000_000,
        "content": {"msgtype": "m.text", "body": "!help rename"},
    }
    joined = {SANE: {"timeline": {"events": [event], "limited": False, "prev_batch": "p"}}}
    return json.dumps({"next_batch": f"good{number}", "rooms": {"join": joined}}).encode()


def to_be_taken(response: bytes) -> bool:
    """A homeserver would give it again for ever to whoever refuses it: they would hear nothing more.

    Only what is no JSON object, or brings no token to go on from, may be refused.
    """
    while deep := DEEP.search(response):
        levels = deep[1].count(b"[") or deep[1].count(b"{")
        response = response[: deep.start()] + b"[]" + response[deep.end() + levels :]
    try:
        read = json.loads(response, parse_int=float)
    except ValueError:
        return False
    token = read.get("next_batch") if isinstance(read, dict) else None
    return isinstance(token, str) and 0 < len(token) <= LONGEST_TOKEN and token.isprintable()


def _answers(content: dict[str, Any], event_id: str) -> bool:
    relates = content.get("m.relates_to") or {}
    return bool(relates.get("m.in_reply_to", {}).get("event_id") == event_id)


def people() -> list[Write]:
    """The documents of Alice, who has rooms of every kind, and of Carol."""
    puts: list[Write] = []
    for user_id, space, home, chat in ((ALICE, SPACE, HOME, ROOM), (CAROL, "!s", "!h", SANE)):
        person = User(
            user_id,
            space_id=space,
            space_name="Mine",
            home_rooms=[home],
            next_chat_index=2,
            selected_agent_id="echo",
        )
        body = written("users", person, "ready", history=[])
        puts.append(Put("users", user_key(user_id), body, None))
        direct = Room(home, room_type="home", matrix_user_id=user_id)
        bound = Room(
            chat,
            room_type="chat",
            matrix_user_id=user_id,
            space_id=space,
            chat_id="C1",
            display_name="Chat 1",
            agent_id="echo",
            platform_chat_id="7" if user_id == ALICE else "8",
        )
        for room, state in ((direct, "home"), (bound, "bound")):
            body = written("rooms", room, state, history=[])
            puts.append(Put("rooms", room_key(room.room_id), body, None))
    return puts


async def _seed(state: Path, url: str, *, empty: bool) -> None:
    """A state directory in which nothing is missing, so that no room has to be looked at first."""
    sessions.keep(state / MATRIX_STORE, Session(url, ME, "DEVICE", "token", "pickle"))
    if empty:
        return
    store = TinyStore.open(state / DATABASE)
    token = {"v": VERSIONS["meta"], "token": "begin", "sync": 1}
    sequence = {"v": VERSIONS["meta"], "value": 100}
    changes = [
        Put("meta", "next_batch", token, None),
        Put("meta", "PLATFORM_CHAT_SEQ", sequence, None),
    ]
    await store.save([*people(), *changes])
    await store.aclose()


class Living:
    """A bot that goes on from one example to the next, and a new one after each that was too much for it."""

    def __init__(self, root: Path) -> None:
        self._root, self._numbers = root, itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self._life: Life | None = None
        self._home = Home()
        self._complaints: list[dict[str, Any]] = []
        self._refused: list[tuple[str, bytes]] = []
        """Why, and what, though it was to be taken."""

    def hears(self, *responses: bytes) -> None:
        """The bot gets these responses to /sync, and then a good one with a command of Carol's."""
        try:
            self._loop.run_until_complete(self._hears(responses))
        except BaseException as error:
            error.add_note("\n".join(repr(response)[:2_000] for response in responses))
            self.end()
            raise

    async def _hears(self, responses: tuple[bytes, ...]) -> None:
        if self._life is None:
            self._life = await self._begin()
        self._complaints.clear()
        await self._life.hears(responses)
        assert self._complaints == []
        assert self._refused == []

    def starts(
        self, *responses: bytes, **how: Any
    ) -> tuple[Exception | None, list[dict[str, Any]]]:
        """A new bot (`_begun`): what it refused to start with, and what it complained of while it answered
        Carol."""
        self.end()
        self._complaints.clear()
        return self._loop.run_until_complete(self._starts(responses, how)), self._complaints

    async def _starts(self, responses: tuple[bytes, ...], how: dict[str, Any]) -> Exception | None:
        try:
            life = await self._begin(**how)
        except Exception as error:
            return error
        try:
            await life.answers(*responses)
            await life.settled()
            assert self._refused == []
            if "spoil" not in how:  # What it was given damaged, it left as it was.
                await life.readable()
        finally:
            await life.end()
        return None

    async def _begin(self, **how: Any) -> Life:
        self._home = Home()
        self._refused.clear()
        return await _begun(self._home, self._root / str(next(self._numbers)), **how)

    def note(self, _: object, level: str, event: dict[str, Any]) -> dict[str, Any]:
        """A line of the log."""
        if level in ("error", "critical") or event.get("exc_info"):
            self._complaints.append(event)
        if event["event"] == "sync.failed" and to_be_taken(self._home.told):
            self._refused.append((event["why"], self._home.told[:2_000]))
        raise structlog.DropEvent

    def end(self) -> None:
        """Stop, as SIGTERM would."""
        life, self._life = self._life, None
        if life is not None:
            self._loop.run_until_complete(life.end())

    def close(self) -> None:
        self.end()
        self._loop.close()


@contextmanager
def living(folder: Path) -> Iterator[Living]:
    """A bot that has started and knows Alice and Carol; in the end it must stop as it should."""
    waits = syncing.FIRST_WAIT, syncing.LONGEST_WAIT
    syncing.FIRST_WAIT = syncing.LONGEST_WAIT = 0.001
    before = structlog.get_config()
    living = Living(folder)
    structlog.configure(processors=[living.note], cache_logger_on_first_use=False)
    logging.getLogger("nio").setLevel(logging.CRITICAL)
    try:
        yield living
    finally:
        living.close()
        structlog.configure(**before)
        syncing.FIRST_WAIT, syncing.LONGEST_WAIT = waits


async def _begun(
    home: Home,
    folder: Path,
    spoil: Callable[[Path], None] = lambda database: None,
    *,
    found: bytes | None = None,
    installation: bytes = b"{}",
) -> Life:
    runner = web.AppRunner(home.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = Settings.model_validate(
        {
            "homeserver": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "user_id": ME,
            "access_token": "token",
            "device_id": "DEVICE",
            "state_dir": folder / "state",
            "workspace_dir": folder / "workspace",
            "agents": folder / "agents.yaml",
            "encryption": False,
            "access": {"allow": ["@*:*"]},
            "ops": {"port": 0},
            "limits": {"per_minute": 10_000},
            "shutdown_grace": 0,
        }
    )
    (folder / "state").mkdir(mode=0o700, parents=True)
    (folder / "workspace").mkdir()
    (folder / "agents.yaml").write_text("agents: []\n")
    await _seed(folder / "state", settings.homeserver, empty=found is not None)
    home.account_data[f"user/{ME}/account_data/{INSTALLATION}"] = installation
    spoil(folder / "state" / DATABASE)
    manager = running(settings, AGENTS, full=found is not None)
    try:
        app = await manager.__aenter__()
    except BaseException:
        await runner.cleanup()
        raise
    if found is not None:
        home.syncs.put_nowait(found)
    home.syncs.put_nowait(b'{"next_batch": "first"}')

    async def end() -> None:
        await manager.__aexit__(None, None, None)
        await runner.cleanup()

    life = Life(app, home, end)
    async with asyncio.timeout(TIMEOUT):
        while app.phase != "live" and not life.running.done():
            await asyncio.sleep(0.001)
    if life.running.done():
        await life.end()
        life.running.result()
    return life
