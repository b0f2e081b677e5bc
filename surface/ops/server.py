"""Serves what operators ask for: over TCP what may be seen, over a socket also commands.

| where | path | |
|---|---|---|
| TCP, if it is switched on | `/inspector` | a page that shows what lives; see `surface.inspector` |
| TCP and socket | `/livez` | 200 while the process works at all |
| | `/readyz` | 200 while no health check has failed, else 503; JSON says which and why |
| | `/metrics` | Prometheus' text format |
| socket only | `/status`, `/room`, `/outbox`, `/outbox/retry`, `/outbox/drop`, `/drain` | see `control.py` |

The inspector is for this machine's own user only: it needs a token, and is served on loopback addresses and
under loopback names (`surface.inspector.guard` says why).

Why a socket: who may command the bot is who may open a file of its state directory (mode 0600), which is
who could change its database anyway. There is no token to keep, and nothing to reach from the network.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Self

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from config import Settings
from store.census import census
from surface.health import Health, State, Verdict
from surface.inspector.routes import PREFIX, Inspector
from surface.ops import checks
from surface.ops.client import DATABASE, SOCKET
from surface.ops.control import Control
from surface.ops.metrics import Watch
from surface.ops.notify import Notifier
from surface.ops.reading import scraped
from surface.ops.recent import Recent

if TYPE_CHECKING:
    from surface.app import App

log = structlog.get_logger()


class Ops:
    """Health, metrics and control of one process; open for as long as its state directory is locked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runners: list[web.AppRunner] = []
        self.health = Health()
        self.registry = CollectorRegistry()
        self.watch = Watch(self.registry)
        self.notifier = Notifier()
        self.app: App | None = None
        self.recent = Recent()
        self.control = Control(self.health, self.watch, self.recent)
        self.inspector: Inspector | None = None
        if settings.ops.inspector:
            assert settings.ops.inspector_token is not None  # the settings saw to it
            database = settings.state_dir / DATABASE
            self.inspector = Inspector(
                settings.ops.inspector_token, database, self.watch, self.recent
            )
        self.health.register("started", _starting)

    async def attach(self, app: App) -> None:
        """There is a bot now, which has decided nothing yet."""
        counted = await asyncio.to_thread(census, self._settings.state_dir / DATABASE)
        self.watch.machines.update(counted)
        self.watch.progress = app.ledger.memory.running
        app.ledger.listen(self.watch.on_decided)
        app.ledger.listen(self.recent.on_decided)
        self.app = self.control.app = app
        checks.register(self.health, app)
        if self.inspector is not None:
            self.inspector.attach(app)

    @property
    def is_live(self) -> bool:
        """Whether the process still works at all."""
        return checks.is_live(self.app)

    async def __aenter__(self) -> Self:
        await self._listen()
        await self._open_socket()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.control.ended.set()
        if self.inspector is not None:
            self.inspector.close()
        for runner in self._runners:
            await runner.cleanup()
        self._socket.unlink(missing_ok=True)

    @property
    def _socket(self) -> Path:
        return self._settings.state_dir / SOCKET

    async def _listen(self) -> None:
        seen, ops = self._seen(), self._settings.ops
        if self.inspector is not None:
            seen.add_subapp(PREFIX, self.inspector.application())
        runner = await self._runner(seen)
        try:
            await web.TCPSite(runner, ops.host, ops.port, reuse_address=True).start()
        except OSError as error:
            # People are more important than who watches: the bot answers all the same.
            log.error(
                "ops.not_listening",
                host=ops.host,
                port=ops.port,
                why=str(error),
                hint="set another `ops.port`; there is neither health nor metrics until then",
            )
            return
        log.info("ops.listening", host=ops.host, port=runner.addresses[0][1])

    async def _open_socket(self) -> None:
        seen = self._seen()
        seen.add_routes(self.control.routes())
        runner = await self._runner(seen)
        # We hold the lock of the directory: what lies there is left over.
        self._socket.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listening.bind(str(self._socket))
            await web.SockSite(runner, listening).start()
        except OSError as error:
            log.error(
                "ops.no_socket",
                path=str(self._socket),
                why=str(error),
                hint="`surface status`, `drain` and `outbox` need it; is the path too long?",
            )
        finally:
            os.umask(before)

    async def _runner(self, app: web.Application) -> web.AppRunner:
        # Nobody packs an order; what says it is packed and is not would never be answered.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, auto_decompress=False)
        await runner.setup()
        self._runners.append(runner)
        return runner

    def _seen(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _livez(self, _: web.Request) -> web.Response:
        live = self.is_live
        return web.Response(text="live\n" if live else "wedged\n", status=200 if live else 503)

    async def _readyz(self, _: web.Request) -> web.Response:
        report = await self.health.look()
        status = 200 if report.ready else 503
        return web.json_response(report.plain(), status=status)

    async def _metrics(self, _: web.Request) -> web.Response:
        report = await self.health.look()
        body = scraped(self.registry, self.watch, self.app, report)
        kind = "text/plain; version=0.0.4; charset=utf-8"
        return web.Response(body=body, headers={"Content-Type": kind})


async def _starting() -> Verdict:
    return Verdict(State.FAILED, "starting")
