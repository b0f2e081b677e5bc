"""The one place from which requests that change something leave: fair, ordered, within the limits.

Homeservers limit an account, not a room. Synapse, as it comes, lets one event through in five seconds after
a burst of ten, and that is messages, states, invites and created rooms together; on some kinds it has a
further, slower limit. So there is one courier for the account. A short wait that the homeserver asks for
is taken for the account's limit, a long one for that of its kind; after either the gate is closed for so
long, and then opens for one at a time, at the pace that the homeserver asked for, until it is clear that
more is allowed. To try earlier is not only in vain: Synapse counts refused invites against their limit.

Who goes first: last words, then notices, then the rest; but waiting makes urgent, so that nobody is put
off for ever. A preview is never worth waiting for: it is dropped when the gates are not wide open.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any, Literal

import structlog

from surface.matrix.api import Api, Lost, MatrixError

log = structlog.get_logger()

WIDTH = 6
"""Requests under way at once, while nobody limits us: more make no homeserver faster, and the first later."""
PROVEN = 8
"""Successes in a row after a 429 before it is tried faster; after twice as many a gate is wide again."""
SHARED = 6.0
"""Seconds: a wait up to this is the account's, a longer one that of the kind of request."""
MARGIN = 0.1
"""Seconds by which we are rather late than early."""
QUIET = 60.0
"""Seconds without a refusal after which a gate is wide again, too."""
HEADSTART = 5.0
"""Seconds by which one degree of urgency is ahead of the next."""

Kind = Literal["message", "create", "join", "invite", "state"]


class Urgency(IntEnum):
    """Who goes first when the homeserver lets few through."""

    FINAL = 0
    NOTICE = 1
    REST = 2


class Gate:
    """How much is let through: of all requests, or of one kind."""

    def __init__(self) -> None:
        self.busy = 0
        self.closed_until = 0.0
        self.waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        """A heap: by when each would like to have gone, then in order."""
        self._limited, self._pace = False, 0.0
        self._successes, self._last_success, self._last_refusal = 0, 0.0, 0.0

    def lets_through(self, now: float) -> bool:
        """Whether one more may go."""
        return now >= self.closed_until and self.busy < (1 if self.is_limited(now) else WIDTH)

    def is_limited(self, now: float) -> bool:
        """Whether the homeserver's last word was that we are too fast, and that not long ago."""
        if now > max(self.closed_until, self._last_refusal + QUIET):
            self._limited = False
        return self._limited

    def head(self) -> tuple[float, int] | None:
        """The place in the order of the first who waits."""
        while self.waiting and self.waiting[0][2].done():
            heapq.heappop(self.waiting)
        return self.waiting[0][:2] if self.waiting else None

    def succeeded(self, sent: float) -> None:
        """A request sent at that time got through."""
        self._successes, self._last_success = self._successes + 1, sent
        if self._successes >= PROVEN:
            self._pace = 0.0
        if self._successes >= 2 * PROVEN:
            self._limited = False
        if self._limited:
            self.closed_until = max(self.closed_until, sent + self._pace)

    def refused(self, sent: float, wait: float) -> None:
        """The homeserver limits us: nothing more for `wait` seconds, and after that one at a time.

        Counted from when the request was sent: Synapse does, too, and answers half a second later.
        """
        self.closed_until = max(self.closed_until, sent + wait + MARGIN)
        self._pace = min(self.closed_until - self._last_success, wait + 1)
        self._limited, self._successes, self._last_refusal = True, 0, sent


class Courier:
    """Carries the account's changing requests to the homeserver."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._account = Gate()
        self._gates: dict[Kind, Gate] = {}
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self.refusals: Counter[Kind] = Counter()
        """How often the homeserver has limited requests of a kind."""
        self.asked_to_wait: dict[Kind, float] = {}
        """Seconds that it asked us to wait for, in all."""

    def limited(self, kind: Kind) -> bool:
        """True while the homeserver limits requests of this kind: none should be made that can be spared."""
        now = asyncio.get_running_loop().time()
        return self._account.is_limited(now) or self._gate(kind).is_limited(now)

    async def carry(
        self,
        kind: Kind,
        urgency: Urgency,
        request: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Carry one request out, as often as the homeserver's limits ask for.

        Raises:
            MatrixError: it was refused for another reason than the limits.
            Lost: there was no usable answer.
        """
        while True:
            async with self._passage(kind, urgency):
                sent = asyncio.get_running_loop().time()
                try:
                    answer = await request()
                except MatrixError as error:
                    if not error.limited:
                        raise
                    self._refused(kind, sent, error)
                else:
                    self._succeeded(kind, sent)
                    return answer

    async def try_now(
        self, kind: Kind, request: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any] | None:
        """Carry a request out only if it may go at once; None if it was dropped."""
        if self.limited(kind) or not self._open(kind):
            return None
        async with self._passage(kind, Urgency.REST):
            sent = asyncio.get_running_loop().time()
            try:
                answer = await request()
            except MatrixError as error:
                if error.limited:
                    self._refused(kind, sent, error)
                return None
            except Lost:
                return None
            self._succeeded(kind, sent)
        return answer

    @asynccontextmanager
    async def _passage(self, kind: Kind, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for one's turn, and hold a place while the request is under way."""
        gate = self._gate(kind)
        if self._open(kind):
            self._enter(gate)
        else:
            loop = asyncio.get_running_loop()
            ready: asyncio.Future[None] = loop.create_future()
            due = loop.time() + urgency * HEADSTART
            heapq.heappush(gate.waiting, (due, next(self._order), ready))
            self._let_through()
            try:
                await ready
            except asyncio.CancelledError:
                if ready.done() and not ready.cancelled():
                    self._leave(gate)
                raise
        try:
            yield
        finally:
            self._leave(gate)

    def _gate(self, kind: Kind) -> Gate:
        return self._gates.setdefault(kind, Gate())

    def _open(self, kind: Kind) -> bool:
        """Whether a request would go out at once."""
        now, gate = asyncio.get_running_loop().time(), self._gate(kind)
        return gate.head() is None and gate.lets_through(now) and self._account.lets_through(now)

    def _enter(self, gate: Gate) -> None:
        gate.busy += 1
        self._account.busy += 1

    def _leave(self, gate: Gate) -> None:
        gate.busy -= 1
        self._account.busy -= 1
        self._let_through()

    def _succeeded(self, kind: Kind, sent: float) -> None:
        self._account.succeeded(sent)
        self._gate(kind).succeeded(sent)

    def _refused(self, kind: Kind, sent: float, error: MatrixError) -> None:
        wait = error.retry_after or 5.0
        gate = self._account if wait <= SHARED else self._gate(kind)
        gate.refused(sent, wait)
        self.refusals[kind] += 1
        self.asked_to_wait[kind] = self.asked_to_wait.get(kind, 0.0) + wait
        log.info("courier.limited", kind=kind, seconds=round(wait, 1))

    def _let_through(self) -> None:
        """Let as many go as may, the first in order first; be back when a gate opens."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            waiting = [(head, g) for g in self._gates.values() if (head := g.head()) is not None]
            free = [(head, gate) for head, gate in waiting if gate.lets_through(now)]
            if not free or not self._account.lets_through(now):
                break
            _, gate = min(free, key=lambda found: found[0])
            self._enter(gate)
            heapq.heappop(gate.waiting)[2].set_result(None)
        closed = [max(gate.closed_until, self._account.closed_until) for _, gate in waiting]
        if later := [until for until in closed if until > now]:
            self._timer = loop.call_at(min(later), self._let_through)
