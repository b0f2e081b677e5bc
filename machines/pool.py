"""Machines between two decisions, to be used again.

To build a machine takes statemachine up to a millisecond, because it looks up every callback by name; a
message needs ten. `Chart.become` makes a used one as good as new. A pool belongs to one process and one
thread; it holds no state of anybody.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeVar

from machines.chart import Chart

C = TypeVar("C", bound=Chart[Any])

KEPT = 16
"""Machines of one kind kept at most; a decision needs few."""


class Pool:
    """Machines that are not in use."""

    def __init__(self) -> None:
        self._free: dict[type[Chart[Any]], list[Any]] = defaultdict(list)

    def take(self, kind: type[C], record: Any, state: str | None, *, live: bool = False) -> C:
        """A machine as if newly built from these.

        Raises:
            UnknownState: see `Chart`.
        """
        free: list[C] = self._free[kind]
        if state is None or not free:
            return kind(record, state, live=live)
        machine = free.pop()
        machine.become(record, state, live=live)
        return machine

    def give_back(self, machine: Chart[Any]) -> None:
        """Nobody looks at this machine any more. Not for one that was interrupted in a transition."""
        free = self._free[type(machine)]
        if len(free) < KEPT:
            free.append(machine)
