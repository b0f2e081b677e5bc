"""Where the inspector is asked: the page, and what it shows.

| path under `/inspector` | |
|---|---|
| `/`, and the files of `static/` | the page, in which there is nothing of anybody |
| `/diagrams/NAME.svg` | a machine's diagram |
| `/api/overview` | how many machines are in each state, and what has happened lately |
| `/api/find` | people and rooms, by words, state or owner; a page of them |
| `/api/room`, `/api/user` | one of them, by `id` |
| `/api/live` | server-sent events about all, or about one `room` or `user` |
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import SecretStr

from store.store import StoreError
from surface.diagrams.drawn import NotDrawn, drawn
from surface.diagrams.lit import lit
from surface.inspector import guard, view
from surface.inspector.find import Finder, Question
from surface.inspector.live import LATEST, MOST, Hub, Watcher
from surface.inspector.look import Look
from surface.inspector.view import Happened
from surface.ops.metrics import Watch
from surface.ops.recent import Recent

if TYPE_CHECKING:
    from surface.app import App

PREFIX: Final = "/inspector"
STATIC: Final = Path(__file__).with_name("static")
PAGE: Final = "index.html"
PAUSE: Final = 0.1
"""Seconds from one piece of news to the next, of one page."""
LOOK: Final = 1.0
"""Seconds after which what no decision tells of is looked at: inputs that came, attempts in vain."""
QUIET: Final = 15.0
"""Seconds without news after which a stream says that it is still there."""
STALLED: Final = 10.0
"""Seconds that a page may take to take what it is sent."""
STILL_HERE: Final = ": still here\n\n"


class Inspector:
    """Answers what the page asks.

    Args:
        token: who shows it may look.
        database: the bot's file.
        watch: counts the stored machines.
        recent: remembers what the others did.
    """

    def __init__(self, token: SecretStr, database: Path, watch: Watch, recent: Recent) -> None:
        self._token, self._watch, self._recent = token, watch, recent
        self._finder = Finder(database)
        self._files = {file.name: file for file in STATIC.iterdir() if file.suffix in guard.KINDS}
        self._hub = Hub()
        self._look: Look | None = None

    def application(self) -> web.Application:
        """To be served under `PREFIX`."""
        application = web.Application(middlewares=[guard.guarding(self._token)])
        application.on_response_prepare.append(guard.with_headers)
        application.add_routes(
            [
                web.get("", self._page),
                web.get("/", self._page),
                web.get("/api/overview", self._overview),
                web.get("/api/find", self._find),
                web.get("/api/room", self._room),
                web.get("/api/user", self._user),
                web.get("/api/live", self._live),
                web.get("/diagrams/{name}.svg", self._diagram),
                web.get("/{file}", self._file),
            ]
        )
        return application

    def attach(self, app: App) -> None:
        """There is a bot now."""
        self._look = Look(app, self._watch, self._recent)
        app.ledger.listen(self._hub.on_decided)

    def close(self) -> None:
        """End the streams: nothing that is open here keeps the process from ending."""
        self._hub.close()

    # What is the same for everybody

    async def _page(self, _: web.Request) -> web.Response:
        text = (STATIC / PAGE).read_text("utf-8")
        return web.Response(text=text, content_type="text/html", charset="utf-8")

    async def _file(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["file"])
        if file is None:
            raise web.HTTPNotFound(text="there is nothing here\n")
        kind = guard.KINDS[file.suffix]
        return web.Response(text=file.read_text("utf-8"), content_type=kind, charset="utf-8")

    async def _diagram(self, request: web.Request) -> web.Response:
        try:
            picture = drawn(request.match_info["name"])
        except NotDrawn as error:
            raise web.HTTPNotFound(text="there is no such diagram\n") from error
        return web.Response(text=_unstyled(picture), content_type=guard.KINDS[".svg"])

    # What is

    async def _overview(self, _: web.Request) -> web.Response:
        history = [view.happened(what) for what in self._hub.latest]
        return web.json_response({**self._there().everything(), "history": history})

    async def _find(self, request: web.Request) -> web.Response:
        look, asked = self._there(), request.query
        number = asked.get("page", "1")
        machine, state = asked.get("machine", ""), asked.get("state", "")
        among = None
        if machine not in ("", "user", "room"):
            # What only lives in memory lives in a room.
            among, machine, state = look.rooms_with(machine, state), "room", ""
        question = Question(asked.get("words", ""), machine, state, asked.get("owner", ""), among)
        page = int(number) if number.isdecimal() and len(number) < 9 else 1
        return web.json_response(await _kept(self._finder.page(question, page)))

    async def _room(self, request: web.Request) -> web.Response:
        told = await _kept(self._there().room(request.query.get("id", "")))
        if told is None:
            raise web.HTTPNotFound(text="there is no such room\n")
        return web.json_response(told)

    async def _user(self, request: web.Request) -> web.Response:
        told = await _kept(self._there().user(request.query.get("id", "")))
        if told is None:
            raise web.HTTPNotFound(text="there is no such person\n")
        return web.json_response(told)

    def _there(self) -> Look:
        if self._look is None or self._hub.closed:
            raise web.HTTPServiceUnavailable(text="the bot is starting, or stopping\n")
        return self._look

    # What happens

    async def _live(self, request: web.Request) -> web.StreamResponse:
        self._there()
        if len(self._hub) >= MOST:
            raise web.HTTPTooManyRequests(text=f"{MOST} pages are open already; close one\n")
        room_id, user_id = request.query.get("room"), request.query.get("user")

        def wants(what: Happened) -> bool:
            if room_id is not None:
                return what.room_id == room_id
            return user_id is None or what.user_id == user_id

        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with self._hub.watching(wants) as watcher:
            try:
                await response.prepare(request)
                await self._stream(request, response, watcher)
            except (ConnectionError, TimeoutError, web.HTTPException):
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, watcher: Watcher
    ) -> None:
        room_id, user_id = request.query.get("room"), request.query.get("user")
        last, said = await self._at(room_id, user_id), time.monotonic()
        await _say(response, _event("hello", last))
        while True:
            news, missed = await watcher.news(LOOK)
            if request.transport is None:
                return  # The page was closed: nothing else says so where nothing is written.
            if self._hub.closed:
                await _say(response, _event("bye", {}))
                return
            now = await self._at(room_id, user_id)
            changed: dict[str, Any] = {k: v for k, v in now.items() if v != last.get(k)}
            if news:
                changed["happened"] = [view.happened(what) for what in news[-LATEST:]]
            if missed:
                await _say(response, _event("missed", {}))
            if changed:
                await _say(response, _event("news", changed))
                last, said = now, time.monotonic()
            elif time.monotonic() - said > QUIET:
                await _say(response, STILL_HERE)
                said = time.monotonic()
            await asyncio.sleep(PAUSE)

    async def _at(self, room_id: str | None, user_id: str | None) -> dict[str, Any]:
        """What a page shows besides transitions."""
        look = self._there()
        if room_id is None and user_id is None:
            return {"now": look.now()}
        told = await _kept(look.user(user_id or "") if room_id is None else look.room(room_id))
        return {k: v for k, v in told.items() if k != "history"} if told else {"gone": True}


def _unstyled(picture: str) -> str:
    """The picture with its styles, and those of `lit`'s marks, where the page's script finds them.

    The page's policy lets no markup bring styles along.
    """
    text = lit(picture, current=None).replace(' style="', ' data-style="')
    text = re.sub(r"<style[^>]*>", '<metadata data-css="">', text)
    return text.replace("</style>", "</metadata>")


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


async def _say(response: web.StreamResponse, text: str) -> None:
    """Send it.

    Raises:
        TimeoutError: nobody takes it.
    """
    async with asyncio.timeout(STALLED):
        await response.write(text.encode())


async def _kept(asked: Any) -> Any:
    """What the store says; that it says nothing is the bot's trouble, and told by its health."""
    try:
        return await asked
    except StoreError:
        raise web.HTTPServiceUnavailable(text="the store cannot be read\n") from None
