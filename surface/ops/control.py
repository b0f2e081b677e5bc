"""What an operator asks of the running bot, and tells it: its status, what is stuck, and to finish.

Reached only through the socket in the state directory (`server.py` says why). Answers name effects and rooms,
never what is said in them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from store.store import Table
from surface.health import Health
from surface.lanes import lane_of
from surface.ops.metrics import Watch
from surface.ops.reading import MACHINES, read
from surface.ops.recent import Recent
from surface.ops.standing import living

if TYPE_CHECKING:
    from surface.app import App

LONGEST: Final = 86_400
"""Seconds that a drain may take."""
PENDING: Final[tuple[Table, ...]] = ("inbox", "turns", "outbox")
"""What the next start goes on with."""


class Control:
    """Answers the commands of the command line."""

    def __init__(self, health: Health, watch: Watch, recent: Recent) -> None:
        self._health, self._watch, self._recent = health, watch, recent
        self._started = time.monotonic()
        self.app: App | None = None
        self.ended = asyncio.Event()
        """Set when the bot has stopped and only this answer is left."""

    def routes(self) -> list[web.RouteDef]:
        """What can be asked."""
        return [
            web.get("/status", self._status),
            web.get("/room", self._room),
            web.get("/outbox", self._outbox),
            web.post("/outbox/retry", self._retry),
            web.post("/outbox/drop", self._drop),
            web.post("/drain", self._drain),
        ]

    async def _status(self, _: web.Request) -> web.Response:
        report, app = await self._health.look(), self.app
        states: dict[str, dict[str, int]] = {}
        for (table, state), count in sorted(self._watch.machines.items()):
            if count:
                states.setdefault(MACHINES[table], {})[state] = count
        told: dict[str, Any] = {
            "version": version("matrix-surface"),
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._started, 1),
            **report.plain(),
            "machines": states,
        }
        if app is not None:
            told |= {
                "user_id": app.settings.user_id,
                "homeserver": app.settings.homeserver,
                "phase": app.phase,
                "now": asdict(read(app)),
                "agents": dict(app.agents.up),
                "limited": dict(app.courier.refusals),
            }
        return web.json_response(told)

    async def _room(self, request: web.Request) -> web.Response:
        memory = self._there().ledger.memory
        return web.json_response(living(memory, self._recent, request.query.get("id", "")))

    async def _outbox(self, _: web.Request) -> web.Response:
        outbox, rows = self._there().outbox, []
        for row in sorted(outbox.rows, key=lambda row: row.seq):
            trouble = outbox.troubles.get(row.key)
            rows.append(
                {
                    "seq": row.seq,
                    "key": row.key,
                    "effect": type(row.effect).__name__,
                    "lane": lane_of(row.effect),
                    "seconds": round(outbox.age(row.key), 1),
                    "attempts": trouble.attempts if trouble else 0,
                    "why": trouble.why if trouble else "",
                }
            )
        return web.json_response(rows)

    async def _retry(self, request: web.Request) -> web.Response:
        outbox = self._there().outbox
        body = await _body(request)
        put_off = [row.seq for row in outbox.rows if row.key in outbox.troubles]
        named = _rows(body) or put_off
        keys = {row.seq: row.key for row in outbox.rows}
        return web.json_response({n: outbox.retry(keys.get(n, "")) for n in named})

    async def _drop(self, request: web.Request) -> web.Response:
        outbox, named = self._there().outbox, _rows(await _body(request))
        keys = {row.seq: row.key for row in outbox.rows}
        return web.json_response({n: await outbox.drop(keys.get(n, "")) for n in named})

    async def _drain(self, request: web.Request) -> web.StreamResponse:
        """Finish, and say so on a second line when that is done."""
        app = self._there()
        within = _seconds(await _body(request), otherwise=app.grace)
        waiting, running = app.turns.counts
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(_line({"running": running, "waiting": waiting}))
        app.drain(within)
        await self.ended.wait()
        left = {table: len(await app.ledger.store.scan(table)) for table in PENDING}
        await response.write(_line({"left": left}))
        return response

    def _there(self) -> App:
        if self.app is None:
            raise web.HTTPServiceUnavailable(text="it is still starting; try again in a moment")
        return self.app


async def _body(request: web.Request) -> dict[str, Any]:
    """What is sent along, an object.

    Raises:
        HTTPBadRequest: it is something else.
    """
    try:
        told = json.loads(await request.read())
    except (ValueError, RecursionError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest(text=f"the body is no JSON: {error}") from None
    if not isinstance(told, dict):
        raise web.HTTPBadRequest(text="the body is no JSON object")
    return told


def _rows(body: dict[str, Any]) -> list[int]:
    """The rows that are named, by their numbers."""
    rows = body.get("rows")
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(type(row) is int for row in rows):
        raise web.HTTPBadRequest(text="`rows` must be a list of row numbers")
    return rows


def _seconds(body: dict[str, Any], *, otherwise: float) -> float:
    within = body.get("within")
    if within is None:
        return otherwise
    if type(within) not in (int, float) or not 0 <= within <= LONGEST:
        raise web.HTTPBadRequest(text=f"`within` must be seconds, from 0 to {LONGEST:,}")
    return float(within)


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
