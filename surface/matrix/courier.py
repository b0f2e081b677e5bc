"""The one place from which requests that change something leave: fair, ordered, within the limits.

Homeservers limit an account, not a room (Synapse's default is one message in five seconds after a burst
of ten). So there is one courier for the account. Requests of a kind share a `Gate`: the most urgent goes
first (last words, then notices, then the rest), and after a 429 the gate is closed for as long as the
homeserver said, then opens for one at a time until it is clear that more is allowed. A preview is never
worth waiting for: it is dropped when the gate is not wide open.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any, Literal

import structlog

from surface.matrix.api import Api, Lost, MatrixError

log = structlog.get_logger()

WIDTH = 16
"""Requests of one kind under way at once while nobody limits us."""
PROVEN = 8
"""Successes in a row after a 429 before the gate is wide again."""

Kind = Literal["message", "create", "join", "invite", "state"]


class Urgency(IntEnum):
    """Who goes first when the homeserver lets few through."""

    FINAL = 0
    NOTICE = 1
    REST = 2


class Gate:
    """Lets requests of one kind through, the most urgent first."""

    def __init__(self) -> None:
        self._width = WIDTH
        self._busy = 0
        self._closed_until = 0.0
        self._successes = 0
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """True when a request would go out at once."""
        now = asyncio.get_running_loop().time()
        return now >= self._closed_until and self._busy < self._width and not self._waiting

    @property
    def limited(self) -> bool:
        """True while the homeserver's last word was that we are too fast."""
        return self._width < WIDTH

    @asynccontextmanager
    async def passage(self, urgency: int) -> AsyncIterator[None]:
        """Wait for one's turn, and hold a place while the request is under way."""
        if self.open:
            self._busy += 1
        else:
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (urgency, next(self._order), ready))
            self._let_through()
            try:
                await ready
            except asyncio.CancelledError:
                if ready.done() and not ready.cancelled():
                    self._busy -= 1
                    self._let_through()
                raise
        try:
            yield
        finally:
            self._busy -= 1
            self._let_through()

    def succeeded(self) -> None:
        """A request got through."""
        self._successes += 1
        if self._successes >= PROVEN and self._width < WIDTH:
            self._width = WIDTH

    def refused(self, retry_after: float) -> None:
        """The homeserver limits us: nothing more for so many seconds, then one at a time."""
        now = asyncio.get_running_loop().time()
        self._closed_until = max(self._closed_until, now + retry_after)
        self._width, self._successes = 1, 0

    def _let_through(self) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            if self._waiting[0][2].done():
                heapq.heappop(self._waiting)
                continue
            if loop.time() < self._closed_until:
                self._timer = loop.call_at(self._closed_until, self._let_through)
                return
            if self._busy >= self._width:
                return
            _, _, ready = heapq.heappop(self._waiting)
            self._busy += 1
            ready.set_result(None)


class Courier:
    """Carries the account's changing requests to the homeserver."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._gates: dict[Kind, Gate] = {}

    def gate(self, kind: Kind) -> Gate:
        """The gate of a kind of request."""
        return self._gates.setdefault(kind, Gate())

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
        gate = self.gate(kind)
        while True:
            async with gate.passage(urgency):
                try:
                    answer = await request()
                except MatrixError as error:
                    if not error.limited:
                        raise
                    wait = error.retry_after or 5.0
                    gate.refused(wait)
                    log.info("courier.limited", kind=kind, seconds=round(wait, 1))
                else:
                    gate.succeeded()
                    return answer

    async def try_now(
        self, kind: Kind, request: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any] | None:
        """Carry a request out only if it may go at once; None if it was dropped."""
        gate = self.gate(kind)
        if not gate.open or gate.limited:
            return None
        async with gate.passage(Urgency.REST):
            try:
                answer = await request()
            except MatrixError as error:
                if error.limited:
                    gate.refused(error.retry_after or 5.0)
                return None
            except Lost:
                return None
        gate.succeeded()
        return answer
