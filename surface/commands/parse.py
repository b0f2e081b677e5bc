"""Determination: what a message is. Pure; acting on it is somebody else's.

A command begins with `!` and a letter. A bare number may be a choice; whether it is one depends on what is
open in the room, which is not known here. Everything else is talk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Command:
    """`!name arguments`."""

    name: str
    """As typed, in small letters."""
    arguments: str


@dataclass(frozen=True)
class Number:
    """Nothing but a number."""

    value: int


@dataclass(frozen=True)
class Talk:
    """Words for the agent."""

    text: str


Said: TypeAlias = Command | Number | Talk

_COMMAND = re.compile(r"!([^\W\d_][\w-]{0,31})(?:\s+(.*))?", re.DOTALL)
_NUMBER = re.compile(r"([0-9]{1,4})[.)]?")


def parse(body: str) -> Said:
    """Say what a message is."""
    text = body.strip()
    if match := _COMMAND.fullmatch(text):
        return Command(match[1].casefold(), (match[2] or "").strip())
    if match := _NUMBER.fullmatch(text):
        return Number(int(match[1]))
    return Talk(text)
