"""Decide and commit: the first two thirds of the one law.

The ledger reads what a decision needs, lets it decide, and saves the outcome in one transaction. On a
conflict with another decision it reads again and decides again. What comes back is what to *do*: outbox
rows with real ids, rooms with a new turn, turns that are over.

A commit waits for the disk before an effect of it is carried out. One that has no effects need not (`quiet`):
a power cut takes it only with all that came after it, and what came in is found in /sync again, what was
carried out is carried out again under the same transaction id. Of an accepted turn the platform may hear
before: it is asked over HTTP. The turn that comes again has the id of its event, hence the same message id,
by which the platform knows it; where a platform does not, the turn's `start` waits for the disk first.
"""

from __future__ import annotations

import itertools
import time
from asyncio import Lock, get_running_loop
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import structlog

from machines.effects import PLATFORM_CHAT_SEQ
from store.documents import VERSIONS
from store.history import Cause
from store.store import (
    Conflict,
    Delete,
    Put,
    Saved,
    SequenceSpent,
    Store,
    Stored,
    StoreError,
    Table,
    Write,
)
from surface.case import (
    Accepted,
    Case,
    Loaded,
    NotLoaded,
    Outcome,
    Row,
    Scanned,
    World,
    resolved,
)
from surface.clock import Clock
from surface.failpoints import Failpoints
from surface.memory import Memory
from surface.moves import Change, Move

log = structlog.get_logger()
T = TypeVar("T")

PATIENCE = 50
"""Conflicts in a row after which something is wrong with the program, not with the timing."""


@dataclass
class Decided(Generic[T]):
    """What came of a decision, once it is committed."""

    value: T
    rows: list[Row]
    accepted: list[Accepted]
    ended: list[str]
    by: Cause
    at: str
    """When it was decided, ISO 8601."""
    issued: Collection[str] = ()
    """Fresh ids that were given out with it."""
    mirrors: Collection[str] = ()
    """Keys of the mirrors that do not fit any more."""
    cause: str = ""
    moves: Sequence[Move] = ()
    """The events that machines took."""
    states: Sequence[Change] = ()
    """The documents of machines that were written."""
    spared: Collection[str] = ()
    """Keys of outbox rows that need not be carried out any more."""
    again: int = 0
    """How often it had to be decided anew, because a document had moved."""
    seconds: float = 0.0
    """From the first look at the documents to the end of the commit."""


Listener = Callable[[Decided[Any]], None]


class Ledger:
    """The only writer of documents."""

    def __init__(
        self,
        store: Store,
        memory: Memory,
        world: World,
        failpoints: Failpoints,
        clock: Clock,
    ) -> None:
        self.store, self.memory, self.world = store, memory, world
        self._failpoints, self._clock = failpoints, clock
        self._seq = itertools.count(1)
        self._transient_locks: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._listeners: list[Listener] = []
        self.trouble: str | None = None
        """Why the last save failed, if the store could not be used."""
        self.more_ids: Callable[[], Awaitable[None]] = _none_reserved
        """Reserves more ids of the sequence; returns when a decision may be tried again."""
        self.raise_ids: Callable[[int], Awaitable[None]] = self._raise_ids
        """Never issues an id up to this one again."""
        self.mirrors_due: Callable[[], None] = lambda: None
        """Called when a mirror was noted as due without a decision."""

    def start_after(self, seq: int) -> None:
        """Number outbox rows from here on; called once, with the highest number found in the store."""
        self._seq = itertools.count(seq + 1)

    def listen(self, listener: Listener) -> None:
        """Tell `listener` of every decision, right after its commit."""
        self._listeners.append(listener)

    async def decide(
        self,
        cause: str,
        decision: Callable[[Case], T],
        *,
        by: Cause,
        point: str,
        settle: Sequence[Delete] = (),
        preload: Sequence[tuple[Table, str]] = (),
        order: str = "",
        body: str = "",
        thread: str | None = None,
        sender: str = "",
        quiet: bool = False,
    ) -> Decided[T]:
        """Run one decision to its commit.

        Args:
            cause: what is decided: event id, outbox key, finding. Effects are keyed by it.
            decision: pure; may be run several times.
            by: what it came from, for the record of transitions.
            point: name of the commit's failpoints.
            settle: what is done by this (the inbox or outbox row it came from).
            preload: documents it will surely need.
            quiet: unless it has effects, nothing is done because of it that must not be done twice.

        Raises:
            StoreError: the store is not usable; nothing was written.
        """
        started = time.perf_counter()
        for again in range(PATIENCE):
            loaded: dict[tuple[Table, str], Stored | None] = {}
            scanned: dict[tuple[Table, str], Sequence[tuple[str, Stored]]] = {}
            for table, key in preload:
                loaded[(table, key)] = await self.store.get(table, key)
            outcome: Outcome | None
            while True:
                case = Case(
                    cause,
                    by,
                    self._clock.now().isoformat(timespec="milliseconds"),
                    self.world,
                    self.memory,
                    loaded,
                    scanned,
                    order=order,
                    body=body,
                    thread=thread,
                    sender=sender,
                )
                try:
                    value = decision(case)
                    outcome = case.outcome(settle, lambda: next(self._seq))
                    break
                except NotLoaded as need:
                    case.release()
                    if need.scan:
                        scanned[(need.table, need.key)] = await self.store.scan(
                            need.table, prefix=need.key
                        )
                    else:
                        loaded[(need.table, need.key)] = await self.store.get(need.table, need.key)
                except Exception:
                    # Read one after the other, documents may not belong together. What goes wrong on
                    # such says nothing; on documents that all still stand it is an error.
                    if not await self._moved(loaded, scanned):
                        raise
                    outcome = None
                    break
            if outcome is None:
                log.debug("decision.torn", cause=cause)
                continue
            try:
                async with self._transients_held(case.transient_rooms()):
                    if case.transients_moved():
                        case.release()
                        continue
                    saved = (
                        await self.save(
                            outcome.changes,
                            point=point,
                            durable=not quiet or bool(outcome.rows or outcome.mirrors),
                        )
                        if outcome.changes
                        else Saved()
                    )
                    case.take_over()
                    moves = case.moves()
            except SequenceSpent:
                case.release()
                await self.more_ids()
                continue
            except Conflict as conflict:
                case.release()
                log.debug("decision.conflict", cause=cause, moved=str(conflict))
                continue
            case.release()
            rows = [resolved(row, saved.ids) for row in outcome.rows]
            decided = Decided(
                value,
                rows,
                outcome.accepted,
                outcome.ended,
                by,
                case.at,
                list(saved.ids.values()),
                outcome.mirrors,
                cause,
                moves,
                outcome.states,
                outcome.spared,
                again,
                time.perf_counter() - started,
            )
            for listener in self._listeners:
                listener(decided)
            # Whoever was woken goes first.
            get_running_loop().call_soon(_tell, decided)
            return decided
        raise RuntimeError(f"decision {cause} met {PATIENCE} conflicts in a row")

    @asynccontextmanager
    async def _transients_held(self, rooms: Sequence[str]) -> AsyncIterator[None]:
        """One commit at a time for what is open in a room: memory has no revisions to tell who was first."""
        async with AsyncExitStack() as held:
            for room_id in rooms:
                await held.enter_async_context(self._transient_locks.setdefault(room_id, Lock()))
            yield

    async def _moved(self, loaded: Loaded, scanned: Scanned) -> bool:
        """Whether anything that a decision was based on is not so any more."""
        for (table, key), stored in loaded.items():
            if await self.store.get(table, key) != stored:
                return True
        for (table, prefix), rows in scanned.items():
            if await self.store.scan(table, prefix=prefix) != rows:
                return True
        return False

    async def save(self, changes: Sequence[Write], *, point: str, durable: bool = True) -> Saved:
        """One commit, between its two failpoints.

        Args:
            durable: see `Store.save`.

        Raises:
            Conflict, SequenceSpent, StoreError: see `Store.save`.
        """
        self._failpoints.hit(f"commit.{point}.before")
        try:
            saved = await self.store.save(changes, durable=durable)
        except StoreError as error:
            self.trouble = str(error)
            raise
        self.trouble = None
        self._failpoints.hit(f"commit.{point}.after")
        return saved

    async def _raise_ids(self, value: int) -> None:
        stored = await self.store.get("meta", PLATFORM_CHAT_SEQ)
        body = stored.body if stored else {"v": VERSIONS["meta"]}
        rev = stored.rev if stored else 0
        raised = {**body, "value": value}
        await self.save([Put("meta", PLATFORM_CHAT_SEQ, raised, rev)], point="reserve")


def _tell(decided: Decided[Any]) -> None:
    """One line for each decision: what it was about, what changed by it, how long it took.

    Names only: what effects say, and what they were said in answer to, is nobody's business.
    """
    tell = log.info if decided.moves or decided.rows else log.debug
    rooms = [move.room_id for move in decided.moves]
    rooms += [getattr(row.effect, "room_id", None) for row in decided.rows]
    tell(
        "decision",
        cause=decided.cause,
        room=next(filter(None, rooms), None),
        moves=[f"{m.machine} {m.source} --{m.event}--> {m.target}" for m in decided.moves],
        effects=[type(row.effect).__name__ for row in decided.rows],
        ms=round(decided.seconds * 1000, 1),
        again=decided.again or None,
    )


async def _none_reserved() -> None:
    """Where nobody reserves ids, no end is set: there is nothing to wait for."""
    raise AssertionError("a reserved end without somebody who reserves")
