"""The circuit breaker of one agent: who cannot be reached is not asked again and again.

One rule: after `PATIENCE` failures in a row to reach the platform nobody tries for a while; then one
call may try, and if it fails too, the while doubles.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 3
SHORTEST: Final = 5.0
"""Seconds of the first pause."""
LONGEST: Final = 120.0
"""Seconds of a pause at most."""


class Breaker:
    """Counts failures, and says when not to try.

    Args:
        now: a clock that only goes forward, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures = 0
        self._open_until = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next call may try; 0: now."""
        return max(0.0, self._open_until - self._now())

    def succeeded(self) -> None:
        """The platform was reached."""
        self._failures, self._open_until = 0, 0.0

    def failed(self) -> None:
        """The platform could not be reached."""
        self._failures += 1
        if self._failures >= PATIENCE:
            pause = min(LONGEST, SHORTEST * 2 ** min(self._failures - PATIENCE, 10))
            self._open_until = self._now() + pause
