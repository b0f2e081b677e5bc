"""The metrics: every one that there is, by name and meaning, and what counts them.

The rule: a metric exists here once, as data; the exporter, the documentation (`compose/METRICS.md`) and the
check of the alert rules read the same list. Labels are words of ours (machines, events, kinds) and the ids
of the registry's agents: never a person, a room or a text.

`Watch` hears every decision; what it notes costs a few microseconds. What others know already (queues,
limits, the sync's age) is read when somebody asks (`surface.ops.reading`).
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from surface.ledger import Decided
from surface.memory import Progress

# Otherwise each counter comes with a second one that says when it was made: that is what
# `process_start_time_seconds` says.
disable_created_metrics()  # type: ignore[no-untyped-call]

PREFIX: Final = "surface_"

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; its name without `surface_`, a counter's with `_total`."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """As it is scraped."""
        return PREFIX + self.name


METRICS: Final = (
    Metric("info", "gauge", "Always 1; tells the version.", ("version",)),
    Metric("ready", "gauge", "1 while no health check has failed."),
    Metric("check", "gauge", "Health by check: 1 ok, 0.5 degraded, 0 failed.", ("check",)),
    Metric("agent_up", "gauge", "Whether an agent's platform says that it is well.", ("agent",)),
    Metric("sync_age_seconds", "gauge", "Since the homeserver's last /sync response was kept."),
    Metric("inbox", "gauge", "Inputs received and not yet decided, parked ones excluded."),
    Metric(
        "inbox_oldest_seconds",
        "gauge",
        "Age of the oldest of them, by the homeserver's clock; 0 if there is none.",
    ),
    Metric("inbox_parked", "gauge", "Messages that wait for keys to be decrypted."),
    Metric("undecryptable_total", "counter", "Messages not readable when they came."),
    Metric("decrypted_late_total", "counter", "Of those: the key came in time."),
    Metric("given_up_total", "counter", "Of those: nobody waits for the key any more."),
    Metric("canary_total", "counter", "Encrypted messages to ourselves that came back."),
    Metric("device_signed", "gauge", "Whether the account's identity vouches for the device."),
    Metric("outbox", "gauge", "Effects committed and not yet carried out."),
    Metric("outbox_oldest_seconds", "gauge", "How long this process has known the oldest of them."),
    Metric("outbox_put_off", "gauge", "Those that were tried in vain and will be tried again."),
    Metric(
        "effects_total",
        "counter",
        "Effects by what they came to (`put_off`: an attempt in vain).",
        ("effect", "outcome"),
    ),
    Metric("turns", "gauge", "Messages to agents that wait, or are being answered.", ("state",)),
    Metric("turns_total", "counter", "Turns ended, by agent and ending.", ("agent", "outcome")),
    Metric(
        "turn_first_text_seconds",
        "histogram",
        "From the start of a turn to the agent's first words.",
        ("agent",),
    ),
    Metric(
        "turn_complete_seconds",
        "histogram",
        "From the start of a turn to the commit of its last words.",
        ("agent",),
    ),
    Metric("answer_edits", "histogram", "Edits of a growing answer, the final one not counted."),
    Metric("machines", "gauge", "Stored machines by state.", ("machine", "state")),
    Metric("transitions_total", "counter", "Events that machines took.", ("machine", "event")),
    Metric(
        "decision_seconds", "histogram", "From the first document read to the end of the commit."
    ),
    Metric("conflicts_total", "counter", "Decisions taken anew because a document had moved."),
    Metric(
        "limited_total", "counter", "Requests refused by the homeserver's limits (429).", ("kind",)
    ),
    Metric(
        "limited_seconds_total", "counter", "Seconds the homeserver asked us to wait.", ("kind",)
    ),
    Metric(
        "platform_errors_total",
        "counter",
        "Turns that an agent failed, by reason.",
        ("agent", "code"),
    ),
    Metric("tasks", "gauge", "Things the process has under way or waits for (asyncio tasks)."),
    Metric("findings_total", "counter", "What the reconciler mended or told.", ("outcome",)),
    Metric("audit_age_seconds", "gauge", "Since all rooms were last compared with Matrix."),
)
"""All metrics but those of the process itself (`process_…`)."""

BUCKETS: Final[Mapping[str, tuple[float, ...]]] = {
    "turn_first_text_seconds": (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120),
    "turn_complete_seconds": (0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600),
    "answer_edits": (0, 1, 2, 3, 5, 8, 12, 16, 20),
    "decision_seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
}


def metric(name: str) -> Metric:
    """The metric of this name (without `surface_`).

    Raises:
        KeyError: there is none.
    """
    return _BY_NAME[name]


_BY_NAME: Final = {each.name: each for each in METRICS}


@dataclass(slots=True)
class _Running:
    agent: str
    started: float
    progress: Progress | None
    speaks: bool = False


class Watch:
    """Counts what decisions do; a listener of the ledger's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.progress: Mapping[str, Progress] = {}
        """How far running turns have come: `Memory.running`, once there is one."""
        self._running: dict[str, _Running] = {}
        self.machines: Tally[tuple[str, str]] = Tally()
        """Stored users and rooms, by table and state."""
        self._transitions = _counter(registry, "transitions_total")
        self._turns = _counter(registry, "turns_total")
        self._findings = _counter(registry, "findings_total")
        self._conflicts = _counter(registry, "conflicts_total")
        self._first_text = _histogram(registry, "turn_first_text_seconds")
        self._complete = _histogram(registry, "turn_complete_seconds")
        self._edits = _histogram(registry, "answer_edits")
        self._decisions = _histogram(registry, "decision_seconds")
        self.audited: float | None = None
        """When all rooms were last compared, by `time.monotonic`."""

    def on_decided(self, decided: Decided[Any]) -> None:
        """Note what a commit has changed."""
        self._decisions.observe(decided.seconds)
        if decided.again:
            self._conflicts.inc(decided.again)
        for change in decided.states:
            if change.table in ("users", "rooms"):
                if change.before is not None:
                    self.machines[change.table, change.before] -= 1
                if change.after is not None:
                    self.machines[change.table, change.after] += 1
        for move in decided.moves:
            self._transitions.labels(move.machine, move.event).inc()
            if move.machine == "turn":
                self._turn(move.key, move.agent_id or "", move.event, move.target)

    def found(self, counts: Mapping[str, int], *, everything: bool) -> None:
        """A reconciliation is over: steps by outcome; `everything`: it has seen all rooms."""
        for outcome, count in counts.items():
            self._findings.labels(outcome).inc(count)
        if everything:
            self.audited = time.monotonic()

    def _turn(self, turn_id: str, agent: str, event: str, target: str) -> None:
        now = time.monotonic()
        if event == "start":
            self._running[turn_id] = _Running(agent, now, self.progress.get(turn_id))
        running = self._running.get(turn_id)
        if running is not None and target == "streaming" and not running.speaks:
            running.speaks = True
            self._first_text.labels(agent).observe(now - running.started)
        if target in ("answered", "failed", "stopped"):
            self._turns.labels(agent, target).inc()
            self._running.pop(turn_id, None)
            if running is not None:
                self._complete.labels(agent).observe(now - running.started)
                if running.progress is not None:
                    self._edits.observe(running.progress.edits)


def _counter(registry: CollectorRegistry, name: str) -> Counter:
    its = metric(name)
    return Counter(its.full_name, its.meaning, its.labels, registry=registry)


def _histogram(registry: CollectorRegistry, name: str) -> Histogram:
    its = metric(name)
    return Histogram(
        its.full_name, its.meaning, its.labels, registry=registry, buckets=BUCKETS[name]
    )
