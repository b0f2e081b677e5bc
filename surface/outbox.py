"""Act: carries committed effects out, each to its end, and reports what came of it.

Effects of one lane (mostly: of one room) go in the order in which they were decided, one at a time; lanes
do not wait for each other. An effect that got no usable answer is tried again under the same transaction
id until the homeserver says yes or no. Then its row is *settled*: deleted, in one transaction with the
event that its outcome means to the machines (`aftermath`).

Our own echo in /sync settles a row like a response does: that is how an effect is not carried out twice
by a process that died between the two.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import structlog

from machines.effects import (
    Effect,
    FetchFile,
    FileIn,
    JoinRoom,
    LoadContext,
    Notice,
    PostFile,
    SendFile,
)
from store.history import Cause
from store.store import Delete, StoreError
from surface import keys
from surface.aftermath import Result, aftermath
from surface.case import Row, decode_row
from surface.lanes import lane_of
from surface.ledger import Decided, Ledger
from surface.matrix.api import Lost, MatrixError
from surface.matrix.sync import backoff

log = structlog.get_logger()

Perform = Callable[[Row], Awaitable[Result]]


DROPPED = "dropped_by_operator"
"""What an effect is refused with that an operator has given up."""

Outcome = Literal["done", "echoed", "refused", "dropped", "put_off"]


@dataclass
class Trouble:
    """An effect that got no usable answer, and is tried again."""

    attempts: int = 0
    why: str = ""
    dropped: bool = False
    again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to try at once."""


def _file_of(effect: Effect) -> str | None:
    """The turn whose file an effect brings into the room."""
    file = effect.file if isinstance(effect, PostFile) else effect
    return file.turn_id if isinstance(file, SendFile) else None


class Outbox:
    """The effects that are committed and not yet finished."""

    def __init__(self, ledger: Ledger, perform: Perform) -> None:
        self._ledger, self._perform = ledger, perform
        self._lanes: dict[str, deque[Row]] = defaultdict(deque)
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._rows: dict[str, Row] = {}
        self._by_transaction: dict[str, Row] = {}
        self._waiters: dict[str, asyncio.Future[Result]] = {}
        self._under_way: set[str] = set()
        self._open = False
        self._closing = False
        self._resting: set[asyncio.Task[None]] = set()
        self._taken: dict[str, float] = {}
        self.troubles: dict[str, Trouble] = {}
        """By row, of those that were tried in vain."""
        self.tally: Counter[tuple[str, Outcome]] = Counter()
        """How often effects of a kind came to what."""
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the exception that ends the process: a dead token, a store that is not usable."""

    async def start(self, boot: str) -> None:
        """Take up what the last process left; questions of its dialogs are dropped."""
        rows = [
            decode_row(key, stored.body) for key, stored in await self._ledger.store.scan("outbox")
        ]
        stale = [row for row in rows if row.boot is not None and row.boot != boot]
        if stale:
            await self._ledger.save([Delete("outbox", row.key) for row in stale], point="settle")
        self._ledger.start_after(max((row.seq for row in rows), default=0))
        for row in sorted(rows, key=lambda r: r.seq):
            if row not in stale:
                self._add(row)

    def open(self) -> None:
        """Begin to carry out: from now on the homeserver's own account of the past is known."""
        self._open = True
        for lane in list(self._lanes):
            self._wake(lane)

    def on_decided(self, decided: Decided[object]) -> None:
        """Take the rows of a commit, and forget those that came to be another's."""
        for key in decided.spared:
            if (row := self._rows.get(key)) is not None:
                self._count(row, "done")
                self._forget(row)
        for row in decided.rows:
            self._add(row)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[Row]:
        """The effects that are not finished."""
        return list(self._rows.values())

    def age(self, key: str) -> float:
        """Seconds since this process has known a row."""
        return time.monotonic() - self._taken[key]

    def retry(self, key: str) -> bool:
        """Try a row again at once that waits for its next attempt; False if it does not."""
        trouble = self.troubles.get(key)
        if trouble is None:
            return False
        trouble.again.set()
        return True

    async def drop(self, key: str) -> bool:
        """Give a row up, as if the homeserver had refused it for good; False if there is none.

        One whose request is under way is given up when that gets no answer.
        """
        row = self._rows.get(key)
        if row is None:
            return False
        log.warning("effect.dropped", effect=type(row.effect).__name__, key=key)
        if key in self._under_way:
            trouble = self.troubles.setdefault(key, Trouble())
            trouble.dropped = True
            trouble.again.set()
        else:
            self._under_way.add(key)
            await self._settle(row, Result(refused=DROPPED, reason="given up by the operator"))
            self._count(row, "dropped")
            self._forget(row)
        return True

    async def settled(self, key: str) -> Result | None:
        """Wait until a row is settled and say how; None if it is already."""
        if key not in self._rows:
            return None
        future = self._waiters.setdefault(key, asyncio.get_running_loop().create_future())
        return await asyncio.shield(future)

    async def seeded(self, platform_chat_id: str) -> None:
        """Wait until nothing is being loaded into a platform chat."""
        for row in list(self._rows.values()):
            effect = row.effect
            if isinstance(effect, LoadContext) and effect.platform_chat_id == platform_chat_id:
                await self.settled(row.key)

    async def fetched(self, files: Sequence[FileIn]) -> None:
        """Wait until none of these files is on its way."""
        wanted = {file.path for file in files}
        for row in list(self._rows.values()):
            if isinstance(row.effect, FetchFile) and row.effect.file.path in wanted:
                await self.settled(row.key)

    async def shown(self, turn_id: str) -> None:
        """Wait until no file of a turn's answer is on its way into the room."""
        while rows := [row for row in self._rows.values() if _file_of(row.effect) == turn_id]:
            await self.settled(rows[0].key)

    async def asked(self, room_id: str) -> None:
        """Wait until no question is being put into a room: then it is known which message is one."""
        for row in list(self._rows.values()):
            effect = row.effect
            if isinstance(effect, Notice) and effect.dialog and effect.room_id == room_id:
                await self.settled(row.key)

    async def joined(self, room_id: str) -> None:
        """Wait until no invite of a room is being accepted: before that it means nothing to us."""
        for row in list(self._rows.values()):
            if isinstance(row.effect, JoinRoom) and row.effect.room_id == room_id:
                await self.settled(row.key)

    async def echoed(self, transaction: str, event_id: str) -> None:
        """One of our own events came back in /sync."""
        row = self._by_transaction.get(transaction)
        if row is not None and row.key not in self._under_way:
            self._under_way.add(row.key)
            await self._settle(row, Result(event_id=event_id))
            self._count(row, "echoed")
            self._forget(row)

    async def idle(self) -> None:
        """Wait until every row is settled."""
        while self._workers:
            await asyncio.wait(list(self._workers.values()))

    async def aclose(self, grace: float) -> None:
        """Give what runs `grace` seconds to finish; the rest is carried out by the next process."""
        self._closing = True
        for worker in self._resting:
            worker.cancel()
        workers = list(self._workers.values())
        if workers:
            await asyncio.wait(workers, timeout=grace)
        self._open = False
        for worker in list(self._workers.values()):
            worker.cancel()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    def _add(self, row: Row) -> None:
        lane = lane_of(row.effect)
        self._rows[row.key] = self._by_transaction[row.transaction] = row
        self._taken[row.key] = time.monotonic()
        self._lanes[lane].append(row)
        if self._open:
            self._wake(lane)

    def _wake(self, lane: str) -> None:
        if lane not in self._workers and self._lanes.get(lane):
            worker = asyncio.create_task(self._work(lane), name=f"outbox {lane}")
            self._workers[lane] = worker
            worker.add_done_callback(lambda task: self._done(lane, task))

    def _done(self, lane: str, task: asyncio.Task[None]) -> None:
        del self._workers[lane]
        if not task.cancelled() and (error := task.exception()) is not None:
            if not self.failed.done():
                self.failed.set_exception(error)
            return
        if self._lanes.get(lane):
            if self._open and not task.cancelled():
                self._wake(lane)
        else:
            self._lanes.pop(lane, None)

    async def _work(self, lane: str) -> None:
        queue = self._lanes[lane]
        while queue:
            row = queue[0]
            if row.key in self._rows and row.key not in self._under_way:
                self._under_way.add(row.key)
                result = await self._carry_out(row)
                await self._settle_surely(row, result)
                self._count(row, _outcome(result))
                self._forget(row)
            queue.popleft()

    async def _carry_out(self, row: Row) -> Result:
        failures = 0
        while True:
            try:
                return await self._perform(row)
            except (MatrixError, Lost) as error:
                if isinstance(error, MatrixError) and not error.limited:
                    log.warning("effect.refused", effect=type(row.effect).__name__, why=str(error))
                    return Result(refused=error.errcode, reason=error.message or error.errcode)
                failures += 1
                delay = max(backoff(failures), getattr(error, "retry_after", None) or 0.0)
                log.warning(
                    "effect.put_off",
                    effect=type(row.effect).__name__,
                    why=str(error),
                    again_in=round(delay, 1),
                    hint="is the other side up? tried until it answers" if failures > 2 else None,
                )
                row = Row(row.key, row.seq, row.effect, row.locale, row.boot, fresh=False)
                self._count(row, "put_off")
                trouble = self.troubles.setdefault(row.key, Trouble())
                trouble.attempts, trouble.why = failures, str(error)
                if not trouble.dropped:
                    await self._rest(delay, trouble.again)
                    trouble.again.clear()
                if trouble.dropped:
                    return Result(refused=DROPPED, reason="given up by the operator")

    async def _rest(self, delay: float, again: asyncio.Event) -> None:
        """Wait before another attempt; neither a stop nor an operator waits for that."""
        worker = asyncio.current_task()
        assert worker is not None
        if self._closing:
            worker.cancel()
        self._resting.add(worker)
        try:
            async with asyncio.timeout(delay):
                await again.wait()
        except TimeoutError:
            pass
        finally:
            self._resting.discard(worker)

    async def _settle_surely(self, row: Row, result: Result) -> None:
        failures = 0
        while True:
            try:
                await self._settle(row, result)
                return
            except StoreError as error:
                # If the process ends before, it is carried out again, under the same transaction id.
                failures += 1
                delay = backoff(failures)
                log.error("store.failed", why=str(error), again_in=round(delay, 1))
                await self._rest(delay, asyncio.Event())

    async def _settle(self, row: Row, result: Result) -> None:
        await self._ledger.decide(
            keys.settling(row.key),
            lambda case: aftermath(case, row.effect, result),
            by=_cause(row, result),
            settle=[Delete("outbox", row.key)],
            point="settle",
            quiet=True,
        )
        waiter = self._waiters.pop(row.key, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(result)

    def _forget(self, row: Row) -> None:
        self._rows.pop(row.key, None)
        self._by_transaction.pop(row.transaction, None)
        self._under_way.discard(row.key)
        self._taken.pop(row.key, None)
        self.troubles.pop(row.key, None)

    def _count(self, row: Row, outcome: Outcome) -> None:
        self.tally[type(row.effect).__name__, outcome] += 1


def _cause(row: Row, result: Result) -> Cause:
    if result.refused == DROPPED:
        return Cause("operator", "outbox drop")
    return Cause("bot", type(row.effect).__name__)


def _outcome(result: Result) -> Outcome:
    if result.refused is None:
        return "done"
    return "dropped" if result.refused == DROPPED else "refused"
