"""Reads the registry of agents again, on SIGHUP or when its file has changed.

One rule: a registry that cannot be read changes nothing; the old one stays, and the log says why. A new
one becomes known to all who ask for agents, and then the machines are told what is gone and what is back
by the reconciler's events. Turns that run end undisturbed on the client they began with.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from config import ConfigError, Registry, load_agents
from surface.deeds import Deeds
from surface.ledger import Ledger
from surface.platform.directory import Directory
from surface.reconcile.run import reconcile

log = structlog.get_logger()

LOOK: Final = 5.0
"""Seconds between two looks at the file."""


class Reload:
    """Keeps the registry as its file is.

    Args:
        path: the registry's file.
        ledger, deeds, directory: all who know the agents.
    """

    def __init__(self, path: Path, ledger: Ledger, deeds: Deeds, directory: Directory) -> None:
        self._path = path
        self._ledger, self._deeds, self._directory = ledger, deeds, directory
        self._seen = self._stamp()
        self.asked = asyncio.Event()
        """Set it to have the file read now, secrets it names included."""

    async def run(self) -> None:
        """Live until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK):
                    await self.asked.wait()
            except TimeoutError:
                if self._stamp() == self._seen:
                    continue
            self.asked.clear()
            self._seen = self._stamp()
            try:
                agents = await asyncio.to_thread(load_agents, self._path)
            except ConfigError as error:
                log.warning("agents.not_reloaded", why=str(error))
                continue
            await self._take(agents)

    async def _take(self, agents: Registry) -> None:
        if agents == self._ledger.world.agents:
            log.info("agents.unchanged")
            return
        self._ledger.world = replace(self._ledger.world, agents=agents)
        self._deeds.agents = agents
        self._directory.registry = agents
        try:
            await reconcile(self._ledger)
        except Exception:
            # The next start reconciles again; the registry must be read again before that, too.
            log.exception("agents.not_reconciled")
        await self._directory.warm()
        log.info("agents.reloaded", agents=", ".join(agents.ids))

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
