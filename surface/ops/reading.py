"""What is read when somebody scrapes or asks for the status: queues, ages, states. Nothing is kept for it.

The rule: a reading looks at what others hold in memory, so its cost does not grow with rooms nobody talks in.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from surface.health import Report, State
from surface.ops.metrics import Watch, metric

if TYPE_CHECKING:
    from surface.app import App

WORTH = {State.OK: 1.0, State.DEGRADED: 0.5, State.FAILED: 0.0}
Values: TypeAlias = Mapping[Any, float]
"""By the values of the labels, in their order."""
MACHINES = {"users": "user", "rooms": "room"}


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of what there is, at one moment."""

    inbox: int
    inbox_oldest: float
    """Seconds, by the homeserver's clock."""
    parked: int
    outbox: int
    outbox_oldest: float
    """Seconds that this process has known it."""
    put_off: int
    turns_waiting: int
    turns_running: int
    sync_age: float | None
    """Seconds; None: nothing was synced yet."""


def read(app: App) -> Reading:
    """Look at a running bot."""
    inputs, outbox, now = app.actors.waiting, app.outbox, app.rooms.server_now
    sent = [row.sent / 1000 for row in inputs if row.sent is not None]
    waiting, running = app.turns.counts
    return Reading(
        inbox=len(inputs),
        inbox_oldest=max(0.0, now - min(sent)) if sent and now is not None else 0.0,
        parked=len(app.actors.parked),
        outbox=len(outbox),
        outbox_oldest=max((outbox.age(row.key) for row in outbox.rows), default=0.0),
        put_off=len(outbox.troubles),
        turns_waiting=waiting,
        turns_running=running,
        sync_age=sync_age(app),
    )


def sync_age(app: App) -> float | None:
    """Seconds since the homeserver's last response was kept; None: there was none yet."""
    succeeded = app.sync.succeeded
    return None if succeeded is None else time.monotonic() - succeeded


def scraped(registry: CollectorRegistry, watch: Watch, app: App | None, report: Report) -> bytes:
    """Everything in Prometheus' text format.

    Args:
        registry: what `watch` counts in.
        app: the running bot, once there is one.
        report: what the health checks have just said.
    """
    once = CollectorRegistry()
    once.register(_Given(list(_families(watch, app, report))))
    ProcessCollector(registry=once)
    GCCollector(registry=once)
    return generate_latest(registry) + generate_latest(once)


class _Given(Collector):
    """Metrics that were read just now."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        """As they are."""
        return iter(self._families)


def _families(watch: Watch, app: App | None, report: Report) -> Iterator[Family]:
    yield _gauge("info", {(version("matrix-surface"),): 1})
    yield _gauge("ready", {(): float(report.ready)})
    yield _gauge("tasks", {(): len(asyncio.all_tasks())})
    yield _gauge("check", {(name,): WORTH[v.state] for name, v in report.verdicts.items()})
    states = {(MACHINES[t], state): float(n) for (t, state), n in sorted(watch.machines.items())}
    yield _gauge("machines", states)
    if watch.audited is not None:
        yield _gauge("audit_age_seconds", {(): time.monotonic() - watch.audited})
    if app is None:
        return
    now = read(app)
    if now.sync_age is not None:
        yield _gauge("sync_age_seconds", {(): now.sync_age})
    yield _gauge("inbox", {(): now.inbox})
    yield _gauge("inbox_oldest_seconds", {(): now.inbox_oldest})
    yield _gauge("inbox_parked", {(): now.parked})
    yield _gauge("outbox", {(): now.outbox})
    yield _gauge("outbox_oldest_seconds", {(): now.outbox_oldest})
    yield _gauge("outbox_put_off", {(): now.put_off})
    yield _gauge("turns", {("waiting",): now.turns_waiting, ("running",): now.turns_running})
    yield _gauge("agent_up", {(agent,): float(up) for agent, up in app.agents.up.items()})
    crypto = app.encryption.health
    if crypto.signed is not None:
        yield _gauge("device_signed", {(): float(crypto.signed)})
    yield _total("canary_total", {(): crypto.round_trips})
    yield _total("undecryptable_total", {(): crypto.undecryptable})
    yield _total("decrypted_late_total", {(): crypto.decrypted_late})
    yield _total("given_up_total", {(): crypto.given_up})
    yield _total("effects_total", app.outbox.tally)
    yield _total("limited_total", {(kind,): n for kind, n in app.courier.refusals.items()})
    yield _total("limited_seconds_total", {(k,): s for k, s in app.courier.asked_to_wait.items()})
    yield _total("platform_errors_total", app.runner.failures)


def _gauge(name: str, values: Values) -> GaugeMetricFamily:
    its = metric(name)
    family = GaugeMetricFamily(its.full_name, its.meaning, labels=its.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _total(name: str, values: Values) -> CounterMetricFamily:
    its = metric(name)
    family = CounterMetricFamily(its.full_name, its.meaning, labels=its.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
