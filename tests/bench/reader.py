"""A stopwatch for answers that grow: when a person sees the first words, and when the last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from surface.turn_run import THINKING
from tests.bench.meter import Meter


@dataclass
class Answer:
    """What was seen of one answer.

    Attributes:
        first: milliseconds from asking to the first words.
        whole: milliseconds from asking to the last.
        edits: how many came.
    """

    asked: float
    complete: Callable[[str], bool]
    first: float = 0.0
    whole: float = 0.0
    edits: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Reader:
    """One person, who reads what a bot answers in any of their rooms.

    Args:
        step: is told of each state of an answer that is not the last.
    """

    def __init__(
        self, meter: Meter, bot: str, *, step: Callable[[str], None] = lambda _: None
    ) -> None:
        self._meter, self._bot, self._step = meter, bot, step
        self._answers: dict[str, Answer] = {}
        meter.seen = self._seen

    async def ask(
        self,
        room: str,
        complete: Callable[[str], bool],
        *,
        text: str | None = None,
        patience: float = 60,
    ) -> Answer:
        """Ask, and read until the answer is complete.

        Args:
            text: what is said; anything by default.
            patience: seconds.

        Raises:
            TimeoutError: it did not become complete.
        """
        answer = self._answers[room] = Answer(time.perf_counter(), complete)
        await self._meter.say(room, self._bot, text=text)
        async with asyncio.timeout(patience):
            await answer.done.wait()
        return answer

    def _seen(self, room_id: str, event: dict[str, Any]) -> None:
        answer = self._answers.get(room_id)
        if answer is None or answer.done.is_set() or event["sender"] != self._bot:
            return
        edit = event["content"].get("m.new_content")
        body = (edit or event["content"]).get("body", "").strip()
        answer.edits += edit is not None
        if body in ("", THINKING):
            return
        taken = (time.perf_counter() - answer.asked) * 1000
        answer.first = answer.first or taken
        if answer.complete(body):
            answer.whole = taken
            answer.done.set()
        else:
            self._step(body)
