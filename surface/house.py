"""The rules of the house: who may use the bot, and how much."""

from __future__ import annotations

from dataclasses import dataclass, field

from config import Access, CatchUp, Files, Limits


@dataclass(frozen=True)
class House:
    """What the operator allows people."""

    access: Access
    limits: Limits
    catch_up: CatchUp = field(default_factory=CatchUp)
    files: Files = field(default_factory=Files)
