"""One reconciliation: documents, picture, plan, apply, and a summary of what came of it."""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from rich.console import Console
from rich.progress import Progress

from machines.effects import PLATFORM_CHAT_SEQ
from store.store import Store
from surface.case import decode_row
from surface.ledger import Ledger
from surface.reconcile.apply import TOLD, apply
from surface.reconcile.observe import Picture
from surface.reconcile.plan import plan
from surface.reconcile.steps import Step, Write, outcome_of
from surface.reconcile.view import Documents

log = structlog.get_logger()

_runs = itertools.count(1)
ROUNDS = 5
"""Plans in a row after which it is clear that something keeps moving."""


@dataclass(frozen=True)
class Summary:
    """What came of a reconciliation."""

    found: int
    """Rooms that were looked at."""
    counts: Counter[str]
    """Steps by their outcome."""
    took: float
    """Seconds."""


async def documents_of(store: Store, me: str) -> Documents:
    """What a plan needs of the store."""
    sequence, told = await store.get("meta", PLATFORM_CHAT_SEQ), await store.get("meta", TOLD)
    pending = [decode_row(key, stored.body) for key, stored in await store.scan("outbox")]
    return Documents(
        me=me,
        users={stored.body["user_id"]: stored for _, stored in await store.scan("users")},
        rooms={stored.body["room_id"]: stored for _, stored in await store.scan("rooms")},
        pending=tuple(row.effect for row in pending),
        sequence=sequence.body["value"] if sequence else 0,
        mirrors=frozenset(key for key, _ in await store.scan("mirrors")),
        told=frozenset(told.body["keys"] if told else ()),
    )


async def audit(ledger: Ledger, look: Callable[[], Awaitable[Picture]], *, me: str) -> Summary:
    """Compare everything while the bot lives.

    Only what is found with the documents of before the look and with those of after it is mended: whatever
    is just changing looks wrong to one of them.

    Raises:
        MatrixError, Lost, TokenDead, StoreError: nothing was changed.
    """
    started, agents = time.monotonic(), ledger.world.agents
    before = await documents_of(ledger.store, me)
    seen = await look()
    first = plan(before, agents, seen)
    second = plan(await documents_of(ledger.store, me), agents, seen) if first else []
    steps = [step for step in first if step in second]
    await apply(ledger, steps, run=f"{ledger.world.boot}/{next(_runs)}")
    return _summary(len(seen.rooms), steps, time.monotonic() - started)


async def reconcile(
    ledger: Ledger,
    seen: Picture | None = None,
    *,
    me: str = "",
    left: Callable[[int], object] = lambda findings: None,
) -> Summary:
    """Drive all machines into the states that fit, and log what was done.

    Args:
        seen: what Matrix looks like; None: only the registry is compared.
        me: the bot's user id.
        left: is told how many findings are known and not mended yet; 0 when all machines fit.

    Raises:
        StoreError: the store is not usable.
    """
    started, every = time.monotonic(), list[Step]()
    run = f"{ledger.world.boot}/{next(_runs)}"
    for again in range(ROUNDS + 1):
        steps = plan(await documents_of(ledger.store, me), ledger.world.agents, seen)
        left(len(steps))
        if not steps:
            break
        if again == ROUNDS:
            log.error("reconcile.unsettled", left=[type(step).__name__ for step in steps][:10])
            break
        every += steps
        with _progress(len(steps), left) as advance:
            await apply(ledger, steps, run=f"{run}.{again}", done=advance)
    return _summary(len(seen.rooms) if seen else 0, every, time.monotonic() - started)


def _summary(found: int, steps: Iterable[Step], took: float) -> Summary:
    counts = Counter("mirrors" if isinstance(s, Write) else outcome_of(s) for s in steps)
    if found or counts:
        kinds = ("adopted", "repaired", "lost", "asked", "told", "mirrors")
        shown: dict[str, Any] = {kind: counts[kind] for kind in kinds}
        log.info("reconcile.done", found=found, took=round(took, 3), **shown)
    return Summary(found, counts, took)


@contextmanager
def _progress(steps: int, left: Callable[[int], object]) -> Iterator[Callable[[Step], object]]:
    """Tells how many are left; on a terminal by a bar, too."""
    to_go = itertools.count(steps - 1, -1)
    if not sys.stderr.isatty():
        yield lambda step: left(next(to_go))
        return
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("Reconciling", total=steps)

        def advance(step: Step) -> None:
            bar.advance(task)
            left(next(to_go))

        yield advance
