"""What was planned and what was done, line by line, in a file: from it a violation's story is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

Line: TypeAlias = dict[str, Any]

AROUND = 45.0
"""Seconds before and after a violation of which its story tells."""


class Journal:
    """Writes JSON lines; `t` is seconds since it was opened.

    Attributes:
        lines: all of them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Line] = []
        self._began, self._began_at = time.monotonic(), time.time()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def now(self) -> float:
        """Seconds since it was opened."""
        return round(time.monotonic() - self._began, 2)

    def moment(self, origin_server_ts: int) -> float:
        """When an event came into being, in seconds since the journal was opened."""
        return round(origin_server_ts / 1000 - self._began_at, 2)

    def note(self, what: str, **details: Any) -> Line:
        """Write one line down; returns it."""
        line = {"t": self.now, "what": what, **details}
        self.lines.append(line)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        return line


def story(lines: list[Line], room_id: str | None, at: float | None) -> str:
    """The lines of a room, and those of no room (kills, faults), around a moment."""
    fits: list[Callable[[Line], bool]] = [lambda line: line.get("room", room_id) == room_id]
    if at is not None:
        fits.append(lambda line: abs(line["t"] - at) <= AROUND)
    told = sorted((ln for ln in lines if all(fit(ln) for fit in fits)), key=lambda ln: ln["t"])
    return "\n".join(_told(line) for line in told[-80:])


def _told(line: Line) -> str:
    details = {k: v for k, v in line.items() if k not in ("t", "what", "room")}
    return f"  {line['t']:8.2f}  {line['what']:<16} " + " ".join(
        f"{key}={value!r}" for key, value in details.items()
    )
