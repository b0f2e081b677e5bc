"""The rules of the house: who may use the bot, and how much."""

from __future__ import annotations

from dataclasses import dataclass

from config import Access, Limits


@dataclass(frozen=True)
class House:
    """What the operator allows people."""

    access: Access
    limits: Limits
