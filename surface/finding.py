"""What `surface check`, or a start, finds: how one thing stands, and, where it does not, what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """How one thing stands."""

    level: Level
    what: str
    found: str
    to_do: str = ""
