"""How the bot is: named checks, each of which says its state in words.

The rule: a check only tells what is known; it changes nothing and is answered in a moment. Whoever knows
something registers a check for it (`Health.register`): to add one takes one line. A check that breaks or
hangs is a failed one.

The bot is *ready* when no check has failed. A *degraded* one does not take it out of service: what it tells
of concerns some people, or some agents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

PATIENCE: Final = 5.0
"""Seconds that all checks together may take."""


class State(StrEnum):
    """How something is."""

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says."""

    state: State
    words: str = ""
    """Why, for operators: never a user's name nor what somebody wrote."""


OK: Final = Verdict(State.OK)

Check = Callable[[], Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Report:
    """What all checks said."""

    verdicts: Mapping[str, Verdict]

    @property
    def ready(self) -> bool:
        """Whether the bot can do its work."""
        return all(verdict.state != State.FAILED for verdict in self.verdicts.values())

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        checks = {name: {"state": v.state, "words": v.words} for name, v in self.verdicts.items()}
        return {"ready": self.ready, "checks": checks}


class Health:
    """The checks there are."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def register(self, name: str, check: Check) -> None:
        """Have a check asked from now on; one of the same name is replaced.

        Args:
            name: a word, the same in every version: it is a label of the metrics.
            check: returns its verdict, soon.
        """
        self._checks[name] = check

    async def look(self) -> Report:
        """Ask every check."""
        verdicts = await asyncio.gather(*map(_asked, self._checks.values()))
        return Report(dict(zip(self._checks, verdicts, strict=True)))


async def _asked(check: Check) -> Verdict:
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return Verdict(State.FAILED, f"no answer within {PATIENCE:.0f} s")
    except Exception as error:
        return Verdict(State.FAILED, f"{type(error).__name__}: {error}")
