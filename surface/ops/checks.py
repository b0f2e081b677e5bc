"""The health checks that the surface brings itself (`CHECKS`).

Others register theirs with `Health.register`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from store.store import StoreError
from surface.health import OK, Health, State, Verdict
from surface.ops.reading import sync_age
from surface.platform.directory import AdapterMissing, AgentMissing, Directory

if TYPE_CHECKING:
    from surface.app import App

STALE: Final = 90.0
"""Seconds without a sync after which the bot is not ready; a quiet sync takes 30."""
CHECKS: Final = {
    "started": "the bot is still catching up, or is stopping",
    "store": "the last save failed, or the store cannot be read",
    "sync": f"no response of the homeserver was kept for {STALE:.0f} seconds",
    "encryption": "an encrypted message to ourselves did not come back (degraded: the device is not signed)",
    "platform": "no agent can be reached (degraded: some cannot)",
    "reconciled": "the start has not brought all rooms and people into the states that fit what was found; "
    "says how many findings are left (degraded: after the start some still are)",
}
"""By name, when a check fails."""
WEDGED: Final = 600.0
"""Seconds without even an attempt after which the process is not alive: an attempt takes at most 180."""
KEPT: Final = 15.0
"""Seconds for which an agent's word about its health is believed."""
ASKED: Final = 3.0
"""Seconds that an agent has to say how it is."""


class Agents:
    """Which agents can be reached; asked when somebody wants to know, and not more often than needed."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._asked: float | None = None
        self._asking = asyncio.Lock()
        self.up: dict[str, bool] = {}
        """By agent, as of the last time anybody asked."""

    async def check(self) -> Verdict:
        """How the agents are."""
        async with self._asking:
            if self._asked is None or time.monotonic() - self._asked > KEPT:
                await self._ask()
                self._asked = time.monotonic()
        down = [agent for agent, up in self.up.items() if not up]
        if not down:
            return OK
        state = State.DEGRADED if len(down) < len(self.up) else State.FAILED
        return Verdict(state, f"not reached: {', '.join(down)}")

    async def _ask(self) -> None:
        await self._directory.warm()
        ids = [agent.id for agent in self._directory.registry.agents]
        self.up = dict(zip(ids, await asyncio.gather(*map(self._is_up, ids)), strict=True))

    async def _is_up(self, agent_id: str) -> bool:
        try:
            async with asyncio.timeout(ASKED):
                return (await self._directory.client_for(agent_id).health()).ok
        except (AgentMissing, AdapterMissing, TimeoutError):
            return False


def register(health: Health, app: App) -> None:
    """Have the bot's own checks asked."""

    async def started() -> Verdict:
        return OK if app.phase == "live" else Verdict(State.FAILED, app.phase)

    async def store() -> Verdict:
        if app.ledger.trouble is not None:
            return Verdict(State.FAILED, app.ledger.trouble)
        try:
            await app.ledger.store.get("meta", "schema")
        except StoreError as error:
            return Verdict(State.FAILED, str(error))
        return OK

    async def sync() -> Verdict:
        age = sync_age(app)
        if age is None:
            return Verdict(State.FAILED, "nothing was synced yet")
        if age > STALE:
            return Verdict(State.FAILED, f"the last response came {age:.0f} s ago")
        return OK

    async def encryption() -> Verdict:
        crypto = app.encryption.health
        if not crypto.ok:
            return Verdict(State.FAILED, f"nobody can write encrypted: {crypto.broken_because}")
        if crypto.signed is False:
            return Verdict(State.DEGRADED, f"the device is not signed: {crypto.not_signed_because}")
        return OK

    async def platform() -> Verdict:
        return await app.agents.check()

    async def reconciled() -> Verdict:
        left = app.findings_left
        if not app.reconciled:
            words = "nothing was compared yet" if left is None else f"{left} findings are left"
            return Verdict(State.FAILED, words)
        return Verdict(State.DEGRADED, f"{left} findings are left") if left else OK

    health.register("started", started)
    health.register("store", store)
    health.register("sync", sync)
    health.register("encryption", encryption)
    health.register("platform", platform)
    health.register("reconciled", reconciled)


def is_live(app: App | None) -> bool:
    """Whether the process still works at all: false, and it should be killed and started again."""
    tried = app.sync.tried if app is not None and app.phase == "live" else None
    return tried is None or time.monotonic() - tried < WEDGED
