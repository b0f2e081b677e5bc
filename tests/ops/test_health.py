"""Checks and what they make of readiness; the surface's own ones at their limits."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from config.agents import EchoAgent, Registry
from store import MemoryStore, Put, StoreError
from surface import health
from surface.app import App
from surface.case import World
from surface.clock import SystemClock
from surface.failpoints import Failpoints
from surface.health import OK, Health, State, Verdict
from surface.ledger import Ledger
from surface.matrix.api import Api
from surface.matrix.crypto import Crypto
from surface.matrix.health import CryptoHealth
from surface.matrix.sync import SyncLoop
from surface.memory import Memory
from surface.ops import checks
from surface.platform.directory import Directory

AGENTS = Registry(default="echo", agents=(EchoAgent(id="echo", name="Echo", adapter="echo"),))


def saying(state: State, words: str = "") -> health.Check:
    async def check() -> Verdict:
        return Verdict(state, words)

    return check


@pytest.mark.parametrize(
    ("states", "ready"),
    [
        ([], True),
        ([State.OK, State.OK], True),
        ([State.OK, State.DEGRADED], True),
        ([State.DEGRADED, State.FAILED], False),
    ],
)
async def test_only_what_has_failed_takes_the_bot_out_of_service(
    states: list[State], ready: bool
) -> None:
    every = Health()
    for number, state in enumerate(states):
        every.register(f"check{number}", saying(state))
    assert (await every.look()).ready == ready


async def test_a_check_that_breaks_or_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)

    async def breaks() -> Verdict:
        raise KeyError("canary")

    async def hangs() -> Verdict:
        await asyncio.Event().wait()
        return OK

    every = Health()
    for name, check in (("breaks", breaks), ("hangs", hangs), ("well", saying(State.OK))):
        every.register(name, check)
    said = (await every.look()).verdicts
    assert said["breaks"] == Verdict(State.FAILED, "KeyError: 'canary'")
    assert said["hangs"].state == State.FAILED and "no answer" in said["hangs"].words
    assert said["well"] == OK


class FullDisk(MemoryStore):
    """A store whose disk is full for a while."""

    full = False

    async def save(self, changes: Any, *, durable: bool = True) -> Any:
        if self.full:
            raise StoreError("x.db: nothing was saved: the disk is full")
        return await super().save(changes, durable=durable)


@pytest.fixture
def app() -> Any:
    """As much of a bot as its checks look at."""
    store = FullDisk()
    world = World(AGENTS, "en", "boot", "installation")
    sync = SyncLoop(cast("Api", None), "@bot:x", cast("Crypto", None), cast("Any", None), None)
    sync.succeeded = sync.tried = time.monotonic()
    return SimpleNamespace(
        phase="live",
        reconciled=True,
        findings_left=0,
        ledger=Ledger(store, Memory(), world, Failpoints(None), SystemClock()),
        sync=sync,
        encryption=SimpleNamespace(health=CryptoHealth()),
        agents=checks.Agents(Directory(AGENTS, store, "installation")),
    )


async def said_of(app: Any) -> dict[str, Verdict]:
    every = Health()
    checks.register(every, cast("App", app))
    return dict((await every.look()).verdicts)


async def test_all_is_well(app: Any) -> None:
    said = await said_of(app)
    assert set(said.values()) == {OK}
    assert set(said) == set(checks.CHECKS), "each is described"
    assert checks.is_live(app)


@pytest.mark.parametrize("phase", ["catching up", "stopping"])
async def test_before_and_after_its_life_it_is_not_ready(app: Any, phase: str) -> None:
    app.phase = phase
    assert (await said_of(app))["started"] == Verdict(State.FAILED, phase)
    assert checks.is_live(app)


async def test_the_store_has_failed_until_a_save_succeeds(app: Any) -> None:
    change = [Put("meta", "next_batch", {"v": 2, "token": "t", "sync": 1}, None)]
    app.ledger.store.full = True
    with pytest.raises(StoreError):
        await app.ledger.save(change, point="ingest")
    assert "disk is full" in (await said_of(app))["store"].words
    app.ledger.store.full = False
    await app.ledger.save(change, point="ingest")
    assert (await said_of(app))["store"] == OK
    await app.ledger.store.aclose()
    assert (await said_of(app))["store"].state == State.FAILED


@pytest.mark.parametrize(("age", "state"), [(80.0, "ok"), (91.0, "failed")])
async def test_a_sync_that_is_too_old(app: Any, age: float, state: str) -> None:
    app.sync.succeeded -= age
    assert (await said_of(app))["sync"].state == state


async def test_nobody_can_write_to_it_encrypted(app: Any) -> None:
    app.encryption.health.canary, app.encryption.health.broken_because = "broken", "no keys left"
    said = (await said_of(app))["encryption"]
    assert said.state == State.FAILED and "no keys left" in said.words
    app.encryption.health.canary = "ok"
    assert (await said_of(app))["encryption"] == OK


async def test_a_device_that_nobody_vouches_for_works_for_most(app: Any) -> None:
    crypto = app.encryption.health
    crypto.signed, crypto.not_signed_because = False, "the identity is somebody else's"
    assert (await said_of(app))["encryption"].state == State.DEGRADED


@pytest.mark.parametrize(
    ("reconciled", "left", "verdict"),
    [
        (False, None, Verdict(State.FAILED, "nothing was compared yet")),
        (False, 12, Verdict(State.FAILED, "12 findings are left")),
        (True, 3, Verdict(State.DEGRADED, "3 findings are left")),
        (True, 0, OK),
    ],
)
async def test_whether_the_machines_fit_what_was_found(
    app: Any, reconciled: bool, left: int | None, verdict: Verdict
) -> None:
    app.reconciled, app.findings_left = reconciled, left
    assert (await said_of(app))["reconciled"] == verdict


async def test_a_loop_that_does_not_even_try_is_not_alive(app: Any) -> None:
    app.sync.succeeded = None
    app.sync.tried -= checks.WEDGED - 10
    assert checks.is_live(app)
    app.sync.tried -= 20
    assert not checks.is_live(app)
    app.phase = "catching up"
    assert checks.is_live(app), "a first sync may take long"


async def test_agents_are_asked_only_so_often(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    client = app.agents._directory.client_for("echo")
    health_of = type(client).health

    async def counted(self: Any) -> Any:
        nonlocal asked
        asked += 1
        return await health_of(self)

    monkeypatch.setattr(type(client), "health", counted)
    await asyncio.gather(*(app.agents.check() for _ in range(20)))
    assert asked == 1
    assert app.agents.up == {"echo": True}
